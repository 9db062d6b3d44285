"""BLAS and LAPACK without the package of SciPy around them."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg

from tracer.graph import scipy_extensions
from tracer.graph.scipy_extensions import blas_routine, extension, lapack_routine


def run(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_scipy_linalg_alone_and_as_it_would_be():
    program = """
import sys, tracer, numpy as np
assert "scipy.linalg" not in sys.modules and "scipy.linalg.cython_blas" not in sys.modules
solved = tracer.compile(np.linalg.solve)
a = np.eye(40) * 3 + 1
assert np.allclose(solved(a, a[0]), np.linalg.solve(a, a[0]))
assert "scipy.linalg" not in sys.modules

import scipy.linalg, scipy.linalg.cython_blas, scipy.linalg.lapack
from scipy.linalg import cython_lapack, cython_blas
assert len(scipy.linalg.cython_blas.__pyx_capi__) > 100
assert sys.modules["scipy.linalg.cython_blas"] is scipy.linalg.cython_blas
assert np.allclose(scipy.linalg.solve(a, a[0]), solved(a, a[0]))
q, r = scipy.linalg.qr(a)
assert np.allclose(np.matmul(*scipy.linalg.qr_update(q, r, a[0], a[1])), a + np.outer(a[0], a[1]))
print("done")
"""
    assert run(program) == "done\n"


def test_stand_ins_of_a_module_that_a_traced_function_imports_first():
    program = """
import sys, numpy as np, tracer

def f(a):
    from scipy.linalg import expm
    import scipy.signal
    return expm(a), scipy.signal.convolve(a[0], a[1])

f_compiled = tracer.compile(f)
assert "scipy.linalg" not in sys.modules
a = np.arange(9.0).reshape(3, 3) / 10
for x in (a, a.T.copy()):
    for given, wanted in zip(f_compiled(x), f(x)):
        assert np.allclose(given, wanted)
import scipy.linalg, inspect
assert scipy.linalg.expm.__module__ != "scipy.linalg" and not hasattr(scipy.linalg.expm, "__wrapped__")
assert "import" in inspect.getsource(scipy.linalg)
print("done")
"""
    assert run(program) == "done\n"


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
def test_routines_are_those_of_scipy(dtype):
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)) for _ in "ab")
    a, b = (np.asarray(x if dtype.kind == "c" else x.real, dtype) for x in (a, b))
    theirs = scipy.linalg.get_lapack_funcs("gesv", dtype=dtype)
    np.testing.assert_array_equal(lapack_routine("gesv", dtype)(a, b)[2], theirs(a, b)[2])
    theirs = scipy.linalg.get_blas_funcs("gemm", dtype=dtype)
    np.testing.assert_array_equal(blas_routine("gemm", dtype)(1.0, a, b), theirs(1.0, a, b))


def test_without_its_file_it_comes_with_the_package(monkeypatch):
    monkeypatch.setattr(scipy_extensions, "_loaded", {})
    monkeypatch.setattr(scipy_extensions.scipy, "__path__", [])
    assert scipy_extensions._alone("_flapack") is None
    assert extension("_flapack").dgesv
    with pytest.raises(ImportError):
        extension("no_such_module")
