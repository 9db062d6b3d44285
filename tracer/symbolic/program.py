"""Symbolic expressions as programs: compiled for each set of shapes that they meet, by replaying them on proxies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from tracer import device, errors
from tracer.arguments import entry_of, in_whole_elements
from tracer.collecting import without_collector
from tracer.config import config
from tracer.errors import function as texts
from tracer.graph.graph import Graph
from tracer.graph.node import Node, input_node
from tracer.lower.build import Layout
from tracer.phases import Phase, recorded, timed
from tracer.pipeline import setting_guards
from tracer.rewrite.passes import optimise
from tracer.run import backend, reference
from tracer.run.cpu import Dispatcher
from tracer.symbolic.stand_in_sizes import replay_without
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.replay import leaves_of, replay
from tracer.tracing.shared import Shared, SharedVariable
from tracer.tracing.symbolic_type import TensorType
from tracer.types import type_of

Array = np.ndarray[Any, Any]


class Flat(NamedTuple):
    """Values of variables taken apart: all arrays, and for each variable how many are its own and what is static."""

    arrays: list[Array]
    counts: list[int]
    statics: list[Hashable]


def _flatten(kinds: Sequence[Any], values: Sequence[Any]) -> Flat:
    arrays: list[Array] = []
    counts, statics = [], []
    for kind, value in zip(kinds, values, strict=True):
        leaves, static = kind.flatten(value)
        arrays += leaves
        counts.append(len(leaves))
        statics.append(static)
    return Flat(arrays, counts, statics)


def _unflatten(kinds: Sequence[Any], leaves: Sequence[Any], counts: Sequence[int], statics: Sequence[Any]) -> list[Any]:
    values = []
    start = 0
    for kind, count, static in zip(kinds, counts, statics, strict=True):
        values.append(kind.unflatten(leaves[start : start + count], static))
        start += count
    return values


Question = tuple[backend.Executable, list[Array]]
"""A program on the arrays of a call, and what it must answer."""


_MOST_PLANS = 256
"""Plans of one program that are kept, for different shapes and static numbers together; the oldest go first."""

_lock = threading.Lock()  # held while plans are kept or forgotten; those who look for one read copies


@dataclass(frozen=True, eq=False)
class SymbolicPlan:
    """What was compiled for one set of shapes and static numbers.

    Attributes
    ----------
    recorded, graph : Graph
        As replayed, and after rewriting. Inputs are the arrays of inputs and shared variables; outputs those of the
        results, then of the updates.
    executable : backend.Executable
    counts, statics : list
        For each result and update how many arrays it has, and what is static about it.
    entries : tuple
        What the native call path compares arrays with.
    question : pair or None
        What makes calls of the same shapes differ.
    phases : sequence of Phase
        What was done to make it.
    """

    recorded: Graph
    graph: Graph
    executable: backend.Executable
    counts: list[int]
    statics: list[Any]
    entries: tuple[Any, ...]
    question: Question | None
    phases: Sequence[Phase] = ()


class Compiler(Protocol):
    """How a graph is rewritten and made ready to run."""

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """The rewritten graph and what runs it, for a function of this name; updates are as of `backend.load`."""
        ...


class Native:
    """All rewrites, and the executor that the settings name."""

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """As of `Compiler`."""
        graph = optimise(graph, verify=config.verify)
        return graph, backend.load(backend.chosen(), graph, layouts, name, updates)


class _Signature:
    """The plans for one set of shapes; they differ in the numbers of arguments that had to be static."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.plans: dict[tuple[Node, ...], dict[tuple[bytes, ...], SymbolicPlan]] = {}
        self.questions: dict[tuple[Node, ...], backend.Executable] = {}

    def find(self, arrays: list[Array]) -> SymbolicPlan | None:
        """The plan for arrays, if there is one."""
        for nodes, plans in list(self.plans.items()):
            question = self.questions.get(nodes)
            try:
                answers = () if question is None else _as_bytes(question.run(arrays))
            except Exception:  # it was made for other answers, and cannot even be asked here
                continue
            plan = plans.get(answers)
            if plan is not None:
                return plan
        return None

    def forget_one(self) -> None:
        """Forget the oldest plan, and the question that nothing asks any more."""
        nodes, plans = next(iter(self.plans.items()))
        del plans[next(iter(plans))]
        if not plans:
            del self.plans[nodes]
            self.questions.pop(nodes, None)


