"""Types and variables of sparse matrices."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, ClassVar, NoReturn

import numpy as np
import scipy.sparse

from tracer.config import config
from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.graph.node import input_node
from tracer.graph.rules import is_traced
from tracer.sparse.values import FORMATS, SparseValue, scipy_matrix, traced_arrays, value_of
from tracer.tensor.variables import AsTensorError
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import Apply
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import Constant, Variable
from tracer.tracing.symbolic_type import STAND_IN_SIZE, Type
from tracer.types import ArrayType, is_supported, promote

__all__ = [
    "SparseConstant",
    "SparseType",
    "SparseVariable",
    "as_sparse",
    "as_sparse_variable",
    "sparse_type",
]

# --- variables -----------------------------------------------------------------------------------------------------


class SparseVariable(Variable):
    """A symbolic sparse matrix.

    Its operators and methods are declared with the functions that they stand for.
    """

    functions: ClassVar[dict[Any, Callable[..., Any]]] = {}
    """NumPy's functions that have a meaning for sparse matrices."""

    @property
    def format(self) -> str:
        """How it is stored: "csr" or "csc"."""
        return str(self.type.format)

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    def __array_ufunc__(self, ufunc: np.ufunc, call: str, *args: Any, **kwargs: Any) -> Any:
        return self._called(ufunc if call == "__call__" else None, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._called(function, args, kwargs)

    def _called(self, function: Any, args: Any, kwargs: Any) -> Any:
        found = self.functions.get(function)
        if found is None:
            raise TypeError(message(messages.NOT_FOR_SPARSE, function=getattr(function, "__name__", "this function")))
        return found(*args, **kwargs)

    def __str__(self) -> str:
        return self.name or f"SparseVariable{{{self.format},{self.dtype}}}"

    __repr__ = __str__


class SparseConstant(Constant, SparseVariable):
    """A known sparse matrix in an expression."""

    @property
    def is_number(self) -> bool:
        """Never a single number."""
        return False

    def __str__(self) -> str:
        found = self.data
        text = f"SparseConstant{{{self.format},{self.dtype},shape={found.shape},nnz={found.nnz}}}"
        return self.name or text

    __repr__ = __str__


def _no_operation(name: str) -> Any:
    def operator(self: Any, *_: Any) -> NoReturn:
        raise TypeError(message(messages.NOT_FOR_SPARSE, function=name))

    return operator


for _name in ("pow", "mod", "floordiv", "and", "or", "xor", "lshift", "rshift"):
    setattr(SparseVariable, f"__{_name}__", _no_operation(_name))
    setattr(SparseVariable, f"__r{_name}__", _no_operation(_name))


# --- the type ------------------------------------------------------------------------------------------------------


class SparseType(Type):
    """Sparse matrices of one format and dtype; their size and what they store are not fixed.

    Parameters
    ----------
    format : {"csr", "csc"}
        Stored by rows or by columns.
    dtype : str or dtype
        Of the elements; "floatX" is `tracer.config.floatX`.

    Examples
    --------
    >>> from tracer.sparse import SparseType
    >>> x = SparseType("csr", "float32")("x")
    >>> x.type, x.format, x.ndim
    (Sparse[float32, csr], 'csr', 2)
    """

    make_variable = staticmethod(SparseVariable)
    make_constant = staticmethod(SparseConstant)
    ndim = 2

    def __init__(self, format: str, dtype: Any = "floatX") -> None:
        if format not in FORMATS:
            raise NotImplementedError(message(messages.FORMAT, format=format))
        self.format = format
        self.numpy_dtype = np.dtype(config.floatX if dtype == "floatX" else dtype)
        if not is_supported(self.numpy_dtype) or self.numpy_dtype.kind == "b":
            raise NotImplementedError(message(messages.DTYPE, dtype=dtype))

    @property
    def dtype(self) -> str:
        """Name of the dtype of the elements."""
        return self.numpy_dtype.name

    @property
    def broadcastable(self) -> tuple[bool, bool]:
        """No dimension broadcasts."""
        return (False, False)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and isinstance(other, SparseType)
            and (self.format, self.numpy_dtype) == (other.format, other.numpy_dtype)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.format, self.numpy_dtype))

    def __repr__(self) -> str:
        return f"Sparse[{self.dtype}, {self.format}]"

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """Return a value as a scipy.sparse matrix of this format and dtype.

        Raises TypeError for what is not sparse, and where the dtype would lose precision.
        """
        if not scipy.sparse.issparse(value):
            raise TypeError(message(messages.NOT_SPARSE, type=self, kind=type(value).__name__))
        fits = value.dtype == self.numpy_dtype and value.format == self.format
        if strict and not fits:
            raise TypeError(message(messages.STRICT, type=self, dtype=value.dtype, format=value.format))
        if not allow_downcast and promote([self.numpy_dtype, value.dtype]) != self.numpy_dtype:
            raise TypeError(message(messages.PRECISION, type=self, dtype=value.dtype))
        return value if fits else value.asformat(self.format).astype(self.numpy_dtype)

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """Three arrays, and the shape, which is static."""
        found = traced_arrays(value_of(value).in_format(self.format).astype(self.numpy_dtype))
        return (found.data, found.indices, found.indptr), found.shape

    def unflatten(self, leaves: Sequence[Any], static: Hashable) -> Any:
        """A matrix of scipy.sparse of real arrays; of traced ones what is computed with."""
        assert isinstance(static, tuple)
        data, indices, indptr = leaves
        value = SparseValue(self.format, data, indices, indptr, (static[0], static[1]))
        return value if any(map(is_traced, leaves)) else scipy_matrix(value)

    def stand_in(self) -> Any:
        """A traced matrix of made-up size."""
        kinds = (self.numpy_dtype, np.dtype(np.int32), np.dtype(np.int32))
        sizes = (2 * STAND_IN_SIZE, 2 * STAND_IN_SIZE, STAND_IN_SIZE + 1)
        data, indices, indptr = (
            Proxy(input_node(ArrayType(kind, (size,)))) for kind, size in zip(kinds, sizes, strict=True)
        )
        return SparseValue(self.format, data, indices, indptr, (STAND_IN_SIZE, STAND_IN_SIZE))

    def clone(self, format: str | None = None, dtype: Any = None) -> SparseType:
        """The same type in another format or dtype."""
        return sparse_type(format or self.format, np.dtype(dtype or self.numpy_dtype))

    def __reduce__(self) -> Any:
        return SparseType, (self.format, self.dtype)


