"""`while_loop` and `fori_loop`: a body that is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer import errors
from tracer.control_flow import carries
from tracer.control_flow.carries import Carry, Weak, positive, text_of
from tracer.errors import loops as texts
from tracer.graph.node import constant, input_node
from tracer.tracing import control, trace
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tree import flatten
from tracer.types import ArrayType

Function = Callable[..., Any]

LONGEST_SEQUENCE = 1 << 16
"""Steps up to which a `fori_loop` reads its counter from an array rather than counting."""


def while_loop(cond_fun: Function, body_fun: Function, init_val: Any, *, checkpoint_every: int | None = None) -> Any:
    """Go on with a body while a condition holds.

    Parameters
    ----------
    cond_fun : callable
        (carry) -> one truth value.
    body_fun : callable
        (carry) -> the next carry: the same nest, with the same shapes and dtypes. It may write into its argument.
    init_val : nest of arrays
        The first carry. A Python number adapts to the dtype that the body makes of it.
    checkpoint_every : int, optional
        Derivatives of reverse mode need what every step computed. With this they keep the carry at every so many
        steps only, and compute what is between again: memory for more work.

    Returns
    -------
    nest of arrays
        The carry for which the condition no longer holds.

    Raises
    ------
    TraceError
        If the body changes the nest, a shape or a dtype of the carry, or the condition gives no single truth value.
    TypeError
        If a part of the carry is no array.

    Notes
    -----
    Derivatives are those of the steps that were done, of any order and in both modes; a step stores what they need.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> def root(a):
    ...     return tracer.while_loop(lambda x: np.abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, 1.0)
    >>> f = tracer.compile(root)
    >>> float(f(np.float64(9.0))), round(float(tracer.grad(root)(np.float64(9.0))), 6)
    (3.0, 0.166667)
    """
    if checkpoint_every is not None:
        checkpoint_every = positive("checkpoint_every", checkpoint_every)

    def make(value: Any) -> Any:
        carry = Carry("while_loop", "init_val", value)
        carry.settle(body_fun)

        def goes_on(*leaves: Any) -> Any:
            return _truth(cond_fun(carry.nest(leaves)))

        def step(*leaves: Any) -> list[Any]:
            return carry.check(body_fun(carry.nest(leaves)))

        if checkpoint_every is None:
            return carry.nest(control.while_loop(goes_on, step, carry.values))

        def few_steps(*leaves: Any) -> Any:
            return control.while_loop(
                lambda count, *own: np.logical_and(count < checkpoint_every, goes_on(*own)),
                lambda count, *own: [count + 1, *step(*own)],
                [0, *leaves],
            )[1:]

        return carry.nest(control.while_loop(goes_on, few_steps, carry.values))

    return carries.run("while_loop", (body_fun, cond_fun), (checkpoint_every,), init_val, make)


def _truth(value: Any) -> Any:
    """One truth value, of shape ()."""
    if np.size(value) != 1 or isinstance(value, list | tuple | dict):
        found = text_of(flatten(value)[1]) if isinstance(value, list | tuple | dict) else unwrap(value).type
        raise errors.TraceError(errors.message(texts.CONDITION, found=found))
    return np.reshape(value, ()) if np.ndim(value) else value


def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Any) -> Any:
    """Go on with a body for every number from one integer up to another, which is not included.

    Parameters
    ----------
    lower, upper : int, or integer array of shape ()
        With ints the number of steps is fixed where the loop is compiled; arrays may differ from call to call.
    body_fun : callable
        (number, carry) -> the next carry: the same nest, with the same shapes and dtypes. It may write into its
        argument.
    init_val : nest of arrays
        The first carry. A Python number adapts to the dtype that the body makes of it.

    Returns
    -------
    nest of arrays
        The carry after the last step.

    Raises
    ------
    TraceError
        If the body changes the nest, a shape or a dtype of the carry.
    TypeError
        If a bound is not an integer, or a part of the carry is no array.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> def body(i, x):
    ...     x[i] = x[i - 1] + x[i - 2]
    ...     return x
    >>> tracer.fori_loop(2, 8, body, np.array([1, 1, 0, 0, 0, 0, 0, 0]))
    array([ 1,  1,  2,  3,  5,  8, 13, 21])
    """
    bounds = [_bound(value, lower, upper) for value in (lower, upper)]
    if all(isinstance(value, int) for value in bounds):
        first, last = bounds

        def make(value: Any) -> Any:
            return _counted(first, max(last - first, 0), body_fun, value)

        return carries.run("fori_loop", (body_fun,), (first, last), init_val, make)

    def make_open(values: Any) -> Any:
        start, stop, value = values
        dtype = np.result_type(*(item.dtype for item in (start, stop) if not isinstance(item, Weak)))
        start, stop = (item.of(dtype) if isinstance(item, Weak) else item for item in (start, stop))
        carry = Carry("fori_loop", "init_val", value)
        carry.settle(lambda own: body_fun(_counter(dtype), own))
        made = control.while_loop(
            lambda count, *leaves: count < stop,
            lambda count, *leaves: [count + 1, *carry.check(body_fun(count, carry.nest(leaves)))],
            [start.astype(dtype), *carry.values],
        )
        return carry.nest(made[1:])

    numbers = [Weak(value, int) if isinstance(value, int) else value for value in bounds]
    return carries.run("fori_loop", (body_fun,), (), (*numbers, init_val), make_open)


def _bound(value: Any, lower: Any, upper: Any) -> Any:
    """A bound: an int, or a traced value or array of integers."""
    if not isinstance(value, bool | np.bool_) and isinstance(value, int | np.integer):
        return int(value)
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or np.dtype(dtype).kind not in "iu" or shape != ():
        raise TypeError(errors.message(texts.BOUNDS, lower=lower, upper=upper))
    return value


def _counter(dtype: np.dtype[Any]) -> Proxy:
    return Proxy(input_node(ArrayType(np.dtype(dtype), ())), trace.current())


def _counted(first: int, steps: int, body_fun: Function, value: Any) -> Any:
    """A loop over a known number of steps."""
    carry = Carry("fori_loop", "init_val", value)
    carry.settle(lambda own: body_fun(_counter(np.dtype(np.int64)), own))
    if steps <= LONGEST_SEQUENCE:
        numbers = wrap(constant(np.arange(first, first + steps)), trace.current())
        made = control.scan(
            lambda count, *leaves: ([], carry.check(body_fun(count, carry.nest(leaves))), []),
            [numbers],
            carries=carry.values,
        )
        return carry.nest(made.carries)
    made = control.scan(
        lambda count, *leaves: ([], [count + 1, *carry.check(body_fun(count, carry.nest(leaves)))], []),
        carries=[np.asarray(first), *carry.values],
        n_steps=steps,
    )
    return carry.nest(made.carries[1:])
