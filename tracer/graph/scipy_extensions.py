"""Extension modules of scipy.linalg without the package around them, whose import takes longer than NumPy's."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

import numpy as np
import scipy

_PACKAGE = "scipy.linalg"
_loaded: dict[str, ModuleType] = {}
_LETTERS = {"f": "s", "d": "d", "F": "c", "D": "z"}
"""What LAPACK calls the dtypes that NumPy calls so."""


def extension(name: str) -> ModuleType:
    """One of the extension modules of scipy.linalg.

    Parameters
    ----------
    name : str
        Its name in the package, such as "cython_blas".

    Raises
    ------
    ImportError
        SciPy has no module of this name.
    """
    found = _loaded.get(name)
    if found is None:
        # What the package has loaded already, or another thread is loading right now, is taken from there.
        found = _loaded[name] = (None if _PACKAGE in sys.modules else _alone(name)) or import_module(
            f"{_PACKAGE}.{name}"
        )
    return found


def _alone(name: str) -> ModuleType | None:
    """The module loaded from its file; None where there is no such file, as in an editable installation."""
    full = f"{_PACKAGE}.{name}"
    spec = PathFinder.find_spec(full, [f"{folder}/linalg" for folder in scipy.__path__])
    if spec is None or spec.loader is None:
        return None
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:  # it needs what the package does first
        return None
    finally:
        # The package finds and enters it itself once it is imported: of what stands here it would make no attribute.
        sys.modules.pop(full, None)
    return module


def lapack_routine(name: str, dtype: np.dtype[Any]) -> Any:
    """The routine of LAPACK for a dtype of floating-point numbers, as `scipy.linalg.lapack` has it."""
    return getattr(extension("_flapack"), _LETTERS[dtype.char] + name)


def blas_routine(name: str, dtype: np.dtype[Any]) -> Any:
    """The routine of BLAS for a dtype of floating-point numbers, as `scipy.linalg.blas` has it."""
    return getattr(extension("_fblas"), _LETTERS[dtype.char] + name)
