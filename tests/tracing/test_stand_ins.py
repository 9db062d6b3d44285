"""Stand-ins for functions of scipy: found by traces only, also while several threads trace."""

import pickle
import sys

import numpy as np
import pytest
import scipy.linalg
from scipy.linalg import solve
from work import on_threads

import tracer

A, B = np.eye(3) * 4 + np.arange(9.0).reshape(3, 3) / 10, np.arange(3.0)


@pytest.fixture
def quick_switches():
    """Threads take turns very often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(*functions):
    """Run functions on a thread each; gives what they raised."""
    raised = []

    def run(number):
        try:
            functions[number]()
        except Exception as error:
            raised.append(error)

    on_threads(run, len(functions))
    return raised


def long_trace(a, x):
    for _ in range(20):
        x = x + np.sin(x)
    y = solve(a, x) + scipy.linalg.solve(a, x)
    for _ in range(20):
        x = x + np.sin(x)
    return y + solve(a, x)


def test_several_threads_trace_one_function(quick_switches):
    for _ in range(5):
        f = tracer.compile(long_trace)
        assert in_threads(*[lambda f=f: f(A, B)] * 4) == []
        traces = f.cache_info().traces
        np.testing.assert_allclose(f(A, B), long_trace(A, B))
        assert f.cache_info().traces == traces  # a guard took no stand-in for what it guards
    assert scipy.linalg.solve is solve and not hasattr(solve, "__wrapped__")


def test_threads_that_do_not_trace_notice_nothing(quick_switches):
    def plain():
        for _ in range(20):
            np.testing.assert_allclose(A @ scipy.linalg.solve(A, B), B, atol=1e-12)
            assert callable(pickle.loads(pickle.dumps(scipy.linalg.solve)))

    def traced():
        for _ in range(5):
            tracer.compile(long_trace)(A, B)

    assert in_threads(plain, plain, traced, traced) == []
    assert scipy.linalg.solve is solve


def test_other_threads_can_pickle_what_is_replaced_in_a_trace():
    found = []

    def traced(a, x):
        for function in (scipy.linalg.solve, scipy.linalg.expm, np.random.beta, np.random.default_rng):
            found.append(pickle.loads(pickle.dumps(function)) is function and function.__doc__ == plain[len(found)])
        return solve(a, x)

    plain = [item.__doc__ for item in (solve, scipy.linalg.expm, np.random.beta, np.random.default_rng)]
    tracer.compile(traced)(A, B)
    assert found == [True] * 4


def test_an_exception_puts_everything_back():
    def fail(a, x):
        solve(a, x)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        tracer.compile(fail)(A, B)
    assert scipy.linalg.solve is solve and globals()["solve"] is scipy.linalg._basic.solve
