"""The compiled function of symbolic variables: how it takes arguments, keeps state, and gives results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.errors import function as texts
from tracer.explaining import Explainable, Explained
from tracer.repeating import Call, Calls, Repeatable
from tracer.run.cpu import Dispatcher
from tracer.symbolic.inputs import In, Out
from tracer.symbolic.profiling import Profiled, ProfileStats, explained, job_of, profile_of
from tracer.symbolic.program import SymbolicProgram
from tracer.symbolic.repeating import Cell, Outcome, Runs, no_results
from tracer.symbolic.values import DUPLICATE, Containers, Thunk, Values, container_of, finder_of
from tracer.tracing import pickling
from tracer.tracing.replay import ancestors, applies, leaves_of, substitute
from tracer.tracing.shared import SharedVariable

_MISSING = object()
"""Stands for an input that a call does not pass."""


class FunctionGraph:
    """The expressions that a function computes.

    Attributes
    ----------
    inputs, outputs : list of variables
        The outputs are the function's own, then the new values of what it updates.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)

    def toposort(self) -> list[Any]:
        """The recorded calls, inputs first."""
        return list(applies(self.outputs, stop=self.inputs))

    @property
    def apply_nodes(self) -> set[Any]:
        """The recorded calls."""
        return set(self.toposort())

    @property
    def variables(self) -> set[Any]:
        """Every variable of the graph."""
        return {*self.inputs, *ancestors(self.outputs, stop=self.inputs)}


@dataclass
class FunctionMaker:
    """What a function is made of.

    Attributes
    ----------
    name : str
    declared : list of In
        The explicit inputs.
    used : list of variables
        Those of them that outputs and updates need.
    outputs : list of Out
    structure : str or list of str
        "none", "one" or "list"; or the keys of a dict.
    states : list of variables
        The new values of the inputs that have an update.
    updates : dict
        Shared variable -> new value.
    mode : Mode
        How it is compiled and run.
    profile : ProfileStats or None
        What its calls are counted in.
    """

    name: str
    declared: list[In]
    used: list[Any]
    outputs: list[Out]
    structure: Any
    states: list[Any]
    updates: dict[Any, Any]
    mode: Any
    profile: ProfileStats | None = None

    def create(self) -> Function:
        """Make a function."""
        return Function(self)

    def swapped(self, swap: Mapping[Any, Any]) -> FunctionMaker:
        """The same with other shared variables in the place of some."""
        results = [*(item.variable for item in self.outputs), *self.states, *self.updates.values()]
        results = substitute(results, swap) if swap else results
        split, end = len(self.outputs), len(self.outputs) + len(self.states)
        outputs = [Out(variable, item.borrow) for variable, item in zip(results, self.outputs, strict=False)]
        updates = {swap.get(target, target): value for target, value in zip(self.updates, results[end:], strict=True)}
        declared = [
            In(**{**vars(item), "value": swap.get(item.value, item.value)})
            if isinstance(item.value, SharedVariable)
            else item
            for item in self.declared
        ]
        return replace(self, declared=declared, outputs=outputs, states=results[split:end], updates=updates)

    def without_updates(self) -> FunctionMaker:
        """The same without updates of shared variables and states."""
        declared = [
            item if item.update is None else In(**{**vars(item), "update": None, "mutable": None, "borrow": None})
            for item in self.declared
        ]
        results = [item.variable for item in self.outputs]
        needed = set(leaves_of(results, self.used))
        used = [item for item in self.used if item in needed]
        return replace(self, declared=declared, states=[], updates={}, used=used)

    @property
    def program(self) -> SymbolicProgram:
        """The computation, ready to be compiled."""
        results = [*(item.variable for item in self.outputs), *self.states]
        compiler = self.mode if self.profile is None else Profiled(self.mode, self.profile)
        return SymbolicProgram(self.used, results, self.updates, self.name, compiler)

    @property
    def shared(self) -> list[Any]:
        """The shared variables that it reads or updates."""
        found = leaves_of([*(item.variable for item in self.outputs), *self.states, *self.updates.values()], self.used)
        used = [item for item in found if isinstance(item, SharedVariable) and item not in self.used]
        return list(dict.fromkeys([*used, *self.updates]))

    @property
    def inputs(self) -> list[In]:
        """The explicit inputs, then the shared variables."""
        return [*self.declared, *(In(item, value=item, update=self.updates.get(item)) for item in self.shared)]

    @property
    def fgraph(self) -> FunctionGraph:
        """The expressions."""
        results = [*(item.variable for item in self.outputs), *self.states, *self.updates.values()]
        return FunctionGraph([item.variable for item in self.inputs], results)

    @property
    def output_keys(self) -> list[str] | None:
        """The keys of a dict of outputs."""
        return None if isinstance(self.structure, str) else list(self.structure)


