"""mode="check": every call is computed three ways, and the ways must agree."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.arguments import Leaves
from tracer.compiled import Compiled
from tracer.derivatives.functions import Transform
from tracer.pipeline import Plan
from tracer.repeating import Calls
from tracer.run import reference
from tracer.tracing.generators import is_generator
from tracer.tracing.reads import owner_of
from tracer.tree import flatten, unflatten
from tracer.types import element_strides

_TOLERANCE = {"f": (1e-9, 1e-4), "c": (1e-9, 1e-4)}


class Checked(Compiled):
    """A compiled function that compares the plain function, the reference executor and the kernels at every call.

    The reference runs the graph as it was traced, before any rewriting. Where it is not finite and the kernels are,
    a stabilising rewrite was at work, and that counts as agreement.
    """

    def _add_fast_path(self, plan: Plan, leaves: Leaves, kwargs: Mapping[str, Any]) -> None:
        """Checked functions always take the slow path."""

    def _together(self, calls: Calls) -> Any:
        """Every call of a run is compared, so that they are made one by one."""
        return NotImplemented

    def _run(self, plan: Plan, leaves: Leaves) -> Any:
        traced = plan.traced
        arrays = (*leaves.arrays, *traced.captured, *(item.cell[0] for item in traced.shared))
        inputs = [_copied(array) for array in arrays]
        expected = reference.run(traced.graph, inputs)
        actual = plan.executable.run(inputs)[: len(expected)]  # then come answers to questions
        is_single = any(item.dtype.char in "fF" for item in traced.graph.nodes() if not item.has_items)
        _compare(expected, actual, "the reference and the kernels", self.name, is_single)
        plain = self._plain(plan, leaves)
        result = super()._run(plan, leaves)
        if plain is not None:
            both = flatten(plain)[0], flatten(result)[0]
            _compare(*both, "the plain function and the kernels", self.name, is_single)
        return result

    def _plain(self, plan: Plan, leaves: Leaves) -> Any:
        """The function's own result on copies; None if it cannot run without a trace."""
        traced = plan.traced
        if traced.shared or traced.updated or traced.stored or isinstance(self.function, Transform | Compiled):
            return None
        if any(map(is_generator, leaves.originals)):
            return None
        copies = _copied_together(leaves.arrays, leaves.originals)
        values = [next(copies) if is_array else v for v, is_array in zip(leaves.values, leaves.is_array, strict=True)]
        args, kwargs = copy.copy(unflatten(leaves.structure, values))
        return self.function(*args, **kwargs)


def _copied(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy with the same strides, for which the kernels were compiled."""
    steps = [(size - 1) * stride for size, stride in zip(array.shape, element_strides(array), strict=True) if size]
    low, high = sum(min(step, 0) for step in steps), sum(max(step, 0) for step in steps)
    memory = np.empty(high - low + 1, array.dtype)
    result = np.lib.stride_tricks.as_strided(memory[-low:], array.shape, array.strides)
    np.copyto(result, array)
    return result


def _copied_together(arrays: Sequence[np.ndarray[Any, Any]], originals: Sequence[Any]) -> Iterator[Any]:
    """Copies that share memory where the arrays do; those of what the caller passed as numbers are numbers."""
    memories: dict[int, Any] = {}
    for array, original in zip(arrays, originals, strict=True):
        owner = owner_of(array)
        if not isinstance(original, np.ndarray) or not (owner.flags.c_contiguous or owner.flags.f_contiguous):
            yield np.copy(array) if isinstance(original, np.ndarray) else np.copy(array)[()]
            continue
        memory = memories.setdefault(id(owner), bytearray(owner.tobytes(order="A")))
        offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        yield np.ndarray(array.shape, array.dtype, memory, offset, array.strides)


def _compare(expected: Sequence[Any], actual: Sequence[Any], what: str, function: str, is_single: bool) -> None:
    for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
        detail = difference(one, other, is_single)
        if detail is not None:
            raise errors.MismatchError(
                errors.message(errors.MISMATCH, what=what, function=function, output=number, detail=detail)
            )


def difference(expected: Any, actual: Any, is_single: bool = False) -> str | None:
    """Say how two results differ beyond rounding, which is that of single precision if `is_single`; or None."""
    if not isinstance(expected, np.ndarray | np.generic | int | float | complex):
        return None if expected is actual or expected == actual else f"{expected!r} and {actual!r}"
    one, other = np.asarray(expected), np.asarray(actual)
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype}{list(one.shape)} and {other.dtype}{list(other.shape)}"
    if one.dtype.kind not in _TOLERANCE:
        wrong = one != other
    else:
        relative = _TOLERANCE[one.dtype.kind][is_single or one.dtype.char in "fF"]
        scale = np.max(np.abs(one), where=np.isfinite(one), initial=1.0)
        wrong = ~np.isclose(one, other, rtol=relative, atol=relative * scale, equal_nan=True)
        wrong &= np.isfinite(one) | ~np.isfinite(other)
    if not wrong.any():
        return None
    place = tuple(int(item) for item in np.argwhere(wrong)[0]) if one.shape else ()
    return f"{int(wrong.sum())} of {one.size} values, the first at {place}: {one[place]!r} and {other[place]!r}"
