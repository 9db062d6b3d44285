"""Profiles: what is counted is exact, shares add up, nothing changes, and all ways to look at them are well-formed."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

import tracer
import tracer as theano
import tracer.tensor as T
from tracer import errors
from tracer.profiling import Profile, profile
from tracer.profiling.groups import CALL, STEPS


def of(kind, found):
    """The groups of a kind, inner ones too."""
    return [group for outer in found.groups for group in outer.walk() if group.kind == kind]


def check(found):
    """What holds for every profile."""
    assert sum(group.share for group in found.groups) == pytest.approx(1)
    assert [group.time for group in found.groups] == sorted((group.time for group in found.groups), reverse=True)
    for outer in found.groups:
        for group in outer.walk():
            assert group.time >= 0 and group.runs >= 0
            assert group.lost is None or 0 <= group.lost <= group.time
            if group.groups:
                assert sum(part.time for part in group.groups) == pytest.approx(group.time)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 120 and "limit" in text
    return found


@tracer.compile
def two_products(x, y):
    return np.exp(x @ y).sum(axis=0), y * 2.0


def test_bytes_and_operations_are_exact():
    x, y = np.ones((20, 30)), np.ones((30, 10))
    found = check(two_products.profile(x, y))
    (product,) = of("matmul", found)
    assert product.flops == 2 * 20 * 30 * 10
    assert (product.cost.read, product.cost.written) == (8 * (600 + 300), 8 * 200)
    (total,) = of("reduction", found)
    assert total.flops == 2 * 200  # the exponential and the addition of each element
    assert (total.cost.read, total.cost.written) == (8 * 200, 8 * 10)
    (double,) = of("loop", found)
    assert double.flops == 300 and double.bytes == 2 * 8 * 300 and double.text == "y * 2.0"
    assert double.dtype == np.float64 and double.shape == (30, 10)
    assert double.lines[0].file == __file__ and "test_profiles.py:" in double.place
    assert found.flops == 2 * 20 * 30 * 10 + 400 + 300
    assert found.total > 0 and 0 <= found.coverage <= 1 and found.limit <= found.total
    with_views = tracer.compile(lambda x: x[1:] + x[:-1]).profile(np.ones(101, np.float32))
    (shifted,) = of("loop", with_views)
    assert (shifted.cost.read, shifted.cost.written) == (4 * 101, 4 * 100)  # what two views share is read once


def test_other_types_and_no_elements():
    add = tracer.compile(lambda a, b: a + b)
    assert of("loop", add.profile(np.ones(5, complex), np.ones(5, complex)))[0].flops == 10
    row, column = np.ones((1, 4), np.int8), np.ones((3, 1), np.int8)
    assert of("loop", add.profile(row, column))[0].bytes == 4 + 3 + 12
    empty = check(add.profile(np.ones((0, 3)), np.ones((0, 3))))
    assert empty.bytes == 0 and empty.flops == 0
    nothing = check(tracer.compile(lambda x: x).profile(np.ones(3)))
    assert [group.kind for group in nothing.groups] == [CALL] and "div" in nothing.html()


def test_groups_within_loops():
    @tracer.compile
    def recurrence(x, w):
        last, rows = tracer.scan(lambda h, row: (np.tanh(h @ w + row), h), x[0] * 0.0, x)
        return tracer.cond(last.sum() > 0, lambda: rows.sum(), lambda: rows.min())

    found = check(recurrence.profile(np.ones((50, 8)), np.eye(8)))
    (loop,) = of("scan", found)
    (product,) = of("matmul", found)
    assert product.runs == 50 and product.flops == 50 * 2 * 8 * 8
    assert product in loop.groups and loop.groups[-1].kind == STEPS and loop.flops >= product.flops
    (branch,) = of("branch", found)
    assert sorted(part.runs for part in branch.groups if part.kind == "reduction") == [0, 1]
    plan = recurrence.explain()
    assert "#1.0" in plan and " 50 " in plan and "scan of 50 steps" in plan


def test_nothing_changes():
    state, generator = tracer.shared(np.zeros(4), name="state"), np.random.default_rng(5)

    @tracer.compile
    def step(x, out, generator):
        noise = generator.normal(size=4)
        state.set(state + x + noise)
        out[:2] = x[:2] * 2.0
        return state * noise

    x, out = np.arange(4.0), np.full(4, 7.0)
    found = check(step.profile(x, out, generator))
    assert not state.get_value().any() and (out == 7).all() and (x == np.arange(4.0)).all()
    assert generator.normal() == np.random.default_rng(5).normal()
    assert "would change something" in of(CALL, found)[0].text
    step(x, out, generator)
    assert state.get_value().all() and out[1] == 2
    held = state.get_value()
    step.profile(x, out, generator)
    assert (state.get_value() == held).all()


def test_transforms_partial_functions_and_plans():
    def cost(w, x):
        return np.sum(np.tanh(x * w))

    w, x = np.ones(3), np.ones((6, 3))
    for function in (tracer.grad(cost), tracer.value_and_grad(cost), tracer.vmap(cost, in_axes=(None, 0))):
        assert check(function.profile(w, x)).flops > 0
        assert "program of" in function.explain()
    import functools

    assert check(profile(functools.partial(tracer.grad(cost), w), (x,), rounds=2)).rounds == 2
    guarded = tracer.compile(lambda x: x * 2.0 if x.sum() > 0 else x @ x, branches="guard")
    assert of("loop", guarded.profile(x[0])) and of("matmul", guarded.profile(-x[0]))


def test_theano_functions_and_their_stats():
    x, w = T.dmatrix("x"), theano.shared(np.ones((4, 2)), name="w")
    f = theano.function([x], T.exp(T.dot(x, w)).sum(), updates=[(w, w * 2)])
    check(profile(f, [np.ones((3, 4))], rounds=3))
    assert (w.get_value() == 1).all()
    g = theano.function([x], T.dot(x, x.T) + 1, profile=theano.ProfileStats("squares", atexit_print=False))
    for size in (3, 3, 4):
        g(np.ones((size, 4)))
    first, second = g.profile.profiles()
    assert {check(first).rounds, check(second).rounds} == {2, 1}
    assert {of("matmul", item)[0].flops for item in (first, second)} == {2 * 3 * 3 * 4, 2 * 4 * 4 * 4}
    assert check(profile(g, [np.ones((3, 4))], rounds=2)).name == g.name and g.profile.fct_callcount == 3


class Page(HTMLParser):
    """Checks that elements are closed, and collects them."""

    VOID = frozenset(("meta", "link", "br", "img"))

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_pages(tmp_path):
    found = two_products.profile(np.ones((20, 30)), np.ones((30, 10)))
    assert found.html(tmp_path / "page.html") == tmp_path / "page.html"
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.seen.count("svg") == 5 and page.seen.count("tr") == 2 + len(found.groups) - 1
    assert not {"script", "link", "img", "iframe"} & set(page.seen)
    assert not any(name in ("src", "href") for name, _ in page.attributes) and "http" not in text and "nan" not in text
    assert "prefers-color-scheme" in text and "two_products" in text
    assert Page(found._repr_html_()).seen.count("table") == 1
    explained = two_products.explain("html", tmp_path / "plan.html")
    assert Page(explained.read_text(encoding="utf-8")).seen.count("svg") >= 4
    assert two_products.explain("text", tmp_path / "plan.txt").read_text(encoding="utf-8") == two_products.explain()
    marked = tracer.compile(lambda x: x * (x < 2), name="<b>&").profile(np.ones(3))
    assert "<b>&" not in marked.html() and Page(marked.html())


def test_traces(tmp_path):
    found = tracer.value_and_grad(lambda x: np.sum(np.exp(x) @ x)).profile(np.ones((9, 9)))
    events = json.loads(found.chrome_trace(tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert {"trace", "derive", "rewrite", "lower", "build", "call 0"} <= {event["name"] for event in spans}
    assert all(event["dur"] >= 0 and event["ts"] >= 0 and event["pid"] == 1 for event in spans)
    (call,) = [event for event in spans if event["name"] == "call 0"]
    steps = [event for event in spans if event["tid"] == call["tid"] and event.get("args", {}).get("computes")]
    first = [event for event in steps if call["ts"] <= event["ts"] <= call["ts"] + call["dur"]]
    assert len(first) == len(found.groups) - 1
    assert sum(event["dur"] for event in first) <= call["dur"] * 1.001
    named = [event for event in events if event["ph"] == "M"]
    assert {event["tid"] for event in spans} <= {event["tid"] for event in named}


def test_what_cannot_be_profiled():
    with pytest.raises(TypeError, match="is not compiled"):
        profile(np.sum, (1.0,))
    with pytest.raises(ValueError, match="rounds=0"):
        profile(two_products, (np.ones((2, 3)), np.ones((3, 1))), rounds=0)
    with pytest.raises(errors.TraceError, match="op by op"):
        tracer.compile(lambda x: x + 1, backend="reference").profile(1.0)
    with pytest.raises(errors.TraceError, match="outside of it"):
        tracer.compile(lambda x: two_products.profile(x, x))(np.ones((2, 2)))
    with pytest.raises(ValueError, match="no format 'pdf'"):
        two_products.explain("pdf")
    with pytest.raises(IndexError):
        tracer.compile(lambda x, i: x[i]).profile(np.ones(3), np.array([7]))


def test_an_empty_profile_says_so():
    found = Profile("f", "x", (), 0.0, 0, two_products.plan(np.ones((2, 3)), np.ones((3, 1))).executable.program, [])
    assert found.coverage == 0 and found.advice == [] and Page(found.html())


def test_what_each_thread_does(tmp_path):
    with tracer.config.changed(threads=2):
        found = profile(tracer.compile(lambda x: np.tanh(x) * 2.0), [np.ones(400_000)], rounds=3)
        (loop,) = of("loop", found)
        assert loop.threads == 2
        # On a busy machine one of them may come too late for any work.
        threads = sorted(stretch.thread for stretch in found.stretches)
        assert threads in ([0], [1], [0, 1])
        assert all(item.start >= 0 and item.seconds > 0 for item in found.stretches)
    events = json.loads(found.chrome_trace(tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert sorted(event["tid"] - 100 for event in events if event["name"] == "part of #0 loop") == threads


def test_a_loop_in_native_code_is_one_piece_with_all_that_is_inside():
    pytest.importorskip("llvmlite")
    with tracer.config.changed(jit="always"):
        line = tracer.compile(lambda x: tracer.scan(lambda c, v: (c * 0.5 + v, c), x[0], x)[1])
        found = check(line.profile(np.ones(3000)))
    (loop,) = of("scan", found)
    assert loop.flops == 2 * 3000 and loop.bytes > 0
    assert (loop.groups == ()) == bool(loop.native)