class SymbolicProgram:
    """Outputs and updates as a function of inputs; a plan is made for each set of shapes.

    Parameters
    ----------
    inputs : sequence of variables
    outputs : sequence of variables
    updates : mapping
        Shared variable -> the variable that gives its new value. All of them see the old values.
    name : str
        For messages.
    compiler : Compiler, optional
        How plans are made.

    Attributes
    ----------
    shared : list of shared variables
        Those that outputs and updates read.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        updates: Mapping[Any, Any],
        name: str,
        compiler: Compiler | None = None,
    ) -> None:
        self.inputs, self.outputs, self.updates, self.name = list(inputs), list(outputs), dict(updates), name
        self.compiler = Native() if compiler is None else compiler
        given = set(self.inputs)
        leaves = leaves_of([*self.outputs, *self.updates.values()], stop=given)
        self.shared = [item for item in leaves if isinstance(item, SharedVariable) and item not in given]
        self.absent = [
            item for item in leaves if not (item in given or item.is_constant or isinstance(item, SharedVariable))
        ]
        self.kinds = [item.type for item in (*self.inputs, *self.shared)]
        self.results = [item.type for item in (*self.outputs, *self.updates.values())]
        self.signatures: dict[Hashable, _Signature] = {}
        self._slow_plan: SymbolicPlan | None = None
        self._hits = 0
        self.plan_count = 0
        self._is_plain = all(type(kind) is TensorType for kind in (*self.kinds, *self.results))
        self._is_plain = self._is_plain and all(isinstance(item, Shared) for item in (*self.shared, *self.updates))
        self._dispatcher = Dispatcher(self.run)

    def __call__(self, *values: Any) -> list[Any]:
        """Run on values that the types of the inputs have filtered; returns the outputs, and updates shared variables.

        Raises whatever the computation raises, with the user's line; then nothing has changed.
        """
        result: list[Any] = self._dispatcher(*values)
        return result

    def plans(self) -> list[list[SymbolicPlan]]:
        """All plans, those for the same shapes together."""
        with _lock:
            kept = [[*known.plans.values()] for known in self.signatures.values()]
            return [[plan for plans in group for plan in plans.values()] for group in kept]

    @property
    def last_plan(self) -> SymbolicPlan | None:
        """What the last call used."""
        if self._dispatcher.hits != self._hits:
            used: SymbolicPlan = self._dispatcher.plans()[0]
            return used
        return self._slow_plan

    def run(self, *values: Any) -> list[Any]:
        """As a call, without the native path."""
        alone = self._alone() if self._is_plain and backend.chosen() == "gpu" else []
        flat, plan = self.find_plan(values)
        free = [len(flat.arrays) - len(self.shared) + number for number in alone]
        try:
            arrays = plan.executable.run(flat.arrays, free) if free else plan.executable.run(flat.arrays)  # type: ignore[call-arg]
        except Exception as error:
            self.explain(error, flat.arrays)
            raise
        arrays = self._brought_home(arrays, plan.counts)
        if config.check_nan and any(item.dtype.kind in "fc" and np.isnan(item).any() for item in arrays):
            backend.find_nan(plan.graph, [device.to_host(array) for array in flat.arrays], self.name)
        results = _unflatten(self.results, arrays, plan.counts, plan.statics)
        count = len(self.outputs)
        for variable, value in zip(self.updates, results[count:], strict=True):
            variable.store(value)
        return results[:count]

    def _alone(self) -> list[int]:
        """The shared variables whose values nobody else holds."""
        return [number for number, item in enumerate(self.shared) if item.is_alone()]

    def _shared_values(self) -> list[Any]:
        """The values of the shared variables, arrays where the program runs."""
        on_gpu = backend.chosen() == "gpu"
        return [item.value_on(on_gpu) if isinstance(item, Shared) else item.cell[0] for item in self.shared]

    def _brought_home(self, arrays: Sequence[Any], counts: Sequence[int]) -> list[Any]:
        """The results of a run: on the host, but for new values of shared arrays, which stay on a GPU."""
        variables = [*([None] * len(self.outputs)), *self.updates]
        stay = [
            isinstance(variable, Shared) and count == 1 and not variable.stays_on_host
            for variable, count in zip(variables, counts, strict=True)
            for _ in range(count)
        ]
        return device.brought_home(arrays, stay)

    # --- plans ---------------------------------------------------------------------------------------------------

    def find_plan(self, values: Sequence[Any]) -> tuple[Flat, SymbolicPlan]:
        """The plan for values, compiled if need be, and the values taken apart."""
        flat = _flatten(self.kinds, [*values, *self._shared_values()])
        arrays = [in_whole_elements(array) for array in flat.arrays]
        flat = flat._replace(arrays=arrays)
        key = (backend.chosen(), tuple(map(entry_of, arrays)), tuple(flat.statics))
        signature = self.signatures.get(key)
        plan = None if signature is None else signature.find(arrays)
        if plan is None:
            signature = signature or _Signature(self._nodes(flat))
            try:
                with without_collector(), trace.suspended(), recorded() as phases:
                    plan, asked = self._compile(signature, flat)
                plan = replace(plan, phases=phases)
            except Exception as error:
                self.explain(error, arrays)
                raise
            self._keep(key, signature, plan, asked)
        if plan not in self._dispatcher.plans():
            count = len(self.outputs)
            self.offer(
                self._dispatcher,
                plan,
                plan.entries[: len(self.inputs)],
                [item.cell for item in self.shared],
                [(item.cell, count + number) for number, item in enumerate(self.updates)],
                ("list", tuple(("leaf", number, False) for number in range(count))),
                plan,
            )
        self._slow_plan, self._hits = plan, self._dispatcher.hits
        return flat, plan

    def _nodes(self, flat: Flat) -> list[Node]:
        """An input node for every array; a shared array has one of its own."""
        nodes: list[Node] = []
        start, shared = 0, set(self.shared)
        for variable, count in zip((*self.inputs, *self.shared), flat.counts, strict=True):
            for array in flat.arrays[start : start + count]:
                own = isinstance(variable, Shared) and variable in shared
                nodes.append(variable.__tracer_node__ if own else input_node(type_of(array), variable.name))
            start += count
        return nodes

    def _keep(self, key: Hashable, signature: _Signature, plan: SymbolicPlan, asked: tuple[Node, ...]) -> None:
        """Keep a plan for calls with the same answers, and only as many others as there is room for."""
        with _lock:
            signature = self.signatures.setdefault(key, signature)
            answers: tuple[bytes, ...] = ()
            if plan.question is not None:
                signature.questions[asked] = plan.question[0]
                answers = _as_bytes(plan.question[1])
            signature.plans.setdefault(asked, {})[answers] = plan
            self.plan_count += 1
            count = sum(len(plans) for known in self.signatures.values() for plans in known.plans.values())
            if count > _MOST_PLANS:
                oldest = next(iter(self.signatures))
                self.signatures[oldest].forget_one()
                if not self.signatures[oldest].plans:
                    del self.signatures[oldest]

    def _compile(self, signature: _Signature, flat: Flat) -> tuple[SymbolicPlan, tuple[Node, ...]]:
        """Make a plan; gives also the nodes whose numbers it has as static ones."""
        asked: dict[Node, Array] = {}

        def evaluate(node: Node) -> Array:
            if node not in asked:
                graph = Graph(tuple(signature.nodes), (node,))
                asked[node] = reference.run(graph, [device.to_host(array) for array in flat.arrays])[0]
            return asked[node]

        recorded, counts, statics = self.record(signature.nodes, flat, evaluate)
        layouts = backend.layouts_of(backend.chosen(), flat.arrays)
        in_place = self._is_plain and not asked
        replaced = self._replaced(len(flat.arrays), len(recorded.outputs)) if in_place else []
        graph, executable = self.compiler.compile(recorded, layouts, self.name, replaced)
        nodes, question = tuple(asked), None
        if nodes:
            asker = signature.questions.get(nodes)
            if asker is None:
                questions = optimise(Graph(tuple(signature.nodes), nodes), verify=config.verify)
                asker = backend.load(backend.chosen(), questions, layouts, self.name)
            question = asker, list(asked.values())
        entries = tuple(("array", array.dtype.num, array.shape, array.strides) for array in flat.arrays)
        return SymbolicPlan(recorded, graph, executable, counts, statics, entries, question), nodes

    def _replaced(self, arrays: int, outputs: int) -> list[tuple[int, int]]:
        """The outputs that become the value of a shared variable that is an input, and which input."""
        places = {item: place for place, item in enumerate(self.shared, arrays - len(self.shared))}
        numbers = enumerate(self.updates, outputs - len(self.updates))
        return [(number, places[item]) for number, item in numbers if item in places]

    @timed("trace")
    def record(
        self, nodes: Sequence[Node], flat: Flat, evaluate: Callable[[Node], Array] | None
    ) -> tuple[Graph, list[int], list[Any]]:
        """Replay the expressions on proxies of these nodes.

        Parameters
        ----------
        nodes : sequence of Node
            One for each array of the inputs and shared variables.
        flat : Flat
            How many arrays each variable has, and what is static about it.
        evaluate : callable
            Gives the number of a node that must be static.

        Returns
        -------
        tuple
            The graph; and for each result how many arrays it has, and what is static about it.
        """
        proxies = [Proxy(node) for node in nodes]
        values = _unflatten(self.kinds, proxies, flat.counts, flat.statics)
        known = dict(zip((*self.inputs, *self.shared), values, strict=True))
        wanted = [*self.outputs, *self.updates.values()]
        with trace.specialising(evaluate):
            found = self._replay_without_absent(wanted, known) if self.absent else replay(wanted, known)
            outputs: list[Node] = []
            counts, statics = [], []
            for kind, value in zip(self.results, found, strict=True):
                leaves, static = kind.flatten(value)
                dtype = kind.numpy_dtype if isinstance(kind, TensorType) and static is None else None
                outputs += [unwrap(leaf, dtype) for leaf in leaves]
                counts.append(len(leaves))
                statics.append(static)
        return Graph(tuple(nodes), tuple(outputs)), counts, statics

    def _replay_without_absent(self, wanted: list[Any], known: dict[Any, Any]) -> list[Any]:
        found = replay_without(wanted, self.absent, known)
        if found is None:
            raise ValueError(errors.message(texts.ABSENT_SIZES, names=", ".join(map(str, self.absent))))
        return found

    # --- the native call path ------------------------------------------------------------------------------------

    def offer(
        self,
        dispatcher: Dispatcher,
        plan: SymbolicPlan,
        spec: Sequence[Any],
        cells: Sequence[list[Any]],
        updates: Sequence[tuple[list[Any], int]],
        result: Any,
        token: Any,
        guards: Sequence[Any] = (),
        keywords: tuple[str, ...] = (),
    ) -> None:
        """Let a dispatcher answer calls by a plan, if native code can.

        Parameters
        ----------
        dispatcher : Dispatcher
        plan : SymbolicPlan
        spec : sequence
            What each argument of a call must look like.
        cells : sequence of list
            What holds the values of the other arrays of the plan.
        updates : sequence of (cell, position)
            Which output becomes the value of which cell.
        result : tuple
            How the result is made of the outputs.
        token : hashable
            By which the dispatcher's `plans()` shows it.
        guards : sequence
            What else must hold.
        keywords : tuple of str
            The names of the last arguments, which are passed by name.
        """
        if not self._is_plain or plan.executable.native is None or config.check_nan or any(plan.statics):
            return
        if not all(map(_takes, plan.entries, spec)):
            return
        question = None
        if plan.question is not None:
            asker, answers = plan.question
            if asker.native is None:
                return
            question = asker.native, [np.ascontiguousarray(item).reshape(item.shape) for item in answers]
        dispatcher.add(
            tuple(spec),
            keywords,
            plan.executable.native,
            [],
            [],
            list(cells),
            plan.entries[len(spec) :],
            [(cell, number, *backend.rows_of(plan.executable, number)) for cell, number in updates],
            [],
            [*setting_guards(), ("dict=", vars(config), "exception_verbosity", "low"), *guards],
            result,
            None,
            lambda error, _: self.explain(error),
            token,
            question,
        )

    def explain(self, error: Exception, arrays: Sequence[Array] | None = None) -> None:
        """Add the user's line, where the executor knows it, to an exception, and on request the arguments."""
        line = getattr(error, "tracer_line", None)
        place = f"  at {line}\n" if line else ""
        error.add_note(place + errors.IN_FUNCTION.format(function=self.name))
        if config.exception_verbosity == "low":
            error.add_note(errors.HINT_VERBOSITY)
        elif arrays is not None:
            names = [variable.name or str(variable) for variable in (*self.inputs, *self.shared)]
            error.add_note("\n".join(map(_describe, names, arrays)))


def _takes(entry: Any, described: Any) -> bool:
    """Whether a plan can be run on an argument as described: not if another thread's call needed it, or a copy."""
    if described[0] == "array":
        return bool(entry == described)
    dtype_number, shape = (described[2], described[1][2]) if described[0] == "cast" else (described[1], ())
    return bool(entry[1:3] == (dtype_number, shape))


def _describe(name: str, array: Array) -> str:
    value = f", value {array.tolist()}" if array.size <= 16 else ""
    return f"  {name}: {array.dtype}{list(array.shape)}, strides {array.strides}, {array.nbytes} bytes{value}"


def _as_bytes(arrays: Sequence[Array]) -> tuple[bytes, ...]:
    """Arrays as what tells them apart, -0.0 from 0.0 too, where NaN is itself."""
    return tuple(array.tobytes() for array in arrays)
