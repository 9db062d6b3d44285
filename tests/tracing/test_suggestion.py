"""The code that an error suggests, in the user's own names: it runs, and computes what the user's code computes."""

import itertools
import linecache
import textwrap

import numpy as np
import pytest

import tracer
from tracer import errors
from tracer.tracing.suggestion import rewritten
from tracer.tree import flatten

NAMES = itertools.count()
ARGUMENTS = [
    (np.array([0.3, 1.2, 2.5]), np.float64(0.1), np.float64(2.0)),
    (np.array([-0.3, -1.2, 0.5]), np.float64(0.7), np.float64(-2.0)),
    (np.array([2.0, -1.0, 0.0]), np.float64(0.4), np.float64(1.0)),
]

# Each: what comes before, the statement that needs a number, and what comes after.
PROGRAMS = {
    "if and else": ("", "if x[0] > 0:\n    y = a + 1\nelse:\n    y = b", "return y"),
    "if alone": ("y = a", "if x[0] > 0:\n    y = a * b", "return y"),
    "augmented": ("y = a", "if x[0] > 0:\n    y += b\nelse:\n    y -= b", "return y"),
    "returns": ("", "if x[0] > 0:\n    return x\nelse:\n    return -x", ""),
    "elif": ("", "if x[0] > 1:\n    y = a\nelif x[0] > 0:\n    y = b\nelse:\n    y = a * b", "return y"),
    "elif returns": ("", "if x[0] > 1:\n    return a\nelif x[0] > 0:\n    return b\nelse:\n    return a * b", ""),
    "several": ("y, z = a, b", "if x[0] > 0:\n    y, z = b, a", "return y - z"),
    "one from the other": ("y, z = a, b", "if x[0] > 0:\n    y = z + 1\n    z = b * 2", "return y - z"),
    "the same target twice": ("y = a", "if x[0] > 0:\n    y = y + 1\n    y = y * 2\nelse:\n    y = b", "return y"),
    "item": ("out = np.zeros(3)", "if x[0] > 0:\n    out[1] = x[0]\nelse:\n    out[1] = b", "return out"),
    "and, or, not": ("y = a", "if x[0] > 0 and (x[1] > 0 or not x[2] > 1):\n    y = b", "return y"),
    "chain": ("y = a", "if -1 < x[0] < 1:\n    y = b", "return y"),
    "conditional expression": ("", "y = a if x[0] > 0 else b", "return y"),
    "nested expressions": ("", "return a if x[0] > 1 else (b if x[0] > 0 else a * b)", ""),
    "truth": ("", "y = x[0] > 0 or x[1] > 0", "return y"),
    "negation": ("", "return not x[0] > 0", ""),
    "longer branch": (
        "z = 0.0 * a",
        "if x[0] > 0:\n    t = np.sin(x).sum()\n    z = t * a\n    b = b + t",
        "return z + b",
    ),
    "longer branches": (
        "z = a",
        "if x[0] > 0:\n    for k in range(3):\n        z = z + x[k]\nelse:\n    t = a * 2\n    z = t - b\n    b = t",
        "return z + b",
    ),
    "a branch in a branch": (
        "z = a",
        "if x[0] > 0:\n    t = np.cos(b)\n    if x[1] > 0:\n        z = t\n    z = z * t",
        "return z",
    ),
    "while": ("y = x * 1.0", "while np.sum(y**2) > a:\n    y = 0.5 * y", "return y"),
    "while with several": (
        "y, n, old = x * 1.0, 0, b",
        "while np.sum(np.abs(y)) > a and n < 20:\n    step = y * 0.3\n    old = y.sum()\n    y = y - step\n    n += 1",
        "return y, n, old",
    ),
    "while with a branch": (
        "y, s = x[0], 0.0",
        "while np.abs(y) > a:\n    y = y / 2\n    if y > 0:\n        s = s + y\n    else:\n        s = s - 1",
        "return s",
    ),
    "while with items": ("y = x * 1.0", "while y[0] > a:\n    y[0] = y[0] / 2", "return y"),
    "range": ("n, s = np.argmax(x) + 1, 0.0 * a", "for i in range(n):\n    s = s + x[i] * b", "return s"),
    "range from": ("n, s = np.argmax(x) + 1, 0.0 * a", "for i in range(1, n):\n    s = s * 2 + i", "return s"),
}

