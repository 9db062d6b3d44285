"""Calls that a plan on a GPU answers at once, where the arguments are arrays and simple static values, not nested."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import device
from tracer.arguments import Leaves, entry_of
from tracer.config import config
from tracer.pipeline import Plan
from tracer.records import NamedTuple
from tracer.tracing import trace
from tracer.tracing.replay import is_computing

MISSED = object()
"""Stands for the result of a call that must be looked at more closely."""
_MOST = 4
"""Plans that are tried; the calls of a function that alternates between more are looked at closely."""
_STATIC = (int, bool, str, type(None))


class _Fit(NamedTuple):
    """A plan, and what it takes.

    Attributes
    ----------
    plan : Plan
    settings : tuple
        Those that it was made under.
    kinds : tuple of type
        Of the arguments.
    looks : tuple
        For each argument its dtype, shape and strides, or the value of a static one.
    arrays : tuple of int
        The places of the arrays.
    """

    plan: Plan
    settings: tuple[Any, ...]
    kinds: tuple[type, ...]
    looks: tuple[Any, ...]
    arrays: tuple[int, ...]

    def takes(self, args: Sequence[Any]) -> bool:
        """Whether arguments are like those that the plan was made for."""
        if tuple(map(type, args)) != self.kinds:
            return False
        return all(
            (look == entry_of(value)) if type(look) is tuple else value == look
            for value, look in zip(args, self.looks, strict=True)
        )


class DeviceCalls:
    """The newest plans of a function that are on a GPU.

    Parameters
    ----------
    kept : collection of Plan
        Those that the function has not forgotten.
    """

    def __init__(self, kept: Collection[Plan]) -> None:
        self._kept = kept
        self._fits: list[_Fit] = []

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result of a call; `MISSED` if no plan is known to fit."""
        if not self._fits or kwargs or trace.RUNNING["traces"] or is_computing():
            return MISSED
        for fit in self._fits:
            if fit.takes(args) and fit.settings == _settings() and fit.plan in self._kept and fit.plan.matches():
                arrays = [args[place] for place in fit.arrays]
                return fit.plan.run(arrays, arrays)
        return MISSED

    def offer(self, plan: Plan, leaves: Leaves, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Remember a plan and the arguments that it has just taken, if they are easy to tell from others."""
        traced = plan.traced
        odd = traced.questions or traced.written or traced.stored or traced.streams or traced.scalars
        if not plan.on_gpu or odd or kwargs or leaves.groups or leaves.weak:
            return
        kinds = tuple(map(type, args))
        arrays = tuple(place for place, kind in enumerate(kinds) if kind is np.ndarray or kind is device.array_type())
        if any(place not in arrays and kind not in _STATIC for place, kind in enumerate(kinds)):
            return
        looks = tuple([entry_of(value) if place in arrays else value for place, value in enumerate(args)])
        others = [fit for fit in self._fits if fit.plan is not plan]
        self._fits = [_Fit(plan, _settings(), kinds, looks, arrays), *others][:_MOST]


def _settings() -> tuple[Any, ...]:
    return config.device, config.backend, config.of_programs()