@cache
def sparse_type(format: str, dtype: np.dtype[Any]) -> SparseType:
    """The one type object of these."""
    return SparseType(format, dtype)


# --- values as variables -------------------------------------------------------------------------------------------


def as_sparse_variable(x: Any, name: str | None = None) -> Any:
    """A symbolic sparse matrix of a value: itself, or a constant of a matrix of scipy.sparse.

    Raises TypeError for what is not sparse.
    """
    if isinstance(x, Apply):
        x = x.out
    if isinstance(x, SparseValue) or (is_computing() and scipy.sparse.issparse(x)):
        return value_of(x)
    found = getattr(x, "__symbolic__", x)
    if isinstance(found, Variable) and isinstance(found.type, SparseType):
        return value_of(found.leaf_value()) if is_computing() else found
    if scipy.sparse.issparse(x):
        kind = sparse_type(x.format if x.format in FORMATS else "csr", x.dtype)
        return SparseConstant(kind, kind.filter(x).copy(), name)
    raise AsTensorError(message(messages.NOT_SPARSE, type="a sparse matrix", kind=type(x).__name__))


def is_sparse_operand(x: Any) -> bool:
    """Whether an argument is a sparse matrix: a variable, a matrix of scipy.sparse, or what is computed with."""
    if isinstance(x, SparseValue) or scipy.sparse.issparse(x):
        return True
    return isinstance(getattr(x, "type", None), SparseType)


as_sparse = as_sparse_variable