WITHOUT = {
    "raises": "if x[0] > 0:\n    raise ValueError('positive')\nreturn x",
    "breaks": "s = 0.0\nfor v in x:\n    if v > 1:\n        break\n    s = s + v\nreturn s",
    "asserts": "assert x[0] > 0\nreturn x",
    "a new name": "if x[0] > 0:\n    y = a\nreturn x",
    "strings": "if x[0] > 0:\n    y = 'positive'\nelse:\n    y = 'negative'\nreturn x, y",
    "calls": "seen = []\nif x[0] > 0:\n    seen.append(a)\nreturn x",
    "filters": "return [v for v in x if v > 0]",
    "loop left early": "while x[0] > a:\n    x = x / 2\n    if b > 0:\n        return x\nreturn x",
}


def make(body):
    """A function with a source, as a file would give it."""
    text = "def function(x, a, b):\n" + textwrap.indent(body, "    ") + "\n"
    name = f"<suggestion {next(NAMES)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {"np": np, "tracer": tracer}
    exec(compile(text, name, "exec"), space)
    return space["function"]


def hint_of(function):
    with pytest.raises(errors.ConcretizationError) as caught:
        tracer.compile(function)(*ARGUMENTS[0])
    return str(caught.value).partition("HINT: ")[2]


def suggested(function):
    text = hint_of(function)
    assert text.startswith("written for traced values, in your own names:\n") and 'branches="guard"' in text
    return textwrap.dedent(text.partition("\n")[2].partition("\nor let the function")[0])


@pytest.mark.parametrize("name", PROGRAMS)
def test_suggested_code_computes_the_same(name):
    before, statement, after = PROGRAMS[name]
    plain = make("\n".join(part for part in (before, statement, after) if part))
    code = suggested(plain)
    traced = tracer.compile(make("\n".join(part for part in (before, code, after) if part)))
    for arguments in ARGUMENTS:
        found, expected = traced(*arguments), plain(*(np.copy(item)[()] for item in arguments))
        for one, other in zip(flatten(found)[0], flatten(expected)[0], strict=True):
            np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-12)
    assert traced.cache_info().traces == 1


@pytest.mark.parametrize("name", WITHOUT)
def test_where_nothing_means_the_same_the_hint_is_general(name):
    text = hint_of(make(WITHOUT[name]))
    assert "np.where(condition, a, b)" in text and 'branches="guard"' in text and "written for" not in text


def test_the_code_is_short_and_in_the_users_names():
    code = suggested(make("if x[0] > 0:\n    y = a + 1\nelse:\n    y = b\nreturn y"))
    assert code == "y = np.where(x[0] > 0, a + 1, b)"
    code = suggested(make("while a > b:\n    a = a - 1\nreturn a"))
    assert code.splitlines()[-1] == "a = tracer.while_loop(keep_going, step, a)"


def test_in_a_helper_and_in_a_lambda():
    def helper(v):
        return v if v > 0 else -v

    assert "return np.where(v > 0, v, -v)" in hint_of(lambda x, a, b: helper(x[0]) + a)
    short = lambda v: v if v > 0 else -v  # noqa: E731
    assert "np.where(v > 0, v, -v)" in hint_of(lambda x, a, b: short(x[0]) + a)


def test_a_line_is_enough():
    text = "def f(x):\n    if x > 0:\n        y = 1.0\n    else:\n        y = x\n    return y\n"
    assert rewritten(text, 2) == "y = np.where(x > 0, 1.0, x)"
    assert rewritten(text, 6) is None
