"""Graphs as pictures: graphviz source, and SVG, PNG and PDF drawn by graphviz or, without it, by matplotlib.

The layout for matplotlib puts nodes on levels, the highest where the longest paths to an output begin, so that every
line goes downward. A line that crosses levels gets a bend on each, and the lines of one value share their bends.
"""

from __future__ import annotations

import shutil
import subprocess
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

from tracer.graph.graph import toposort
from tracer.graph.node import CONSTANT, INPUT, Node
from tracer.graph.text import caption, nodes_of

MOST_NODES = 400
"""The largest graph that is drawn without graphviz."""

_SECONDS = 60
_ENDINGS = ("svg", "png", "pdf")
_AS_SOURCE = (
    "HINT: draw to a file that ends in .dot, which always works, and give it to graphviz where that is installed:\n"
    "    dot -Tsvg graph.dot -o graph.svg"
)
NOTHING_DRAWS = (
    "drawing {path} needs Graphviz or matplotlib, and neither is installed.\n"
    "HINT: install matplotlib (`pip install 'tracer-autodiff[plot]'` or `pip install matplotlib`)\n"
    "or the program `dot` (`apt install graphviz`, `brew install graphviz` or `conda install graphviz`),\n"
    "or draw to a file that ends in .dot, which needs no program."
)
TOO_LARGE = "a graph of {count} nodes is too large to draw without Graphviz (at most {most}).\n" + _AS_SOURCE
TOO_SLOW = "graphviz had not drawn {path} after {seconds} seconds.\n" + _AS_SOURCE
CANNOT_DRAW = "{path} cannot be drawn: {reason}\nHINT: end it in .svg, .png, .pdf or .dot"


def draw(values: Any, path: str | Path) -> Path:
    """Draw the graph of traced values to a file whose ending says how.

    Parameters
    ----------
    values : node, traced value, or a sequence of them
        What to draw, with everything it is computed from.
    path : str or Path
        Ends in .svg, .png or .pdf (or whatever the program `dot` can write, if it is installed), or in .dot or .gv for
        graphviz source.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RuntimeError
        If neither graphviz nor matplotlib is installed, or graphviz takes too long.
    ValueError
        If such a file cannot be drawn, or the graph is too large for matplotlib.
    """
    target, outputs = Path(path), nodes_of(values)
    kind = target.suffix.lstrip(".").lower() or "svg"
    program = shutil.which("dot")
    if kind in ("dot", "gv"):
        target.write_text(dot(outputs), encoding="utf-8")
    elif program is not None:
        _run_graphviz(program, dot(outputs), kind, target)
    else:
        _draw_with_matplotlib(outputs, kind, target)
    return target


# --- with graphviz -----------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def dot(values: Any) -> str:
    """Return graphviz source that draws the graph of traced values: inputs blue, constants grey, outputs green."""
    outputs = nodes_of(values)
    numbers = {node: number for number, node in enumerate(toposort(outputs))}
    lines = ["digraph {", "  rankdir=TB;", '  node [shape=box, style="rounded,filled", fillcolor=white];']
    for node, number in numbers.items():
        look = ", shape=ellipse, style=filled, fillcolor=lightblue" if node.op is INPUT else ""
        look = ", fillcolor=lightgrey" if node.op is CONSTANT else look
        look += ", fillcolor=palegreen, penwidth=2" if node in outputs else ""
        look += f", tooltip={_quoted(str(node.line))}" if node.line else ""
        text = _quoted(f"{caption(node)}\n{node.type}")
        lines.append(f"  n{number} [label={text}{look}];")
    for node, number in numbers.items():
        for position, item in enumerate(node.inputs):
            mark = f" [label={position}]" if _has_marks(node) else ""
            lines.append(f"  n{numbers[item]} -> n{number}{mark};")
    return "\n".join([*lines, "}"]) + "\n"


