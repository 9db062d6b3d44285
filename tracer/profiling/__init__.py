"""Profiles of compiled functions: what they compute in which groups, how long that takes, and how long it must."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from tracer import errors
from tracer.errors import profiling as texts
from tracer.profiling.costs import Cost as Cost
from tracer.profiling.groups import Group as Group
from tracer.profiling.machine import Limit as Limit
from tracer.profiling.measuring import Job as Job
from tracer.profiling.profile import Profile as Profile
from tracer.profiling.profile import profile_of
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy
from tracer.tree import flatten

__all__ = ["Cost", "Group", "Job", "Limit", "Profile", "profile"]


def profile(
    function: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    rounds: int | None = None,
) -> Profile:
    """Measure where the time of a call goes, as `f.profile(*args, **kwargs)` does; see there for what is run.

    Parameters
    ----------
    function : compiled function
        Made by `tracer.compile`, by a transform such as `tracer.grad`, or by `tracer.function`.
    args : sequence
        The arguments of the call.
    kwargs : mapping, optional
        Those passed by name.
    rounds : int, optional
        How often it is timed; as often as goes into a third of a second if None, but 3 times at least and 300 at most.

    Returns
    -------
    Profile

    Raises
    ------
    TypeError
        For a function that is not compiled.
    TraceError
        In a trace, or if something else than the CPU's kernels runs the function.
    ValueError
        If there are to be less than one round.

    Examples
    --------
    >>> import numpy as np, tracer, tracer.profiling
    >>> gradient = tracer.grad(lambda x: np.sum(np.tanh(x)))
    >>> found = tracer.profiling.profile(gradient, [np.ones(1000)], rounds=5)
    >>> found.rounds, found.bytes
    (5, 16000.0)
    """
    if isinstance(function, functools.partial):
        given = {**function.keywords, **(kwargs or {})}
        return profile(function.func, (*function.args, *args), given, rounds=rounds)
    prepare = getattr(function, "__tracer_job__", None)
    if prepare is None:
        raise TypeError(errors.message(texts.NOT_COMPILED, function=label_of(function)))
    if trace.current() is not None or any(isinstance(leaf, Proxy) for leaf in flatten((args, kwargs or {}))[0]):
        raise errors.TraceError(errors.message(texts.IN_A_TRACE))
    if rounds is not None and rounds < 1:
        raise ValueError(f"rounds={rounds}: at least one is needed")
    job = prepare(tuple(args), dict(kwargs or {}))
    if job.executable.native is None:
        raise errors.TraceError(errors.message(texts.OTHER_EXECUTOR, function=job.name))
    return profile_of(job, rounds)
