"""Settings: where they come from, and that bad ones are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tracer


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_changed_restores_also_after_an_error():
    before = tracer.config.threads
    with pytest.raises(ZeroDivisionError), tracer.config.changed(threads=before + 1):
        assert tracer.config.threads == before + 1
        _ = 1 / 0
    assert tracer.config.threads == before


def test_a_bad_setting_changes_nothing():
    before = tracer.config.check_nan, tracer.config.threads
    with pytest.raises(ValueError), tracer.config.changed(check_nan=True, threads=-1):
        pass
    assert (tracer.config.check_nan, tracer.config.threads) == before


def test_environment():
    code = "import tracer; print(tracer.config.threads, tracer.config.check_nan)"
    assert run(code, TRACER_THREADS="1", TRACER_CHECK_NAN="1").stdout.split() == ["1", "True"]
    assert "TRACER_THREADS" in run(code, TRACER_THREADS="many").stderr


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_threads_beyond_rounding(threads):
    x = np.random.default_rng(0).standard_normal((500, 400))
    f = tracer.compile(lambda x: (np.sum(np.exp(x)), np.sum(x, axis=0), np.tanh(x)))
    with tracer.config.changed(threads=threads):
        total, columns, values = f(x)
    assert np.isclose(total, np.sum(np.exp(x)), rtol=1e-13)
    np.testing.assert_allclose(columns, np.sum(x, axis=0), atol=1e-11)
    np.testing.assert_allclose(values, np.tanh(x), rtol=1e-14)


def test_import_needs_neither_cuda_nor_optional_packages():
    heavy = ["cupy", "jax", "torch", "matplotlib", "sklearn", "opt_einsum", "scipy.special", "tqdm"]
    result = run(f"import sys, tracer; print([name for name in {heavy} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
