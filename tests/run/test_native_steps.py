"""Scans and while loops of a few numbers in native code against the same in block kernels, to the bit."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tracer
from tracer.lower.instructions import Scan, While
from tracer.run.native.steps import steps_outline


def leaves(value: Any) -> list[np.ndarray]:
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [np.asarray(value)]


def assert_same(found: Any, expected: Any) -> None:
    for one, two in zip(leaves(found), leaves(expected), strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        np.testing.assert_array_equal(one, two)
        if one.dtype.kind in "f":
            np.testing.assert_array_equal(np.signbit(one), np.signbit(two))


def compare(function: Callable[..., Any], *calls: tuple[Any, ...], native: int = 1) -> None:
    """Run in both tiers, with every tuple of arguments."""
    with tracer.config.changed(jit="off"):
        block = tracer.compile(function)
        expected = [block(*arguments) for arguments in calls]
    with tracer.config.changed(jit="always"):
        compiled = tracer.compile(function)
        for arguments, wanted in zip(calls, expected, strict=True):
            assert_same(compiled(*arguments), wanted)
        lines = repr(compiled.plan(*calls[0]).executable.native).splitlines()
    assert sum("native" in line for line in lines if "scan of" in line or "while of" in line) == native


def normal(*shape: int, seed: int = 0, dtype: str = "f8") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def autoregression(x: Any) -> Any:
    def step(carry: Any, value: Any) -> Any:
        before, older = carry
        new = 0.5 * before - 0.3 * older + value
        return (new, before), new

    zero = x[0] * 0
    return tracer.scan(step, (zero, zero), x)


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_recurrences(dtype: str) -> None:
    x = normal(5000).astype(dtype)
    x *= np.exp(1j * normal(5000)) if dtype == "c16" else 10
    compare(autoregression, (x,), (x[::-1].copy(),), (x[1:] + x[:-1],), (x[:16],))
    compare(autoregression, (x[::-3],), (np.zeros_like(x)[::-3],))


def test_derivatives_run_backward() -> None:
    compare(tracer.grad(lambda x: np.sum(autoregression(x)[1] ** 2)), (normal(300),), (normal(300, seed=1),), native=2)


def test_special_values() -> None:
    x = normal(200)
    x[[3, 50, 60, 199]] = np.nan, np.inf, -np.inf, -0.0
    compare(lambda x: tracer.scan(lambda c, v: (np.maximum(c * 0.5, v), np.minimum(c, v)), x[0], x), (x,), (-x,))


def test_short_vectors_and_constants() -> None:
    weights = np.array([[0.5, -0.25, 0.1], [0.2, 0.9, -0.4], [0.0, 0.3, 0.3]])

    def step(state: Any, x: Any) -> Any:
        turned = np.stack([state[1], state[2], state[0]])
        new = weights[0] * state + weights[1] * turned + x * weights[2]
        return new, new * state

    def rotate(x: Any) -> Any:
        return tracer.scan(step, np.ones(3), x)

    compare(rotate, (normal(400, 3),), (normal(400, 3, seed=1),), (np.asfortranarray(normal(400, 3)),))


def test_counted_loops_and_integers() -> None:
    def collatz(n: Any) -> Any:
        def step(carry: Any) -> Any:
            n, count = carry
            return np.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

        return tracer.while_loop(lambda c: c[0] != 1, step, (n, np.int64(0)))

    compare(collatz, (np.int64(27),), (np.int64(1),), (np.int64(97),))
    compare(
        lambda x: tracer.fori_loop(0, 1000, lambda i, v: 3.7 * v * (1 - v) + 1e-9 * i, x),
        (np.float64(0.3),),
        (np.float64(0.7),),
    )
    compare(
        lambda n: tracer.fori_loop(0, 100, lambda i, v: v * np.int8(3) + np.int8(1), n), (np.int8(5),), (np.int8(-128),)
    )


def test_a_while_that_never_begins() -> None:
    compare(lambda x: tracer.while_loop(lambda v: v > 10.0, lambda v: v * 0.5, x), (1.0,), (np.nan,), (1e6,))


def test_long_whiles_are_run_in_portions() -> None:
    def count(n: Any) -> Any:
        start = (np.int64(0), np.int64(0))
        return tracer.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] + c[0]), start)

    compare(count, (np.int64(700_000),), (np.int64(3),))


def test_the_symbolic_door() -> None:
    import tracer as theano
    import tracer.tensor as T

    def both(make: Callable[[], Any], *arguments: Any) -> None:
        results = []
        for setting in ("off", "always"):
            with tracer.config.changed(jit=setting):
                function = make()
                results.append(function(*arguments))
        assert_same(results[1], results[0])

    def fibonacci() -> Any:
        x = T.dvector("x")
        taps = [{"initial": x, "taps": [-3, -1]}]
        rows, _ = theano.scan(lambda c, a: 0.5 * a - 0.3 * c + 1.0, outputs_info=taps, n_steps=200)
        return theano.function([x], rows)

    def until() -> Any:
        x = T.dscalar("x")

        def step(v: Any) -> Any:
            return v * 1.5, theano.scan_module.until(v > 100.0)

        rows, _ = theano.scan(step, outputs_info=[x], n_steps=500)
        return theano.function([x], rows)

    both(fibonacci, np.array([1.0, -2.0, 0.5]))
    for start in (1.0, 1e9, 1e-300):
        both(until, start)


def test_in_place_rows() -> None:
    def gauss_seidel(u: Any, f: Any) -> Any:
        def step(left: Any, row: Any) -> Any:
            right, source = row
            new = 0.5 * (left + right - source)
            return new, new

        _, inner = tracer.scan(step, u[0], (u[2:], f[1:-1]))
        u = u.copy()
        u[1:-1] = inner
        return u

    u, f = normal(1000), normal(1000, seed=1)
    compare(gauss_seidel, (u, f), (f, u))
    np.testing.assert_array_equal(u, normal(1000))


def test_what_has_other_steps_inside_stays() -> None:
    compare(lambda x: tracer.fori_loop(0, 100, lambda i, v: v + np.sum(v) * 1e-3, x), (normal(4),), native=0)
    compare(lambda x: tracer.fori_loop(0, 100, lambda i, v: v * 0.5 + 1.0, x), (normal(1000),), native=0)
    compare(lambda x: tracer.fori_loop(0, 3, lambda i, v: v * 0.5 + 1.0, x), (1.0,), native=0)


def test_loops_that_differ_in_their_lengths_have_the_same_code() -> None:
    found = set()
    for length in (100, 2000):
        with tracer.config.changed(jit="off"):
            program = tracer.compile(autoregression).plan(normal(length)).executable.program
        found.update(steps_outline(item) for item in program.instructions if isinstance(item, Scan | While))
    assert len(found) == 1 and None not in found


def test_a_profile_takes_it_for_one_piece() -> None:
    with tracer.config.changed(jit="always"):
        text = str(tracer.compile(autoregression).profile(normal(2000)))
    assert "one piece of native code" in text and "from step to step" not in text


def test_threads_do_not_meet() -> None:
    with tracer.config.changed(jit="always"):
        compiled = tracer.compile(autoregression)
        inputs = [normal(20_000, seed=seed) for seed in range(4)]
        expected = [compiled(x)[1] for x in inputs]
    wrong = []

    def work(number: int) -> None:
        for _ in range(10):
            if not np.array_equal(compiled(inputs[number])[1], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(sys.platform == "win32", reason="needs timers")
def test_it_can_be_interrupted() -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    with tracer.config.changed(jit="always"):
        forever = tracer.compile(lambda x: tracer.while_loop(lambda v: v < 2.0, lambda v: v * 0.5 + 0.25, x))
        assert forever(3.0) == 3.0
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(Alarm):
            forever(1.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
