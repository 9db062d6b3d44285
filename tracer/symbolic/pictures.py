"""Symbolic expressions and compiled functions as pictures: image files, and pages that a browser shows."""

from __future__ import annotations

import html
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracer.graph import drawing
from tracer.graph.graph import Graph
from tracer.graph.node import CONSTANT, INPUT, Node, blame, constant, input_node, item_nodes, make_node
from tracer.graph.op import Op
from tracer.rewrite.passes import optimise
from tracer.symbolic.derivatives import shown_inputs
from tracer.symbolic.function import Function
from tracer.symbolic.stand_in_sizes import stand_ins
from tracer.tracing.recording import Apply
from tracer.tracing.replay import applies, leaves_of
from tracer.tracing.symbolic import Symbolic
from tracer.tracing.symbolic_type import TensorType
from tracer.types import ArrayType, TupleType


def nodes_to_draw(fct: Any, with_ids: bool = False, max_label_size: int = 70) -> list[Node]:
    """The graph of a function after rewriting, or of expressions as they were recorded."""
    if isinstance(fct, Function):
        plan = fct.program.last_plan
        if plan is not None:
            return list(plan.graph.outputs)
        wanted = [*(item.variable for item in fct.maker.outputs), *fct.program.updates.values()]
        sizes = stand_ins(wanted)
        if sizes is not None:
            values = [item.__tracer_node__ for item in sizes.replay(wanted)]
            return list(optimise(Graph((), tuple(values))).outputs)
        fct = wanted
    items = fct if isinstance(fct, list | tuple) else [fct]
    variables = [item.outputs[0] if isinstance(item, Apply) else item for item in items]
    if not variables or not all(isinstance(item, Symbolic) for item in variables):
        raise TypeError(f"only functions and symbolic variables can be drawn, not {fct!r}")
    return recorded_nodes(variables, with_ids, max_label_size)


def recorded_nodes(outputs: Sequence[Any], with_ids: bool = False, max_label_size: int = 70) -> list[Node]:
    """Nodes that only show recorded calls: their names, inputs and types."""
    found: dict[Any, Node] = {}
    for item in leaves_of(outputs):
        if item.is_constant:
            found[item] = constant(item.data)
        else:
            found[item] = input_node(_shown_type(item), item.name or f"<{item.type}>")
    for place, node in enumerate(applies(outputs)):
        name = node.op.name if len(node.op.name) <= max_label_size else node.op.name[: max_label_size - 3] + "..."
        types = tuple(_shown_type(item) for item in node.outputs)
        # Every call has an op of its own, so that equal ones are told apart, as they are in the expression.
        op = Op(f"{name} id={place}" if with_ids else name, "call", _type_rule(types), _not_computed)
        with blame(node.line):
            made = make_node(op, tuple(found[item] for item in shown_inputs(node)))
        if len(types) == 1:
            found[node.outputs[0]] = made
        else:
            found.update(zip(node.outputs, item_nodes(made), strict=True))
    return [found[item] for item in outputs]


def _type_rule(types: tuple[ArrayType, ...]) -> Any:
    return lambda _: types[0] if len(types) == 1 else TupleType(types)


def _not_computed(*_: Any) -> Any:
    raise TypeError("the nodes of a picture are not computed")


def _shown_type(variable: Any) -> ArrayType:
    kind = variable.type
    if isinstance(kind, TensorType):
        return ArrayType(kind.numpy_dtype, kind.shape)
    return ArrayType(np.dtype(bool), ())


class Picture:
    """A drawing that notebooks show.

    Attributes
    ----------
    data : str
        Its SVG text.
    """

    def __init__(self, data: str) -> None:
        self.data = data

    def _repr_svg_(self) -> str:
        return self.data


