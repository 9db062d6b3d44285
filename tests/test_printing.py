"""Texts, trees, pictures and pages of symbolic expressions and of compiled functions; values printed as they run."""

import io
import json
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.printing import (
    FunctionPrinter,
    IgnorePrinter,
    OperatorPrinter,
    PatternPrinter,
    PPrinter,
    Print,
    debugprint,
    min_informative_str,
    pp,
    pprint,
    pydotprint,
    var_descriptor,
)

x, y = T.dscalars("x", "y")
v, u = T.dvectors("v", "u")
X, W = T.dmatrices("X", "W")

# --- pp ----------------------------------------------------------------------------------------------------------

FORMULAS = [
    (x + y * 2, "x + y * 2"),
    ((x + y) * 2, "(x + y) * 2"),
    (x - (y - 1), "x - (y - 1)"),
    ((x**2) ** y, "(x**2)**y"),
    (-(x**2), "-x**2"),
    ((-x) ** 2, "(-x)**2"),
    (x / (y / 3), "x / (y / 3)"),
    (1 / (1 + T.exp(-x)), "1 / (1 + exp(-x))"),
    (T.switch(x > 0, x, 0.5), "switch(x > 0, x, 0.5)"),
    (X.sum(), "sum(X)"),
    (X.sum(axis=0), "sum(X, axis=0)"),
    (T.dot(X, W).T, "dot(X, W).T"),
    (X[1:, 0], "X[1:, 0]"),
    (X[::2, v.shape[0]], "X[::2, v.shape[0]]"),
    (X.dimshuffle(0, "x", 1), "X[:, None, :]"),
    (v.dimshuffle("x", 0) + X, "v + X"),
    (T.set_subtensor(v[1:], 0), "set_subtensor(v[1:], 0)"),
    (T.cast(v, "float32"), "float32(v)"),
    (T.dvector() + 1, "<TensorType(float64, vector)> + 1"),
    (x * -2, "x * -2"),
    (T.arange(v.shape[0]), "arange(v.shape[0])"),
    (X.reshape((2, -1)), "reshape(X, (2, -1))"),
    (X.flatten(2) + X.flatten(), "flatten(X, 2) + flatten(X)"),
    (T.alloc(0.5, v.shape[0], 3), "alloc(0.5, v.shape[0], 3)"),
    (T.zeros(X.shape), "alloc(0, *X.shape)"),
    (
        theano.scan(lambda row, total, w: total + T.dot(row, w), X, x, [v])[0],
        "scan(<lambda>, sequences=[X], outputs_info=[x], non_sequences=[v])",
    ),
    (theano.map(lambda item: (item, 2 * item), v)[0][1], "scan(<lambda>, sequences=[v])[1]"),
]


@pytest.mark.parametrize(("expression", "text"), FORMULAS, ids=[text for _, text in FORMULAS])
def test_formulas(expression, text):
    assert pp(expression) == text


GRADIENTS = [
    (T.grad(x**2, x), "2 * x"),
    (T.grad(3 * x**-2, x), "-6 * x**-3"),
    (T.grad(1 / (1 + T.exp(-x)), x), "sigmoid(x) * (1 - sigmoid(x))"),
    (T.grad(v.sum(), v), "broadcast_to(1, v.shape)"),
    (T.grad((v**2).mean(), v), "2 / v.shape[0] * v"),
    (T.grad((X**2).mean(), X), "2 / (X.shape[0] * X.shape[1]) * X"),
    (T.grad(((T.dot(X, v) - u) ** 2).sum(), v), "X.T @ (2 * (X @ v - u))"),
    (T.grad(((T.dot(v, X) - u) ** 2).sum(), X), "v[:, None] @ (2 * (v @ X - u))[None, :]"),
    (X - 0.1 * T.grad((X**2).sum(), X), "X - 0.1 * (2 * X)"),
    (T.grad(T.nnet.relu(X).mean(), X), "0.5 / (X.shape[0] * X.shape[1]) + 0.5 / (X.shape[0] * X.shape[1]) * sign(X)"),
    (T.grad((v[::2] * 2).sum(), v), "grad(sum(v[::2] * 2), v)"),
    (
        T.grad(theano.reduce(lambda row, total: total + row, X, v)[0].sum(), v),
        "grad(sum(scan(<lambda>, sequences=[X], outputs_info=[v])[-1]), v)",
    ),
    (T.jacobian(v**2, v), "jacobian(v**2, v)"),
    (T.Rop(v**2, v, u), "u * (2 * v)"),
]


@pytest.mark.parametrize(("expression", "text"), GRADIENTS, ids=[text for _, text in GRADIENTS])
def test_gradients(expression, text):
    assert pp(expression) == text


def test_a_gradient_reads_as_python():
    slope = T.grad(x**3 / (1 + x), x)
    assert np.isclose(eval(pp(slope), {"x": 2.0}), float(slope.eval({x: 2.0})))


