"""Elementary functions in LLVM's language, by the names of their block kernels.

They have the formulas of the kernels, with a fused multiply-add where a compiler makes one of the kernels' code, and so
that LLVM computes a whole vector at once: without branches and calls, but for those in `WITH_BRANCH`. What they give is
what the kernels give but for at most one unit in the last place, and the same bits where GCC has built the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.run.native import exponentials, powers, trigonometry
from tracer.run.native.branches import call_patched
from tracer.run.native.host import has_fused_multiply_add
from tracer.run.native.real import Real
from tracer.run.native.writer import Value, Writer


def _periodic(name: str, ordinary: Callable[[Real], Real]) -> Callable[[Real], Real]:
    return lambda x: call_patched(x, name, ordinary, trigonometry.is_huge, libm=name)


FUNCTIONS: dict[str, Callable[..., Real]] = {
    "exp": exponentials.exp,
    "exp2": exponentials.exp2,
    "expm1": exponentials.expm1,
    "log": exponentials.log,
    "log2": exponentials.log2,
    "log10": exponentials.log10,
    "log1p": exponentials.log1p,
    "logaddexp": exponentials.logaddexp,
    "logaddexp2": exponentials.logaddexp2,
    "softplus": exponentials.softplus,
    "sigmoid": exponentials.sigmoid,
    "tanh": exponentials.tanh,
    "sinh": exponentials.sinh,
    "cosh": exponentials.cosh,
    "erf": exponentials.erf,
    "arctan": trigonometry.arctan,
    "arctan2": trigonometry.arctan2,
    "hypot": powers.hypot,
    "power": powers.power,
    "sin": _periodic("sin", trigonometry.sin),
    "cos": _periodic("cos", trigonometry.cos),
    "tan": _periodic("tan", trigonometry.tan),
}
WITH_BRANCH = frozenset({"sin", "cos", "tan", "power"})
"""Those that look whether an element of a vector is special."""


def has_function(name: str, dtype: np.dtype[Any]) -> bool:
    """Whether there is native code for an elementary function on this processor."""
    return name in FUNCTIONS and dtype.kind == "f" and has_fused_multiply_add()


def apply_function(code: Writer, name: str, dtype: np.dtype[Any], operands: list[Value]) -> Value:
    """Write a function for which `has_function` holds."""
    return (FUNCTIONS[name](*(Real(code, dtype, part) for (part,) in operands)).name,)