def _has_marks(node: Node) -> bool:
    """Whether lines to a node carry their position: where exchanging them would change the value."""
    return len(node.inputs) > 1 and not node.op.commutative


def _run_graphviz(program: str, source: str, kind: str, target: Path) -> None:
    command = [program, f"-T{kind}", "-o", str(target)]
    try:
        done = subprocess.run(command, input=source, text=True, capture_output=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(TOO_SLOW.format(path=target, seconds=_SECONDS)) from None
    if done.returncode:
        raise ValueError(CANNOT_DRAW.format(path=target, reason=done.stderr.strip()))


# --- boxes -------------------------------------------------------------------------------------------------------
# Lengths are in points. The font has letters of one width, so that a text's width is known without drawing it.

_SYMBOL, _TITLE, _DETAIL, _SMALL = 13.0, 10.0, 7.5, 6.5
_LETTER = 0.602
_LONGEST_TITLE = 34
_MARGIN, _PORT = 18.0, 16.0
_APART, _APART_BEND, _BETWEEN_LEVELS = 16.0, 9.0, 26.0


@dataclass(eq=False, slots=True)
class Box:
    """One node of a picture, centred at (x, y) with y downward; without a node, the bend of a line."""

    node: Node | None
    title: str = ""
    detail: str = ""
    tag: str = ""
    width: float = 0.0
    height: float = 0.0
    level: int = 0
    x: float = 0.0
    y: float = 0.0
    reach: float = 0.0
    """Half the height of its level, within which lines are straight and so pass no box."""
    inputs: list[Box] = field(default_factory=list, repr=False)
    users: list[Box] = field(default_factory=list, repr=False)
    above: list[Box] = field(default_factory=list, repr=False)
    """Where its lines come from on the level above, in the order of the inputs."""
    below: list[Box] = field(default_factory=list, repr=False)


@dataclass(eq=False, slots=True)
class Layout:
    """Boxes and bends, level by level from the top, and the size of the picture."""

    rows: list[list[Box]]
    width: float
    height: float


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"


def _box(node: Node, tag: str) -> Box:
    title = _shortened(caption(node))
    if node.op is CONSTANT:
        return Box(node, title, "", tag, len(title) * _LETTER * _DETAIL + 10, 16 + 9 * bool(tag))
    detail = _shortened(str(node.type))
    letters = max(len(title) * _TITLE, len(detail) * _DETAIL, len(tag) * _SMALL)
    room = 22 if node.op is INPUT else 14
    width = max(letters * _LETTER + room, 40, _PORT * len(node.inputs) + 16)
    return Box(node, title, detail, tag, width, 32 + 9 * bool(tag))


def _boxes(outputs: Sequence[Node]) -> list[Box]:
    """A box a node, inputs first; a single number gets one for each of its uses, which saves long lines."""
    tags: dict[Node, str] = {}
    for position, node in enumerate(outputs):
        name = f"output {position}" if len(outputs) > 1 else "output"
        tags[node] = f"{tags[node]}, {position}".replace("output ", "outputs ") if node in tags else name
    boxes: list[Box] = []
    known: dict[Node, Box] = {}
    for node in toposort(outputs):
        if node.op is CONSTANT and node.value.size == 1 and node not in tags:
            continue
        box = known[node] = _box(node, _shortened(tags.get(node, "")))
        for item in node.inputs:
            source = known.get(item)
            if source is None:
                source = _box(item, "")
                boxes.append(source)
            box.inputs.append(source)
            source.users.append(box)
        boxes.append(box)
    return boxes


# --- the layout --------------------------------------------------------------------------------------------------


def layout(values: Any) -> Layout:
    """Place the graph of traced values: levels, their order, and coordinates; linear in its lines, a few times over.

    Parameters
    ----------
    values : node, traced value, or a sequence of them
        What to draw.

    Returns
    -------
    Layout
        No two of its boxes overlap, and every box is below its inputs. The same for the same graph.
    """
    boxes = _boxes(nodes_of(values))
    _choose_levels(boxes)
    rows = _route(boxes)
    rows = _ordered(rows)
    return _placed(rows)


def _choose_levels(boxes: Sequence[Box]) -> None:
    """Number levels upward by the longest path to an output; then raise what would hang far below its inputs."""
    for box in reversed(boxes):
        box.level = max((user.level + 1 for user in box.users), default=0)
    for box in boxes:
        computed = [item.level for item in box.inputs if item.inputs]
        if computed and len(computed) >= len(box.users):
            box.level = min(computed) - 1
    for box in boxes:
        if not box.inputs and box.users:
            box.level = max(user.level for user in box.users) + 1


def _route(boxes: Sequence[Box]) -> list[list[Box]]:
    """Give lines their bends, one for each value on each level, and return the levels from the top."""
    rows: list[list[Box]] = [[] for _ in range(1 + max((box.level for box in boxes), default=0))]
    tracks: dict[Box, dict[int, Box]] = {}
    for box in boxes:
        rows[-1 - box.level].append(box)
        lowest = min((user.level for user in box.users), default=box.level)
        last, track = box, {box.level: box}
        for level in range(box.level - 1, lowest, -1):
            bend = Box(None, level=level, above=[last])
            last.below.append(bend)
            rows[-1 - level].append(bend)
            last = track[level] = bend
        tracks[box] = track
    for box in boxes:
        for item in box.inputs:
            source = tracks[item][box.level + 1]
            source.below.append(box)
            box.above.append(source)
    return rows


def _ordered(rows: list[list[Box]]) -> list[list[Box]]:
    """Order levels so that lines cross little: barycenter sweeps down and up, of which the best is kept."""
    best, fewest = rows, _crossings(rows)
    for sweep in range(16):
        if not fewest:
            break
        down = sweep % 2 == 0
        rows = [list(row) for row in rows]
        for row, fixed in _pairs(rows, down):
            place = {box: float(position) for position, box in enumerate(fixed)}
            own = {box: position * len(fixed) / len(row) for position, box in enumerate(row)}
            for box in row:
                others = box.above if down else box.below
                if others:
                    own[box] = sum(place[other] for other in others) / len(others)
            row.sort(key=own.__getitem__)
        count = _crossings(rows)
        if count < fewest:
            best, fewest = rows, count
    return best


def _pairs(rows: list[list[Box]], down: bool) -> list[tuple[list[Box], list[Box]]]:
    """Each level with the one it follows, in the order of a sweep."""
    if down:
        return list(zip(rows[1:], rows, strict=False))
    return list(zip(rows[-2::-1], rows[:0:-1], strict=True))


def _crossings(rows: Sequence[Sequence[Box]]) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        place = {box: position for position, box in enumerate(lower)}
        seen: list[int] = []
        for box in upper:
            ends = sorted(place[user] for user in box.below)
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _placed(rows: list[list[Box]]) -> Layout:
    for row in rows:
        _settle(row, [0.0] * len(row), [1.0] * len(row))
    for sweep in range(24):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted, weights = [], []
            for box in row:
                # At first each level follows the one before; then all find a balance.
                pulls = _pulls(box, box.above) if down or sweep >= 8 else []
                pulls += _pulls(box, box.below) if not down or sweep >= 8 else []
                total = sum(weight for _, weight in pulls)
                wanted.append(sum(x * weight for x, weight in pulls) / total if pulls else box.x)
                weights.append(total or 0.1)
            _settle(row, wanted, weights)
    _straighten(rows)
    left = min((box.x - box.width / 2 for row in rows for box in row), default=0.0) - _MARGIN
    right = max((box.x + box.width / 2 for row in rows for box in row), default=0.0) + _MARGIN
    top = _MARGIN
    for row, following in zip(rows, [*rows[1:], []], strict=True):
        height = max(box.height for box in row)
        for box in row:
            box.x -= left
            box.y, box.reach = top + height / 2, height / 2
        steps = (abs(box.x - left - other.x) for box in following for other in box.above)
        top += height + _BETWEEN_LEVELS + min(0.1 * max(steps, default=0.0), 40)
    return Layout(rows, right - left, top - _BETWEEN_LEVELS + _MARGIN)


def _pulls(box: Box, others: Sequence[Box]) -> list[tuple[float, float]]:
    """Where the ends of lines would have a box, and how strongly: long lines are to be straight."""
    return [(other.x, (1.0, 3.0, 8.0)[(box.node is None) + (other.node is None)]) for other in others]


def _settle(row: Sequence[Box], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """Move the boxes of a level as near to where they are wanted as their order and widths allow.

    That is a weighted least-squares fit by an increasing function, which pooling neighbours solves in linear time.
    """
    offsets, offset, before = [], 0.0, None
    for box in row:
        if before is not None:
            gap = _APART if before.node is not None and box.node is not None else _APART_BEND
            offset += (before.width + box.width) / 2 + gap
        offsets.append(offset)
        before = box
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for target, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, count = target - offset, 1
        while pools and pools[-1][0] >= mean:
            other, heavy, many = pools.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        pools.append((mean, weight, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for box, mean, offset in zip(row, means, offsets, strict=True):
        box.x = mean + offset


def _straighten(rows: Sequence[Sequence[Box]]) -> None:
    """Make each line upright for as many levels at a time as its neighbours there leave room for."""
    beside: dict[Box, tuple[Box | None, Box | None]] = {}
    for row in rows:
        beside |= {box: (left, right) for left, box, right in zip([None, *row], row, [*row[1:], None], strict=False)}
    for box in [box for row in rows for box in row if box.node is not None]:
        run: list[Box] = []
        low, high = -inf, inf
        bend = _next_bend(box)
        while bend is not None:
            left, right = beside[bend]
            least = left.x + left.width / 2 + _APART_BEND if left is not None else -inf
            most = right.x - right.width / 2 - _APART_BEND if right is not None else inf
            if max(low, least) > min(high, most):
                _align(run, low, high)
                run, low, high = [], least, most
            run.append(bend)
            low, high = max(low, least), min(high, most)
            bend = _next_bend(bend)
        _align(run, low, high)


def _next_bend(box: Box) -> Box | None:
    return next((other for other in box.below if other.node is None), None)


def _align(run: Sequence[Box], low: float, high: float) -> None:
    if run:
        x = min(max(sum(bend.x for bend in run) / len(run), low), high)
        for bend in run:
            bend.x = x


# --- with matplotlib ---------------------------------------------------------------------------------------------

_INK, _LINE = "#0f172a", "#64748b"
_COLOURS = {"input": ("#dbeafe", "#2563eb"), "constant": ("#f1f5f9", "#94a3b8"), "op": ("#ffffff", "#475569")}
_OUTPUT_COLOURS = ("#dcfce7", "#15803d")
_MOST_PIXELS, _MOST_DOTS, _LONGEST_SIDE = 60e6, 160, 60_000


def _draw_with_matplotlib(outputs: Sequence[Node], kind: str, target: Path) -> None:
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError(NOTHING_DRAWS.format(path=target)) from None
    if kind not in _ENDINGS:
        raise ValueError(CANNOT_DRAW.format(path=target, reason=f"matplotlib does not draw graphs to .{kind} here."))
    count = len(toposort(outputs))
    if count > MOST_NODES:
        raise ValueError(TOO_LARGE.format(count=count, most=MOST_NODES))
    picture = layout(outputs)
    width, height = picture.width / 72, picture.height / 72
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    _draw_lines(axes, picture)
    for row in picture.rows:
        for box in row:
            if box.node is not None:
                _draw_box(axes, box, box.node)
    dots = min(_MOST_DOTS, (_MOST_PIXELS / (width * height)) ** 0.5, _LONGEST_SIDE / max(width, height))
    # Texts stay texts, which can be searched; the same graph makes the same file; the user's styles do not matter.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "tracer", "pdf.fonttype": 42, "savefig.bbox": None}
    with matplotlib.rc_context(settings):
        stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        figure.savefig(target, format=kind, dpi=dots, facecolor="white", metadata=stamp)


def _draw_box(axes: Any, box: Box, node: Node) -> None:
    from matplotlib.patches import FancyBboxPatch

    kind = "input" if node.op is INPUT else "constant" if node.op is CONSTANT else "op"
    fill, edge = _OUTPUT_COLOURS if box.tag else _COLOURS[kind]
    radius = box.height / 2 if kind == "input" else 2.0 if kind == "constant" else 5.0
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = f"round,pad=0,rounding_size={radius}"
    line = 1.8 if box.tag else 0.7 if kind == "constant" else 1.0
    patch = FancyBboxPatch(corner, box.width, box.height, style, facecolor=fill, edgecolor=edge, linewidth=line)
    patch.set_zorder(3)
    axes.add_patch(patch)
    size = _DETAIL if kind == "constant" else _SYMBOL if len(box.title) <= 2 and box.title == node.op.symbol else _TITLE
    texts = [(box.title, size, _INK, "normal" if kind == "constant" else "bold")]
    texts += [(box.detail, _DETAIL, _LINE, "normal")] if box.detail else []
    texts += [(box.tag, _SMALL, edge, "bold")] if box.tag else []
    top = box.y - sum(size * 1.3 for _, size, _, _ in texts) / 2
    for text, size, colour, weight in texts:
        _write(axes, box.x, top + size * 0.65, text, size, colour, weight, "center")
        top += size * 1.3


def _write(axes: Any, x: float, y: float, text: str, size: float, colour: str, weight: str, side: str) -> None:
    look = {"family": "monospace", "fontsize": size, "color": colour, "fontweight": weight, "zorder": 5}
    axes.text(x, y, text, ha=side, va="center_baseline", parse_math=False, usetex=False, **look)


def _draw_lines(axes: Any, picture: Layout) -> None:
    """Draw all lines; those that arrive at a box are side by side, in the order of where they come from."""
    from matplotlib.collections import PathCollection, PolyCollection

    curves, heads = [], []
    for box in (box for row in picture.rows for box in row):
        if box.node is None:
            curves.append(_curve(box.above[0], box, box.x, box.y + box.reach))
            continue
        arrivals = sorted(enumerate(box.above), key=lambda item: item[1].x)
        marks, top = _has_marks(box.node), box.y - box.height / 2
        step = _PORT * 1.25 if marks and len(arrivals) == 2 else _PORT
        for place, (position, source) in enumerate(arrivals):
            x = box.x + (place - (len(arrivals) - 1) / 2) * step
            curves.append(_curve(source, box, x, top - 5))
            heads.append([(x, top), (x - 2.6, top - 6), (x + 2.6, top - 6)])
            if marks:
                aside, side = (3.2, "left") if source.x < x else (-3.2, "right")
                _write(axes, x + aside, top - 5, str(position), _SMALL, _LINE, "normal", side)
    axes.add_collection(PathCollection(curves, facecolor="none", edgecolor=_LINE, linewidth=0.9, zorder=2))
    axes.add_collection(PolyCollection(heads, facecolor=_LINE, linewidth=0, zorder=4))


def _curve(source: Box, target: Box, x: float, end: float) -> Any:
    """Return the line down from a box or bend to (x, end); it leaves and enters levels vertically."""
    from matplotlib.path import Path as Curve

    leave, enter = source.y + source.reach, target.y - target.reach
    start = leave if source.node is None else source.y + source.height / 2
    if source.x == x:
        return Curve([(x, start), (x, end)])
    middle = (leave + enter) / 2
    points = [(source.x, start), (source.x, leave), (source.x, middle), (x, middle), (x, enter), (x, max(enter, end))]
    return Curve(points, [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO])