def test_numbers_that_come_of_sizes_are_told_by_their_names():
    slope = T.grad(T.var(X), X)
    value = np.arange(6.0).reshape(2, 3) ** 2
    names = {"X": value, "sum": np.sum}
    np.testing.assert_allclose(eval(pp(slope), names), slope.eval({X: value}))
    cost = -T.log(T.nnet.softmax(T.dot(X, W) + u))[T.arange(v.shape[0]), T.cast(v, "int64")].mean()
    assert "(X.shape[0], W.shape[1])" in pp(T.grad(cost, u))  # not (X.shape[0], X.shape[0])


def test_sizes_agree_with_shared_variables():
    w, b = theano.shared(np.zeros(784), name="w"), theano.shared(0.0, name="b")
    cost = T.nnet.softplus(-(T.dot(X, w) + b) * v).mean()
    text = pp(T.grad(cost, b))
    assert ("784" not in text and "X @ w" in text and "X.shape[0]" in text) or "v.shape[0]" in text


def test_a_gradient_without_sizes_says_what_was_asked_for():
    w = theano.shared(np.zeros((3, 4)), name="w")
    wrong = T.dot(theano.shared(np.zeros((2, 5)), name="u"), w)  # sizes that never fit
    assert pp(T.grad(wrong.sum(), w)) == "grad(sum(dot(u, w)), w)"


def test_functions():
    s = 1 / (1 + T.exp(-x))
    f = theano.function([x], [s, T.grad(s, x)])
    expected = "sigmoid(x), sigmoid(x) * sigmoid(-x)"
    assert pp(f) == expected
    f(1.0)
    assert pp(f) == expected and theano.pp(f) == expected


def test_the_package_has_one_pp_for_all():
    assert theano.pp(x**2) == "x**2" and theano.printing.pp is pp
    assert theano.pp(lambda a: a * 2, np.float64(1)) == "a * 2.0"


def test_own_printers():
    printer = PPrinter()
    printer.assign(T.exp, PatternPrinter("e^{%(0)s}"))
    printer.assign(T.tanh(x).owner.op, FunctionPrinter("hyperbolic"))
    printer.assign(np.multiply, OperatorPrinter("x", 13, "either"))
    printer.assign(T.neg(x).owner.op, IgnorePrinter())
    printer.assign(lambda state, item: item is y, lambda item, state: "why")
    assert printer(T.exp(T.tanh(x) * y * -x)) == "e^{hyperbolic(x) x why x x}"
    assert printer((x + 1) * y) == "(x + 1) x why"
    assert printer.clone().process(T.exp(x)) == "e^{x}" and PPrinter()(T.exp(x)) == "exp(x)"
    assert printer.process_graph([x], [x, T.exp(x)]) == "x, e^{x}"
    assert pprint(T.exp(y)) == "exp(y)"


# --- debugprint --------------------------------------------------------------------------------------------------


def test_a_tree():
    a = x * y
    text = debugprint(T.exp(a) + a, file="str")
    assert text == (
        "Elemwise{add,no_inplace} [id A] ''\n"
        " |Elemwise{exp,no_inplace} [id B] ''\n"
        " | |Elemwise{mul,no_inplace} [id C] ''\n"
        " | | |x [id D]\n"
        " | | |y [id E]\n"
        " |Elemwise{mul,no_inplace} [id C] ''\n"
    )


def test_options_of_trees():
    a = x * y
    a.name = "a"
    b = a + theano.shared(np.ones(1), name="w")
    assert "|y" not in debugprint(b, stop_on_name=True, file="str") and "'a'" in debugprint(b, file="str")
    assert debugprint(b, depth=1, file="str").count("\n") == 1
    assert "<TensorType(float64, scalar)>" in debugprint(b, print_type=True, file="str")
    assert "[id 0]" in debugprint(b, ids="int", file="str") and "[id" not in debugprint(b, ids="", file="str")
    assert f"[id {id(b)}]" in debugprint(b, ids="id", file="str")
    assert "w [[1.]]" in debugprint(b, print_storage=True, file="str")
    assert "clients:2" in debugprint(a + a, print_clients=True, file="str")
    done, used = {}, {}
    first = debugprint(a, done=done, used_ids=used, file="str")
    assert debugprint(b, done=done, used_ids=used, file="str").count("|x") == 0 and first.count("|x") == 1
    with pytest.raises(ValueError, match="ids must be"):
        debugprint(x, ids="number")
    with pytest.raises(TypeError, match="depth must be an int"):
        debugprint(x, depth="deep")
    with pytest.raises(TypeError, match="not a float"):
        debugprint(1.5)


