"""The types of symbolic tensors by name, which make variables when they are called: `x = dmatrix("x")`.

The first letter is the dtype, the rest says which dimensions there are:

====== ==========  ================ ==============================
letter dtype       kind             broadcastable
====== ==========  ================ ==============================
b      int8        scalar           ()
w      int16       vector           (False,)
i      int32       row              (True, False)
l      int64       col              (False, True)
f      float32     matrix           (False, False)
d      float64     tensor3          (False, False, False)
c      complex64   ...              ...
z      complex128  tensor7          seven times False
====== ==========  ================ ==============================

Without a letter the dtype is `tracer.config.floatX`, or the one that is asked for: `matrix("x", dtype="int32")`. The
plurals make several variables at once: `x, y = dmatrices("x", "y")`.

Examples
--------
>>> from tracer.tensor.types import drow, fvectors, matrix
>>> drow, drow.broadcastable, drow("x").ndim
(TensorType(float64, row), (True, False), 2)
>>> [item.name for item in fvectors("abc")]
['a', 'b', 'c']
>>> matrix("m", dtype="int16").type
TensorType(int16, matrix)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tracer.config import config
from tracer.tracing.shared import Shared
from tracer.tracing.symbolic import Constant, Variable
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "TensorConstant",
    "TensorSharedVariable",
    "TensorType",
    "TensorVariable",
    "all_dtypes",
    "bcol",
    "bcols",
    "bmatrices",
    "bmatrix",
    "bool_dtypes",
    "brow",
    "brows",
    "bscalar",
    "bscalars",
    "btensor3",
    "btensor3s",
    "btensor4",
    "btensor4s",
    "btensor5",
    "btensor5s",
    "btensor6",
    "btensor6s",
    "btensor7",
    "btensor7s",
    "bvector",
    "bvectors",
    "ccol",
    "ccols",
    "cmatrices",
    "cmatrix",
    "col",
    "cols",
    "complex_dtypes",
    "continuous_dtypes",
    "crow",
    "crows",
    "cscalar",
    "cscalars",
    "ctensor3",
    "ctensor3s",
    "ctensor4",
    "ctensor4s",
    "ctensor5",
    "ctensor5s",
    "ctensor6",
    "ctensor6s",
    "ctensor7",
    "ctensor7s",
    "cvector",
    "cvectors",
    "dcol",
    "dcols",
    "discrete_dtypes",
    "dmatrices",
    "dmatrix",
    "drow",
    "drows",
    "dscalar",
    "dscalars",
    "dtensor3",
    "dtensor3s",
    "dtensor4",
    "dtensor4s",
    "dtensor5",
    "dtensor5s",
    "dtensor6",
    "dtensor6s",
    "dtensor7",
    "dtensor7s",
    "dvector",
    "dvectors",
    "fcol",
    "fcols",
    "float_dtypes",
    "fmatrices",
    "fmatrix",
    "frow",
    "frows",
    "fscalar",
    "fscalars",
    "ftensor3",
    "ftensor3s",
    "ftensor4",
    "ftensor4s",
    "ftensor5",
    "ftensor5s",
    "ftensor6",
    "ftensor6s",
    "ftensor7",
    "ftensor7s",
    "fvector",
    "fvectors",
    "icol",
    "icols",
    "imatrices",
    "imatrix",
    "int_dtypes",
    "integer_dtypes",
    "irow",
    "irows",
    "iscalar",
    "iscalars",
    "itensor3",
    "itensor3s",
    "itensor4",
    "itensor4s",
    "itensor5",
    "itensor5s",
    "itensor6",
    "itensor6s",
    "itensor7",
    "itensor7s",
    "ivector",
    "ivectors",
    "lcol",
    "lcols",
    "lmatrices",
    "lmatrix",
    "lrow",
    "lrows",
    "lscalar",
    "lscalars",
    "ltensor3",
    "ltensor3s",
    "ltensor4",
    "ltensor4s",
    "ltensor5",
    "ltensor5s",
    "ltensor6",
    "ltensor6s",
    "ltensor7",
    "ltensor7s",
    "lvector",
    "lvectors",
    "matrices",
    "matrix",
    "row",
    "rows",
    "scalar",
    "scalars",
    "tensor",
    "tensor3",
    "tensor3s",
    "tensor4",
    "tensor4s",
    "tensor5",
    "tensor5s",
    "tensor6",
    "tensor6s",
    "tensor7",
    "tensor7s",
    "uint_dtypes",
    "vector",
    "vectors",
    "wcol",
    "wcols",
    "wmatrices",
    "wmatrix",
    "wrow",
    "wrows",
    "wscalar",
    "wscalars",
    "wtensor3",
    "wtensor3s",
    "wtensor4",
    "wtensor4s",
    "wtensor5",
    "wtensor5s",
    "wtensor6",
    "wtensor6s",
    "wtensor7",
    "wtensor7s",
    "wvector",
    "wvectors",
    "zcol",
    "zcols",
    "zmatrices",
    "zmatrix",
    "zrow",
    "zrows",
    "zscalar",
    "zscalars",
    "ztensor3",
    "ztensor3s",
    "ztensor4",
    "ztensor4s",
    "ztensor5",
    "ztensor5s",
    "ztensor6",
    "ztensor6s",
    "ztensor7",
    "ztensor7s",
    "zvector",
    "zvectors",
]

TensorVariable = Variable
TensorConstant = Constant
TensorSharedVariable = Shared

bool_dtypes = ("bool",)
int_dtypes = ("int8", "int16", "int32", "int64")
uint_dtypes = ("uint8", "uint16", "uint32", "uint64")
integer_dtypes = int_dtypes + uint_dtypes
float_dtypes = ("float32", "float64")
complex_dtypes = ("complex64", "complex128")
discrete_dtypes = bool_dtypes + integer_dtypes
continuous_dtypes = float_dtypes + complex_dtypes
all_dtypes = discrete_dtypes + continuous_dtypes

KINDS: dict[str, tuple[bool, ...]] = {
    "scalar": (),
    "vector": (False,),
    "row": (True, False),
    "col": (False, True),
    "matrix": (False, False),
    "tensor3": (False,) * 3,
    "tensor4": (False,) * 4,
    "tensor5": (False,) * 5,
    "tensor6": (False,) * 6,
    "tensor7": (False,) * 7,
}
"""The kinds of tensors: which of their dimensions broadcast."""


def _types(dtype: str) -> list[TensorType]:
    return [tensor_type(np.dtype(dtype), pattern) for pattern in KINDS.values()]


bscalar, bvector, brow, bcol, bmatrix, btensor3, btensor4, btensor5, btensor6, btensor7 = _types("int8")
wscalar, wvector, wrow, wcol, wmatrix, wtensor3, wtensor4, wtensor5, wtensor6, wtensor7 = _types("int16")
iscalar, ivector, irow, icol, imatrix, itensor3, itensor4, itensor5, itensor6, itensor7 = _types("int32")
lscalar, lvector, lrow, lcol, lmatrix, ltensor3, ltensor4, ltensor5, ltensor6, ltensor7 = _types("int64")
fscalar, fvector, frow, fcol, fmatrix, ftensor3, ftensor4, ftensor5, ftensor6, ftensor7 = _types("float32")
dscalar, dvector, drow, dcol, dmatrix, dtensor3, dtensor4, dtensor5, dtensor6, dtensor7 = _types("float64")
cscalar, cvector, crow, ccol, cmatrix, ctensor3, ctensor4, ctensor5, ctensor6, ctensor7 = _types("complex64")
zscalar, zvector, zrow, zcol, zmatrix, ztensor3, ztensor4, ztensor5, ztensor6, ztensor7 = _types("complex128")


def _constructor(kind: str) -> Callable[..., Any]:
    def make(name: str | None = None, dtype: Any = None) -> Any:
        return tensor_type(np.dtype(_dtype_name(dtype)), KINDS[kind])(name)

    make.__name__ = make.__qualname__ = kind
    make.__doc__ = f"""A variable for a {kind}.

    Parameters
    ----------
    name : str, optional
        Its name in texts and for keyword arguments of functions.
    dtype : str or dtype, optional
        Its dtype; `tracer.config.floatX` if None.
    """
    return make


def _dtype_name(dtype: Any) -> Any:
    return config.floatX if dtype is None or (isinstance(dtype, str) and dtype == "floatX") else dtype


scalar, vector, row, col, matrix, tensor3, tensor4, tensor5, tensor6, tensor7 = map(_constructor, KINDS)


def tensor(
    dtype: Any = None,
    broadcastable: Iterable[Any] | None = None,
    name: str | None = None,
    *,
    shape: Iterable[int | None] | None = None,
) -> Any:
    """A variable of any type.

    Parameters
    ----------
    dtype : str or dtype
        Its dtype; `tracer.config.floatX` if None.
    broadcastable : sequence of bool
        One per dimension: whether its size is 1.
    name : str, optional
        Its name.
    shape : sequence of int or None, optional
        Instead of `broadcastable`: 1 for a dimension that broadcasts, None for any other.

    Examples
    --------
    >>> tensor("float32", (False, True), name="x").type
    TensorType(float32, col)
    """
    return TensorType(_dtype_name(dtype), broadcastable, shape=shape)(name)


def _several(make: Callable[[str | None], Any], kind: str) -> Callable[..., Any]:
    def several(*names: Any) -> Any:
        if len(names) == 1 and isinstance(names[0], int | np.integer):
            return [make(None) for _ in range(int(names[0]))]
        if len(names) == 1:
            names = tuple(names[0])
        return make(names[0]) if len(names) == 1 else [make(name) for name in names]

    several.__name__ = several.__qualname__ = kind
    several.__doc__ = f"""Several variables at once: `{kind}("x", "y")`, `{kind}("xy")` or, without names, `{kind}(2)`.

    One name gives the variable itself, more of them a list.
    """
    return several


def _plurals(letter: str) -> list[Callable[..., Any]]:
    names = {kind: "matrices" if kind == "matrix" else kind + "s" for kind in KINDS}
    return [_several(globals()[letter + kind], letter + plural) for kind, plural in names.items()]


scalars, vectors, rows, cols, matrices, tensor3s, tensor4s, tensor5s, tensor6s, tensor7s = _plurals("")
bscalars, bvectors, brows, bcols, bmatrices, btensor3s, btensor4s, btensor5s, btensor6s, btensor7s = _plurals("b")
wscalars, wvectors, wrows, wcols, wmatrices, wtensor3s, wtensor4s, wtensor5s, wtensor6s, wtensor7s = _plurals("w")
iscalars, ivectors, irows, icols, imatrices, itensor3s, itensor4s, itensor5s, itensor6s, itensor7s = _plurals("i")
lscalars, lvectors, lrows, lcols, lmatrices, ltensor3s, ltensor4s, ltensor5s, ltensor6s, ltensor7s = _plurals("l")
fscalars, fvectors, frows, fcols, fmatrices, ftensor3s, ftensor4s, ftensor5s, ftensor6s, ftensor7s = _plurals("f")
dscalars, dvectors, drows, dcols, dmatrices, dtensor3s, dtensor4s, dtensor5s, dtensor6s, dtensor7s = _plurals("d")
cscalars, cvectors, crows, ccols, cmatrices, ctensor3s, ctensor4s, ctensor5s, ctensor6s, ctensor7s = _plurals("c")
zscalars, zvectors, zrows, zcols, zmatrices, ztensor3s, ztensor4s, ztensor5s, ztensor6s, ztensor7s = _plurals("z")
