"""Profiles: what is counted, and how it is shown."""

import io
import subprocess
import sys

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.symbolic.profiling import ProfileStats


def quiet(message=None):
    return ProfileStats(message, atexit_print=False)


def test_calls_instructions_and_lines_are_counted():
    x, w = T.dmatrix("x"), theano.shared(np.ones((4, 2)))
    y = T.dot(x, w)
    z = T.exp(y).sum()
    f = function([x], z, profile=quiet())
    for _ in range(5):
        f(np.ones((3, 4)))
    f(np.ones((2, 4)))
    stats = f.profile
    assert stats.fct_callcount == 6 and stats.compile_count == 2
    assert stats.fct_call_time > 0 and stats.compile_time > 0
    assert stats.by_op["matmul"].calls == 6 and stats.by_op["matmul"].nanoseconds > 0
    assert any("exp" in op for op in stats.by_op)
    lines = list(stats.by_line)
    assert all(line.startswith(f"{__file__}:") for line in lines) and len(lines) == 2
    total = sum(cost.nanoseconds for cost in stats.instructions.values())
    for table in (stats.by_op, stats.by_line):
        assert sum(cost.nanoseconds for cost in table.values()) == pytest.approx(total)
        times = [cost.nanoseconds for cost in table.values()]
        assert times == sorted(times, reverse=True)


def test_the_summary_is_a_table():
    x = T.dmatrix("x")
    f = function([x], T.dot(x, x.T) + 1, profile=quiet("squares"))
    f(np.ones((3, 3)))
    out = io.StringIO()
    with theano.config.changed(profile_memory=True):
        f.profile.summary(file=out)
    text = out.getvalue()
    for part in ("Message: squares", "1 calls", "Ops", "Instructions", "Lines", "matmul", __file__, "Memory", "KiB"):
        assert part in text
    assert "... and" in f.profile.text(ops=1, applies=1) and str(f.profile)


def test_destinations(tmp_path, capsys):
    x = T.dscalar("x")
    f = function([x], x + 1, profile=quiet())
    f(1)
    f.profile.summary()
    assert "Ops" in capsys.readouterr().err
    with theano.config.changed(**{"profiling.destination": "stdout"}):
        f.profile.summary()
    assert "Ops" in capsys.readouterr().out
    path = tmp_path / "profile.txt"
    with theano.config.changed(**{"profiling.destination": str(path)}):
        f.profile.summary()
        f.profile.summary()
    assert path.read_text().count("Function profiling") == 2


def test_functions_may_share_a_profile():
    x, stats = T.dscalar("x"), quiet()
    f, g = function([x], x + 1, profile=stats, name="f"), function([x], T.exp(x), profile=stats, name="g")
    f(1)
    g(1)
    g(2)
    assert stats.fct_callcount == 3
    assert {item.function for item in stats.instructions} == {"f", "g"}


def test_what_profile_may_be():
    x = T.dscalar("x")
    assert function([x], x).profile is None and function([x], x, profile=False).profile is None
    named = function([x], x, profile="my name").profile
    assert named.message == "my name"
    assert function([x], x, profile=True, name="f").profile.message == "f"
    with theano.config.changed(profile=True):
        assert function([x], x).profile is not None
        assert function([x], x, profile=False).profile is None
    f = function([x], x, profile=quiet())
    assert f.copy().profile is None and f.copy(profile=True).profile is not f.profile


def test_profiles_of_other_executors_count_calls():
    x = T.dscalar("x")
    f = function([x], x + 1, profile=quiet(), mode=theano.Mode(linker="py"))
    f(1)
    assert f.profile.fct_callcount == 1 and f.profile.instructions == {}


def test_profiles_are_printed_at_exit():
    code = """
import tracer as theano, tracer.tensor as T
x = T.dscalar("x")
f, g = theano.function([x], x + 1, profile=True, name="printed"), theano.function([x], x, profile=True, name="unused")
h = theano.function([x], x, profile=True, name="already shown")
f(1), h(1), h.profile.summary()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.count("Message: printed") == 1 and result.stderr.count("Message: already shown") == 1
    assert "unused" not in result.stderr


def test_explanation(tmp_path):
    x = T.dvector("x")
    rate = theano.shared(0.5, name="rate")
    f = theano.function([x], T.sum(T.exp(x[: T.iround(x.sum())])), updates=[(rate, rate * 0.9)], name="f")
    f(np.ones(3))
    f(np.full(3, 0.6))
    f(np.ones(4))
    text = f.explain()
    for part in ("f: 3 plans for 2 signatures\n", "signature 1: x float64[3]", "signature 2: x float64[4]", "plan 2\n"):
        assert part in text
    for part in ("reads shared rate", "updates shared rate", "exp(", "test_profiles.py:"):
        assert part in text
    assert "holds for 3 as sizes or counts" in text and "holds for 2 as sizes or counts" in text
    page = f.explain(format="html", path=tmp_path / "page.html")
    assert "what was compiled" in page.read_text(encoding="utf-8")
