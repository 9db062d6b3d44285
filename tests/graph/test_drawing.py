"""Pictures: graphviz source, the layout, and files drawn by graphviz or by matplotlib."""

import shutil
import sys
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from rewrite.traced_graphs import graph_of, variable

import tracer
from tracer.graph import drawing
from tracer.graph.drawing import Layout, dot, draw, layout
from tracer.graph.graph import toposort
from tracer.graph.text import caption, nodes_of

A, B = (variable(np.ones((3, 3)), name) for name in "ab")


@pytest.fixture
def without_graphviz(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def graphviz(tmp_path, monkeypatch):
    """Put a shell script in the place of the program `dot`."""

    def install(script):
        program = tmp_path / "dot"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(program))

    return install


def network(x, w, v):
    h = np.tanh(x @ w)
    z = h @ v - np.max(h @ v, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(z), axis=1))) ** 2.0


def value_and_gradient():
    """The outputs of a network's loss and gradients, as nodes."""

    def both(x, w, v):
        cost = network(x, w, v)
        return (cost, *tracer.grad(cost, [w, v]))

    shapes = ((8, 4), (4, 6), (6, 3))
    plan = tracer.compile(both).plan(*(np.ones(shape) for shape in shapes))
    return plan.traced.graph.outputs


def random_outputs(seed):
    rng = np.random.default_rng(seed)
    pool = [A, B, variable(np.ones(3), "a_much_longer_name_than_is_shown_in_a_box")]
    functions = (np.add, np.multiply, np.subtract, lambda x, y: np.where(x > y, x, 2.0), lambda x, y: np.max(x) * y)
    for _ in range(40):
        left, right = (pool[rng.integers(max(0, len(pool) - 10), len(pool))] for _ in "ab")
        pool.append(functions[rng.integers(len(functions))](left, right))
    return nodes_of([pool[place] for place in rng.integers(len(pool) // 2, len(pool), 4)])


GRAPHS = {
    "input": lambda: [A],
    "square": lambda: [A * A],
    "chain": lambda: [np.exp(np.sin(A) * A + A)],
    "outputs": lambda: [A, A + B, A, np.sin(A + B)],
    "separate": lambda: [np.sin(A), np.cos(B)],
    "wide": lambda: [np.concatenate([A[k:] for k in range(3)] * 6)],
    "network": value_and_gradient,
    **{f"random {seed}": lambda seed=seed: random_outputs(seed) for seed in range(5)},
}


# --- source ------------------------------------------------------------------------------------------------------


def test_source_names_every_node_and_edge():
    graph = graph_of(lambda x: np.exp(x) + np.sum(x), np.ones(3))
    source = dot(graph.outputs)
    assert source.startswith("digraph {") and source.endswith("}\n")
    assert source.count('label="') == 4 and source.count(" -> ") == 4
    assert "lightblue" in source and "palegreen" in source


def test_source_quotes_labels():
    named = variable(np.zeros(1), 'the "best" \\ one')
    assert 'label="the \\"best\\" \\\\ one\\nfloat64[1]"' in dot(named)


def test_source_marks_positions_where_they_matter():
    assert dot(A - B).count("[label=") == 3 + 2
    assert dot(A + B).count("[label=") == 3


@pytest.mark.parametrize("ending", ["dot", "gv"])
def test_source_is_written_without_any_program(ending, tmp_path, without_graphviz):
    assert draw(A + B, tmp_path / f"graph.{ending}").read_text(encoding="utf-8") == dot(A + B)


# --- the layout --------------------------------------------------------------------------------------------------


def drawn_boxes(picture: Layout):
    return [box for row in picture.rows for box in row if box.node is not None]


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_do_not_overlap(name):
    picture = layout(GRAPHS[name]())
    boxes = drawn_boxes(picture)
    for box, other in combinations(boxes, 2):
        apart = abs(box.x - other.x) - (box.width + other.width) / 2
        assert max(apart, abs(box.y - other.y) - (box.height + other.height) / 2) > 5
    for box in boxes:
        assert 0 < box.x - box.width / 2 and box.x + box.width / 2 < picture.width
        assert 0 < box.y - box.height / 2 and box.y + box.height / 2 < picture.height


@pytest.mark.parametrize("name", GRAPHS)
def test_every_line_goes_downward_and_passes_no_box(name):
    picture = layout(GRAPHS[name]())
    for box in drawn_boxes(picture):
        assert len(box.above) == len(box.inputs) == len(box.node.inputs)
        for item, source in zip(box.inputs, box.above, strict=True):
            end = box
            while source.node is None:
                assert source.y + source.reach < end.y - end.reach
                assert source.level == end.level + 1
                end, source = source, source.above[0]
            assert source is item and source.y + source.reach < end.y - end.reach
    for row in picture.rows:
        for bend in row:
            for box in row:
                if bend.node is None and box is not bend:
                    assert abs(bend.x - box.x) > box.width / 2 + 3


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_has_its_box(name):
    outputs = GRAPHS[name]()
    boxes = drawn_boxes(layout(outputs))
    assert {box.node for box in boxes} == set(toposort(nodes_of(outputs)))
    for box in boxes:
        assert [item.node for item in box.inputs] == list(box.node.inputs)
    tags = {box.node: box.tag for box in boxes if box.tag}
    assert set(tags) == set(nodes_of(outputs))


def test_outputs_are_marked():
    tags = {box.title: box.tag for box in drawn_boxes(layout([A, A + B, A]))}
    assert tags == {"a": "outputs 0, 2", "+": "output 1", "b": ""}
    assert [box.tag for box in drawn_boxes(layout(np.sin(A)))] == ["", "output"]


def test_single_numbers_are_boxes_next_to_their_uses():
    boxes = drawn_boxes(layout(np.sin(np.sin(A * 2.0) * 2.0) * 2.0))
    numbers = [box for box in boxes if box.title == "2.0"]
    assert len(numbers) == 3
    assert all(box.level == box.users[0].level + 1 for box in numbers)


def test_the_same_graph_has_the_same_layout():
    outputs = random_outputs(7)
    first, second = ([(box.x, box.y) for row in layout(outputs).rows for box in row] for _ in range(2))
    assert first == second


# --- with matplotlib ---------------------------------------------------------------------------------------------


def test_svg_is_xml_with_every_label(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    outputs = value_and_gradient()
    root = ElementTree.parse(draw(outputs, tmp_path / "graph.svg")).getroot()
    assert root.tag.endswith("svg")
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    for node in toposort(outputs):
        assert caption(node) in texts
        assert node.is_constant or str(node.type) in texts
    assert {"output 0", "output 1", "output 2"} <= texts


def test_the_same_graph_makes_the_same_svg(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    first, second = (draw(A @ B - 1.0, tmp_path / f"{name}.svg").read_bytes() for name in "ab")
    assert first == second


def test_png_and_pdf(tmp_path, without_graphviz):
    image = pytest.importorskip("matplotlib.image")
    tracer.draw(network, tmp_path / "graph.png", np.ones((8, 4)), np.ones((4, 6)), np.ones((6, 3)))
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = image.imread(tmp_path / "graph.png")
    assert min(pixels.shape[:2]) > 300
    inked = np.any(pixels[..., :3] < 0.9, axis=-1)
    assert 0.01 < inked.mean() < 0.5
    assert np.all(pixels[0] == 1.0)
    assert draw(A + B, tmp_path / "graph.pdf").read_bytes().startswith(b"%PDF")


def test_the_users_matplotlib_is_left_alone(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot, rcParams

    figures, settings = pyplot.get_fignums(), dict(rcParams)
    draw(A + B, tmp_path / "graph.png")
    assert pyplot.get_fignums() == figures and dict(rcParams) == settings


def test_texts_are_no_formulas(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    named = variable(np.zeros(1), '$x_1$ <&> "y"')
    root = ElementTree.parse(draw(named, tmp_path / "graph.svg")).getroot()
    assert any(element.text == '$x_1$ <&> "y"' for element in root.iter())


def test_large_graphs_are_refused(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    value = A
    for _ in range(drawing.MOST_NODES):
        value = np.sin(value)
    with pytest.raises(ValueError, match=r"401 nodes is too large(.|\n)*\.dot(.|\n)*dot -Tsvg"):
        draw(value, tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()
    draw(value, tmp_path / "graph.dot")


def test_unknown_endings(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"nonsense cannot be drawn(.|\n)*HINT: end it in \.svg"):
        draw(A, tmp_path / "graph.nonsense")


def test_an_error_says_what_to_install(tmp_path, monkeypatch, without_graphviz):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeError) as caught:
        draw(A, tmp_path / "graph.svg")
    for words in ("pip install 'tracer-autodiff[plot]'", "apt install graphviz", ".dot"):
        assert words in str(caught.value)
    draw(A, tmp_path / "graph.dot")


# --- with graphviz -----------------------------------------------------------------------------------------------


def test_graphviz_draws_where_it_is(tmp_path, graphviz):
    graphviz('echo "$1" > "$3" && cat >> "$3"')
    assert draw(A + B, tmp_path / "graph.svg").read_text() == "-Tsvg\n" + dot(A + B)


def test_graphviz_says_what_it_cannot_draw(tmp_path, graphviz):
    graphviz("cat > /dev/null; echo no such format >&2; exit 1")
    with pytest.raises(ValueError, match="cannot be drawn: no such format"):
        draw(A, tmp_path / "graph.nonsense")


def test_graphviz_is_not_waited_for_forever(tmp_path, graphviz, monkeypatch):
    graphviz("exec sleep 30")
    monkeypatch.setattr(drawing, "_SECONDS", 0.2)
    with pytest.raises(RuntimeError, match=r"after 0\.2 seconds(.|\n)*\.dot"):
        draw(A, tmp_path / "graph.svg")


def test_the_real_graphviz(tmp_path):
    if shutil.which("dot") is None:
        pytest.skip("needs the program `dot` of Graphviz")
    for ending in ("svg", "png"):
        assert draw(A + B, tmp_path / f"graph.{ending}").stat().st_size > 100
    with pytest.raises(ValueError, match="cannot be drawn"):
        draw(A, tmp_path / "graph.nonsense")
