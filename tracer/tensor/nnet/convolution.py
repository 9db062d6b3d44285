"""Convolution over any number of axes as one matrix product, with the products that give its derivatives.

Every element that a filter meets is a view of the input (`WINDOWS`); one copy lays them out as the columns of a matrix,
rows being filter places and channels, columns being samples and output places. Chellapilla, Puri and Simard, "High
Performance Convolutional Neural Networks for Document Processing" (2006), describe the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer.errors import message
from tracer.errors import nnet as messages
from tracer.graph.op import OPS
from tracer.ops.windows import WINDOWS, overlap_add
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import promote

Pairs = tuple[tuple[int, int], ...]


class Setting(NamedTuple):
    """What a convolution does besides its two arrays.

    Attributes
    ----------
    padding : tuple of (int, int)
        Zeros before and after each spatial axis.
    steps, dilations : tuple of int
        Distance of output places, and of the elements that a filter meets, along each spatial axis.
    flip : bool
        Whether the filters are turned round, as in a mathematical convolution; otherwise it is a correlation.
    groups : int
        Number of groups of channels that meet only filters of their own.
    unshared : bool
        Whether every output place has filters of its own.
    """

    padding: Pairs
    steps: tuple[int, ...]
    dilations: tuple[int, ...]
    flip: bool = True
    groups: int = 1
    unshared: bool = False

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.steps)

    def output(self, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Sizes of the output along the spatial axes."""
        return tuple(
            max(0, (size + before + after - (width - 1) * dilation - 1) // step + 1)
            for size, width, (before, after), step, dilation in zip(
                spatial, kernel, self.padding, self.steps, self.dilations, strict=True
            )
        )


def setting(
    function: str,
    kernel: Sequence[int],
    border_mode: Any,
    subsample: Any,
    filter_dilation: Any = 1,
    filter_flip: bool = True,
    num_groups: int = 1,
    unshared: bool = False,
) -> Setting:
    """Read the arguments that all convolutions share; raises ValueError for those that make no sense."""
    rank = len(kernel)
    steps, dilations = _sizes(subsample, rank, "subsample"), _sizes(filter_dilation, rank, "filter_dilation")
    if num_groups < 1:
        raise ValueError(f"num_groups must be at least 1, not {num_groups}")
    widths = [(width - 1) * dilation + 1 for width, dilation in zip(kernel, dilations, strict=True)]
    padding = _padding(function, border_mode, widths)
    return Setting(padding, steps, dilations, bool(filter_flip), int(num_groups), bool(unshared))


def _sizes(value: Any, rank: int, name: str) -> tuple[int, ...]:
    sizes = (value,) * rank if np.ndim(value) == 0 else tuple(value)
    if len(sizes) != rank:
        raise ValueError(f"{name} needs {rank} sizes, not {len(sizes)}: {value!r}")
    result = tuple(int(size.__index__()) for size in sizes)
    if min(result) < 1:
        raise ValueError(f"{name} must be positive: {value!r}")
    return result


def _padding(function: str, mode: Any, widths: Sequence[int]) -> Pairs:
    if isinstance(mode, str):
        sides = {
            "valid": [0 for _ in widths],
            "full": [width - 1 for width in widths],
            "half": [width // 2 for width in widths],
        }.get(mode)
        pairs: list[Any] = [(side, side) for side in sides or ()]
    else:
        items = tuple(mode) if isinstance(mode, tuple | list) else (mode,) * len(widths)
        pairs = [tuple(item) if isinstance(item, tuple | list) else (item, item) for item in items]
    whole = all(len(pair) == 2 and all(hasattr(side, "__index__") and side >= 0 for side in pair) for pair in pairs)
    if len(pairs) != len(widths) or not whole:
        raise ValueError(message(messages.BORDER_MODE, function=function, mode=repr(mode), rank=len(widths)))
    return tuple((int(before), int(after)) for before, after in pairs)


# --- layouts -----------------------------------------------------------------------------------------------------


def _turned(filters: Any, how: Setting, first: int) -> Any:
    """Filters whose spatial axes begin at `first`, turned round if need be, in memory that matrix products can read."""
    if not how.flip:
        return filters
    spatial = range(first, first + how.rank)
    index = tuple((size - 1, size, -1) if axis in spatial else (0, size, 1) for axis, size in enumerate(filters.shape))
    return OPS["unslice"](filters, shape=filters.shape, index=index)


def _weights(filters: Any, how: Setting) -> Any:
    """Filters as (groups, places, outputs of the group, inputs): inputs in the order of the rows of `_columns`."""
    rank, groups = how.rank, how.groups
    outputs, kernel, channels = filters.shape[0], filters.shape[-rank:], filters.shape[-rank - 1]
    inputs = math.prod(kernel) * channels
    if how.unshared:
        places = math.prod(filters.shape[1 : rank + 1])
        filters = _turned(filters, how, rank + 2)
        return np.swapaxes(np.reshape(filters, (groups, outputs // groups, places, inputs)), 1, 2)
    return np.reshape(_turned(np.moveaxis(filters, 1, -1), how, 1), (groups, 1, outputs // groups, inputs))


def _filters(weights: Any, shape: Sequence[int], how: Setting) -> Any:
    """Undo `_weights`, for filters of some shape."""
    rank = how.rank
    if how.unshared:
        return _turned(np.reshape(np.swapaxes(weights, 1, 2), shape), how, rank + 2)
    outputs, channels, *kernel = shape
    return np.moveaxis(_turned(np.reshape(weights, (outputs, *kernel, channels)), how, 1), rank + 1, 1)


def _columns(x: Any, kernel: Sequence[int], how: Setting) -> Any:
    """What the filters meet, as (groups, places, inputs, samples) or, with shared filters, places among the samples."""
    rank, groups = how.rank, how.groups
    if any(side for pair in how.padding for side in pair):
        x = np.pad(x, ((0, 0), (0, 0), *how.padding))
    samples, channels = x.shape[:2]
    windows = np.swapaxes(x, 0, 1)
    for axis in reversed(range(rank)):
        # Each takes away the axis from here and puts one in front.
        sizes = {"size": kernel[axis], "step": how.steps[axis], "dilation": how.dilations[axis]}
        windows = WINDOWS(windows, axis=rank + 1, **sizes)
    output = windows.shape[rank + 2 :]
    windows = np.reshape(windows, (*kernel, groups, channels // groups, samples, *output))
    inputs = math.prod(kernel) * (channels // groups)
    spread = tuple(range(rank + 3, 2 * rank + 3))
    if how.unshared:
        order = (rank, *spread, rank + 1, *range(rank), rank + 2)
        return np.reshape(np.transpose(windows, order), (groups, math.prod(output), inputs, samples))
    order = (rank, *range(rank), rank + 1, rank + 2, *spread)
    return np.reshape(np.transpose(windows, order), (groups, 1, inputs, samples * math.prod(output)))


def _from_columns(columns: Any, shape: Sequence[int], kernel: Sequence[int], how: Setting) -> Any:
    """Add what is in the columns to where `_columns` takes it from, in an input of some shape."""
    rank, groups = how.rank, how.groups
    samples, channels, *spatial = shape
    output = how.output(spatial, kernel)
    each = channels // groups
    if how.unshared:
        windows = np.reshape(columns, (groups, *output, each, *kernel, samples))
        first = rank + 2
        order = (*range(first, first + rank), 0, rank + 1, 2 * rank + 2, *range(1, rank + 1))
    else:
        windows = np.reshape(columns, (groups, *kernel, each, samples, *output))
        order = (*range(1, rank + 1), 0, *range(rank + 1, 2 * rank + 3))
    windows = np.reshape(np.transpose(windows, order), (*kernel, channels, samples, *output))
    for axis in range(rank):
        length = spatial[axis] + sum(how.padding[axis])
        windows = overlap_add(windows, rank + 1, length, how.steps[axis], how.dilations[axis])
    inner = (slice(before, before + size) for (before, _), size in zip(how.padding, spatial, strict=True))
    return np.swapaxes(windows[(slice(None), slice(None), *inner)], 0, 1)


def _as_matrix(maps: Any, how: Setting) -> Any:
    """Output maps (samples, channels, spatial) as (groups, places, channels of the group, samples)."""
    samples, channels, *output = maps.shape
    groups, places = how.groups, math.prod(output)
    each = channels // groups
    if how.unshared:
        return np.transpose(np.reshape(maps, (samples, groups, each, places)), (1, 3, 2, 0))
    return np.reshape(np.swapaxes(maps, 0, 1), (groups, 1, each, samples * places))


# --- the three products ------------------------------------------------------------------------------------------


def check(function: str, x_shape: Sequence[int], filters_shape: Sequence[int], how: Setting) -> None:
    """Raise ValueError if the shapes of an input and of filters do not fit."""
    rank = how.rank
    wanted = 2 * rank + 2 if how.unshared else rank + 2
    if len(x_shape) != rank + 2 or len(filters_shape) != wanted:
        text = message(
            messages.CONVOLUTION_NDIM,
            function=function,
            wanted=(rank + 2, wanted),
            input=tuple(x_shape),
            filters=tuple(filters_shape),
        )
        raise ValueError(text)
    outputs, channels = filters_shape[0], filters_shape[-rank - 1]
    if x_shape[1] != channels * how.groups or outputs % how.groups:
        text = message(
            messages.CONVOLUTION_CHANNELS,
            function=function,
            input=tuple(x_shape),
            filters=tuple(filters_shape),
            groups=how.groups,
        )
        raise ValueError(text)
    output = how.output(x_shape[2:], filters_shape[-rank:])
    if how.unshared and tuple(filters_shape[1 : rank + 1]) != output:
        given = tuple(filters_shape[1 : rank + 1])
        raise ValueError(message(messages.UNSHARED_PLACES, function=function, given=given, output=output))


def convolve(function: str, x: Any, filters: Any, how: Setting) -> Any:
    """Convolution of (samples, channels, spatial) with (outputs, channels of a group, spatial)."""
    check(function, x.shape, filters.shape, how)
    kernel = filters.shape[-how.rank :]
    output = how.output(x.shape[2:], kernel)
    product = np.matmul(_weights(filters, how), _columns(x, kernel, how))
    if how.unshared:
        maps = np.transpose(product, (3, 0, 2, 1))
        return np.reshape(maps, (x.shape[0], filters.shape[0], *output))
    return np.swapaxes(np.reshape(product, (filters.shape[0], x.shape[0], *output)), 0, 1)


def input_gradient(function: str, g: Any, filters: Any, shape: Sequence[int], how: Setting) -> Any:
    """The transpose of `convolve` in its first argument, for an input of some shape."""
    check(function, shape, filters.shape, how)
    kernel = filters.shape[-how.rank :]
    _check_output(function, g, shape, filters.shape, how)
    columns = np.matmul(np.swapaxes(_weights(filters, how), 2, 3), _as_matrix(g, how))
    return _from_columns(columns, shape, kernel, how)


def weight_gradient(function: str, x: Any, g: Any, shape: Sequence[int], how: Setting) -> Any:
    """The transpose of `convolve` in its second argument, for filters of some shape."""
    check(function, x.shape, shape, how)
    _check_output(function, g, x.shape, shape, how)
    columns = _columns(x, shape[-how.rank :], how)
    return _filters(np.matmul(_as_matrix(g, how), np.swapaxes(columns, 2, 3)), shape, how)


def _check_output(function: str, g: Any, x_shape: Sequence[int], filters_shape: Sequence[int], how: Setting) -> None:
    output = (x_shape[0], filters_shape[0], *how.output(x_shape[2:], filters_shape[-how.rank :]))
    if tuple(g.shape) != output:
        raise ValueError(message(messages.OUTPUT_GRADIENT, function=function, given=tuple(g.shape), output=output))


# --- types of variables -------------------------------------------------------------------------------------------


def _checked_type(function: str, rank: int, first: Any, second: Any, *, samples: Any, outputs: Any) -> TensorType:
    """The type of a result whose first two axes have these broadcast flags; checks the number of dimensions."""
    if first.ndim != rank + 2 or second.ndim not in (rank + 2, 2 * rank + 2):
        wanted = (rank + 2, rank + 2)
        text = message(
            messages.CONVOLUTION_NDIM, function=function, wanted=wanted, input=first.type, filters=second.type
        )
        raise ValueError(text)
    dtype = promote((first.type.numpy_dtype, second.type.numpy_dtype))
    return tensor_type(dtype, (samples, outputs) + (False,) * rank)


def output_type(function: str, rank: int) -> Any:
    """The rule for the type of a convolution's result."""

    def infer(input: Any, filters: Any, *_: Any, **__: Any) -> TensorType:
        samples, outputs = input.type.broadcastable[:1], filters.type.broadcastable[:1]
        return _checked_type(function, rank, input, filters, samples=samples == (True,), outputs=outputs == (True,))

    return infer


def separable_type(function: str, rank: int) -> Any:
    """The rule for the type of a separable convolution's result."""
    forward = output_type(function, rank)
    return lambda input, depthwise_filters, pointwise_filters, *_, **__: forward(input, pointwise_filters)


def input_type(function: str, rank: int) -> Any:
    """The rule for the type of a gradient with respect to an input."""

    def infer(output_grad: Any, filters: Any, *_: Any, **__: Any) -> TensorType:
        samples = output_grad.type.broadcastable[:1] == (True,)
        return _checked_type(function, rank, output_grad, filters, samples=samples, outputs=False)

    return infer


def weight_type(function: str, rank: int) -> Any:
    """The rule for the type of a gradient with respect to filters."""

    def infer(input: Any, output_grad: Any, filter_shape: Any, *rest: Any, unshared: bool = False, **_: Any) -> Any:
        found = _checked_type(function, rank, input, output_grad, samples=False, outputs=False)
        unshared = rest[6] if len(rest) > 6 else unshared
        return tensor_type(found.numpy_dtype, (False,) * (2 * rank + 2 if unshared else rank + 2))

    return infer
