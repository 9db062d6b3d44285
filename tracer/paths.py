"""Plans that hold for some answers to questions only: a tree of them, from question to question, for one signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.ops.python_calls import PythonCode
from tracer.records import NamedTuple
from tracer.tracing.proxy import unwrap, wrap
from tracer.tracing.questions import Question

Array = np.ndarray[Any, Any]


class Plan(Protocol):
    """What was compiled for a path."""

    traced: Any


Kept = TypeVar("Kept", bound=Plan)


class Packed(NamedTuple):
    """Questions as few outputs of a program, one for each dtype.

    Attributes
    ----------
    nodes : list of Node
        The outputs.
    expected : list of numpy.ndarray
        What they are on the path.
    steps : list of (int, int, int)
        Where each question's answer is: which output, and from where on how many bytes of it.
    """

    nodes: list[Node]
    expected: list[Array]
    steps: list[tuple[int, int, int]]


def pack(questions: Sequence[Question]) -> Packed:
    """Put the questions of a path together."""
    groups: dict[np.dtype[Any], list[Question]] = {}
    steps: list[tuple[int, int, int]] = []
    ends: dict[np.dtype[Any], int] = {}
    for question in questions:
        dtype = question.node.dtype
        groups.setdefault(dtype, []).append(question)
        start = ends.get(dtype, 0)
        steps.append((list(groups).index(dtype), start, question.answer.nbytes))
        ends[dtype] = start + question.answer.nbytes
    nodes: list[Node] = []
    expected: list[Array] = []
    for group in groups.values():
        parts: list[Any] = [np.reshape(wrap(question.node), -1) for question in group]
        nodes.append(unwrap(np.concatenate(parts)) if len(parts) > 1 else group[0].node)
        expected.append(np.concatenate([question.answer.reshape(-1) for question in group]))
    return Packed(nodes, expected, steps)


def may_speculate(nodes: Sequence[Node]) -> bool:
    """Whether values can be computed on any arguments, those of other paths too, without harm."""
    return not any(_is_unbounded(node) for node in Graph((), tuple(nodes)).nodes())


def _is_unbounded(node: Node) -> bool:
    # A loop may never end, and code of somebody's own may do more than compute.
    if node.op.name == "while_loop" or any(isinstance(item, PythonCode) for item in node.params.values()):
        return True
    bodies = [body for body in node.params.values() if isinstance(body, Graph)]
    return any(_is_unbounded(inner) for body in bodies for inner in body.nodes())


class _Place(Generic[Kept]):
    """A point of the tree: the plan of a path that ends here, or the next question and where each answer leads."""

    __slots__ = ("children", "plan", "question")

    def __init__(self) -> None:
        self.plan: Kept | None = None
        self.question: Question | None = None
        self.children: dict[bytes, _Place[Kept]] = {}


class Tree(Generic[Kept]):
    """Plans of one signature that ask the same questions as long as they get the same answers."""

    def __init__(self) -> None:
        self._root: _Place[Kept] = _Place()

    def find(self, value: Callable[[Node], Array | None]) -> Kept | None:
        """The plan of the path that a call takes, whose values are asked for one after the other; None if it is new."""
        place: _Place[Kept] | None = self._root
        while place is not None and place.question is not None:
            answer = value(place.question.node)
            place = None if answer is None else place.children.get(answer.tobytes())
        return None if place is None else place.plan

    def insert(self, plan: Kept) -> bool:
        """Keep a plan; False, with nothing kept, if it does not ask what the others ask."""
        questions = plan.traced.questions
        place: _Place[Kept] | None = self._root
        for question in questions:
            if place is None or (place.question is None and place.plan is None):
                break
            if place.question is None or place.question.node is not question.node:
                return False
            place = place.children.get(question.key)
        else:
            if place is not None and place.question is not None:
                return False
        place = self._root
        for question in questions:
            if place.question is None:
                place.question = question
            place = place.children.setdefault(question.key, _Place())
        place.plan = plan
        return True

    def remove(self, plan: Kept) -> None:
        """Forget a plan, and the questions that no other plan asks."""
        places = [self._root]
        for question in plan.traced.questions:
            following = places[-1].children.get(question.key)
            if following is None:
                return
            places.append(following)
        if places[-1].plan is not plan:
            return
        places[-1].plan = None
        for parent, question in zip(reversed(places[:-1]), reversed(plan.traced.questions), strict=True):
            child = parent.children[question.key]
            if child.plan is None and not child.children:
                del parent.children[question.key]
            if not parent.children:
                parent.question = None

    def plans(self) -> Iterator[Kept]:
        """The plans, by path."""
        stack = [self._root]
        while stack:
            place = stack.pop()
            if place.plan is not None:
                yield place.plan
            stack.extend(reversed(place.children.values()))
