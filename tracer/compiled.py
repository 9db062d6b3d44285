"""The compiled function: signatures, the cache of plans, and the fast way from a call to a plan."""

from __future__ import annotations

import functools
import operator
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors, phases
from tracer.aliasing import groups_of, share_memory
from tracer.arguments import (
    SETTINGS,
    Leaves,
    array_entry,
    as_input,
    difference,
    entry_of,
    is_array_like,
    leaf_names,
    output_tree,
    positional_names,
    spec,
    static_key,
)
from tracer.collecting import without_collector
from tracer.config import config
from tracer.device import is_on_gpu
from tracer.device_calls import MISSED, DeviceCalls
from tracer.errors import branches as texts
from tracer.explaining import Explained, Profilable, explained_plan, job_of
from tracer.generator_cells import state_cell
from tracer.graph.node import Node, input_node
from tracer.ops.generators import source_of, state_of
from tracer.paths import Tree
from tracer.pipeline import (
    Finish,
    Inputs,
    Plan,
    Traced,
    explain,
    setting_guards,
    trace_function,
    value_of,
)
from tracer.records import NamedTuple
from tracer.repeated_graph import no_results, repeated_trace
from tracer.repeating import MOST_RUNS, Call, Calls, GeneratorState, Repeatable
from tracer.run.backend import chosen, rows_of
from tracer.run.cpu import Dispatcher
from tracer.tracing import trace
from tracer.tracing.capture import Earlier, label_of, logger
from tracer.tracing.generators import is_generator, is_same_stream, write_back
from tracer.tracing.proxy import Proxy
from tracer.tracing.questions import Evaluator, Question
from tracer.tracing.replay import is_computing
from tracer.tracing.shared import Shared
from tracer.tracing.source import hooks
from tracer.tracing.symbolic import Symbolic
from tracer.tracing.weak import NeedsStatic
from tracer.tree import Structure, flatten, unflatten
from tracer.types import type_of

_MOST_PLANS = 256
"""Plans of one function that are kept; beyond, the oldest is forgotten."""
_MOST_CAPTURED = 64
"""Captured arrays of one function that arguments are compared with, to see if they share memory."""

_lock = threading.Lock()  # held while plans are kept or forgotten


class CacheInfo(NamedTuple):
    """What `f.cache_info()` tells.

    Attributes
    ----------
    plans : int
        Compiled plans that are kept.
    calls : int
        Calls so far outside of traces.
    traces : int
        How often the function was traced.
    reasons : tuple of str
        Why, one reason per trace.
    """

    plans: int
    calls: int
    traces: int
    reasons: tuple[str, ...]


class Signature:
    """The plans for arguments of the same types.

    Attributes
    ----------
    inputs : Inputs
        What all of their traces have in common.
    trees : list of Tree
        Plans by the path that a call takes, the newest tree last. Those of different trees differ in what they capture.
    """

    def __init__(self, leaves: Leaves) -> None:
        traced = [name for name, is_array in zip(leaves.names, leaves.is_array, strict=True) if is_array]
        nodes = [input_node(type_of(array), name) for array, name in zip(leaves.arrays, traced, strict=False)]
        memory = [input_node(type_of(group.base), "the memory of arguments") for group in leaves.groups]
        self.inputs = Inputs([*nodes, *memory], {})
        self.trees: list[Tree[Plan]] = []

    def find(self, leaves: Leaves) -> Plan | None:
        """The plan for a call, if there is one."""
        held = {id(node): array for array, node in self.inputs.captured.values()}

        def other(node: Node) -> np.ndarray[Any, Any] | None:
            return value_of(node, held.get(id(node)))

        evaluator = Evaluator(dict(zip(self.inputs.nodes, leaves.arrays, strict=True)), other)
        for tree in reversed(self.trees):
            try:
                plan = tree.find(evaluator.value)
            except Exception:  # a question that this call does not ask; if it does, its own plan raises this
                continue
            if plan is not None and plan.matches() and plan.takes(leaves.originals):
                return plan
        return None

    def keep(self, plan: Plan) -> Tree[Plan]:
        """Keep a plan, and forget those of the same kind whose captured values have changed."""
        for tree in self.trees:
            for other in list(tree.plans()):
                if not other.matches():
                    tree.remove(other)
        self.trees = [tree for tree in self.trees if any(tree.plans())]
        held = {id(array) for other in (plan, *self.plans()) for array in other.traced.captured}
        for key in self.inputs.captured.keys() - held:
            del self.inputs.captured[key]
        for tree in reversed(self.trees):
            if plan.traced.questions and tree.insert(plan):
                return tree
        self.trees.append(Tree())
        self.trees[-1].insert(plan)
        return self.trees[-1]

    def plans(self) -> Iterator[Plan]:
        """All plans."""
        for tree in self.trees:
            yield from tree.plans()


