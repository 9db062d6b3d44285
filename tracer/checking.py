"""mode="check": every call is computed three ways, and the ways must agree."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.arguments import Leaves
from tracer.compiled import Compiled
from tracer.derivatives import Transform
from tracer.pipeline import Plan
from tracer.run import reference
from tracer.tracing.generators import is_generator
from tracer.tree import flatten, unflatten

_TOLERANCE = {"f": (1e-9, 1e-4), "c": (1e-9, 1e-4)}


class Checked(Compiled):
    """A compiled function that compares the plain function, the reference executor and the kernels at every call.

    The reference runs the graph as it was traced, before any rewriting. Where it is not finite and the kernels are,
    a stabilising rewrite was at work, and that counts as agreement.
    """

    def _add_fast_path(self, plan: Plan, leaves: Leaves, kwargs: dict[str, Any]) -> None:
        """Checked functions always take the slow path."""

    def _run(self, plan: Plan, leaves: Leaves) -> Any:
        traced = plan.traced
        inputs = [
            np.copy(array) for array in (*leaves.arrays, *traced.captured, *(item.cell[0] for item in traced.shared))
        ]
        expected = reference.run(traced.graph, inputs)
        actual = plan.executable.run(inputs)[: len(expected)]  # then come answers to questions
        _compare(expected, actual, "the reference and the kernels", self.name)
        plain = self._plain(plan, leaves)
        result = super()._run(plan, leaves)
        if plain is not None:
            _compare(flatten(plain)[0], flatten(result)[0], "the plain function and the kernels", self.name)
        return result

    def _plain(self, plan: Plan, leaves: Leaves) -> Any:
        """The function's own result on copies; None if it cannot run without a trace."""
        if plan.traced.shared or plan.traced.updated or isinstance(self.function, Transform | Compiled):
            return None
        if any(map(is_generator, leaves.originals)):
            return None
        values = [np.copy(v)[()] if traced else v for v, traced in zip(leaves.values, leaves.is_array, strict=True)]
        args, kwargs = copy.copy(unflatten(leaves.structure, values))
        return self.function(*args, **kwargs)


def _compare(expected: Sequence[Any], actual: Sequence[Any], what: str, function: str) -> None:
    for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
        detail = difference(one, other)
        if detail is not None:
            raise errors.MismatchError(
                errors.message(errors.MISMATCH, what=what, function=function, output=number, detail=detail)
            )


def difference(expected: Any, actual: Any) -> str | None:
    """Say how two results differ beyond rounding, or None."""
    if not isinstance(expected, np.ndarray | np.generic | int | float | complex):
        return None if expected is actual or expected == actual else f"{expected!r} and {actual!r}"
    one, other = np.asarray(expected), np.asarray(actual)
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype}{list(one.shape)} and {other.dtype}{list(other.shape)}"
    if one.dtype.kind not in _TOLERANCE:
        wrong = one != other
    else:
        relative = _TOLERANCE[one.dtype.kind][one.dtype.itemsize // (1 if one.dtype.kind == "f" else 2) == 4]
        scale = np.max(np.abs(one), where=np.isfinite(one), initial=1.0)
        wrong = ~np.isclose(one, other, rtol=relative, atol=relative * scale, equal_nan=True)
        wrong &= np.isfinite(one) | ~np.isfinite(other)
    if not wrong.any():
        return None
    place = tuple(int(item) for item in np.argwhere(wrong)[0]) if one.shape else ()
    return f"{int(wrong.sum())} of {one.size} values, the first at {place}: {one[place]!r} and {other[place]!r}"
