"""Pictures in SVG, put together from text: elements, axes, and the colours of the kinds of groups.

Elements say themselves how they look, in case that somebody shows them without the style of the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

WIDTH = 960
COLOURS = {
    "loop": "#0072b2",
    "reduction": "#56b4e9",
    "matmul": "#d55e00",
    "gather": "#009e73",
    "scatter": "#009e73",
    "library": "#e69f00",
    "scan": "#cc79a7",
    "branch": "#cc79a7",
    "while": "#cc79a7",
    "cumulative": "#f0e442",
    "arg_reduce": "#f0e442",
}
"""Okabe and Ito's colours, which the colour-blind can tell apart ("Color Universal Design", 2008)."""
GREY = "#8c8c8c"


def colour(kind: str) -> str:
    """The colour of a kind of groups; grey for copies and what is not computing."""
    return COLOURS.get(kind, GREY)


def element(name: str, inside: str = "", **attributes: Any) -> str:
    """An element; an underscore at the end of an attribute's name is dropped, others become hyphens."""
    texts = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{texts}>{inside}</{name}>" if inside else f"<{name}{texts}/>"


def _text(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def rectangle(x: float, y: float, width: float, height: float, **attributes: Any) -> str:
    """A rectangle."""
    return element("rect", x=float(x), y=float(y), width=max(float(width), 0.0), height=float(height), **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Any) -> str:
    """A straight line."""
    ends: dict[str, Any] = {"x1": float(x1), "y1": float(y1), "x2": float(x2), "y2": float(y2)}
    return element("line", **ends, stroke="currentColor", stroke_opacity=0.4, **attributes)


def text(x: float, y: float, words: str, **attributes: Any) -> str:
    """Words, from a point on their base line."""
    look: dict[str, Any] = {"fill": "currentColor", "font_size": 12, "font_family": "system-ui, sans-serif"}
    return element("text", escape(words), x=float(x), y=float(y), **look, **attributes)


def titled(inside: str, title: str, **attributes: Any) -> str:
    """A group of elements that shows a text when the mouse is on it."""
    return element("g", element("title", escape(title)) + inside, **attributes)


def picture(height: float, parts: Iterable[str], label: str) -> str:
    """The whole picture, as wide as there is room."""
    box = f"0 0 {WIDTH} {math.ceil(height)}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=label, class_="picture")


def fitting(words: str, width: float, size: float = 12) -> str:
    """Words cut to what fits into a width; none if that is hardly anything."""
    room = int(width / (size * 0.56))
    if room >= len(words):
        return words
    return f"{words[: room - 1]}\u2026" if room >= 3 else ""


def steps(low: float, high: float) -> list[float]:
    """Powers of ten within bounds."""
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def round_steps(high: float, count: int = 5) -> list[float]:
    """Some round numbers from zero to a bound."""
    if high <= 0:
        return [0.0]
    rough = high / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * step for number in range(int(high / step + 1e-9) + 1)]
