"""The text forms: infix with minimal parentheses, the tree, and what nodes are called."""

import io

import numpy as np
import pytest
from rewrite.traced_graphs import variable

from tracer.graph.node import constant
from tracer.graph.text import caption, debugprint, pp
from tracer.tracing.proxy import wrap

A, B, C = (variable(np.ones((3, 3)), name) for name in "abc")
I = variable(np.zeros(2, int), "i")  # noqa: E741

FORMULAS = {
    "a + b * c": lambda a, b, c: a + b * c,
    "(a + b) * c": lambda a, b, c: (a + b) * c,
    "a - b - c": lambda a, b, c: a - b - c,
    "a - (b - c)": lambda a, b, c: a - (b - c),
    "a + (b + c)": lambda a, b, c: a + (b + c),
    "a / b / c": lambda a, b, c: a / b / c,
    "a / (b / c)": lambda a, b, c: a / (b / c),
    "a / (b * c)": lambda a, b, c: a / (b * c),
    "a * b / c": lambda a, b, c: a * b / c,
    "-a": lambda a, b, c: -a,
    "-a * b": lambda a, b, c: -a * b,
    "-(a * b)": lambda a, b, c: -(a * b),
    "-(a + b)": lambda a, b, c: -(a + b),
    "a - -b": lambda a, b, c: a - -b,
    "--a": lambda a, b, c: np.negative(-a),
    "a**b": lambda a, b, c: a**b,
    "a**b**c": lambda a, b, c: a ** (b**c),
    "(a**b)**c": lambda a, b, c: (a**b) ** c,
    "-a**b": lambda a, b, c: -(a**b),
    "(-a)**b": lambda a, b, c: (-a) ** b,
    "a**-b": lambda a, b, c: a**-b,
    "a**(b * c)": lambda a, b, c: a ** (b * c),
    "a**3.0": lambda a, b, c: a**3,
    "a * -2.0": lambda a, b, c: a * -2,
    "a - -2.0": lambda a, b, c: a - -2,
    "(-2.0)**a": lambda a, b, c: (-2) ** a,
    "a @ b @ c": lambda a, b, c: a @ b @ c,
    "a @ (b @ c)": lambda a, b, c: a @ (b @ c),
    "(a + b) @ c": lambda a, b, c: (a + b) @ c,
    "a @ b + c": lambda a, b, c: a @ b + c,
    "a < b": lambda a, b, c: a < b,
    "(a < b) == (b < c)": lambda a, b, c: (a < b) == (b < c),
    "a + b <= c": lambda a, b, c: a + b <= c,
    "(a < b) & (b < c)": lambda a, b, c: (a < b) & (b < c),
    "~(a < b) | (a == c)": lambda a, b, c: ~(a < b) | (a == c),
    "a // b % c": lambda a, b, c: a // b % c,
    "exp(a + b)": lambda a, b, c: np.exp(a + b),
    "where(a > 0.0, a, b)": lambda a, b, c: np.where(a > 0, a, b),
    "maximum(a, b)": lambda a, b, c: np.maximum(a, b),
    "sum(a)": lambda a, b, c: np.sum(a),
    "sum(a * b, axis=1)": lambda a, b, c: np.sum(a * b, axis=1),
    "max(a, axis=0, keepdims=True)": lambda a, b, c: np.max(a, axis=0, keepdims=True),
    "a.T": lambda a, b, c: a.T,
    "(a + b).T @ c": lambda a, b, c: (a + b).T @ c,
    "exp(a).T": lambda a, b, c: np.exp(a).T,
    "a[1:, :2]": lambda a, b, c: a[1:, :2],
    "a[::2, :]": lambda a, b, c: a[::2],
    "a[2::-1, :]": lambda a, b, c: a[::-1],
    "a[1:2, :]": lambda a, b, c: a[1:2],
    "(a + b)[1:, :]": lambda a, b, c: (a + b)[1:],
    "reshape(a, (9,))": lambda a, b, c: a.reshape(9),
    "broadcast_to(a, (2, 3, 3))": lambda a, b, c: np.broadcast_to(a, (2, 3, 3)),
    "float32(a)": lambda a, b, c: a.astype(np.float32),
    "float32(a + b) * float32(c)": lambda a, b, c: (a + b).astype("f4") * c.astype("f4"),
    "a[1, :]": lambda a, b, c: a[1],
    "a[2, 1]": lambda a, b, c: a[-1, 1],
    "a[1:, 0]": lambda a, b, c: a[1:, 0],
    "(a + b)[0, :]": lambda a, b, c: (a + b)[0],
    "a[:, None, :]": lambda a, b, c: a[:, None],
    "exp(a)[None, :, :]": lambda a, b, c: np.exp(a)[None],
    "a[i]": lambda a, b, c: a[I],
    "concatenate(a, b, axis=0)": lambda a, b, c: np.concatenate([a, b]),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_infix(text):
    assert pp(FORMULAS[text](A, B, C)) == text


def test_python_reads_what_is_printed():
    names = {"a": A, "b": B, "c": C, "exp": np.exp, "where": np.where, "maximum": np.maximum}
    for text, function in FORMULAS.items():
        if all(word not in text for word in ("sum", "max(", "reshape", "float32", "[", "broadcast", "concat")):
            value = eval(text, {}, names)
            assert value.__tracer_node__ is function(A, B, C).__tracer_node__, text


def test_several_values_and_unnamed_inputs():
    unnamed = variable(np.zeros(3, np.float32))
    assert pp([A, unnamed + 1]) == "a, <float32[3]> + 1.0"
    assert pp({"loss": A.__tracer_node__}) == "a"
    with pytest.raises(TypeError, match="expected a traced value"):
        pp(3.0)


def test_constants():
    assert pp(wrap(constant([1.0, 2.0]))) == "[1.0, 2.0]"
    assert pp(wrap(constant(np.zeros((4, 5))))) == "<float64[4, 5]>"
    assert pp(wrap(constant(True))) == "True"
    assert pp(A + wrap(constant(-1.5))) == "a + -1.5"


def test_long_formulas_are_cut_and_deep_ones_work():
    value = A
    for _ in range(1000):
        value = np.sin(value + value)
    assert len(pp(value)) < 50_000
    assert debugprint(value).count("\n") == 3 * 1000


def test_tree_marks_what_is_shared():
    shared = np.exp(A)
    text = debugprint(shared * (shared + B))
    lines = [line.split(" float64")[0] for line in text.splitlines()]
    assert lines == [
        "multiply [id A]",
        " ├─ exp [id B]",
        " │   └─ a [id C]",
        " └─ add [id D]",
        "     ├─ exp [id B]",
        "     └─ b [id E]",
    ]
    assert text.splitlines()[4].endswith("...")
    assert "test_text.py" in text.splitlines()[0] and "test_text.py" in text.splitlines()[1]


def test_tree_shows_parameters_and_goes_to_a_file():
    file = io.StringIO()
    text = debugprint(np.sum(A, axis=0), file)
    assert text.startswith("sum{axes=(0,), keepdims=False} [id A] float64[3]")
    assert file.getvalue() == text + "\n"


def test_identifiers_go_on_after_z():
    text = debugprint([variable(np.zeros(1)) for _ in range(60)])
    assert "[id Z]" in text and "[id AA]" in text and "[id BA]" in text


def test_captions():
    captions = {
        "+": A + B,
        "negative": -A,
        "exp": np.exp(A),
        "where": np.where(A > 0, A, B),
        "sum": np.sum(A),
        "sum(axis=1)": np.sum(A, axis=1),
        "max(axis=0, keepdims=True)": np.max(A, axis=0, keepdims=True),
        "argmax(axis=0)": np.argmax(A, axis=0),
        ".T": A.T,
        "transpose((0, 2, 1))": np.swapaxes(np.broadcast_to(A, (2, 3, 3)), 1, 2),
        "[1:, :2]": A[1:, :2],
        "reshape": A.reshape(9),
        "broadcast_to": np.broadcast_to(A, (2, 3, 3)),
        "float32": A.astype(np.float32),
        "gather": A[I],
        "concatenate(axis=0)": np.concatenate([A, B]),
        "cumsum(axis=1)": np.cumsum(A, axis=1),
        "a": A,
        "-1.5": wrap(constant(-1.5)),
    }
    for text, value in captions.items():
        assert caption(value.__tracer_node__) == text