def _find(module: str | None, name: str) -> Any:
    """What a module has by a qualified name; None if it has nothing."""
    try:
        return operator.attrgetter(name)(sys.modules.get(module or ""))
    except AttributeError:
        return None


class Compiled(Dispatcher, Repeatable, Profilable):
    """A function that compiles itself for each signature of its arguments, and then runs as native code.

    Made by `tracer.compile`. Calling it while another function is traced makes it part of that trace, and calling it
    on symbolic variables makes an expression of them.
    """

    def __new__(cls, *_: Any, **__: Any) -> Compiled:
        """Give the native part what it falls back to for arguments that no plan fits."""
        self: Any = super().__new__(cls, lambda *args, **kwargs: self._slow_call(*args, **kwargs))
        return self

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        backend: str | None = None,
        device: str | None = None,
        name: str | None = None,
        finish: Finish | None = None,
        traced_floats: Sequence[int] = (),
        branches: str = "raise",
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.name = name or label_of(function)
        self._backend = backend
        self._device = device
        self._finish = finish
        self._traced_floats = frozenset(traced_floats)
        self._parameters = positional_names(function)
        self._is_guarded = branches == "guard"
        self._signatures: dict[Any, Signature] = {}
        self._kept: dict[Plan, tuple[Any, Tree[Plan]]] = {}  # the oldest first
        self._runs: dict[Any, Plan] = {}  # of many calls; the oldest first
        self._device_calls = DeviceCalls(self._kept)
        self._floats: dict[tuple[Structure, int], str | None] = {}
        self._captured: list[np.ndarray[Any, Any]] = []
        self._earlier = Earlier()
        self._writes = False
        self._reasons: list[str] = []
        self._slow_calls = 0
        self._last_leaves: Leaves | None = None

    # --- what a user may ask -------------------------------------------------------------------------------------

    def cache_info(self) -> CacheInfo:
        """Return the number of plans, calls and traces, and the reason for every trace."""
        return CacheInfo(len(self._kept), self.hits + self._slow_calls, len(self._reasons), tuple(self._reasons))

    def cache_clear(self) -> None:
        """Forget every plan; the next call traces again."""
        self.clear()
        with _lock:
            self._signatures.clear()
            self._kept.clear()
            self._runs.clear()
            self._captured.clear()
            self._earlier.clear()
        self._last_leaves = None

    def __tracer_plans__(self) -> Explained:
        """What `explain` tells of."""
        with _lock:
            plans: dict[Any, list[Plan]] = {}
            for plan, (key, _) in self._kept.items():
                plans.setdefault(key, []).append(plan)
        counts, calls = self.cache_info(), dict(zip(self.plans(), self.counts(), strict=False))
        signatures = [[explained_plan(plan, calls.get(plan, 0)) for plan in group] for group in plans.values()]
        return Explained(self.name, signatures, counts.calls, counts.traces)

    def __tracer_job__(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What `profile` measures."""
        plan, leaves = self._plan(args, kwargs)
        return job_of(plan, leaves.arrays, functools.partial(self, *args, **kwargs))

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Return the plan for these arguments, compiling it if need be, without running it."""
        return self._plan(args, kwargs)[0]

    def __reduce__(self) -> str | tuple[Any, ...]:
        name = str(getattr(self, "__qualname__", self.name))
        if self._finish is not None or _find(getattr(self, "__module__", None), name) is self:
            return name  # as functions: by the name in their module
        branches = "guard" if self._is_guarded else "raise"
        options: dict[str, Any] = {
            "backend": self._backend,
            "device": self._device,
            "name": self.name,
            "branches": branches,
        }
        return functools.partial(type(self), self.function, traced_floats=tuple(self._traced_floats), **options), ()

    def __copy__(self) -> Compiled:
        return self

    def __deepcopy__(self, memo: Any) -> Compiled:
        return self

    def __repr__(self) -> str:
        return f"<tracer.compile of {self.name}>"

    # --- calls ---------------------------------------------------------------------------------------------------

    def _slow_call(self, *args: Any, **kwargs: Any) -> Any:
        if (result := self._device_calls(args, kwargs)) is not MISSED:
            self._slow_calls += 1
            return result
        given, structure = flatten((args, kwargs))
        if hasattr(self.function, "__tracer_run__") and trace.current() is None and not is_computing():
            # What a transform computes are numbers, not expressions.
            given = [_value_of_shared(item) if isinstance(item, Shared) else item for item in given]
            args, kwargs = unflatten(structure, given)
        if trace.current() is not None or any(isinstance(item, Proxy | Symbolic) for item in given):
            return self.inline(*args, **kwargs)
        plan, leaves = self._plan(args, kwargs)
        self._slow_calls += 1
        if plan.on_gpu:
            self._device_calls.offer(plan, leaves, args, kwargs)
        return self._run(plan, leaves)

    def _run(self, plan: Plan, leaves: Leaves) -> Any:
        return plan.run(leaves.arrays, leaves.targets)

    def inline(self, *args: Any, **kwargs: Any) -> Any:
        """Run as part of the trace that is on."""
        active = trace.current()
        # A transform of a function would come back here where no trace is on.
        function = hooks.followed(getattr(self.function, "__tracer_run__", self.function))
        if self._is_guarded:
            with trace.guarding():
                result = function(*args, **kwargs)
        else:
            result = function(*args, **kwargs)
        if self._finish is not None and active is not None:
            self._finish(result, active)
        return result

    # --- many calls ----------------------------------------------------------------------------------------------

    def _together(self, calls: Calls) -> Any:
        plan, leaves = self._plan(calls.first.args, calls.first.kwargs)
        if config.check_nan or leaves.groups:
            return NotImplemented
        loop = calls.loop
        whole = [as_input(array, name) for array, name in zip(calls.whole, leaves.names, strict=False)]
        picks = [] if calls.picks is None else [calls.picks]
        arrays = [*whole, *leaves.arrays[loop.sliced :], *picks]
        key = plan, loop, tuple(map(entry_of, whole))
        run = self._runs.get(key)
        if run is None:
            generators = {place for place, item in enumerate(leaves.originals) if is_generator(item)}
            with without_collector():
                traced = repeated_trace(plan.traced, loop, generators)
                if traced is None:
                    return NotImplemented
                run = Plan(traced, arrays, self._where(calls.whole))
            with _lock:
                self._runs = {other: kept for other, kept in self._runs.items() if other[0] in self._kept}
                self._runs[key] = run
                if len(self._runs) > MOST_RUNS:
                    del self._runs[next(iter(self._runs))]
        self._slow_calls += loop.steps
        return run.run(arrays, [*calls.whole, *leaves.originals[loop.sliced :], *picks])

    def _touched(self, call: Call) -> tuple[list[Any], list[np.ndarray[Any, Any]]]:
        plan, leaves = self._plan(call.args, call.kwargs)
        targets = [leaves.targets[place] for place in plan.traced.written]
        states = [GeneratorState(item) for item in targets if is_generator(item)]
        arrays = [item for item in targets if isinstance(item, np.ndarray)]
        return [*plan.traced.updated, *states], [
            *arrays,
            *(plan.traced.captured[place] for place in plan.traced.stored),
        ]

    def _nothing(self, call: Call) -> Any:
        plan, leaves = self._plan(call.args, call.kwargs)
        return no_results(plan.traced, leaves.originals)

    # --- plans ---------------------------------------------------------------------------------------------------

    def _plan(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Plan, Leaves]:
        """The plan of a call, made if need be, and its arguments as the plan takes them."""
        leaves = self._flatten(args, kwargs)
        static: set[int] = set()
        while leaves.weak:
            try:
                return self._plan_for(leaves, kwargs)
            except NeedsStatic as need:
                static |= need.places & leaves.weak or leaves.weak
            except Exception:  # perhaps for want of the number
                static |= leaves.weak
            leaves = self._flatten(args, kwargs, static)
        found = self._plan_for(leaves, kwargs)
        self._floats.update(((leaves.structure, place), None) for place in static)
        return found

    def _plan_for(self, leaves: Leaves, kwargs: Mapping[str, Any]) -> tuple[Plan, Leaves]:
        if self._writes:
            leaves = self._grouped(leaves)
        signature = self._signatures.get(leaves.key)
        plan = None if signature is None else signature.find(leaves)
        if plan is None:
            plan, leaves = self._compile(leaves)
        if plan.executable.native is not None and plan not in self.plans():
            self._add_fast_path(plan, leaves, kwargs)
        return plan, leaves

    def _grouped(self, leaves: Leaves) -> Leaves:
        """The arguments with what they share of their memory, as part of their key."""
        groups = groups_of(leaves.originals, self._captured)
        if not groups:
            return leaves
        key = list(leaves.key)
        key[SETTINGS - 1] = tuple(group.key for group in groups)
        return leaves._replace(key=tuple(key), groups=groups)

    def _compile(self, leaves: Leaves) -> tuple[Plan, Leaves]:
        with without_collector(), phases.recorded() as found:
            signature = self._signatures.get(leaves.key) or Signature(leaves)
            self._earlier.note_changes(guard for plan in signature.plans() for guard in plan.traced.guards)
            traced = self._trace(leaves, signature)
            if traced.written or traced.stored:
                self._writes = True
                read = [array for array, _ in traced.watched if any(share_memory(array, x) for x in leaves.arrays)]
                shared = self._earlier.note_arrays(read)
                self._captured += [
                    array
                    for array in (*traced.captured, *shared)
                    if not any(array is known for known in self._captured)
                ]
                del self._captured[:-_MOST_CAPTURED]
                grouped = self._grouped(leaves)
                if grouped.key != leaves.key:
                    leaves = grouped
                    signature = self._signatures.get(leaves.key) or Signature(leaves)
                    traced = self._trace(leaves, signature)
            self._earlier.settle()
            self._note_reason(leaves, traced)
            where = leaves.key[1]
            if self._backend is None and self._device is None and any(map(is_on_gpu, traced.captured)):
                where = "gpu"
            plan = Plan(traced, leaves.arrays, where)
            plan.phases = found
        with _lock:
            signature = self._signatures.setdefault(leaves.key, signature)
            self._kept[plan] = leaves.key, signature.keep(plan)
            kept = set(signature.plans())
            for other, (key, _) in list(self._kept.items()):
                if key == leaves.key and other not in kept:
                    del self._kept[other]
            if len(self._kept) > _MOST_PLANS:
                self._forget(next(iter(self._kept)))
        self._last_leaves = leaves._replace(values=[], originals=[], groups=())  # no longer than the call
        return plan, leaves

    @phases.timed("trace")
    def _trace(self, leaves: Leaves, signature: Signature) -> Traced:
        return trace_function(
            self.function,
            leaves,
            signature.inputs,
            name=self.name,
            finish=self._finish,
            guarded=self._is_guarded,
            earlier=self._earlier,
        )

    def _forget(self, plan: Plan) -> None:
        key, tree = self._kept.pop(plan)
        tree.remove(plan)
        if not any(self._signatures[key].plans()):
            del self._signatures[key]

    # --- signatures ----------------------------------------------------------------------------------------------

    def _flatten(self, args: Sequence[Any], kwargs: Mapping[str, Any], static: Collection[int] = ()) -> Leaves:
        """Take the arguments apart; floats at places in `static` stay numbers."""
        values, structure = flatten((tuple(args), dict(kwargs)))
        names = leaf_names(self._parameters, structure)
        floats = self._float_leaves(structure)
        where = self._where(values)
        key: list[Any] = [structure, where, config.of_programs(), ()]
        is_array: list[bool] = []
        originals: list[Any] = []
        weak: set[int] = set()
        for position, value in enumerate(values):
            if is_generator(value):
                values[position] = state_of(value)
                same = next(n for n, item in enumerate((*originals, value)) if is_same_stream(item, value))
                key.append(("generator", source_of(value), same))
            elif is_array_like(value) or (position in floats and type(value) in (float, complex)):
                values[position] = array = as_input(value, names[position], where == "gpu")
                key.append(entry_of(array))
            elif type(value) is float and position not in static and self._is_weak(structure, position, value):
                values[position] = np.asarray(value)
                key.append((float,))
                weak.add(position)
            else:
                key.append((type(value), static_key(value, names[position], self.name)))
                is_array.append(False)
                continue
            is_array.append(True)
            originals.append(value)
        return Leaves(structure, values, is_array, tuple(key), names, originals, frozenset(weak))

    def _where(self, values: Sequence[Any]) -> str:
        """The backend of a call with these leaves: what was asked for, or the GPU if some are on it."""
        if self._backend is not None:
            return self._backend
        if self._device is None:
            return "gpu" if any(map(is_on_gpu, values)) else chosen()
        return "gpu" if self._device == "gpu" else str(config.backend)

    def _is_weak(self, structure: Structure, position: int, value: float) -> bool:
        """Whether a Python float is traced: at a place that has had another one before, unless that did not work."""
        first = self._floats.setdefault((structure, position), repr(value))
        return first is not None and first != repr(value)

    def _float_leaves(self, structure: Structure) -> set[int]:
        """Leaves of the arguments that are differentiated: Python floats among them are traced, not static."""
        positions: set[int] = set()
        start = 0
        for number, child in enumerate(structure.children[0].children):
            if not self._traced_floats.isdisjoint((number, number - len(structure.children[0].children))):
                positions |= set(range(start, start + child.leaf_count))
            start += child.leaf_count
        return positions

    def _note_reason(self, leaves: Leaves, traced: Traced) -> None:
        before = self._last_leaves
        if before is None:
            reason = "first call"
        elif leaves.key == before.key:
            reason = self._changed(leaves, traced)
        else:
            reason = difference(before, leaves)
        self._reasons.append(reason)
        if before is not None:
            count = len(self._reasons)
            is_path = reason.startswith("another path")  # which has warnings of its own
            log = logger()
            tell = log.warning if count in _MANY_TRACES and not is_path else log.info
            hint = errors.HINT_STATIC_INT if "the static int" in reason else ""
            tell(errors.RETRACE.format(function=self.name, count=count, reason=reason) + hint)

    def _changed(self, leaves: Leaves, traced: Traced) -> str:
        """Why a call needs another plan than an earlier one of the same signature."""
        signature = self._signatures.get(leaves.key)
        plans = [] if signature is None else list(signature.plans())
        failed = [guard.label for guard in plans[-1].traced.guards if not guard.holds()] if plans else []
        if failed:
            return f"{failed[0]}, which the function reads, has changed"
        if plans and traced.questions:
            question = _new_answer(traced, plans)
            what, answer = question.text or question.kind, question.answer.tolist()
            self._warn_of_many(question, len(plans) + 1)
            return texts.PATH.format(what=what, answer=answer, line=question.line)
        return "a captured value has another type"

    def _warn_of_many(self, question: Question, count: int) -> None:
        if question.kind == "number" and count in _MANY_TRACES:
            place = {"text": question.text, "line": question.line}
            logger().warning(texts.MANY_NUMBERS.format(function=self.name, count=count, **place))
        elif count in _MANY_TRACES[1:]:
            logger().warning(texts.MANY_PLANS.format(function=self.name, count=count))

    # --- the fast path -------------------------------------------------------------------------------------------

    def _add_fast_path(self, plan: Plan, leaves: Leaves, kwargs: Mapping[str, Any]) -> None:
        traced = plan.traced
        described = spec(leaves, traced.scalars, traced.streams)
        if described is None or config.check_nan or not plan.is_native_path:
            return
        drawn = [place for place, item in enumerate(leaves.originals) if is_generator(item)]
        question = None
        if traced.questions:
            if plan.asker is not None and plan.asker.native is None:
                return
            tree = self._kept[plan][1] if plan in self._kept else None
            asker = None if plan.asker is None else plan.asker.native
            question = asker, plan.packed.expected, tree, plan.packed.steps
        count, split = traced.argument_count, traced.argument_count + len(traced.captured)
        cells: list[Any] = [
            item.cell if isinstance(item, Shared) else state_cell(item) or item.read for item in traced.shared
        ]
        held = [*traced.captured, *(item.cell[0] for item in traced.shared)]
        if traced.written or traced.stored:  # what is written must not share memory with what the trace has looked at
            cells += [[array] for array, _ in traced.watched]
            held += [array for array, _ in traced.watched]
        entries = [("array", *array_entry(array)) for array in (*leaves.arrays, *held)]
        updates = [item.cell if isinstance(item, Shared) else state_cell(item) or item.store for item in traced.updated]
        places = [*traced.written, *(count + place for place in traced.stored)]
        first = traced.result_count
        self.add(
            described,
            tuple(kwargs),
            plan.executable.native,
            list(traced.captured),
            entries[count:split],
            cells,
            entries[split:],
            [(cell, number, *rows_of(plan.executable, number)) for number, cell in enumerate(updates, first)],
            [
                (place, n, write_back) if place in drawn else (place, n)
                for n, place in enumerate(places, first + len(updates))
            ],
            [*setting_guards(), *(guard.described for guard in traced.guards)],
            output_tree(traced.structure, iter(traced.results)),
            None,
            explain,
            plan,
            question,
        )


_MANY_TRACES = (8, 32, 128, 512)


def _value_of_shared(variable: Shared) -> np.ndarray[Any, Any]:
    """A shared variable's value as an argument: a copy, into which nobody can write in vain."""
    value = variable.stored_value()
    value.flags.writeable = False
    return value


def _has_asked(plan: Plan, question: Question) -> bool:
    return any(item.node is question.node and item.key == question.key for item in plan.traced.questions)


def _new_answer(traced: Traced, plans: Sequence[Plan]) -> Question:
    """The first question of a path that no plan has this answer to."""
    known = plans
    for question in traced.questions:
        known = [plan for plan in known if _has_asked(plan, question)]
        if not known:
            return question
    return traced.questions[-1]
