"""The way of a function, top to bottom: trace, rewrite, lower, load. What comes out is a plan that runs on arrays."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracer import device, errors, paths
from tracer.aliasing import share_memory
from tracer.arguments import Leaves, entry_of, positional_names
from tracer.config import config
from tracer.errors import Line
from tracer.errors.batching import EXAMPLE_LEAKED
from tracer.graph.graph import Graph, substitute
from tracer.graph.node import INPUT, Node
from tracer.phases import Phase
from tracer.records import NamedTuple
from tracer.rewrite.passes import optimise
from tracer.run import backend
from tracer.tracing import capture, generators, random_calls, selected, stand_ins, trace
from tracer.tracing.handed_nests import HandedNests
from tracer.tracing.proxy import Proxy, describe
from tracer.tracing.questions import Question, Questions
from tracer.tracing.shared import Shared, owner
from tracer.tracing.source import attempts, hooks
from tracer.tracing.weak import WeakFloat
from tracer.tree import Structure, flatten, unflatten
from tracer.types import element_strides

selected.install()


class Result(NamedTuple):
    """Where one leaf of a function's result comes from: "output", "float" (an output too), "argument" or "constant"."""

    kind: str
    value: Any


@dataclass
class Traced:
    """What one run of a function on proxies recorded.

    `graph.inputs` are the array arguments, then captured arrays, then shared variables; `graph.outputs` are the
    results, then new values of `updated`, then new contents of the arguments in `written` and of the captured arrays in
    `stored`. Arguments include the memory that groups of them share; what is in `covered` is part of that. `questions`
    are those whose answers it went by, `scalars` the NumPy scalars that in-place code would have changed, had they been
    0-d arrays, and `rolled` the user's loops that are loops of the program, with their steps.
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
    stored: list[int]
    guards: list[capture.Guard] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    covered: frozenset[int] = frozenset()
    scalars: frozenset[int] = frozenset()
    rolled: tuple[tuple[Line, int], ...] = ()

    @property
    def streams(self) -> list[generators.Stream]:
        """The generators, captured ones, that are drawn from."""
        found: dict[Any, None] = dict.fromkeys((*self.shared, *self.updated))
        return [item for item in found if isinstance(item, generators.Stream)]

    @property
    def watched(self) -> list[tuple[np.ndarray[Any, Any], str]]:
        """Arrays that the function may have computed with while it was traced, with their names."""
        return [(guard.watched, guard.label) for guard in self.guards if guard.watched is not None]

    @property
    def result_count(self) -> int:
        """How many outputs are results."""
        return len(self.graph.outputs) - len(self.updated) - len(self.written) - len(self.stored)

    @property
    def replaced(self) -> list[tuple[int, int]]:
        """The outputs that become the value of a shared variable that is an input, and which input."""
        first = self.argument_count + len(self.captured)
        places = {item: place for place, item in enumerate(self.shared, first) if isinstance(item, Shared)}
        numbers = enumerate(self.updated, self.result_count)
        return [(number, places[item]) for number, item in numbers if item in places]


Finish = Callable[[Any, trace.Trace], None]
"""Called with the result on proxies while the trace is still on, to add updates."""


class Inputs(NamedTuple):
    """Input nodes that all traces for one signature have in common: then they ask the same questions.

    Attributes
    ----------
    nodes : list of Node
        One for each array of the arguments.
    captured : dict
        Array id -> the array and its node.
    """

    nodes: list[Node]
    captured: dict[int, tuple[np.ndarray[Any, Any], Node]]


def trace_function(
    function: Callable[..., Any],
    leaves: Leaves,
    inputs: Inputs,
    *,
    name: str,
    finish: Finish | None = None,
    guarded: bool = False,
    earlier: capture.Earlier | None = None,
) -> Traced:
    """Run a function on proxies and return what it recorded.

    Parameters
    ----------
    function : callable
        The user's function.
    leaves : Leaves
        Its arguments; those that are not traced are passed as they are.
    inputs : Inputs
        The nodes of what is traced; captured arrays are added.
    name : str
        The function's name.
    finish : callable, optional
        Runs at the end of the trace.
    guarded : bool
        Whether tests and numbers may be answered for these arguments.
    earlier : Earlier, optional
        What earlier traces of the function have found out.

    Raises
    ------
    TraceError
        If the function does something that a trace cannot follow. Nothing of the user's has changed then.
    """
    static = [leaf for leaf, traced in zip(leaves.values, leaves.is_array, strict=True) if not traced]
    surroundings = capture.Surroundings(function, static)
    known = capture.Earlier() if earlier is None else earlier
    untouched = [surroundings]  # an attempt may leave others behind for the next

    def attempt(active: trace.Trace) -> Traced:
        active.is_guarded = guarded
        around = untouched.pop() if untouched else capture.Surroundings(function, static)
        return _trace_once(function, leaves, inputs, known, active, around, finish)

    def new_trace() -> trace.Trace:
        return trace.Trace(name, inputs.captured)

    return attempts.trace_with(attempt, function, surroundings, new_trace, known.arrays)


def _trace_once(
    function: Callable[..., Any],
    leaves: Leaves,
    inputs: Inputs,
    earlier: capture.Earlier,
    active: trace.Trace,
    surroundings: capture.Surroundings,
    finish: Finish | None,
) -> Traced:
    given = dict(zip(inputs.nodes, leaves.arrays, strict=True))
    active.questions = Questions(given, lambda node: value_of(node, active.captured_value(node)))
    with (
        closing(active.questions),
        trace.tracing(active),
        random_calls.following(function, active.name, surroundings.generators),
    ):
        proxies, memory = _proxies(leaves, inputs.nodes, active)
        traced = iter(
            generators.bind_argument(original, proxy, active) if generators.is_generator(original) else proxy
            for original, proxy in zip(leaves.originals, proxies, strict=True)
        )
        values = [
            next(traced) if is_array else leaf for leaf, is_array in zip(leaves.values, leaves.is_array, strict=True)
        ]
        args, kwargs = unflatten(leaves.structure, values)
        nests = HandedNests(args, kwargs)
        with stand_ins.standing_in(surroundings.guards) as stand_in:
            result = _call(hooks.begin(stand_in(function)), args, kwargs, active)
        if active.session is not None:
            result = active.session.finish(result)
        earlier.tell_puts(active.name, nests.put(result, lambda: positional_names(function)))
        if finish is not None:
            finish(result, active)
        generators.finish(active)
        arguments = _Arguments(inputs.nodes, proxies, memory, frozenset(_covered(leaves)))
        return _collect(active, arguments, result, surroundings.held_guards(active, earlier), inputs)


def value_of(node: Node, captured: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any] | None:
    """The array of an input that is not an argument: what was captured, or what a shared variable holds."""
    variable = None if captured is not None else owner(node)
    return captured if variable is None else device.to_host(variable.cell[0])


class _Arguments(NamedTuple):
    """The nodes of arguments, and their proxies: those the function got, and those of memory that some share."""

    nodes: Sequence[Node]
    proxies: list[Any]
    memory: list[Proxy]
    covered: frozenset[int]

    def written(self) -> list[int]:
        """Which of them have a new version."""
        pairs = zip((*self.proxies, *self.memory), self.nodes, strict=True)
        changed = [position for position, (proxy, node) in enumerate(pairs) if proxy.__tracer_node__ is not node]
        return [position for position in changed if position not in self.covered]


def _covered(leaves: Leaves) -> Iterator[int]:
    for group in leaves.groups:
        for member in group.members:
            if member.leaf is not None:
                yield member.leaf


def _proxies(leaves: Leaves, nodes: Sequence[Node], active: trace.Trace) -> tuple[list[Any], list[Proxy]]:
    """What stands for each traced leaf, and for the memory of each group of leaves that are views of it."""
    proxies: list[Any] = []
    places = [place for place, is_array in enumerate(leaves.is_array) if is_array]
    for place, node, array, original in zip(places, nodes, leaves.arrays, leaves.originals, strict=False):
        if place in leaves.weak:
            proxies.append(WeakFloat(node, frozenset([place])))
            continue
        proxy = Proxy(node, active)
        proxy._strides = None if array.flags.c_contiguous else element_strides(array)
        proxy._is_array = isinstance(original, np.ndarray) or device.is_on_gpu(original)
        proxies.append(proxy)
    memory = [Proxy(node, active) for node in nodes[len(proxies) :]]
    for group, base in zip(leaves.groups, memory, strict=True):
        seen: dict[int, Proxy] = {}
        for member in group.members:
            view = seen.get(id(member.array))
            if view is None:
                view = seen[id(member.array)] = member.view(base)
                view._is_array = True
            if member.leaf is None:
                active.see_through(member.array, view)
            else:
                proxies[member.leaf] = view
    return proxies, memory


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
    active: trace.Trace, arguments: _Arguments, result: Any, guards: list[capture.Guard], inputs: Inputs
) -> Traced:
    name = active.name
    leaves, structure = flatten(result)
    by_proxy = {id(proxy): position for position, proxy in reversed(list(enumerate(arguments.proxies)))}
    results: list[Result] = []
    outputs: list[Node] = []
    for leaf in map(generators.seen_by_caller, leaves):
        if id(leaf) in by_proxy:
            results.append(Result("argument", by_proxy[id(leaf)]))
        elif isinstance(leaf, Proxy):
            results.append(Result("output", len(outputs)))
            outputs.append(leaf.__tracer_node__)
        elif type(leaf) is WeakFloat:
            results.append(Result("float", len(outputs)))
            outputs.append(leaf.__tracer_node__)
        else:
            _check_constant(leaf, name)
            results.append(Result("constant", leaf))
    updates = active.all_updates()
    updated = list(updates)
    outputs += updates.values()
    written = arguments.written()
    everything = (*arguments.proxies, *arguments.memory)
    outputs += [everything[position].__tracer_node__ for position in written]
    captured, constants = active.captures()
    stored = [] if active.session is None else active.session.lifting.written()
    outputs += [node for _, node in stored]
    questions = [] if active.questions is None else active.questions.resolved()
    count = len(outputs)
    outputs += [question.node for question in questions]
    graph, shared = close_graph(arguments.nodes, [node for _, node in captured], outputs, constants, name)
    asked = zip(questions, graph.outputs[count:], strict=True)
    inputs.captured.update((id(array), (array, node)) for array, node in captured)
    return Traced(
        name,
        Graph(graph.inputs, graph.outputs[:count]) if questions else graph,
        len(arguments.nodes),
        [array for array, _ in captured],
        shared,
        results,
        structure,
        updated,
        written,
        _places(stored, captured, name),
        guards,
        [question._replace(node=node) for question, node in asked],
        arguments.covered,
        frozenset(place for place, proxy in enumerate(arguments.proxies) if id(proxy) in active.in_place_scalars),
        tuple(active.session.rolling.rolled) if active.session is not None and active.session.rolling else (),
    )


def _places(
    stored: Sequence[tuple[np.ndarray[Any, Any], Node]],
    captured: Sequence[tuple[np.ndarray[Any, Any], Node]],
    name: str,
) -> list[int]:
    """The places among the captured arrays of those that the function writes into."""
    places = {id(array): place for place, (array, _) in enumerate(captured)}
    for array, node in stored:
        if id(array) not in places:
            text = errors.message(errors.CAPTURE_CHANGED, node.line, value=node.type, function=name)
            raise errors.TraceError(text)
    return [places[id(array)] for array, _ in stored]


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
    whole = Graph((), tuple(outputs))
    for node in whole.nodes():
        if node.op is INPUT and node not in known:
            variable = owner(node)
            if variable is None:
                text = EXAMPLE_LEAKED if node in trace.EXAMPLES else errors.FOREIGN_VALUE
                value = describe(node) if node in trace.EXAMPLES else node.type
                raise errors.LeakedValueError(errors.message(text, node.line, value=value, function=name))
            shared_nodes.append(node)
            shared.append(variable)
    return whole.with_inputs((*arguments, *captured, *shared_nodes)), shared


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
    on_gpu : bool
        Whether that is on a GPU. Then the arrays of a run may be CuPy's, and NumPy's are sent there.
    phases : sequence of Phase
        What was done to make it.
    """

    def __init__(self, traced: Traced, arrays: Sequence[np.ndarray[Any, Any]], backend_name: str) -> None:
        self.traced = traced
        self.calls = 0
        self.phases: Sequence[Phase] = ()
        self.on_gpu = backend_name == "gpu"
        replaced = [] if traced.questions else traced.replaced
        kept = dict(replaced)  # whose memory may stay what it is
        backend.expect(backend_name, (node for n, node in enumerate(traced.graph.outputs) if n not in kept))
        inputs = (*arrays, *traced.captured, *self.shared_values())
        self.entries = [entry_of(array) for array in inputs]
        layouts = backend.layouts_of(backend_name, inputs)
        self.packed = paths.pack(traced.questions)
        outputs = traced.graph.outputs
        self.asker: backend.Executable | None = None
        self.is_native_path = paths.may_speculate(self.packed.nodes)
        if traced.questions and self.is_native_path:
            # Sizes change often, so that they are asked first; a test mostly has the answer that it had.
            if paths.may_speculate(outputs) and all(question.kind != "size" for question in traced.questions):
                outputs = (*outputs, *self.packed.nodes)
            else:
                questions = optimise(Graph(traced.graph.inputs, tuple(self.packed.nodes)), verify=config.verify)
                self.asker = backend.load(backend_name, questions, layouts, traced.name)
        whole = traced.graph if outputs is traced.graph.outputs else Graph(traced.graph.inputs, outputs)
        self.graph = optimise(whole, verify=config.verify)
        self.executable = backend.load(backend_name, self.graph, layouts, traced.name, replaced)

    def shared_values(self) -> list[Any]:
        """The values of the shared variables, where the plan runs."""
        return [item.value_on(self.on_gpu) if isinstance(item, Shared) else item.cell[0] for item in self.traced.shared]

    def matches(self) -> bool:
        """Whether captured values, shared variables and guards are still as the plan assumes."""
        traced = self.traced
        later = self.entries[traced.argument_count :]
        held = (*traced.captured, *(item.cell[0] for item in traced.shared))
        return all(entry_of(array) == entry for array, entry in zip(held, later, strict=True)) and all(
            guard.holds() for guard in traced.guards
        )

    def takes(self, originals: Sequence[Any]) -> bool:
        """Whether arguments are arrays or NumPy scalars as those that it was traced for, where that matters."""
        return not any(isinstance(originals[place], np.ndarray) for place in self.traced.scalars) and not any(
            isinstance(originals[place], np.generic) for place in self.traced.written if place < len(originals)
        )

    def run(self, arguments: Sequence[np.ndarray[Any, Any]], originals: Sequence[Any]) -> Any:
        """Run on array arguments: compute everything, check it, and only then let effects happen.

        `originals` are the caller's own objects, which `arguments` may be aligned copies of.
        """
        traced = self.traced
        free = self._free() if self.on_gpu else ()
        inputs = [*arguments, *traced.captured, *self.shared_values()]
        if traced.written or traced.stored:
            pairs = zip(originals, arguments, strict=True)
            targets = [state if generators.is_generator(item) else item for item, state in pairs]
            self._check_written([*targets, *inputs[len(arguments) :]])
        if traced.streams:
            generators.check_apart(originals, traced.streams, traced.name)
        try:
            outputs = self.executable.run(inputs, free) if free else self.executable.run(inputs)  # type: ignore[call-arg]
        except Exception as error:
            explain(error, self)
            raise
        if self.on_gpu:
            outputs = self._brought_home(originals, outputs)
        self.check(inputs, outputs)
        self.calls += 1
        count = traced.result_count
        for variable, value in zip(traced.updated, outputs[count:], strict=False):
            variable.store(value)
        for position, value in zip(traced.written, outputs[count + len(traced.updated) :], strict=False):
            generators.write_back(originals[position], value)
        last = count + len(traced.updated) + len(traced.written)
        for position, value in zip(traced.stored, outputs[last:], strict=False):
            np.copyto(traced.captured[position], value)
        return self.assemble(originals, outputs)

    def _free(self) -> Sequence[int]:
        """The inputs that are values of shared variables which nobody else holds."""
        first = self.traced.argument_count + len(self.traced.captured)
        shared = enumerate(self.traced.shared, first)
        return [place for place, item in shared if isinstance(item, Shared) and item.is_alone()]

    def _brought_home(self, originals: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """The outputs of a GPU, those moved to the host that belong there."""
        traced = self.traced
        results_stay = any(map(device.is_on_gpu, originals))
        stay = [results_stay] * traced.result_count
        stay += [isinstance(item, Shared) and not item.stays_on_host for item in traced.updated]
        stay += [device.is_on_gpu(originals[position]) for position in traced.written]
        stay += [False] * (len(outputs) - len(stay))
        return device.brought_home(outputs, stay)

    def _check_written(self, inputs: Sequence[Any]) -> None:
        """Raise an error if an array that the function writes is read-only or shares memory with another input."""
        for position in (*self.traced.written, *(self.traced.argument_count + place for place in self.traced.stored)):
            if not device.is_on_gpu(inputs[position]) and not inputs[position].flags.writeable:
                raise ValueError("assignment destination is read-only")
            for other, array in enumerate(inputs):
                skipped = other == position or other in self.traced.covered
                if not skipped and share_memory(inputs[position], array):
                    nodes = self.traced.graph.inputs
                    one, two = nodes[position], nodes[other]
                    text = errors.message(
                        errors.OVERLAP, one=one.name, two=two.name or two.type, function=self.traced.name
                    )
                    raise errors.TraceError(text)
            for array, label in self.traced.watched:
                if share_memory(inputs[position], array):
                    name = self.traced.graph.inputs[position].name
                    text = errors.message(errors.OVERLAP, one=name, two=label, function=self.traced.name)
                    raise errors.TraceError(text)

    def check(self, inputs: Sequence[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]) -> None:
        """Raise FloatingPointError if a NaN was made and `config.check_nan` asks for it."""
        if config.check_nan and any(item.dtype.kind in "fc" and np.isnan(item).any() for item in outputs):
            backend.find_nan(self.graph, [device.to_host(array) for array in inputs], self.traced.name)

    def assemble(self, originals: Sequence[Any], outputs: Sequence[np.ndarray[Any, Any]]) -> Any:
        """Rebuild the nested result."""
        leaves = []
        for kind, value in self.traced.results:
            if kind == "output":
                leaves.append(outputs[value] if outputs[value].ndim else outputs[value][()])
            elif kind == "float":
                leaves.append(outputs[value].item())
            else:
                leaves.append(originals[value] if kind == "argument" else value)
        return unflatten(self.traced.structure, leaves)


def explain(error: Exception, plan: Plan) -> None:
    """Add the user's line, where the executor knows it, to an exception."""
    line = getattr(error, "tracer_line", None)
    if line:
        error.add_note(f"  at {line}\n  in the compiled function {plan.traced.name!r}")


def setting_guards() -> list[tuple[str, Any, str, Any]]:
    """Guards on the settings that a plan was made under, and on no trace being on: then a call is traced, not run."""
    settings = vars(config)
    guards = [("dict", settings, name, settings[name]) for name in ("check_nan", "backend", "device")]
    return [*guards, ("dict", trace.RUNNING, "traces", 0)]
