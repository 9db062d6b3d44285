"""Settings: where they come from, and that bad ones are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tracer
from tracer.config import FLAGS


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


# --- flags -------------------------------------------------------------------------------------------------------


def test_flags_of_the_environment():
    code = "import tracer; c = tracer.config; print(c.floatX, c.mode, c.profiling.n_ops, c.allow_gc, c.lib.cnmem)"
    flags = "floatX=float32, mode=FAST_COMPILE,profiling.n_ops=7,allow_gc=False,lib.cnmem=0.75"
    assert run(code, TRACER_FLAGS=flags).stdout.split() == ["float32", "FAST_COMPILE", "7", "False", "0.75"]
    assert "'float16'" in run(code, TRACER_FLAGS="floatX=float16").stderr
    assert "name=value pairs" in run(code, TRACER_FLAGS="floatX").stderr
    assert "similar names are: floatX" in run(code, TRACER_FLAGS="floatx=float32").stderr
    assert "must be True or False, not 'maybe'" in run(code, TRACER_FLAGS="profile=maybe").stderr


def test_every_flag_can_be_read_and_set_to_itself():
    for name, flag in FLAGS.items():
        value = tracer.config.get(name)
        assert type(value) is type(flag.default)
        tracer.config.set(name, value)
        assert tracer.config.get(name) == value
        assert f"{name} = " in str(tracer.config)
        for choice in flag.choices:
            with tracer.change_flags({name: choice}):
                assert tracer.config.get(name) == choice


def test_unknown_flags_name_near_ones():
    with pytest.raises(AttributeError, match="no setting 'floatx'; the settings with similar names are: floatX"):
        tracer.config.floatx = "float32"
    with pytest.raises(AttributeError, match=r"no setting 'profiling.n_op'.*profiling.n_ops"):
        _ = tracer.config.profiling.n_op
    with pytest.raises(AttributeError, match=r"no setting 'gcc\.qqq'"):
        tracer.config.gcc.qqq = 1
    with pytest.raises(AttributeError, match=r"the settings are: threads, check_nan"):
        _ = tracer.config.zzzzzzzz


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("floatX", "float16", "one of"),
        ("device", "tpu", "one of"),
        ("threads", 0, "a positive int"),
        ("profile", 3, "True or False"),
        ("lib.cnmem", "much", "a number"),
    ],
)
def test_bad_values(name, value, wanted):
    with pytest.raises(ValueError, match=f"tracer.config.{name} must be {wanted}"):
        tracer.config.set(name, value)


def test_change_flags_in_every_form():
    with tracer.change_flags(floatX="float32") as settings:
        assert settings.floatX == "float32"
    assert tracer.config.floatX == "float64"
    with tracer.config.change_flags(floatX="float32"):
        assert tracer.config.floatX == "float32"
    with tracer.change_flags([("floatX", "float32"), ("profiling.n_ops", 3)], profile=True):
        assert (tracer.config.floatX, tracer.config.profiling.n_ops, tracer.config.profile) == ("float32", 3, True)
    assert (tracer.config.floatX, tracer.config.profiling.n_ops, tracer.config.profile) == ("float64", 20, False)

    @tracer.change_flags(floatX="float32")
    def inner(depth):
        return (tracer.config.floatX, *inner(depth - 1)) if depth else ()

    assert inner(3) == ("float32",) * 3 and tracer.config.floatX == "float64"
    with pytest.raises(ZeroDivisionError), tracer.change_flags(floatX="float32"):
        _ = 1 / 0
    assert tracer.config.floatX == "float64"
    with pytest.raises(AttributeError, match="no setting"):
        tracer.change_flags(float_x="float32").__enter__()


def test_float_x_is_the_dtype_of_variables_without_one():
    with tracer.change_flags(floatX="float32"):
        assert tracer.tensor.vector().dtype == tracer.tensor.TensorType("floatX", (False,)).dtype == "float32"


def test_making_float64_may_be_an_error():
    x = tracer.tensor.fvector("x")
    with tracer.change_flags(warn_float64="raise"):
        (x * np.float32(2)).sum()
        with pytest.raises(TypeError, match="a variable of dtype float64 was made"):
            x * np.ones(3)
    with tracer.change_flags(warn_float64="warn"), pytest.warns(UserWarning, match="float64"):
        tracer.tensor.dscalar()