class Function(Dispatcher, Repeatable, Explainable):
    """A compiled function of symbolic variables. Made by `function`.

    Calling it takes values by position or by name. `f[x]`, `f["x"]` and `f[0]` are the value that an input has by
    default or as its state; `f[x] = value` sets it.

    Attributes
    ----------
    name : str
        For messages; file and line of its making by default.
    maker : FunctionMaker
        What it was made of.
    profile : ProfileStats or None
        Counts of its calls.
    trust_input : bool
        Take arguments without a check: they must be arrays of just the right types.
    value, container : mapping
        Input or shared variable, or its name or position -> its value, or what holds it.
    fn : callable
        Runs the computation on the values in the containers, without a look at arguments.
    """

    def __new__(cls, *_: Any, **__: Any) -> Function:
        """Give the native part what it falls back to for arguments that no plan fits."""
        self: Any = super().__new__(cls, lambda *args, **kwargs: self._slow_call(*args, **kwargs))
        return self

    def __init__(self, maker: FunctionMaker) -> None:
        self.maker, self.program, self.name, self.profile = maker, maker.program, maker.name, maker.profile
        self.trust_input = False
        self.input_storage = [container_of(item) for item in maker.declared]
        self._initial = [container.storage[0] for container in self.input_storage]
        self._required = [item.value is None and item.update is None for item in maker.declared]
        self._refed = [item.value is not None and item.update is None and not item.implicit for item in maker.declared]
        self._overridden = False
        used = set(maker.used)
        self._used = [position for position, item in enumerate(maker.declared) if item.variable in used]
        self._states = [position for position, item in enumerate(maker.declared) if item.update is not None]
        self._output_count = len(maker.outputs)
        self._finder = finder_of(maker.declared, maker.shared)
        self._subsets: dict[tuple[int, ...], SymbolicProgram] = {}
        self._runs = Runs()
        self.value, self.container = Values(self), Containers(self)
        self.fn = Thunk(self)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _slow_call(self, *args: Any, **kwargs: Any) -> Any:
        if self.profile is None:
            return self._call(*args, **kwargs)
        start = perf_counter()
        result = self._call(*args, **kwargs)
        self.profile.count_call(perf_counter() - start)
        return result

    def _call(self, *args: Any, output_subset: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        values = self._bind(args, kwargs)
        if output_subset is not None:
            return self._call_subset(values, output_subset)
        results = self._execute(values)
        self._add_fast_path(args, kwargs, values)
        return self._assembled(results)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """A value of its type for every input: what is passed, or else what its container holds."""
        containers = self.input_storage
        if len(args) + len(kwargs) > len(containers):
            raise TypeError(
                errors.message(
                    texts.TOO_MANY_ARGUMENTS,
                    function=self._label,
                    given=len(args) + len(kwargs),
                    count=len(containers),
                    hint=f"it {self._inputs_text}.",
                )
            )
        if self.trust_input and not kwargs:
            return [*args, *(container.storage[0] for container in containers[len(args) :])]
        try:
            values: list[Any] = [self._filtered(position, value) for position, value in enumerate(args)]
            if len(args) < len(containers):
                values += [_MISSING] * (len(containers) - len(args))
                self._bind_rest(values, kwargs)
        except TypeError:
            self._restore_defaults()
            raise
        return values

    def _bind_rest(self, values: list[Any], kwargs: Mapping[str, Any]) -> None:
        """Fill in what is passed by name, then defaults and states."""
        for key, value in kwargs.items():
            position = self._find(key)
            if not isinstance(position, int):
                raise TypeError(errors.message(texts.IMPLICIT_ARGUMENT, name=key, function=self._label))
            if values[position] is not _MISSING:
                raise TypeError(errors.message(texts.MULTIPLE_VALUES, name=key, function=self._label))
            values[position] = self._filtered(position, value)
        for position, value in enumerate(values):
            if value is _MISSING:
                held = self.input_storage[position].storage[0]
                if self._required[position] or held is None:
                    raise TypeError(
                        errors.message(
                            texts.MISSING_ARGUMENT,
                            function=self._label,
                            name=self.maker.declared[position].name or self.maker.declared[position].variable,
                            inputs=self._inputs_text,
                        )
                    )
                values[position] = held

    def _filtered(self, position: int, value: Any) -> Any:
        declared = self.maker.declared[position]
        if declared.implicit:
            raise TypeError(
                errors.message(texts.IMPLICIT_ARGUMENT, name=declared.name or position, function=self._label)
            )
        if value is None and position not in self._used:
            return None
        try:
            return self.input_storage[position].filter(value)
        except (TypeError, ValueError) as error:
            argument = f'with name "{declared.name}" ' if declared.name else ""
            text = texts.BAD_INPUT.format(argument=argument, function=self._label, index=position, reason=error)
            line = getattr(declared.variable, "line", None)
            raise type(error)(f"{text}\n  the variable was made at {line}" if line else text) from None

    def _execute(self, values: Sequence[Any], program: SymbolicProgram | None = None) -> list[Any]:
        """Run a program, its own if None, on a value for every input; updates happen if nothing fails."""
        try:
            results = (program or self.program)(*[values[position] for position in self._used])
        finally:
            self._restore_defaults()
        first = len(results) - len(self._states)
        for position, value in zip(self._states, results[first:], strict=True):
            self.input_storage[position].storage[0] = value
        return results

    def __tracer_plans__(self) -> Explained:
        """What `explain` tells of: the plans for each set of shapes."""
        return explained(self.program)

    def __tracer_job__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `tracer.profiling.profile` measures."""
        try:
            values = self._bind(args, kwargs)
        finally:
            self._restore_defaults()
        changes = self._states or self.program.updates or self.profile is not None
        call = None if changes else partial(self, *args, **kwargs)
        return job_of(self.program, [values[position] for position in self._used], call)

    def _restore_defaults(self) -> None:
        if self._overridden:
            self._overridden = False
            for container, initial, refed in zip(self.input_storage, self._initial, self._refed, strict=True):
                if refed:
                    container.storage[0] = initial

    def _assembled(self, results: list[Any]) -> Any:
        structure = self.maker.structure
        if structure == "one":
            return results[0]
        if len(results) > self._output_count:
            del results[self._output_count :]
        return results if isinstance(structure, str) else dict(zip(structure, results, strict=True))

    def _call_subset(self, values: Sequence[Any], subset: Sequence[Any]) -> Any:
        """Compute only some outputs; updates happen all the same."""
        keys = self.maker.output_keys
        places = tuple(keys.index(item) if keys is not None else int(item) for item in subset)
        program = self._subsets.get(places)
        if program is None:
            chosen = [self.maker.outputs[place] for place in places]
            program = self._subsets[places] = replace(self.maker, outputs=chosen).program
        results = self._execute(values, program)[: len(places)]
        return dict(zip(subset, results, strict=True)) if keys is not None else results

    def _add_fast_path(self, args: Sequence[Any], kwargs: Mapping[str, Any], values: Sequence[Any]) -> None:
        """Let native code answer further calls with arguments of just these types, if they come in order."""
        if len(self._used) != len(values) or self._overridden or self.trust_input:
            return
        given = [*args, *kwargs.values()]
        if [self._finder[name] for name in kwargs] != list(range(len(args), len(given))):
            return
        spec = []
        for position, value in enumerate(given):
            described = self._described(position, value, values[position])
            if described is None:
                return
            spec.append(described)
        plan = self.program.last_plan
        token = (plan, tuple(spec), tuple(kwargs))
        if plan is None or token in self.plans():
            return
        cells = [container.storage for container in self.input_storage]
        updates = [(cells[position], self._output_count + number) for number, position in enumerate(self._states)]
        first = self._output_count + len(updates)
        updates += [(item.cell, first + number) for number, item in enumerate(self.program.updates)]
        self.program.offer(
            self,
            plan,
            spec,
            [*cells[len(spec) :], *(item.cell for item in self.program.shared)],
            updates,
            self._result_description(),
            token,
            [("dict", vars(self), "_overridden", False)],
            tuple(kwargs),
        )

    def _described(self, position: int, given: Any, value: Any) -> Any:
        """What native code compares an argument with; None where it cannot take it as it is."""
        if isinstance(given, np.ndarray | np.generic):
            entry = ("array", given.dtype.num, given.shape, given.strides)
            if given is value or (isinstance(given, np.generic) and given.dtype == value.dtype):
                return entry
            casts = type(given) is np.ndarray and value.flags.c_contiguous and np.can_cast(given.dtype, value.dtype)
            return ("cast", entry, value.dtype.num) if casts else None
        container = self.input_storage[position]
        if type(given) not in (int, float) or container.strict or not isinstance(value, np.ndarray):
            return None
        rounds = container.allow_downcast or (container.allow_downcast is None and config.floatX == value.dtype.name)
        return "number", value.dtype.num, bool(rounds)

    def _result_description(self) -> Any:
        """How native code makes the result of a call of its outputs."""
        leaves = tuple(("leaf", number, False) for number in range(self._output_count))
        structure = self.maker.structure
        if structure == "one":
            return leaves[0]
        return ("list", leaves) if isinstance(structure, str) else ("dict", tuple(zip(structure, leaves, strict=True)))

    # --- many calls ----------------------------------------------------------------------------------------------

    def _data(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(np.asarray(item) for item in data)

    def _together(self, calls: Calls) -> Any:
        held = [container.storage for container in self.input_storage]
        updated = [item.cell for item in self.program.updates]
        if self._overridden or self.profile is not None or any(one is other for one in held for other in updated):
            return NotImplemented
        values = self._bind(*calls.first)
        rows = [place for place in self._used if place < len(calls.whole)]
        calls = calls._replace(loop=calls.loop._replace(sliced=len(rows)), whole=[calls.whole[place] for place in rows])
        places = {position: place for place, position in enumerate(self._used)}
        outcome = Outcome(self._output_count, [places.get(position) for position in self._states])
        results = self._runs.results(self.program, calls, [values[place] for place in self._used], outcome)
        if results is NotImplemented:
            return results
        for position, value in zip(self._states, results[self._output_count :], strict=True):
            self.input_storage[position].storage[0] = value
        return self._assembled(results)

    def _touched(self, call: Call) -> tuple[list[Any], list[np.ndarray[Any, Any]]]:
        return [*self.program.updates, *(Cell(self.input_storage[place].storage) for place in self._states)], []

    def _nothing(self, call: Call) -> Any:
        values = self._bind(*call)
        return self._assembled(no_results(self.program, [values[place] for place in self._used], self._output_count))

    # --- what it holds -------------------------------------------------------------------------------------------

    def __getitem__(self, item: Any) -> Any:
        return self.value[item]

    def __setitem__(self, item: Any, value: Any) -> None:
        self.value[item] = value

    def __contains__(self, item: Any) -> bool:
        return item in self._finder

    def _find(self, item: Any) -> Any:
        """The position of an input, or a shared variable, by variable, name or position."""
        found = self._finder.get(item)
        if found is None:
            hint = "pass inputs by their names, f(x=1.0), or by position"
            raise TypeError(
                errors.message(
                    texts.UNKNOWN_INPUT, name=item, function=self._label, inputs=self._inputs_text, hint=hint
                )
            )
        if found is DUPLICATE:
            raise TypeError(errors.message(texts.AMBIGUOUS_NAME, name=item, function=self._label))
        return found

    @property
    def defaults(self) -> list[tuple[bool, bool, Any]]:
        """For each input whether a call must pass it, whether its default comes back after a call, and its default."""
        return list(zip(self._required, self._refed, self._initial, strict=True))

    def get_shared(self) -> list[Any]:
        """The shared variables that it reads or updates."""
        return list(self.maker.shared)

    def sync_shared(self) -> None:
        """Wait until updates are done; they are when a call returns."""

    def free(self) -> None:
        """Give back the memory of compiled programs; a later call compiles again."""
        self.clear()
        self._subsets.clear()
        self._runs = Runs()
        self.program = self.maker.program

    def copy(
        self,
        share_memory: bool = False,
        swap: Mapping[Any, Any] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
        profile: Any = None,
    ) -> Function:
        """Another function of the same expressions.

        It shares shared variables with this one; inputs that are a state start from their initial value.

        Parameters
        ----------
        share_memory : bool
            Accepted for compatibility: programs share no memory between calls anyway.
        swap : mapping, optional
            Shared variable -> another one of the same type that takes its place.
        delete_updates : bool
            Leave out all updates.
        name : str, optional
            Its name; "<name> copy" if None.
        profile : bool, str or ProfileStats, optional
            As of `function`.

        Raises
        ------
        ValueError
            If a variable to swap is not used.
        TypeError
            If what it is swapped for has another type.

        Examples
        --------
        >>> import tracer as theano, tracer.tensor as T
        >>> x, a, b = T.dscalar("x"), theano.shared(1.0, name="a"), theano.shared(10.0, name="b")
        >>> f = theano.function([x], a, updates=[(a, a + x)])
        >>> g = f.copy(swap={a: b})
        >>> f(1), g(1), a.get_value(), b.get_value()
        (array(1.), array(10.), array(2.), array(11.))
        """
        swap = dict(swap or {})
        _check_swap(swap, self.maker.shared)
        maker = self.maker.swapped(swap)
        if delete_updates:
            maker = maker.without_updates()
        maker.name, maker.profile = name or f"{self.name} copy", profile_of(profile, maker.name)
        twin = maker.create()
        if not delete_updates:
            twin.program.signatures = self.program.signatures
        return twin

    def __copy__(self) -> Function:
        return self.copy(name=self.name)

    def __reduce__(self) -> Any:
        maker = self.maker
        results = [*(item.variable for item in maker.outputs), *maker.states, *maker.updates.values()]
        opening, calls, closing = pickling.bundle(results)
        storages = [container.storage for container in self.input_storage]
        return _restored, (opening, calls, vars(maker), storages, self._initial, self.trust_input, closing)

    # --- texts ---------------------------------------------------------------------------------------------------

    @property
    def _label(self) -> str:
        return f'the function "{self.name}"'

    @property
    def _inputs_text(self) -> str:
        named = [item.name for item in self.maker.declared if item.name is not None]
        unnamed = len(self.maker.declared) - len(named)
        parts = []
        if named:
            parts.append(f"{len(named)} named input{'s' if len(named) > 1 else ''} ({', '.join(named)})")
        if unnamed:
            parts.append(f"{unnamed} unnamed input{'s' if unnamed > 1 else ''}")
        return "has " + (" and ".join(parts) or "no inputs")

    def __repr__(self) -> str:
        return f"<tracer.function {self.name} at {id(self):#x}>"


def _restored(
    _opening: None,
    _calls: Any,
    maker: dict[str, Any],
    storages: list[Any],
    initial: list[Any],
    trust_input: bool,
    _closing: None,
) -> Function | None:
    """What unpickling gives: a function, or None if `config.unpickle_function` is False."""
    if not config.unpickle_function:
        return None
    function = FunctionMaker(**maker).create()
    for container, storage in zip(function.input_storage, storages, strict=True):
        container.storage = storage
    function._initial, function.trust_input = initial, trust_input
    return function


def _check_swap(swap: Mapping[Any, Any], shared: Sequence[Any]) -> None:
    for old, new in swap.items():
        if not any(old is item for item in shared):
            known = ", ".join(str(item) for item in shared) or "none"
            raise ValueError(errors.message(texts.NO_SHARED_TO_SWAP, name=str(old), known=known))
        if not isinstance(new, SharedVariable) or new.type != old.type:
            kind = getattr(new, "type", type(new).__name__)
            raise TypeError(errors.message(texts.SWAP_TYPE, name=str(old), old=old.type, other=str(new), new=kind))
