"""Questions that a traced function asks of its values: tests, numbers and sizes, answered for the call at hand.

What was traced holds for calls with the same answers only, which is why each question is kept with its answer.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tracer import device
from tracer.errors import Line, is_own
from tracer.graph.graph import substitute
from tracer.graph.node import INPUT, Node
from tracer.records import NamedTuple

Array = np.ndarray[Any, Any]


class Question(NamedTuple):
    """A value whose number the trace went by.

    Attributes
    ----------
    node : Node
        The value.
    answer : numpy.ndarray
        What it was.
    kind : str
        "test", "number" or "size".
    line : Line or None
        Where the user's code asked.
    text : str
        The user's expression.
    """

    node: Node
    answer: Array
    kind: str
    line: Line | None
    text: str

    @property
    def key(self) -> bytes:
        """What tells answers apart: -0.0 from 0.0 too, and NaN is itself."""
        return self.answer.tobytes()


class _NoValue(Exception):
    """A value depends on an input that has no number."""


class Evaluator:
    """Values of nodes for given inputs, each computed once, when it is asked for.

    Parameters
    ----------
    given : mapping
        Input node -> array.
    find : callable
        The array of another input, None if it has none.
    stands_for : mapping
        Inputs that a transform put in the place of other nodes.
    """

    def __init__(
        self,
        given: Mapping[Node, Array],
        find: Callable[[Node], Array | None],
        stands_for: Mapping[Node, Node] | None = None,
    ) -> None:
        self._values: dict[Node, Any] = dict(given)
        self._constant: dict[Node, bool] = {}
        self._find = find
        self._stands_for = {} if stands_for is None else stands_for

    def is_fixed(self, node: Node) -> bool:
        """Whether a node depends on constants only."""
        stack = [node]
        while stack:
            top = stack[-1]
            needed = () if top in self._constant else self._needed(top)
            missing = [item for item in needed if item not in self._constant]
            if missing and all(self._constant.get(item, True) for item in needed):
                stack.extend(missing)
                continue
            stack.pop()
            if top not in self._constant:
                self._constant[top] = top.op is not INPUT and all(self._constant.get(item, False) for item in needed)
        return self._constant[node]

    def value(self, node: Node) -> Array | None:
        """The array of a node; None if it depends on an input that has none. Raises what computing it raises."""
        stack = [node]
        try:
            while stack:
                top = stack[-1]
                needed = () if top in self._values else self._needed(top)
                missing = [item for item in needed if item not in self._values]
                stack.extend(missing)
                if not missing:
                    stack.pop()
                    if top not in self._values:
                        self._values[top] = self._compute(top, needed)
        except _NoValue:
            return None
        return self._on_host(node)

    def _on_host(self, node: Node) -> Any:
        """The value of a node, brought home from a GPU once."""
        value = self._values[node]
        if not isinstance(value, np.ndarray | tuple):
            value = self._values[node] = device.to_host(value)
        return value

    def _needed(self, node: Node) -> Sequence[Node]:
        stand_in = self._stands_for.get(node)
        return node.inputs if stand_in is None else (stand_in,)

    def _compute(self, node: Node, needed: Sequence[Node]) -> Any:
        values = [self._on_host(item) for item in needed]
        if node.is_constant:
            return node.value
        if node.op is INPUT:
            found = values[0] if values else self._find(node)
            if found is None:
                raise _NoValue
            return found
        try:
            with np.errstate(all="ignore"):
                result = node.op.evaluate(*values, **node.params)
        except Exception as error:
            if not hasattr(error, "tracer_line"):
                error.tracer_line = str(node.line or "")  # type: ignore[attr-defined]
            raise
        if node.has_items:
            return tuple(np.asarray(part, item.dtype) for part, item in zip(result, node.types, strict=True))
        return np.asarray(result, node.dtype)


class Questions:
    """The questions of one trace.

    Attributes
    ----------
    asked : dict
        Node -> question, in the order in which they were asked.
    stands_for : dict
        Inputs that a transform put in the place of other nodes, the outer ones first.
    """

    def __init__(self, given: Mapping[Node, Array], find: Callable[[Node], Array | None]) -> None:
        self.asked: dict[Node, Question] = {}
        self.stands_for: dict[Node, Node] = {}
        self._evaluator = Evaluator(given, find, self.stands_for)

    def ask(self, node: Node, kind: str, place: Place | None = None) -> Array | None:
        """The number of a node at the call at hand, on which the trace then depends; None if it has none.

        `place` is where the user asked; where the code is now if None.
        """
        known = self.asked.get(node)
        if known is not None:
            return known.answer
        found = self._evaluator.value(node)
        if found is None or self._evaluator.is_fixed(node):
            return found
        answer = np.array(found, order="C")
        answer.setflags(write=False)
        place = current_place() if place is None else place
        line, text = (None, "") if place is None else (place.line, place.text())
        self.asked[node] = Question(node, answer, kind, line, text)
        return answer

    def close(self) -> None:
        """Let go of all arrays; what was asked stays known."""
        self._evaluator = Evaluator({}, lambda _: None)

    def knows(self, node: Node) -> bool:
        """Whether a node has the same number at every call, because it depends on constants only."""
        return self._evaluator.is_fixed(node)

    def resolved(self) -> list[Question]:
        """All questions, each once, as questions about the inputs of the trace."""
        if not self.asked:
            return []
        meanings: dict[Node, Node] = {}
        for stand_in, node in self.stands_for.items():
            meanings[stand_in] = substitute([node], meanings)[0]
        nodes = substitute(list(self.asked), meanings)
        found: dict[Node, Question] = {}
        for node, question in zip(nodes, self.asked.values(), strict=True):
            found.setdefault(node, question._replace(node=node))
        return list(found.values())


# --- where in the user's code ------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where the user's code is: enough to find the text of it later."""

    code: CodeType
    instruction: int
    line: Line
    names: dict[str, Any]

    def text(self) -> str:
        """The expression that is computed there; empty where there is no source."""
        first, last, start, end = next(itertools.islice(self.code.co_positions(), self.instruction, None))
        if first is None or last is None:
            return ""
        lines = [linecache.getline(self.code.co_filename, line, self.names) for line in range(first, last + 1)]
        if start is None or end is None or not lines[0]:
            return lines[0].strip()
        encoded = [line.encode() for line in lines]  # columns count bytes
        encoded[-1] = encoded[-1][:end]
        encoded[0] = b" " * start + encoded[0][start:]
        return _tested("".join(part.decode(errors="replace") for part in encoded))


def current_place() -> Place | None:
    """Where the user's code is that runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_own(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return None
    code = frame.f_code
    return Place(code, frame.f_lasti // 2, Line(code.co_filename, frame.f_lineno, code.co_name), frame.f_globals)


def _tested(source: str) -> str:
    """The expression in a statement, the test in a conditional one, in one line; other text as it is."""
    text = textwrap.dedent(source).removeprefix("el")
    node: ast.AST | None = None
    try:
        node = ast.parse(text).body[0]
    except (SyntaxError, ValueError, IndexError):
        pass
    if isinstance(node, ast.Expr):
        node = node.value
    test = getattr(node, "test", None) or (node.value if isinstance(node, ast.Return | ast.Assign) else None)
    found = ast.get_source_segment(text, test) if test is not None else text
    return " ".join((found or text).split())
