"""Symbolic expressions and compiled functions as trees of text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracer.graph import text
from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.rewrite.passes import optimise
from tracer.symbolic.derivatives import shown_inputs
from tracer.symbolic.function import Function
from tracer.symbolic.op_from_graph import OpFromGraph
from tracer.symbolic.stand_in_sizes import stand_ins
from tracer.symbolic.text import number
from tracer.tracing.recording import Apply
from tracer.tracing.replay import applies
from tracer.tracing.symbolic import Constant, Symbolic


def debugprint(
    obj: Any,
    depth: int = -1,
    print_type: bool = False,
    file: Any = None,
    ids: str = "CHAR",
    stop_on_name: bool = False,
    done: dict[Any, str] | None = None,
    print_storage: bool = False,
    print_clients: bool = False,
    used_ids: dict[Any, str] | None = None,
) -> Any:
    """Print an expression as a tree; what occurs again is printed once, with a mark.

    Parameters
    ----------
    obj : variable, Apply, function, or list of them
        A function is printed as the graph that it runs, after rewriting. Nodes of that graph are printed too.
    depth : int
        How many levels; all if -1.
    print_type : bool
        Whether to show types.
    file : file or "str", optional
        Where to print; standard output if None. "str" returns the text instead.
    ids : {"CHAR", "int", "id", ""}
        How variables are marked: with letters, numbers, Python's `id`, or not at all.
    stop_on_name : bool
        Whether not to look into variables that have a name.
    done : dict, optional
        What has been printed before, with its mark; it is filled.
    print_storage : bool
        Whether to show the values of constants and shared variables.
    print_clients : bool
        Whether to show which variables are used several times.
    used_ids : dict, optional
        The marks that variables have; it is filled.

    Returns
    -------
    file, or str if `file` is "str"

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> _ = theano.printing.debugprint(x**2 + x)
    Elemwise{add,no_inplace} [id A] ''
     |Elemwise{pow,no_inplace} [id B] ''
     | |x [id C]
     | |2 [id D]
     |x [id C]
    """
    if ids not in ("CHAR", "int", "id", ""):
        raise ValueError(f"ids must be 'CHAR', 'int', 'id' or '', not {ids!r}")
    if not isinstance(depth, int):
        raise TypeError(f"depth must be an int, not {depth!r}")
    printed = _Tree(depth, print_type, ids, stop_on_name, print_storage, {} if done is None else done, used_ids)
    lines: list[str] = []
    for item in obj if isinstance(obj, list | tuple) else [obj]:
        if isinstance(item, Function):
            lines += function_lines(item, print_storage)
        elif isinstance(item, Apply):
            lines += printed.lines(item.outputs[:1], print_clients)
        elif isinstance(item, Symbolic):
            lines += printed.lines([item], print_clients)
        elif isinstance(item, Node):
            lines.append(text.debugprint(item))
        else:
            raise TypeError(f"debugprint shows variables, Apply nodes and functions, not a {type(item).__name__}")
    lines += printed.inner_lines()
    found = "\n".join(lines)
    if file == "str":
        return found + "\n"
    target = sys.stdout if file is None else file
    print(found, file=target)
    return target


class _Tree:
    """Collects the lines of trees; marks are shared by all of them."""

    def __init__(
        self,
        depth: int,
        print_type: bool,
        ids: str,
        stop_on_name: bool,
        print_storage: bool,
        done: dict[Any, str],
        used_ids: dict[Any, str] | None,
    ) -> None:
        self.depth, self.print_type, self.ids = depth, print_type, ids
        self.stop_on_name, self.print_storage = stop_on_name, print_storage
        self.done = done
        self.marks: dict[Any, str] = {} if used_ids is None else used_ids
        self.inner: dict[Any, str] = {}
        self.clients: Counter[Any] = Counter()

    def lines(self, outputs: Sequence[Any], print_clients: bool = False) -> list[str]:
        """The lines of expressions."""
        if print_clients:
            self.clients.update(item for node in applies(outputs) for item in node.inputs)
        found = []
        stack = [(item, "", self.depth) for item in reversed(outputs)]
        while stack:
            variable, prefix, left = stack.pop()
            if left == 0:
                continue
            found.append(prefix + self._line(variable))
            key = variable if variable.owner is None else variable.owner
            seen = key in self.done
            self.done.setdefault(key, self._mark(variable))
            if variable.owner is None or seen or (self.stop_on_name and variable.name):
                continue
            if any(True for _ in _inner_graphs(variable.owner)):
                self.inner.setdefault(variable.owner, self._mark(variable))
            stack += [(item, f"{prefix} |", left - 1) for item in reversed(shown_inputs(variable.owner))]
        return found

    def inner_lines(self) -> list[str]:
        """The graphs inside of ops that were met."""
        found: list[str] = []
        shown: set[Any] = set()
        while set(self.inner) - shown:
            if not shown:
                found += ["", "Inner graphs of the ops:"]
            node = next(item for item in self.inner if item not in shown)
            shown.add(node)
            found += ["", f"{node.op}{self.inner[node]}"]
            for outputs in _inner_graphs(node):
                found += [f" >{line}" for item in outputs for line in self.lines([item])]
        return found

    def _mark(self, variable: Any) -> str:
        """The mark of a variable; the outputs of a call have one in common."""
        key = variable if variable.owner is None else variable.owner
        if key not in self.marks:
            count = len(self.marks)
            name = {"CHAR": text.identifier(count), "int": str(count), "id": str(id(variable)), "": ""}[self.ids]
            self.marks[key] = f" [id {name}]" if name else ""
        return self.marks[key]

    def _line(self, variable: Any) -> str:
        kind = f" <{variable.type}>" if self.print_type else ""
        clients = f" clients:{self.clients[variable]}" if self.clients[variable] > 1 else ""
        mark = self._mark(variable)
        if variable.owner is None:
            return f"{self._leaf(variable)}{kind}{mark}{clients}"
        place = f".{variable.index}" if len(variable.owner.outputs) > 1 else ""
        return f"{variable.owner.op}{place}{kind}{mark} '{variable.name or ''}'{clients}"

    def _leaf(self, variable: Any) -> str:
        if isinstance(variable, Constant):
            return variable.name or number(variable.data)[0]
        held = getattr(variable, "cell", None) if self.print_storage else None
        label = variable.name or f"<{variable.type}>"
        return label if held is None else f"{label} [{np.array2string(np.asarray(held[0]), threshold=6)}]"


def _inner_graphs(node: Any) -> Iterator[list[Any]]:
    """The outputs of the expressions inside of a call."""
    if isinstance(node.op, OpFromGraph):
        yield node.op.outputs
    for leaf in node.arguments:
        results = getattr(leaf, "results", None)
        if results is not None and not isinstance(leaf, Symbolic):
            yield list(results)


def function_lines(function: Function, print_storage: bool = False) -> list[str]:
    """The graph that a function runs: that of its last call, or one of made-up sizes if it was not called."""
    plan = function.program.last_plan
    if plan is not None:
        outputs: Sequence[Any] = plan.graph.outputs
    else:
        wanted = [*(item.variable for item in function.maker.outputs), *function.program.updates.values()]
        sizes = stand_ins(wanted)
        if sizes is None:
            return _Tree(-1, False, "CHAR", False, print_storage, {}, None).lines(wanted)
        outputs = optimise(Graph((), tuple(item.__tracer_node__ for item in sizes.replay(wanted)))).outputs
    lines = text.debugprint(outputs).split("\n")
    if print_storage:
        for item in function.program.shared:
            lines.append(f"{item.name or item.type} = {np.array2string(np.asarray(item.cell[0]), threshold=6)}")
    return lines


# --- texts that do not depend on names of objects ------------------------------------------------------------------


def min_informative_str(obj: Any, indent_level: int = 0) -> str:
    """An expression as an indented list of letters: the same text for the same expression.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> print(min_informative_str(x * x))
    A. Elemwise{mul,no_inplace}
     B. x
     <B>
    """
    tags: dict[Any, str] = {}
    lines: list[str] = []
    stack = [(obj, indent_level)]
    while stack:
        variable, level = stack.pop()
        if variable in tags:
            lines.append(" " * level + f"<{tags[variable]}>")
            continue
        tags[variable] = text.identifier(len(tags))
        own = variable.name or (str(variable) if variable.owner is None else repr(variable.owner.op))
        lines.append(" " * level + f"{tags[variable]}. {own}")
        if variable.owner is not None and not variable.name:
            stack += [(item, level + 1) for item in reversed(shown_inputs(variable.owner))]
    return "\n".join(lines)


def var_descriptor(obj: Any) -> str:
    """How a variable is computed, on one line: the same text for the same expression, whatever its inputs are called.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> var_descriptor(x * x) == var_descriptor(y * y), var_descriptor(x * x) == var_descriptor(x * y)
    (True, False)
    """
    tags: dict[Any, str] = {}
    pieces: dict[Any, str] = {}

    def piece(variable: Any) -> str:
        if variable in pieces:
            return pieces[variable]
        if isinstance(variable, Constant):
            return f"{variable.type}{np.asarray(variable.data).tolist()}"
        if variable not in tags:
            tags[variable] = f"{text.identifier(len(tags))}:{variable.type}"
            return tags[variable]
        return tags[variable].partition(":")[0]

    for node in applies([obj]):
        inputs = ", ".join(piece(item) for item in node.inputs)
        for number_, item in enumerate(node.outputs):
            pieces[item] = f"{node.op!r}({inputs})" + (f".{number_}" if len(node.outputs) > 1 else "")
    return piece(obj)