def test_nodes_that_a_monitor_gets_are_trees_too(capsys):
    seen = []
    monitor = theano.compile.MonitorMode(post_func=lambda i, node, fn: seen.append(debugprint(node, file="str")))
    theano.function([x], T.log(x) * x, mode=monitor)(2.0)
    assert seen[1].startswith("multiply [id A] float64[]") and "log" in seen[1]


def test_where_trees_go(capsys):
    file = io.StringIO()
    assert debugprint(x + 1, file=file) is file and "Elemwise{add" in file.getvalue()
    assert theano.debugprint(x + 1) is sys.stdout
    assert capsys.readouterr().out == file.getvalue()
    debugprint([x, (x + 1).owner])
    assert "x [id A]" in capsys.readouterr().out


def test_trees_of_functions(capsys):
    w = theano.shared(np.zeros(2), name="w")
    f = theano.function([v], T.log(1 + T.exp(v * w)), updates=[(w, w + 1)])
    debugprint(f)
    assert "softplus [id A] float64[2]" in capsys.readouterr().out
    f([1.0, 2.0])
    debugprint(f, print_storage=True)
    text = capsys.readouterr().out
    assert "softplus [id A] float64[2]" in text and "w = [1. 1.]" in text


def test_trees_of_inner_graphs():
    op = theano.OpFromGraph([x], [T.exp(x) * 2], name="Twice")
    text = debugprint(op(y), file="str")
    assert "Twice{inline=False} [id A] ''\n |y [id B]" in text
    assert "Inner graphs of the ops:\n\nTwice{inline=False} [id A]\n >Elemwise{mul" in text
    values, _ = theano.map(lambda item: T.exp(item), v)
    assert " >Elemwise{exp,no_inplace}" in debugprint(values, file="str")


def test_trees_of_gradients_show_what_was_asked_for():
    text = debugprint(T.grad(x**2, x), file="str")
    assert text.startswith("grad [id A] ''\n |Elemwise{pow,no_inplace} [id B] ''\n | |x [id C]")


def test_texts_that_identify():
    assert min_informative_str(T.exp(x) + x) == (
        "A. Elemwise{add,no_inplace}\n B. Elemwise{exp,no_inplace}\n  C. x\n <C>"
    )
    assert var_descriptor(T.exp(x) + x) == var_descriptor(T.exp(y) + y) != var_descriptor(T.exp(x) + y)
    assert var_descriptor(x + 1) != var_descriptor(x + 2)
    top, where = T.max_and_argmax(X, axis=0)
    assert var_descriptor(top) != var_descriptor(where)


# --- pictures ----------------------------------------------------------------------------------------------------


def test_pictures(tmp_path, capsys):
    expression = T.grad(T.exp(x * y) + x, x)
    f = theano.function([x, y], expression)
    pydotprint(f, tmp_path / "function.svg")
    assert f"available at {tmp_path / 'function.svg'}" in capsys.readouterr().out
    pydotprint([expression, x + y], tmp_path / "variables", format="dot", with_ids=True, print_output_file=False)
    source = (tmp_path / "variables.dot").read_text()
    assert "grad" in source and "add id=" in source and capsys.readouterr().out == ""
    pydotprint((x + y).owner, tmp_path / "call.dot", max_label_size=5)
    assert theano.draw(x + y, tmp_path / "drawn.dot") is None and (tmp_path / "drawn.dot").exists()
    with pytest.raises(TypeError, match="can be drawn"):
        pydotprint(3, tmp_path / "no.svg")


def test_pictures_of_long_names_and_several_outputs(tmp_path):
    op = theano.OpFromGraph([x], [x, x * 2], name="AVeryLongNameIndeed")
    pydotprint(op(y)[1], tmp_path / "short.dot", max_label_size=10)
    source = (tmp_path / "short.dot").read_text()
    assert "AVeryLo..." in source and "[1]" in source


def test_pictures_for_notebooks():
    assert pydotprint(x + y, return_image=True)._repr_svg_().count("<svg") == 1


def test_pictures_of_steps(tmp_path):
    values, _ = theano.map(lambda item: T.exp(item), v)
    pydotprint(values, tmp_path / "scan.dot", scan_graphs=True, print_output_file=False)
    assert "exp" in (tmp_path / "scan_scan0.dot").read_text()


def boxes_of(page):
    return json.loads(re.search(r"const boxes = (\[.*?\]), all = ", page.read_text(encoding="utf-8")).group(1))


