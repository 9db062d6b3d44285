"""`f.run` and `f.run_over`: many calls of a compiled function as one program, with no Python between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import repeating as texts
from tracer.records import NamedTuple
from tracer.repeated_graph import Loop
from tracer.tracing import trace
from tracer.tracing.generators import is_generator
from tracer.tracing.proxy import Proxy
from tracer.tracing.symbolic import Symbolic
from tracer.tree import flatten, leaf_paths, unflatten

Array = np.ndarray[Any, Any]
MOST_RUNS = 8
"""Programs of many calls that a function keeps."""


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Calls(NamedTuple):
    """Calls that fit one program.

    Attributes
    ----------
    loop : Loop
    first : Call
        The first of them.
    whole : list of arrays
        What those arguments are rows of that differ from call to call.
    picks : array or None
        Row numbers for each call.
    """

    loop: Loop
    first: Call
    whole: list[Array]
    picks: Array | None


class Before:
    """What calls may change, as it was before the first of them."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Any, Any]] = {}
        self._arrays: dict[int, tuple[Any, Any]] = {}

    def remember(self, variables: Sequence[Any], arrays: Sequence[Array]) -> None:
        """Remember the values of shared variables and random states, and what arrays hold."""
        for variable in variables:
            if id(variable) not in self._held:
                self._held[id(variable)] = variable, variable.cell[0]
        for array in arrays:
            if id(array) not in self._arrays:
                self._arrays[id(array)] = array, array.copy()

    def restore(self) -> None:
        """Let everything be as it was."""
        for variable, value in self._held.values():
            variable.store(value)
        for array, value in self._arrays.values():
            np.copyto(array, value)