def pydotprint(
    fct: Any,
    outfile: str | os.PathLike[str] | None = None,
    compact: bool = True,
    format: str = "png",
    with_ids: bool = False,
    high_contrast: bool = True,
    cond_highlight: Any = None,
    colorCodes: Any = None,
    max_label_size: int = 70,
    scan_graphs: bool = False,
    var_with_name_simple: bool = False,
    print_output_file: bool = True,
    assert_nb_all_strings: int = -1,
    return_image: bool = False,
) -> Any:
    """Draw a function, or an expression as it was recorded, with Graphviz or else with matplotlib.

    Parameters
    ----------
    fct : function, variable, Apply, or list of variables
        What to draw.
    outfile : str or path, optional
        The file; "tracer.pydotprint." and the format if None.
    format : str
        "png", "svg", "pdf" or "dot"; the ending of `outfile` counts if it has one.
    with_ids : bool
        Whether recorded calls show their number.
    max_label_size : int
        The most letters of a label.
    scan_graphs : bool
        Whether to draw the steps of scans too, each to a file of its own.
    print_output_file : bool
        Whether to print the name of the file.
    return_image : bool
        Return an SVG picture for a notebook instead of writing a file.
    compact, high_contrast, cond_highlight, colorCodes, var_with_name_simple, assert_nb_all_strings
        Accepted for compatibility; pictures are compact and have fixed colours.

    Raises
    ------
    RuntimeError
        If neither Graphviz nor matplotlib is installed; "dot" files need neither.
    TypeError
        If it is nothing that can be drawn.
    """
    outputs = nodes_to_draw(fct, with_ids, max_label_size)
    if return_image:
        with tempfile.TemporaryDirectory() as folder:
            return Picture(drawing.draw(outputs, Path(folder) / "graph.svg").read_text(encoding="utf-8"))
    target = Path(outfile if outfile is not None else f"tracer.pydotprint.{format}")
    if not target.suffix:
        target = target.with_suffix(f".{format}")
    written = [drawing.draw(outputs, target)]
    for number, inner in enumerate(_steps_of(fct) if scan_graphs else []):
        place = target.with_name(f"{target.stem}_scan{number}{target.suffix}")
        written.append(drawing.draw(recorded_nodes(inner, with_ids, max_label_size), place))
    if print_output_file:
        for place in written:
            print(f"The output file is available at {place}")
    return None


def _steps_of(fct: Any) -> list[list[Any]]:
    """What each scan in an expression or function computes in a step."""
    if isinstance(fct, Function):
        fct = [item.variable for item in fct.maker.outputs]
    items = [item.outputs[0] if isinstance(item, Apply) else item for item in (fct if isinstance(fct, list) else [fct])]
    leaves = [leaf for node in applies(items) for leaf in node.arguments]
    return [list(leaf.results) for leaf in leaves if hasattr(leaf, "results") and not isinstance(leaf, Symbolic)]


# --- pages -------------------------------------------------------------------------------------------------------


def d3viz(fct: Any, outfile: str | os.PathLike[str], copy_deps: bool = True) -> None:
    """Write a page on which a graph can be moved, enlarged, and followed from node to node.

    Parameters
    ----------
    fct : function, variable, Apply, or list of variables
        What to show.
    outfile : str or path
        The page, an HTML file that needs nothing else.
    copy_deps : bool
        Accepted for compatibility: there is nothing to copy.

    Raises
    ------
    TypeError
        If it is nothing that can be drawn.
    """
    picture = drawing.layout(nodes_to_draw(fct))
    boxes = [box for row in picture.rows for box in row if box.node is not None]
    numbers = {id(box): number for number, box in enumerate(boxes)}
    shown = [
        {
            "x": round(box.x, 1),
            "y": round(box.y, 1),
            "w": round(box.width, 1),
            "h": round(box.height, 1),
            "kind": _kind(box),
            "title": box.title,
            "detail": box.detail,
            "about": _about(box.node),
            "inputs": [numbers[id(source)] for source in box.inputs],
        }
        for box in boxes
    ]
    data = json.dumps(shown).replace("</", "<\\/")
    title = html.escape(getattr(fct, "name", None) or "Graph")
    page = (
        _PAGE.replace("TITLE", title)
        .replace("WIDTH", f"{picture.width:.0f}")
        .replace("HEIGHT", f"{picture.height:.0f}")
    )
    Path(outfile).write_text(page.replace("BOXES", data), encoding="utf-8")


