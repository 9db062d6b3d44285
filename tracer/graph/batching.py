"""What batching rules are written with. The examples of a batch lie along axis 0; see `Op.batch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.records import NamedTuple


class Same(NamedTuple):
    """A result that all examples of a batch share: it has no batch axis."""

    value: Any


def spread(value: Any, size: int) -> Any:
    """A value that all examples share, with a batch axis."""
    return np.broadcast_to(value, (size, *value.shape))


def spread_all(inputs: Sequence[Any], is_batched: Sequence[bool], size: int) -> list[Any]:
    """Inputs that all have a batch axis."""
    return [value if batched else spread(value, size) for value, batched in zip(inputs, is_batched, strict=True)]


def with_rank(value: Any, ndim: int) -> Any:
    """A batched value whose examples have so many axes; new ones come before their own."""
    return np.reshape(value, (value.shape[0], *(1,) * (ndim + 1 - value.ndim), *value.shape[1:]))


def aligned(inputs: Sequence[Any], is_batched: Sequence[bool]) -> list[Any]:
    """Inputs that broadcast against each other example by example: those of lower rank get axes behind the batch's."""
    pairs = list(zip(inputs, is_batched, strict=True))
    ndim = max(value.ndim - batched for value, batched in pairs)
    return [with_rank(value, ndim) if batched and value.ndim <= ndim else value for value, batched in pairs]


def after_batch(axes: Sequence[int]) -> tuple[int, ...]:
    """Axes of an example as axes of a batch."""
    return tuple(axis + 1 for axis in axes)
