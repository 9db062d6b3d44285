"""Parts of sparse matrices, their sums and diagonals, and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.graph.op import OPS
from tracer.sparse.conversion import as_format, cast, ndim_of, transpose
from tracer.sparse.products import times_sparse
from tracer.sparse.types import SparseType, as_sparse_variable, sparse_type
from tracer.sparse.values import SparseValue, from_keys, value_of
from tracer.tensor.indexing import positions_where
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "diag",
    "getitem",
    "hstack",
    "sp_sum",
    "square_diagonal",
    "vstack",
]

# --- sums and diagonals --------------------------------------------------------------------------------------------


def _sum_type(x: Any, axis: int | None) -> TensorType:
    return tensor_type(_sum_dtype(x.type.numpy_dtype), () if axis is None else (False,))


def _sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.sum(np.zeros(1, dtype)).dtype


@deferred(name="SpSum", infer=_sum_type)
def _sum(x: Any, axis: int | None) -> Any:
    x = value_of(x)
    data = x.data.astype(_sum_dtype(x.dtype))
    if axis is None:
        return np.sum(data)
    size = x.shape[1 - axis]
    return OPS["scatter_add"](np.zeros_like(data, shape=(size,)), data, x.places[1 - axis])


def sp_sum(x: Any, axis: int | None = None, sparse_grad: bool = False) -> Any:
    """The sum of a sparse matrix, or with an axis the dense vector of the sums of its columns (0) or rows (1).

    The gradient is about the stored elements; Theano asks with `sparse_grad` whether it should be.
    """
    if axis not in (None, 0, 1, -1, -2):
        raise ValueError(f"axis must be None, 0 or 1, not {axis!r}")
    return _sum(as_sparse_variable(x), axis if axis is None else axis % 2)


@deferred(name="Diag", infer=lambda x: tensor_type(x.type.numpy_dtype, (False,)))
def _diag(x: Any) -> Any:
    x = value_of(x)
    rows, columns = x.places
    size = min(x.shape)
    on_diagonal = rows == columns
    blank = np.zeros_like(x.data, shape=(size,))
    # What lies off the diagonal is added to some place of it as zero.
    return OPS["scatter_add"](blank, np.where(on_diagonal, x.data, 0), np.where(on_diagonal, rows, 0))


def diag(z: Any) -> Any:
    """The diagonal of a sparse matrix, a dense vector."""
    return _diag(as_sparse_variable(z))


@deferred(name="SquareDiagonal", infer=lambda d: sparse_type("csc", d.type.numpy_dtype))
def _square_diagonal(d: Any) -> SparseValue:
    size = d.shape[0]
    return SparseValue("csc", d, np.arange(size), np.arange(size + 1), (size, size))


def square_diagonal(diag: Any) -> Any:
    """The square sparse matrix, stored by columns, with a dense vector as its diagonal."""
    d = as_tensor_variable(diag)
    if ndim_of(d) != 1:
        kind = getattr(d, "type", type(d).__name__)
        raise TypeError(message(messages.DENSE_NDIM, function="square_diagonal", wanted="a vector", type=kind))
    return _square_diagonal(d)


# --- parts ---------------------------------------------------------------------------------------------------------


def _bad_index(key: Any) -> NoReturn:
    raise TypeError(message(messages.INDEX, key=key))


def _bounds(part: tuple[Any, Any], size: int) -> tuple[Any, Any]:
    """The first place of a slice, and the one after its last, counted from the start."""
    first, last = (
        default if bound is None else np.where(np.less(bound, 0), np.add(bound, size), bound)
        for bound, default in zip(part, (0, size), strict=True)
    )
    return np.clip(first, 0, size), np.clip(last, 0, size)


def _size(first: Any, last: Any) -> int:
    return int(static(np.maximum(np.subtract(last, first), 0)))


@deferred(name="GetItem2d", infer=lambda x, rows, columns: x.type)
def _window(x: Any, rows: tuple[Any, Any], columns: tuple[Any, Any]) -> SparseValue:
    x = value_of(x)
    first_row, last_row = _bounds(rows, x.shape[0])
    first_column, last_column = _bounds(columns, x.shape[1])
    row, column = x.places
    inside = (row >= first_row) & (row < last_row) & (column >= first_column) & (column < last_column)
    (kept,) = positions_where(inside)
    shape = (_size(first_row, last_row), _size(first_column, last_column))
    own_row, own_column = np.take(row, kept) - first_row, np.take(column, kept) - first_column
    major, minor = (own_row, own_column) if x.is_rows else (own_column, own_row)
    width = shape[1] if x.is_rows else shape[0]
    return from_keys(x.format, np.take(x.data, kept), major * width + minor, shape)


@deferred(name="GetItemScalar", infer=lambda x, row, column: tensor_type(x.type.numpy_dtype, ()))
def _element(x: Any, row: Any, column: Any) -> Any:
    x = value_of(x)
    rows, columns = x.places
    wanted = [
        np.where(np.less(place, 0), np.add(place, size), place)
        for place, size in zip((row, column), x.shape, strict=True)
    ]
    return np.sum(np.where((rows == wanted[0]) & (columns == wanted[1]), x.data, 0), dtype=x.dtype)


@deferred(name="GetItemList", infer=lambda x, rows: sparse_type("csr", x.type.numpy_dtype))
def _rows(x: Any, rows: Any) -> SparseValue:
    x = value_of(x).in_format("csr")
    count = np.shape(rows)[0]
    wanted = np.where(np.less(rows, 0), np.add(rows, x.shape[0]), rows)
    chosen = SparseValue("csr", np.ones_like(x.data, shape=(count,)), wanted, np.arange(count + 1), (count, x.shape[0]))
    return times_sparse(chosen, x)


@deferred(name="GetItem2Lists", infer=lambda x, rows, columns: tensor_type(x.type.numpy_dtype, (False,)))
def _elements(x: Any, rows: Any, columns: Any) -> Any:
    # A sum over the stored elements for each: an element may be stored in parts.
    x = value_of(x)
    own = x.places
    same = (rows[:, None] == own[0]) & (columns[:, None] == own[1])
    return np.sum(np.where(same, x.data, 0), axis=1, dtype=x.dtype)


def _is_list(part: Any) -> bool:
    if isinstance(part, list):
        return True
    return ndim_of(part) == 1 if hasattr(part, "ndim") else False


def _is_scalar(part: Any) -> bool:
    return isinstance(part, int | np.integer) or (hasattr(part, "ndim") and ndim_of(part) == 0)


def _pair(part: Any, key: Any) -> tuple[Any, Any]:
    """The bounds of a slice."""
    if _is_scalar(part):
        return part, part + 1 if not (isinstance(part, int) and part == -1) else None
    if not isinstance(part, slice) or part.step not in (None, 1):
        _bad_index(key)
    return part.start, part.stop


def getitem(x: Any, key: Any) -> Any:
    """A part of a sparse matrix.

    Parameters
    ----------
    x : sparse matrix
    key : two ints, a slice or two, a list of rows, or two lists
        x[i, j] is a scalar; x[1:3] and x[:, 2:4] are sparse, and so is x[i, :] with one row; x[[0, 2]] is made of rows
        and stored by rows; x[[0, 2], [1, 1]] is a dense vector. Numbers may be scalar variables.
    """
    x = as_sparse_variable(x)
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) > 2 or any(part is None or part is Ellipsis for part in keys):
        _bad_index(key)
    if _is_list(keys[0]):
        if len(keys) == 1:
            return _rows(x, as_tensor_variable(keys[0]))
        if not _is_list(keys[1]):
            _bad_index(key)
        return _elements(x, as_tensor_variable(keys[0]), as_tensor_variable(keys[1]))
    if len(keys) == 2 and all(map(_is_scalar, keys)):
        return _element(x, *map(as_tensor_variable, keys))
    first, second = (*keys, slice(None))[:2]
    return _window(x, _pair(first, key), _pair(second, key))


# --- stacks --------------------------------------------------------------------------------------------------------


def _stack_type(blocks: Sequence[Any]) -> SparseType:
    return sparse_type(blocks[0].format, np.result_type(*(block.type.numpy_dtype for block in blocks)))


@deferred(name="VStack", infer=_stack_type)
def _stacked(blocks: Sequence[Any]) -> SparseValue:
    """Matrices in CSR below each other."""
    values = [value_of(block) for block in blocks]
    widths = {value.shape[1] for value in values}
    if len(widths) != 1:
        raise ValueError(f"blocks must have equal widths, not {', '.join(map(str, sorted(widths)))}")
    dtype = np.result_type(*(value.dtype for value in values))
    starts = [np.zeros_like(values[0].indptr[:1])]
    stored = 0
    for value in values:
        starts.append(value.indptr[1:] + stored)
        stored += value.data.shape[0]
    return SparseValue(
        "csr",
        np.concatenate([value.data.astype(dtype) for value in values]),
        np.concatenate([value.indices for value in values]),
        np.concatenate(starts),
        (sum(value.shape[0] for value in values), widths.pop()),
    )


def vstack(blocks: Sequence[Any], format: str | None = None, dtype: Any = None) -> Any:
    """Sparse matrices below each other, in the format "csc" if none is given, as in Theano."""
    stack = _stacked([as_format(block, "csr") for block in blocks])
    result = as_format(stack, format or "csc")
    return result if dtype is None else cast(result, dtype)


def hstack(blocks: Sequence[Any], format: str | None = None, dtype: Any = None) -> Any:
    """Sparse matrices beside each other, in the format "csc" if none is given, as in Theano."""
    return as_format(transpose(vstack([transpose(block) for block in blocks], "csr", dtype)), format or "csc")