def d3write(fct: Any, path: str | os.PathLike[str]) -> None:
    """Write a graph as the source of a Graphviz drawing."""
    Path(path).write_text(drawing.dot(nodes_to_draw(fct)), encoding="utf-8")


def _kind(box: drawing.Box) -> str:
    node = box.node
    if box.tag:
        return "output"
    return (
        "input"
        if node is not None and node.op is INPUT
        else "constant"
        if node is not None and node.op is CONSTANT
        else "op"
    )


def _about(node: Node | None) -> str:
    return "" if node is None else f"{node.op.name}: {node.type}" + (f", made at {node.line}" if node.line else "")


_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>TITLE</title><style>
body { margin: 0; font: 13px monospace; background: #fff; color: #222; }
svg { width: 100vw; height: 100vh; cursor: grab; }
rect { stroke: #667; } .op rect { fill: #fff; } .input rect { fill: #dbeafe; } .constant rect { fill: #eee; }
.output rect { fill: #dcfce7; stroke-width: 2; } .detail { font-size: 8px; fill: #667; } text { text-anchor: middle; }
path { fill: none; stroke: #99a; } .dim { opacity: 0.15; }
#about { position: fixed; left: 12px; bottom: 12px; background: #fffd; padding: 4px 8px; }
</style></head><body><svg><g id="all"></g></svg><div id="about">
Drag to move, turn the wheel to enlarge, point at a node to see what it is computed from and who uses it.</div><script>
const boxes = BOXES, all = document.getElementById("all"), about = document.getElementById("about");
const make = (kind, values, parent) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const key in values) made.setAttribute(key, values[key]);
  return parent.appendChild(made);
};
const lines = [], shapes = [], users = boxes.map(() => []);
boxes.forEach((box, number) => box.inputs.forEach(source => {
  const from = boxes[source], top = from.y + from.h / 2, end = box.y - box.h / 2, middle = (top + end) / 2;
  const d = `M${from.x},${top}C${from.x},${middle} ${box.x},${middle} ${box.x},${end}`;
  lines.push({ source, number, shape: make("path", { d }, all) });
  users[source].push(number);
}));
const reach = (start, next) => {
  const found = new Set(), stack = [start];
  while (stack.length) {
    const number = stack.pop();
    if (!found.has(number)) { found.add(number); stack.push(...next(number)); }
  }
  return found;
};
const show = chosen => {
  shapes.forEach((shape, number) => shape.classList.toggle("dim", !!chosen && !chosen.has(number)));
  for (const line of lines) {
    line.shape.classList.toggle("dim", !!chosen && !(chosen.has(line.source) && chosen.has(line.number)));
  }
};
boxes.forEach((box, number) => {
  const shape = make("g", { class: box.kind }, all), left = box.x - box.w / 2, top = box.y - box.h / 2;
  shapes.push(shape);
  make("rect", { x: left, y: top, width: box.w, height: box.h, rx: box.kind === "input" ? box.h / 2 : 4 }, shape);
  make("text", { x: box.x, y: box.y + (box.detail ? 0 : 4) }, shape).textContent = box.title;
  if (box.detail) make("text", { x: box.x, y: box.y + 11, class: "detail" }, shape).textContent = box.detail;
  shape.onmouseenter = () => {
    about.textContent = box.about;
    show(new Set([...reach(number, n => boxes[n].inputs), ...reach(number, n => users[n])]));
  };
  shape.onmouseleave = () => show(null);
});
const svg = document.querySelector("svg");
let scale = Math.min(1.5, innerWidth / WIDTH, innerHeight / HEIGHT), x = (innerWidth - WIDTH * scale) / 2, y = 0;
const place = () => all.setAttribute("transform", `translate(${x},${y}) scale(${scale})`);
svg.onwheel = event => {
  event.preventDefault();
  const factor = Math.exp(-event.deltaY / 500);
  x = event.clientX - (event.clientX - x) * factor;
  y = event.clientY - (event.clientY - y) * factor;
  scale *= factor;
  place();
};
svg.onmousemove = event => { if (event.buttons) { x += event.movementX; y += event.movementY; place(); } };
place();
</script></body></html>
"""
