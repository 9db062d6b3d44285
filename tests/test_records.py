"""Named tuples that are quick to make are those of `typing`."""

from __future__ import annotations

import pickle
import typing

import pytest

from tracer.records import NamedTuple


class Quick(NamedTuple):
    """Two numbers."""

    left: int
    right: float = 2.0

    @property
    def total(self) -> float:
        return self.left + self.right

    def __str__(self) -> str:
        return f"{self.left}|{self.right}"


class Slow(typing.NamedTuple):
    """Two numbers."""

    left: int
    right: float = 2.0

    @property
    def total(self) -> float:
        return self.left + self.right

    def __str__(self) -> str:
        return f"{self.left}|{self.right}"


def test_classes_are_alike():
    for name in ("__doc__", "__module__", "__bases__", "__slots__", "_fields", "_field_defaults", "__match_args__"):
        assert getattr(Quick, name) == getattr(Slow, name), name
    assert Quick.__qualname__ == "Quick"
    assert typing.get_type_hints(Quick) == typing.get_type_hints(Slow) == {"left": int, "right": float}


def test_tuples_are_alike():
    quick, slow = Quick(3), Slow(3)
    assert quick == slow == (3, 2.0) and quick.total == 5.0 and str(quick) == "3|2.0"
    assert repr(quick) == "Quick(left=3, right=2.0)" and quick._replace(left=4) == (4, 2.0)
    assert not hasattr(quick, "__dict__") and pickle.loads(pickle.dumps(quick)) == quick
    with pytest.raises(TypeError):
        Quick()
    with pytest.raises(AttributeError):
        quick.left = 1
