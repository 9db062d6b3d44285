"""What declarations of SciPy's special functions are written with. SciPy is imported when the first of them is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tracer import errors
from tracer.graph.op import UFUNC_NAMES, Example, Op, elementwise
from tracer.types import resolve_ufunc

WIDE = (-2.0, 2.0)
X: tuple[tuple[int, ...], ...] = ((3, 4),)


def scipy_special() -> Any:
    """The module `scipy.special`."""
    import scipy.special

    return scipy.special


def _by_arity(name: str, arity: int) -> Callable[..., Any]:
    """A call of SciPy's function, with as many parameters as it has arguments."""
    calls: dict[int, Callable[..., Any]] = {
        1: lambda x: getattr(scipy_special(), name)(x),
        2: lambda a, b: getattr(scipy_special(), name)(a, b),
        3: lambda a, b, c: getattr(scipy_special(), name)(a, b, c),
        4: lambda a, b, c, x: getattr(scipy_special(), name)(a, b, c, x),
    }
    return calls[arity]


def declare_special(name: str, doc: str, *deriv: Any, domain: Any = WIDE, **fields: Any) -> Op:
    """Declare one of SciPy's ufuncs; `domain` is an interval for all arguments or one for each of several."""
    domains = domain if isinstance(domain[0], tuple) else (domain,) * len(deriv)
    op = elementwise(
        name,
        _by_arity(name, len(deriv)),
        dtypes=lambda operands: resolve_ufunc(getattr(scipy_special(), name), operands),
        deriv=deriv,
        domain=domains,
        doc=doc,
        **fields,
    )
    UFUNC_NAMES[name] = op
    return op


def call_special(name: str, *args: Any) -> Any:
    """Apply one of the declared functions."""
    return UFUNC_NAMES[name](*args)


def without_rule(name: str, position: int) -> Callable[..., NoReturn]:
    """The derivative with respect to an order, of which SciPy has no function."""

    def rule(*_: Any) -> NoReturn:
        hint = "pass it as a number or an integer array, or compute it outside the differentiated function."
        raise errors.NotDifferentiableError(
            errors.message(errors.NOT_DIFFERENTIABLE, op=name, position=position, hint=hint)
        )

    return rule


def examples_of(name: str, *orders: Any, low: float = 0.3) -> tuple[Example, ...]:
    """Calls with fixed first arguments, for functions that have no derivative with respect to them."""

    def example(order: Any) -> Callable[..., Any]:
        first = order if isinstance(order, tuple) else (order,)
        return lambda x: getattr(scipy_special(), name)(*first, np.real(x) ** 2 / 8 + low)

    return tuple((example(order), X) for order in orders)


def declare_of_order(name: str, doc: str, rule: Any, *orders: Any, low: float = 0.3, fixed: int = 1) -> None:
    """Declare a function with a derivative with respect to its last argument only."""
    undefined = (without_rule(name, position) for position in range(fixed))
    declare_special(name, doc, *undefined, rule, examples=examples_of(name, *orders, low=low))
