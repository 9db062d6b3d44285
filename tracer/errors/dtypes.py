"""What to do with arrays whose dtype cannot be traced, and with sparse ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import HINT_SPARSE, SPARSE_OPERAND, UNSUPPORTED_DTYPE, message


def unsupported_dtype(dtype: Any, name: str, known: str) -> str:
    """The message that something has a dtype that cannot be traced, with how to make one that can."""
    return message(UNSUPPORTED_DTYPE, dtype=dtype, name=name, known=known, hint=_conversion(np.dtype(dtype)))


def _conversion(dtype: np.dtype[Any]) -> str:
    if not dtype.isnative:
        return "x.astype(x.dtype.newbyteorder('='))"
    if dtype.name in ("float16", "bfloat16"):
        stored = f"on a GPU, tracer.config.gpu_storage = {dtype.name!r} keeps float32 in {dtype.name} between kernels"
        return f"x.astype(np.float32), and results back with .astype(x.dtype); {stored}"
    match dtype.kind:
        case "f":
            return "x.astype(np.float64)"
        case "c":
            return "x.astype(np.complex128)"
        case "M" | "m":
            return f"{'x' if dtype.kind == 'm' else '(x - x[0])'} / np.timedelta64(1, 's')"
        case "O":
            return "np.array(x.tolist(), dtype=float), where all of it are numbers"
        case "V":
            return f"x[{(dtype.names or ('name',))[0]!r}], each field by itself"
    return "names, x = np.unique(x, return_inverse=True)"


def refuse_sparse(value: Any) -> None:
    """Raise TypeError for a sparse matrix of SciPy that stands where an array is needed."""
    if type(value).__module__.startswith("scipy.sparse"):
        raise TypeError(message(SPARSE_OPERAND, type=type(value).__name__, hint=HINT_SPARSE))