def test_pages(tmp_path):
    page = tmp_path / "graph.html"
    f = theano.function([x, y], T.exp(x * y) + x, name="</script>")
    theano.d3viz.d3viz(f, page)
    titles = {box["title"]: box for box in boxes_of(page)}
    assert {"x", "y", "exp"} <= set(titles) and titles["x"]["kind"] == "input"
    assert "http" not in page.read_text().replace("http://www.w3.org/2000/svg", "")
    assert page.read_text().count("</script>") == 1
    theano.d3viz.d3viz(T.grad(x**2, x), page)
    assert any(box["title"] == "grad" and box["kind"] == "output" for box in boxes_of(page))
    theano.d3viz.d3write(f, tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text().startswith("digraph")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs the program `node`")
def test_pages_have_a_script_that_can_be_read(tmp_path):
    page = tmp_path / "graph.html"
    theano.d3viz.d3viz(x + y, page)
    script = re.search(r"<script>(.*)</script>", page.read_text(encoding="utf-8"), re.DOTALL).group(1)
    (tmp_path / "script.js").write_text(script, encoding="utf-8")
    subprocess.run(["node", "--check", tmp_path / "script.js"], check=True, capture_output=True)


# --- values as they are computed -----------------------------------------------------------------------------------


def test_print(capsys):
    f = theano.function([v], Print("v is", attrs=("shape", "mean", "__str__"))(v) * 2)
    assert capsys.readouterr().out == ""
    for _ in range(2):
        np.testing.assert_array_equal(f([1.0, 2.0]), [2, 4])
        assert capsys.readouterr().out == "v is shape = (2,)\nv is mean = 1.5\nv is __str__ = [1. 2.]\n"


def test_print_and_derivatives(capsys):
    cost = (Print("seen")(v) ** 2).sum()
    f = theano.function([v, u], [T.grad(cost, v), T.Rop(cost, v, u)])
    slope, pushed = f([1.0, 2.0], [1.0, 1.0])
    np.testing.assert_array_equal(slope, [2, 4])
    assert float(pushed) == 6
    assert capsys.readouterr().out == "seen __str__ = [1. 2.]\n"


def test_print_of_constants_in_scans_and_in_traces(capsys):
    f = theano.function([], Print("constant")(T.constant(2.0)) + 1)
    assert capsys.readouterr().out == ""
    f()
    assert capsys.readouterr().out == "constant __str__ = 2.0\n"
    values, _ = theano.map(lambda item: Print("item")(item), v)
    theano.function([v], values)([1.0, 2.0])
    assert capsys.readouterr().out == "item __str__ = 1.0\nitem __str__ = 2.0\n"
    theano.compile(lambda a: Print("traced")(a) * 2)(np.ones(1))
    assert capsys.readouterr().out == "traced __str__ = [1.]\n"


def test_print_with_a_function_of_ones_own():
    seen = []
    f = theano.function([x], Print("note", global_fn=lambda op, value: seen.append((op.message, float(value))))(x))
    assert float(f(2.0)) == 2 and seen == [("note", 2.0)]


def test_breakpoints(monkeypatch, capsys):
    stopped = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stopped.append(sys._getframe(1).f_locals["monitored"]))
    a, b = theano.printing.PdbBreakpoint("x is large")(x > 2, x, y)
    f = theano.function([x, y], [a + b, T.grad(a * b, x)])
    assert [float(item) for item in f(1.0, 5.0)] == [6, 5] and not stopped
    f(3.0, 5.0)
    assert [float(item) for item in stopped[0]] == [3, 5] and "x is large" in capsys.readouterr().out
    single = theano.tests.breakpoint.PdbBreakpoint("one")(x > 2, x)
    assert single.type == x.type
    with pytest.raises(TypeError, match="must be a scalar"):
        theano.printing.PdbBreakpoint("")(v, v)


def test_assertions():
    positive, longer = T.gt(v, 0).all(), v.shape[0] > 1
    checked = T.opt.Assert("v is bad")(v, positive, longer)
    f = theano.function([v], [checked * 2, T.grad((checked**2).sum(), v)])
    for function in (f, pickle.loads(pickle.dumps(f))):
        np.testing.assert_array_equal(function([1.0, 2.0]), [[2, 4], [2, 4]])
        for bad in ([1.0, -1.0], [1.0]):
            with pytest.raises(AssertionError, match="v is bad"):
                function(bad)
    rows, _ = theano.map(lambda item: T.opt.assert_op(item, item > 0), v)
    with pytest.raises(AssertionError, match="does not hold"):
        theano.function([v], rows)([1.0, 0.0])
    with pytest.raises(OverflowError, match="too much"):
        theano.raise_op.CheckAndRaise(OverflowError, "too much")(x, x < 10).eval({x: 11.0})
    theano.function([v], T.ones_like(checked))([-1.0])  # what nothing uses is not checked
    assert pp(checked) == "Assert(v, all(v > 0), v.shape[0] > 1)"
    with pytest.raises(TypeError, match=r"must be a scalar, not TensorType\(bool, vector\)(.|\n)*HINT"):
        T.opt.Assert("")(v, v > 0)
    with pytest.raises(theano.gradient.DisconnectedInputError):
        T.grad(T.opt.assert_op(y, x > 0), x)
