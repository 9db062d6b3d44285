"""The way of a function, top to bottom: trace, rewrite, lower, load. What comes out is a plan that runs on arrays."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.graph.graph import Graph, substitute, toposort
from tracer.graph.node import INPUT, Node, input_node
from tracer.rewrite.passes import optimise
from tracer.run import backend
from tracer.tracing import capture, stand_ins, trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.shared import Shared, owner
from tracer.tree import Structure, flatten, unflatten
from tracer.types import element_strides, type_of


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a growing graph of objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # The young objects only: a collection of everything that was imported is not for this call to pay.
            gc.collect(0)
            gc.enable()


class Result(NamedTuple):
    """Where one leaf of a function's result comes from: an output, the caller's own argument, or a constant."""

    kind: str
    value: Any


@dataclass
class Traced:
    """What one run of a function on proxies recorded.

    `graph.inputs` are the array arguments, then captured arrays, then shared variables; `graph.outputs` are the
    results, then new values of `updated`, then new contents of the arguments in `written`.
    """

    name: str
    graph: Graph
    argument_count: int
    captured: list[np.ndarray[Any, Any]]
    shared: list[Shared]
    results: list[Result]
    structure: Structure
    updated: list[Shared]
    written: list[int]
    guards: list[capture.Guard] = field(default_factory=list)

    @property
    def result_count(self) -> int:
        """How many outputs are results."""
        return len(self.graph.outputs) - len(self.updated) - len(self.written)


Finish = Callable[[Any, trace.Trace], None]
"""Called with the result on proxies while the trace is still on, to add updates."""


def trace_function(
    function: Callable[..., Any],
    structure: Structure,
    leaves: Sequence[Any],
    is_array: Sequence[bool],
    *,
    name: str,
    names: Sequence[str],
    finish: Finish | None = None,
) -> Traced:
    """Run a function on proxies and return what it recorded.

    Parameters
    ----------
    function : callable
        The user's function.
    structure, leaves, is_array
        Its nested (args, kwargs), and which leaves are arrays; the others are passed as they are.
    name, names
        The function's name, and how the user would write each leaf.
    finish : callable, optional
        Runs at the end of the trace.

    Raises
    ------
    TraceError
        If the function does something that a trace cannot follow. Nothing of the user's has changed then.
    """
    active = trace.Trace(name)
    static = [leaf for leaf, traced in zip(leaves, is_array, strict=True) if not traced]
    surroundings = capture.Surroundings(function, static)
    arguments: list[tuple[int, Proxy, Node]] = []
    values: list[Any] = []
    with trace.tracing(active), capture.random_watch(function, name, surroundings.generators):
        for position, (leaf, traced) in enumerate(zip(leaves, is_array, strict=True)):
            if traced:
                node = input_node(type_of(leaf), names[position])
                proxy = Proxy(node, active)
                proxy._strides = None if leaf.flags.c_contiguous else element_strides(leaf)
                arguments.append((len(arguments), proxy, node))
                values.append(proxy)
            else:
                values.append(leaf)
        args, kwargs = unflatten(structure, values)
        with stand_ins.standing_in(surroundings.guards) as stand_in:
            result = _call(stand_in(function), args, kwargs, active)
        if finish is not None:
            finish(result, active)
        return _collect(name, active, arguments, result, surroundings.held_guards(active))


def _call(function: Callable[..., Any], args: Any, kwargs: Any, active: trace.Trace) -> Any:
    """Call the user's function; an escape that NumPy turned into an error of its own is raised as what it was."""
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError) as error:
        escape = active.escape
        if escape is None or escape is error or escape.line != errors.raised_at(error):
            raise
        if isinstance(error, ValueError) and "array element" in str(error):
            text = errors.message(errors.IN_PLACE_ON_REAL_ARRAY, escape.line, value="")
            raise errors.TraceError(text) from None
        raise escape from None


def _collect(
    name: str,
    active: trace.Trace,
    arguments: list[tuple[int, Proxy, Node]],
    result: Any,
    guards: list[capture.Guard],
) -> Traced:
    leaves, structure = flatten(result)
    by_proxy = {id(proxy): position for position, proxy, _ in arguments}
    results: list[Result] = []
    outputs: list[Node] = []
    for leaf in leaves:
        if id(leaf) in by_proxy:
            results.append(Result("argument", by_proxy[id(leaf)]))
        elif isinstance(leaf, Proxy):
            results.append(Result("output", len(outputs)))
            outputs.append(leaf.__tracer_node__)
        else:
            _check_constant(leaf, name)
            results.append(Result("constant", leaf))
    updated = list(active.updates)
    outputs += active.updates.values()
    written = [position for position, proxy, node in arguments if proxy.__tracer_node__ is not node]
    outputs += [proxy.__tracer_node__ for _, proxy, node in arguments if proxy.__tracer_node__ is not node]
    captured, constants = active.captures()
    graph, shared = close_graph(
        [node for _, _, node in arguments], [node for _, node in captured], outputs, constants, name
    )
    arrays = [array for array, _ in captured]
    return Traced(name, graph, len(arguments), arrays, shared, results, structure, updated, written, guards)


def _check_constant(leaf: Any, name: str) -> None:
    """Raise TraceError for a result in which traced values stay hidden, or which can be read only once."""
    is_set = isinstance(leaf, set | frozenset) and any(isinstance(item, Proxy) for item in leaf)
    if is_set or isinstance(leaf, Iterator | Coroutine):
        raise errors.TraceError(errors.message(errors.RESULT_HIDDEN, function=name, type=type(leaf).__name__))


