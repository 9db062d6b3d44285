"""`scan` and `map`: a function of each row of arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from numbers import Number
from typing import Any

import numpy as np

from tracer import errors
from tracer.batching import vmap
from tracer.control_flow import carries
from tracer.control_flow.carries import Carry, Weak, checked, positive, text_of
from tracer.errors import loops as texts
from tracer.graph.node import input_node
from tracer.tracing import control, trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import Symbolic
from tracer.tree import Structure, flatten, leaf_paths, map_leaves, unflatten
from tracer.types import ArrayType

Function = Callable[..., Any]


class _Rows:
    """A nest of arrays of which a loop takes the rows."""

    def __init__(self, loop: str, value: Any, length: int | None) -> None:
        leaves, self.structure = flatten(value)
        paths = leaf_paths(self.structure, "xs")
        self.arrays = [checked(leaf, path, loop) for leaf, path in zip(leaves, paths, strict=True)]
        for array, path in zip(self.arrays, paths, strict=True):
            if isinstance(array, Weak) or not array.shape:
                raise ValueError(errors.message(texts.NO_ROWS, path=path, loop=loop))
        sizes = {path: array.shape[0] for array, path in zip(self.arrays, paths, strict=True)}
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{size} in {path}" for path, size in sizes.items())
            raise ValueError(errors.message(texts.ROWS_DIFFER, loop=loop, sizes=text))
        if length is None and not sizes:
            raise ValueError(errors.message(texts.SCAN_LENGTH))
        rows = next(iter(sizes.values()), length)
        if length is not None and length != rows:
            raise ValueError(errors.message(texts.LENGTH, length=length, rows=rows))
        self.steps = int(rows or 0)

    def nest(self, leaves: Sequence[Any]) -> Any:
        """One row, as the user's function takes it."""
        return unflatten(self.structure, leaves)

    def examples(self) -> Any:
        """Traced values in place of a row."""
        types = [ArrayType(array.dtype, array.shape[1:]) for array in self.arrays]
        return self.nest([Proxy(input_node(own), trace.current()) for own in types])


def _scan(f: Function, init: Any, xs: Any, length: int | None, reverse: bool) -> Any:
    rows, carry = _Rows("scan", xs, length), Carry("scan", "init", init)
    carry.settle(lambda own: _pair(f(own, rows.examples()))[0])
    nests: list[Structure] = []

    def body(*leaves: Any) -> Any:
        count = len(rows.arrays)
        new, output = _pair(f(carry.nest(leaves[count:]), rows.nest(leaves[:count])))
        outputs, structure = flatten(output)
        nests.append(structure)
        return [], carry.check(new), outputs

    made = control.scan(body, rows.arrays, carries=carry.values, n_steps=rows.steps, reverse=reverse)
    return carry.nest(made.carries), unflatten(nests[-1], made.outputs)


def _pair(result: Any) -> Any:
    if not isinstance(result, tuple) or len(result) != 2:
        found = "None" if result is None else text_of(flatten(result)[1])
        raise errors.TraceError(errors.message(texts.SCAN_PAIR, found="one value" if found == "·" else found))
    return result


def _unrolled(f: Function, count: int, reverse: bool) -> Function:
    """Several steps in one: a function of as many rows."""

    def several(carry: Any, rows: Any) -> Any:
        outputs = []
        for number in reversed(range(count)) if reverse else range(count):
            carry, output = _pair(f(carry, map_leaves(lambda array, place=number: array[place], rows)))
            outputs.append(output)
        if reverse:
            outputs.reverse()
        return carry, map_leaves(lambda *items: np.stack(items), *outputs)

    return several


def _scan_unrolled(f: Function, init: Any, xs: Any, length: int | None, reverse: bool, unroll: Any) -> Any:
    rows = _Rows("scan", xs, length)
    count = min(max(rows.steps, 1) if unroll is True else positive("unroll", int(unroll)), max(rows.steps, 1))
    if count == 1:
        return _scan(f, init, xs, length, reverse)
    blocks, rest = divmod(rows.steps, count)
    first = rest if reverse else 0  # rows that are left over come last

    def blocked(array: Any) -> Any:
        part = array[first : first + blocks * count]
        return np.reshape(part, (blocks, count, *part.shape[1:]))

    grouped = rows.nest([blocked(array) for array in rows.arrays])
    carry, outputs = _scan(_unrolled(f, count, reverse), init, grouped, blocks, reverse)
    outputs = map_leaves(lambda array: np.reshape(array, (blocks * count, *array.shape[2:])), outputs)
    if not rest:
        return carry, outputs
    left = rows.nest([array[:rest] if reverse else array[blocks * count :] for array in rows.arrays])
    carry, more = _scan(f, carry, left, rest, reverse)
    pair = (more, outputs) if reverse else (outputs, more)
    return carry, map_leaves(lambda *items: np.concatenate(items), *pair)


_THEANO = frozenset(
    "fn sequences outputs_info non_sequences n_steps truncate_gradient go_backwards mode name profile allow_gc strict "
    "return_list".split()
)
"""What only Theano's functions call their arguments."""


