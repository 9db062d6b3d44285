"""Products of matrices of which only some elements are stored, in compressed rows, computed by scipy.sparse.

A matrix is three arrays: its stored elements, the column of each, and where each row begins among them. Compressed
columns are the compressed rows of the transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.op import OPS, Op, declare
from tracer.graph.rules import literal
from tracer.types import ArrayType, TupleType

_INT64 = np.dtype(np.int64)

# --- patterns ----------------------------------------------------------------------------------------------------

ROWS: Op = declare(
    Op(
        "compressed_rows",
        "call",
        lambda types, size: ArrayType(_INT64, (size,)),
        lambda starts, size: np.repeat(np.arange(len(starts) - 1), np.diff(starts)),
        zero_derivative=True,
        doc="The row of each stored element, given where rows begin.",
    )
)


def rows_of(starts: Any, columns: Any) -> Any:
    """The row of each stored element."""
    return ROWS(starts, size=columns.shape[0])


def starts_of(rows: Any, count: int) -> Any:
    """Where each of `count` rows begins among elements that are sorted by row."""
    return OPS["searchsorted"](rows, literal(np.arange(count + 1), rows), side="left")


def transposed(columns: Any, starts: Any, width: int) -> tuple[Any, Any, Any]:
    """The pattern of the transpose: the order in which it has the stored elements, its columns, and its starts."""
    order = np.argsort(columns, kind="stable")
    return order, np.take(rows_of(starts, columns), order), starts_of(np.take(columns, order), width)


# --- with a dense matrix -----------------------------------------------------------------------------------------


def _times_infer(types: Sequence[ArrayType], width: int, turned: bool) -> ArrayType:
    height = types[2].known_shape[0] - 1
    inner, outer = (height, width) if turned else (width, height)
    if types[3].shape[0] != inner:
        raise ValueError(f"dimension mismatch: {(outer, inner)} and {types[3].shape}")
    return ArrayType(types[0].dtype, (outer, types[3].shape[1]))


def _times_value(data: Any, columns: Any, starts: Any, dense: Any, width: int, turned: bool) -> Any:
    import scipy.sparse

    height = len(starts) - 1
    if turned:
        return scipy.sparse.csc_matrix((data, columns, starts), shape=(width, height)) @ dense
    return scipy.sparse.csr_matrix((data, columns, starts), shape=(height, width)) @ dense


def _to_data(g: Any, y: Any, data: Any, columns: Any, starts: Any, dense: Any, width: int, turned: bool) -> Any:
    rows = rows_of(starts, columns)
    own, other = (columns, rows) if turned else (rows, columns)
    return np.sum(np.take(g, own, axis=0) * np.take(dense, other, axis=0), axis=1)


def _to_dense(g: Any, y: Any, data: Any, columns: Any, starts: Any, dense: Any, width: int, turned: bool) -> Any:
    return TIMES(data, columns, starts, g, width=width, turned=not turned)


TIMES: Op = declare(
    Op(
        "compressed_times",
        "call",
        _times_infer,
        _times_value,
        vjp=(_to_data, None, None, _to_dense),
        jvp="multilinear",
        doc="Product of a matrix in compressed rows, of some width, or of its transpose, with a dense matrix.",
    )
)

# --- with each other ---------------------------------------------------------------------------------------------


def _matrix(data: Any, columns: Any, starts: Any, width: int) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_matrix((data, columns, starts), shape=(len(starts) - 1, width))


def _pattern_of_product(a: tuple[Any, Any], b: tuple[Any, Any], widths: tuple[int, int]) -> Any:
    both = (
        _matrix(np.ones(len(columns), bool), columns, starts, width)
        for (columns, starts), width in zip((a, b), widths, strict=True)
    )
    product = next(both) @ next(both)
    product.sort_indices()
    return product


COUNT: Op = declare(
    Op(
        "compressed_count",
        "call",
        lambda types, widths: ArrayType(_INT64, ()),
        lambda *arrays, widths: np.asarray(_pattern_of_product(arrays[:2], arrays[2:], widths).nnz, _INT64),
        zero_derivative=True,
        doc="How many elements the product of two matrices in compressed rows stores, given their patterns.",
    )
)


def _pattern_value(*arrays: Any, widths: tuple[int, int], size: int) -> tuple[Any, Any]:
    product = _pattern_of_product(arrays[:2], arrays[2:], widths)
    return product.indices.astype(_INT64), product.indptr.astype(_INT64)


PATTERN: Op = declare(
    Op(
        "compressed_pattern",
        "call",
        lambda types, widths, size: TupleType((ArrayType(_INT64, (size,)), ArrayType(_INT64, types[1].shape))),
        _pattern_value,
        zero_derivative=True,
        doc="Columns and starts of the product of two matrices in compressed rows, given their patterns.",
    )
)


def _sampled_value(*arrays: Any, widths: tuple[int, int]) -> Any:
    a, b, (columns, starts) = arrays[:3], arrays[3:6], arrays[6:]
    if not len(columns):  # of which scipy.sparse would make a matrix
        return np.zeros(0, arrays[0].dtype)
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    product = _matrix(a[0], a[1], a[2], widths[0]) @ _matrix(b[0], b[1], b[2], widths[1])
    return np.asarray(product[rows, columns], arrays[0].dtype).reshape(-1)


def _sampled_vjp(position: int, g: Any, y: Any, *arrays: Any, widths: tuple[int, int]) -> Any:
    a, b, own = arrays[:3], arrays[3:6], arrays[6:]
    if position == 0:
        order, columns, starts = transposed(b[1], b[2], widths[1])
        turned = (np.take(b[0], order), columns, starts)
        return SAMPLED(g, *own, *turned, a[1], a[2], widths=(widths[1], b[2].shape[0] - 1))
    if position == 3:
        order, columns, starts = transposed(a[1], a[2], widths[0])
        turned = (np.take(a[0], order), columns, starts)
        return SAMPLED(*turned, g, *own, b[1], b[2], widths=(a[2].shape[0] - 1, widths[1]))
    return None


SAMPLED: Op = declare(
    Op(
        "compressed_sampled",
        "call",
        lambda types, widths: ArrayType(types[0].dtype, types[6].shape),
        _sampled_value,
        vjp=_sampled_vjp,
        jvp="multilinear",
        doc="Elements, at the places of a pattern, of the product of two matrices in compressed rows.",
    )
)