def close_graph(
    arguments: Sequence[Node], captured: Sequence[Node], outputs: Sequence[Node], constants: dict[Node, Node], name: str
) -> tuple[Graph, list[Shared]]:
    """Make a graph of outputs whose inputs are arguments, captured arrays and the shared variables that it reads."""
    if constants:
        outputs = substitute(outputs, constants)
    known = {*arguments, *captured}
    shared_nodes: list[Node] = []
    shared: list[Shared] = []
    for node in toposort(outputs):
        if node.op is INPUT and node not in known:
            variable = owner(node)
            if variable is None:
                raise errors.LeakedValueError(
                    errors.message(errors.FOREIGN_VALUE, node.line, value=node.type, function=name)
                )
            shared_nodes.append(node)
            shared.append(variable)
    return Graph((*arguments, *captured, *shared_nodes), tuple(outputs)), shared


# --- from a trace to a plan --------------------------------------------------------------------------------------


class Plan:
    """A traced function, compiled for one signature.

    Attributes
    ----------
    traced : Traced
        What was recorded.
    graph : Graph
        The rewritten graph.
    executable : backend.Executable
        What runs it.
    """

    def __init__(self, traced: Traced, arrays: Sequence[np.ndarray[Any, Any]], backend_name: str) -> None:
        self.traced = traced
        self.graph = optimise(traced.graph, verify=config.verify)
        inputs = (*arrays, *traced.captured, *(item.cell[0] for item in traced.shared))
        self.entries = [entry_of(array) for array in inputs]
        layouts = [(array.shape, element_strides(array)) for array in inputs]
        self.executable = backend.load(backend_name, self.graph, layouts)

    def matches(self) -> bool:
        """Whether captured values, shared variables and guards are still as the plan assumes."""
        traced = self.traced
        later = self.entries[traced.argument_count :]
        held = (*traced.captured, *(item.cell[0] for item in traced.shared))
        return all(entry_of(array) == entry for array, entry in zip(held, later, strict=True)) and all(
            guard.holds() for guard in traced.guards
        )

    def run(self, arguments: Sequence[np.ndarray[Any, Any]], originals: Sequence[Any]) -> Any:
        """Run on array arguments: compute everything, check it, and only then let effects happen.

        `originals` are the caller's own objects, which `arguments` may be aligned copies of.
        """
        traced = self.traced
        inputs = [*arguments, *traced.captured, *(item.cell[0] for item in traced.shared)]
        if traced.written:
            self._check_written([*originals, *inputs[len(arguments) :]])
        try:
            outputs = self.executable.run(inputs)
        except Exception as error:
            explain(error, self)
            raise
        self.check(inputs, outputs)
        count = traced.result_count
        for variable, value in zip(traced.updated, outputs[count:], strict=False):
            variable.store(value)
        for position, value in zip(traced.written, outputs[count + len(traced.updated) :], strict=True):
            np.copyto(originals[position], value)
        return self.assemble(originals, outputs)

    def _check_written(self, inputs: Sequence[Any]) -> None:
        """Raise an error if an array that the function writes is read-only or shares memory with another input."""
        for position in self.traced.written:
            if not inputs[position].flags.writeable:
                raise ValueError("assignment destination is read-only")
            for other, array in enumerate(inputs):
                if other != position and np.shares_memory(inputs[position], array):
                    nodes = self.traced.graph.inputs
                    one, two = nodes[position], nodes[other]
                    text = errors.message(
                        errors.OVERLAP, one=one.name, two=two.name or two.type, function=self.traced.name
                    )
                    raise errors.TraceError(text)

    def check(self, inputs: Sequence[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]) -> None:
        """Raise FloatingPointError if a NaN was made and `config.check_nan` asks for it."""
        if config.check_nan and any(item.dtype.kind in "fc" and np.isnan(item).any() for item in outputs):
            backend.find_nan(self.graph, inputs, self.traced.name)

    def assemble(self, originals: Sequence[Any], outputs: Sequence[np.ndarray[Any, Any]]) -> Any:
        """Rebuild the nested result."""
        leaves = []
        for kind, value in self.traced.results:
            if kind == "output":
                leaves.append(outputs[value] if outputs[value].ndim else outputs[value][()])
            else:
                leaves.append(originals[value] if kind == "argument" else value)
        return unflatten(self.traced.structure, leaves)


def explain(error: Exception, plan: Plan) -> None:
    """Add the user's line, where the executor knows it, to an exception."""
    line = getattr(error, "tracer_line", None)
    if line:
        error.add_note(f"  at {line}\n  in the compiled function {plan.traced.name!r}")


Entry = tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]


def entry_of(array: np.ndarray[Any, Any]) -> Entry:
    """What a plan assumes about an input: dtype, shape and byte strides."""
    return array.dtype, array.shape, array.strides


def as_input(value: Any, name: str) -> np.ndarray[Any, Any]:
    """An array argument in a form that programs take: plain ndarray, traced dtype, aligned, whole-element strides.

    Raises TypeError for a dtype that cannot be traced.
    """
    trace.check_array(value, name)
    array = np.asarray(value)
    trace.check_dtype(array, name)
    return in_whole_elements(array)


def in_whole_elements(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that programs take, aligned and with strides of whole elements: itself, or a copy."""
    if not array.flags.aligned or any(stride % array.itemsize for stride in array.strides):
        return array.copy(order="C")
    return array


def setting_guards() -> list[tuple[str, Any, str, Any]]:
    """Guards on the settings that a plan was made under, and on no trace being on: then a call is traced, not run."""
    settings = vars(config)
    guards = [("dict", settings, name, settings[name]) for name in ("check_nan", "backend")]
    return [*guards, ("dict", trace.RUNNING, "traces", 0)]