def _is_theano(takes: int, args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether a call is one of Theano's function; ours is given a function that takes so many arguments.

    It is so with one of its keywords, or with a symbolic variable. Where there are none, in a trace, it is so if the
    call would make no sense otherwise: for the function, for a number of steps that is an array, or for no rows.
    """
    if not _THEANO.isdisjoint(options):
        return True
    if not is_computing():
        return any(isinstance(leaf, Symbolic) for leaf in flatten((args, options))[0])
    rows, number = args[takes : takes + 1], args[takes + 1 : takes + 2]
    has_no_rows = any(isinstance(item, Number | Proxy | np.ndarray) and not getattr(item, "shape", ()) for item in rows)
    has_array = any(isinstance(item, Proxy | np.ndarray | list) for item in number)
    return has_no_rows or has_array or (len(args) > 0 and not _takes(args[0], takes))


def _takes(function: Any, count: int) -> bool:
    """Whether a function can be called with so many arguments; true where it does not tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _or_theano(takes: int) -> Callable[[Function], Function]:
    """Let a name also stand for Theano's function of this name."""

    def enter(function: Function) -> Function:
        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if _is_theano(takes, args, options):
                return getattr(import_module("tracer.scan_module"), function.__name__)(*args, **options)
            return function(*args, **options)

        return call

    return enter


@_or_theano(takes=2)
def scan(
    f: Function, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: int | bool = 1
) -> tuple[Any, Any]:
    """Call a function for each row of arrays, handing a carry from step to step.

    Parameters
    ----------
    f : callable
        (carry, row) -> (next carry, output). The next carry is the same nest, with the same shapes and dtypes; the
        output is any nest, or None. It may write into its arguments.
    init : nest of arrays
        The first carry. A Python number adapts to the dtype that `f` makes of it.
    xs : nest of arrays, optional
        All with one number of rows; a step gets a row of each.
    length : int, optional
        The number of steps; needed if there is no array in `xs`.
    reverse : bool
        Whether steps take the rows, and write those of the outputs, from the last to the first.
    unroll : int or bool
        How many steps to compute in one round of the loop: more are faster for small steps, and slower to compile.
        True for all.

    Returns
    -------
    carry : nest of arrays
        The last one.
    outputs : nest of arrays
        Those of all steps, stacked along a new first axis.

    Raises
    ------
    TraceError
        If `f` changes the nest, a shape or a dtype of the carry, or does not return a pair.
    ValueError
        If the numbers of rows differ, or there is neither an array in `xs` nor a length.
    TypeError
        If a part of the carry is no array.

    Notes
    -----
    This is Theano's `scan` as well: with one of its keywords (`fn`, `sequences`, `outputs_info`, `non_sequences`,
    `n_steps`, ...), or with a symbolic variable among the arguments, the call goes to `tracer.scan_module.scan`. In a
    traced function, where there are no symbolic variables, it goes there too if it can mean nothing else: because the
    function does not take two arguments, the third argument is a number or the fourth an array.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> def step(total, x):
    ...     total = total + x
    ...     return total, total * 10
    >>> tracer.scan(step, 0, np.array([1.5, 2.0, 3.0]))
    (np.float64(6.5), array([15., 35., 65.]))
    """
    length = None if length is None else int(length.__index__())

    def make(values: Any) -> Any:
        first, arrays = values
        return _scan_unrolled(f, first, arrays, length, reverse, unroll)

    return carries.run("scan", (f,), (length, bool(reverse), unroll, type(unroll)), (init, xs), make)


@_or_theano(takes=1)
def map(f: Function, xs: Any, batch_size: int | None = None) -> Any:
    """Call a function for each row of arrays, one after another, and stack what it returns.

    `tracer.vmap` computes all rows together, which is faster and needs more memory.

    Parameters
    ----------
    f : callable
        (row) -> nest of arrays.
    xs : nest of arrays
        All with one number of rows.
    batch_size : int, optional
        So many rows at a time are computed together, by `tracer.vmap`.

    Returns
    -------
    nest of arrays
        What `f` returned for each row, stacked along a new first axis.

    Raises
    ------
    ValueError
        If the numbers of rows differ, or there is no array in `xs`.

    Notes
    -----
    This is Theano's `map` as well, as `scan` is Theano's: such a call goes to `tracer.scan_module.map`.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.map(lambda row: np.sum(row) ** 2, np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([ 9., 49.])
    """
    size = 1 if batch_size is None else positive("batch_size", batch_size)

    def make(values: Any) -> Any:
        rows = _Rows("map", values, None)
        count = min(size, max(rows.steps, 1))
        if count == 1:
            return _scan(lambda none, row: (None, f(row)), None, values, rows.steps, False)[1]
        blocks, rest = divmod(rows.steps, count)
        together = vmap(f)
        grouped = rows.nest(
            [np.reshape(array[: blocks * count], (blocks, count, *array.shape[1:])) for array in rows.arrays]
        )
        outputs = _scan(lambda none, block: (None, together(block)), None, grouped, blocks, False)[1]
        outputs = map_leaves(lambda array: np.reshape(array, (blocks * count, *array.shape[2:])), outputs)
        if not rest:
            return outputs
        more = together(rows.nest([array[blocks * count :] for array in rows.arrays]))
        return map_leaves(lambda one, two: np.concatenate([one, two]), outputs, more)

    return carries.run("map", (f,), (size,), xs, make)