class Repeatable:
    """What can be called many times at once."""

    __slots__ = ()
    name: str

    def run(self, steps: int, /, *args: Any, keep: str = "all", **kwargs: Any) -> Any:
        """Call the function a number of times with the same arguments, as one program.

        Shared variables, random generators and arrays that the function writes go on from call to call, so that it
        does what `[f(*args) for _ in range(steps)]` does, to rounding, with no Python between the calls.

        Parameters
        ----------
        steps : int
            How many calls. For each number of them a program is compiled, and the last few are kept.
        *args, **kwargs
            The arguments of each call.
        keep : {"all", "last"}
            Whether the results of all calls are given, stacked, or those of the last one.

        Returns
        -------
        nest of arrays
            The function's result. With "all", arrays and numbers in it have a first axis of length `steps`, an argument
            that the function writes and returns too, as it was after each call; anything else is as the last call
            gave it.

        Raises
        ------
        ValueError
            For a number of calls below 0, an unknown `keep`, "last" of no calls, and results of unequal shapes.
        Exception
            Whatever a call raises, KeyboardInterrupt too. Then shared variables, random states and arrays are as they
            were before the run.

        Notes
        -----
        A function that chooses its path by values (`branches="guard"`), or whose shared variables change their shape,
        is called step by step; results and effects are the same.

        Examples
        --------
        >>> import numpy as np, tracer
        >>> x = tracer.shared(2.0, name="x")
        >>> @tracer.compile
        ... def newton(a):
        ...     x.set((x + a / x) / 2)
        ...     return x * 1
        >>> newton.run(4, np.float64(9.0)).round(4)
        array([2.    , 3.25  , 3.0096, 3.    ])
        >>> x.get_value()
        array(3.)
        """
        steps = _number(steps, 0, texts.STEPS, "steps")
        is_last = _is_last(keep, steps)
        call = Call(args, kwargs)
        if _is_recorded(call):
            return _stacked([self._one_call(call) for _ in range(steps)], is_last)
        if steps == 0:
            return self._nothing(call)
        return self._run_calls([Calls(Loop(steps, is_last), call, [], None)], is_last)

    def run_over(
        self,
        *data: Any,
        batch_size: int | None = None,
        order: Any = None,
        drop_last: bool = False,
        keep: str = "all",
        **kwargs: Any,
    ) -> Any:
        """Call the function once for each batch of rows, as one program.

        It does what this loop does, to rounding, with no Python between the calls::

            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                f(x[rows], y[rows], rate=rate)

        Parameters
        ----------
        *data : arrays, or nests of arrays
            All with the same number of rows n; a call gets its rows of each of them.
        batch_size : int, optional
            How many rows a call gets. None: one row, without an axis for it, shape `x.shape[1:]`.
        order : array of ints, shape (m,), or numpy.random.Generator or RandomState, optional
            Which rows are taken, in which order; some may be left out, or come again (several epochs, one after
            the other). A generator shuffles all rows by its `permutation(n)`. By default they are taken as they lie,
            and not copied.
        drop_last : bool
            Whether rows are left over where the last batch would be smaller.
        keep : {"all", "last"}
            Whether the results of all calls are given, stacked, or those of the last one.
        **kwargs
            Arguments that are the same for all calls.

        Returns
        -------
        nest of arrays
            The function's result. With "all", arrays and numbers in it have a first axis with a row a call; anything
            else in it is as the last call gave it.

        Raises
        ------
        TypeError
            For data without rows, and an `order` that is not of integers.
        IndexError
            If `order` names a row that is not there.
        ValueError
            If the data differ in their numbers of rows, for an unknown `keep`, a batch size below 1, "last" of no
            calls, and results that cannot be stacked, as those of a smaller last batch may be.
        Exception
            Whatever a call raises, KeyboardInterrupt too. Then shared variables, random states and arrays are as they
            were before the run.

        Examples
        --------
        >>> import numpy as np, tracer
        >>> w = tracer.shared(np.zeros(2), name="w")
        >>> @tracer.compile(updates=tracer.optim.sgd(0.5))
        ... def cost(x, y):
        ...     return np.mean((x @ w - y) ** 2)
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(64, 2))
        >>> y = x @ np.array([1.0, -2.0])
        >>> costs = cost.run_over(x, y, batch_size=8, order=rng)
        >>> costs.shape, bool(costs[-1] < 0.01 * costs[0])
        ((8,), True)
        """
        rows = _Rows(self._data(data), batch_size, bool(drop_last))
        if trace.current() is not None and is_generator(order):
            raise errors.TraceError(errors.message(texts.IN_TRACE, name=self.name))
        shuffled = Before()
        if is_generator(order):
            shuffled.remember([GeneratorState(order)], [])
        try:
            rows.take(order)
            is_last = _is_last(keep, rows.steps + bool(rows.rest))
            if trace.current() is not None:
                return _stacked([self._one_call(rows.call(step, kwargs)) for step in rows.all_steps], is_last)
            if not rows.all_steps:
                return self._nothing(rows.empty(kwargs))
            parts = [rows.calls(is_last, kwargs)] if rows.steps else []
            if rows.rest:
                parts.append(Calls(Loop(1, is_last), rows.call(rows.steps, kwargs), [], None))
            return self._run_calls(parts, is_last)
        except BaseException:
            shuffled.restore()
            raise

    # --- how they run --------------------------------------------------------------------------------------------

    def _data(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments that have rows for calls, as nests of arrays."""
        return data

    def _run_calls(self, parts: Sequence[Calls], is_last: bool) -> Any:
        """Run calls one after the other; on failure everything is as before."""
        before = Before()
        if len(parts) > 1:
            for part in parts:
                before.remember(*self._touched(part.first))
        try:
            results = []
            for part in parts:
                found = self._together(part) if part.loop.steps > 1 else NotImplemented
                results.append(self._one_by_one(part, before) if found is NotImplemented else found)
            return results[-1] if is_last else _joined(results)
        except BaseException:
            before.restore()
            raise

    def _one_by_one(self, part: Calls, before: Before) -> Any:
        loop, results = part.loop, []
        for step in range(loop.steps):
            call = part.first if not part.whole else _nth(part, step)
            before.remember(*self._touched(call))
            results.append(self._one_call(call))
            if loop.is_last:
                del results[:-1]
        return _stacked(results, loop.is_last)

    def _one_call(self, call: Call) -> Any:
        return self(*call.args, **call.kwargs)  # type: ignore[operator]

    def _together(self, calls: Calls) -> Any:
        """The results of calls run as one program; NotImplemented where that cannot be."""
        raise NotImplementedError

    def _touched(self, call: Call) -> tuple[list[Any], list[Array]]:
        """What a call may change: variables with a `cell` and `store`, and arrays."""
        raise NotImplementedError

    def _nothing(self, call: Call) -> Any:
        """The stacked results of no calls like this one."""
        raise NotImplementedError


class GeneratorState:
    """The state of a generator, as what `Before` remembers."""

    def __init__(self, generator: Any) -> None:
        self._bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator._bit_generator
        self.cell = [self._bits.state]

    def store(self, value: Any) -> None:
        """Give the generator a state that it had."""
        self._bits.state = value


def _is_recorded(call: Call) -> bool:
    """Whether a call becomes part of a trace or of an expression."""
    given = flatten(tuple(call))[0]
    return trace.current() is not None or any(isinstance(item, Proxy | Symbolic) for item in given)


# --- rows of data ------------------------------------------------------------------------------------------------


class _Rows:
    """The rows of data, and which of them each call takes.

    Attributes
    ----------
    steps : int
        How many calls take as many rows as wanted.
    rest : int
        How many rows are left for one more call.
    """

    def __init__(self, data: tuple[Any, ...], batch_size: Any, drops: bool) -> None:
        if not data:
            raise TypeError(errors.message(texts.NO_DATA))
        leaves, self._structure = flatten(data)
        self.batch = None if batch_size is None else _number(batch_size, 1, texts.BATCH_SIZE, "size")
        self._drops = drops
        self._order: Array | None = None
        names = leaf_paths(self._structure, "data")
        self.arrays = [_with_rows(leaf, name) for leaf, name in zip(leaves, names, strict=True)]
        counts = [len(array) for array in self.arrays]
        if not counts:
            raise TypeError(errors.message(texts.NO_DATA))
        if len(set(counts)) > 1:
            raise ValueError(errors.message(texts.ROW_COUNTS, counts=", ".join(map(str, counts))))
        self.count = counts[0]

    def take(self, order: Any) -> None:
        """Decide which rows are taken, in which order."""
        if order is not None:
            self._order = _read_order(order, self.count)
        taken = self.count if self._order is None else len(self._order)
        self.steps, self.rest = divmod(taken, self.batch or 1)
        if self._drops:
            self.rest = 0

    @property
    def all_steps(self) -> range:
        return range(self.steps + bool(self.rest))

    def _of(self, arrays: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        return Call(tuple(unflatten(self._structure, list(arrays))), kwargs)

    def call(self, step: int, kwargs: Mapping[str, Any]) -> Call:
        """One of the calls."""
        if self.batch is None:
            row = step if self._order is None else self._order[step]
            return self._of([_row(array, row) for array in self.arrays], kwargs)
        part = slice(step * self.batch, (step + 1) * self.batch)
        key = part if self._order is None else self._order[part]
        return self._of([array[key] for array in self.arrays], kwargs)

    def empty(self, kwargs: Mapping[str, Any]) -> Call:
        """A call with zeros for data."""
        lead = () if self.batch is None else (self.batch,)
        return self._of([np.zeros((*lead, *array.shape[1:]), array.dtype) for array in self.arrays], kwargs)

    def calls(self, is_last: bool, kwargs: Mapping[str, Any]) -> Calls:
        """All calls but the smaller one at the end."""
        whole, picks, rows = self.arrays, None, None
        taken = self.steps * (self.batch or 1)
        if self._order is not None:
            rows, picks = self.count, self._order[:taken]
        if self.batch is not None and picks is None:
            whole = [array[:taken].reshape(self.steps, self.batch, *array.shape[1:]) for array in whole]
        elif self.batch is not None and picks is not None:
            picks = picks.reshape(self.steps, self.batch)
        loop = Loop(self.steps, is_last, len(whole), rows, self.batch)
        return Calls(loop, self.call(0, kwargs), whole, picks)


def _nth(calls: Calls, step: int) -> Call:
    """One call of many."""
    key = step if calls.picks is None else calls.picks[step]
    structure = flatten(calls.first.args)[1]
    return calls.first._replace(args=tuple(unflatten(structure, [_row(array, key) for array in calls.whole])))


def _row(array: Array, key: Any) -> Any:
    """A row, or several; of a vector one row is a 0-d array, as in a compiled loop."""
    return array[key, ...] if np.ndim(key) == 0 else array[key]


def _with_rows(leaf: Any, name: str) -> Array:
    array: Array = np.asarray(leaf) if hasattr(leaf, "__array__") else leaf
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        value = f"{array.dtype}[]" if isinstance(array, np.ndarray) else repr(leaf)
        raise TypeError(errors.message(texts.NO_ROWS, name=name, value=value))
    return array


def _read_order(order: Any, count: int) -> Array:
    """Row numbers, none of them negative."""
    if is_generator(order):
        return np.asarray(order.permutation(count), np.int64)
    found = np.asarray(order)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise TypeError(errors.message(texts.ORDER, order=f"{found.dtype}{list(found.shape)}"))
    numbers = found.astype(np.int64)
    for row in (numbers.min(), numbers.max()) if numbers.size else ():
        if not -count <= row < count:
            raise IndexError(errors.message(texts.ORDER_RANGE, row=int(row), count=count))
    numbers[numbers < 0] += count
    return numbers


def _number(value: Any, least: int, text: str, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(errors.message(text, **{field: value}))
    return int(value)


def _is_last(keep: Any, steps: int) -> bool:
    if not isinstance(keep, str) or keep not in ("all", "last"):
        raise ValueError(errors.message(texts.KEEP, keep=keep))
    if keep == "last" and steps == 0:
        raise ValueError(errors.message(texts.NOTHING_LAST))
    return keep == "last"


# --- results -----------------------------------------------------------------------------------------------------


def is_stackable(leaf: Any) -> bool:
    """Whether a part of a result is an array or a number."""
    return isinstance(leaf, np.ndarray | np.generic | bool | int | float | complex) or hasattr(leaf, "__tracer_apply__")


def _combined(results: Sequence[Any], combine: Callable[[Any], Any]) -> Any:
    """Results as one, leaf by leaf."""
    leaves = [flatten(result)[0] for result in results]
    structure = flatten(results[-1])[1]
    found = []
    for parts in zip(*leaves, strict=True):
        if not all(map(is_stackable, parts)):
            found.append(parts[-1])
            continue
        shapes = [np.shape(part)[1:] if combine is np.concatenate else np.shape(part) for part in parts]
        other = next((shape for shape in shapes if shape != shapes[0]), None)
        if other is not None:
            raise ValueError(errors.message(texts.UNEQUAL, one=shapes[0], other=other))
        found.append(combine(parts))
    return unflatten(structure, found)


def _stacked(results: Sequence[Any], is_last: bool) -> Any:
    return results[-1] if is_last else _combined(results, np.stack)


def _joined(results: Sequence[Any]) -> Any:
    return results[0] if len(results) == 1 else _combined(results, np.concatenate)
