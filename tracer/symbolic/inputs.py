"""What a compiled function takes and gives: declarations of inputs and outputs, and the containers of their values."""

from __future__ import annotations

import warnings
from typing import Any

from tracer import errors
from tracer.errors import function as texts
from tracer.tracing.container import Container as Container
from tracer.tracing.shared import SharedVariable
from tracer.tracing.symbolic import Symbolic


class UnusedInputError(Exception):
    """An input of a function on which neither its outputs nor its updates depend, or one that is listed twice."""


class MissingInputError(Exception):
    """The outputs of a function depend on a variable that is neither an input, nor shared, nor given."""


class In:
    """An input of a function, with what is special about it.

    Parameters
    ----------
    variable : symbolic variable
        The variable that stands for it in the outputs.
    name : str, optional
        For passing it by name; the variable's name if None (unless `autoname` is False).
    value : optional
        Without `update` its default. With `update` the initial value of a state, which a passed value replaces. A
        container or a shared variable is used itself, and cannot be passed (see `implicit`).
    update : symbolic variable, optional
        The expression that gives the state its value for the next call.
    mutable : bool, optional
        The function may use the argument's memory for its own work; True if None and there is an update. Programs of
        this package never need to.
    strict : bool
        Take only arrays of exactly its type, without a cast.
    allow_downcast : bool, optional
        True casts whatever it costs, False only up, None also Python floats to floatX.
    autoname : bool
        Take the variable's name where none is given.
    implicit : bool, optional
        It cannot be passed in a call; True if None and `value` is a container or a shared variable.
    borrow : bool, optional
        The argument may be used without a copy; that of `mutable` if None.
    shared : bool
        Whether the variable is a shared variable.

    Raises
    ------
    TypeError
        If the name is not a string, the update is not of the variable's type, or it is implicit and has no value.
    AssertionError
        If it is mutable, but not borrowed.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> f = theano.function([x, theano.In(y, value=1)], x + y)
    >>> f(33), f(33, 2), f(33, y=0)
    (array(34.), array(35.), array(33.))

    A state keeps its value between calls:

    >>> total = theano.function([x, theano.In(y, value=0.0, update=x + y)], y)
    >>> total(1.5), total(2.0), total[y]
    (array(0.), array(1.5), array(3.5))
    """

    def __init__(
        self,
        variable: Any,
        name: str | None = None,
        value: Any = None,
        update: Any = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        autoname: bool = True,
        implicit: bool | None = None,
        borrow: bool | None = None,
        shared: bool = False,
    ) -> None:
        if not isinstance(variable, Symbolic):
            raise TypeError(errors.message(texts.NOT_A_VARIABLE, what="an input of a function", value=variable))
        if implicit is None:
            implicit = isinstance(value, Container | SharedVariable)
        if implicit and value is None:
            raise TypeError(errors.message(texts.IMPLICIT_WITHOUT_VALUE, name=variable))
        if name is not None and not isinstance(name, str):
            raise TypeError(errors.message(texts.INPUT_NAME, name=name))
        if update is not None:
            update = getattr(update, "__symbolic__", update)
            if getattr(update, "type", None) != variable.type:
                raise TypeError(
                    errors.message(
                        texts.INPUT_UPDATE_TYPE, name=variable, old=variable.type, new=getattr(update, "type", update)
                    )
                )
        self.variable = variable
        self.name: str | None = (variable.name if autoname else None) if name is None else name
        self.value, self.update, self.strict, self.allow_downcast = value, update, strict, allow_downcast
        self.mutable: bool = mutable if mutable is not None else update is not None
        self.borrow: bool = borrow if borrow is not None else self.mutable
        if self.mutable and not self.borrow:
            raise AssertionError(errors.message(texts.MUTABLE_WITHOUT_BORROW, name=variable))
        self.implicit, self.shared, self.autoname = implicit, shared, autoname

    def __str__(self) -> str:
        return f"In({self.variable} -> {self.update})" if self.update is not None else f"In({self.variable})"

    def __repr__(self) -> str:
        return str(self)


SymbolicInput = In


def Param(  # the name that programs know
    variable: Any,
    default: Any = None,
    name: str | None = None,
    mutable: bool = False,
    strict: bool = False,
    allow_downcast: bool | None = None,
    implicit: bool | None = None,
    borrow: bool | None = None,
) -> In:
    """Declare an input with a default. An older form of `In(variable, value=default)`.

    Warns
    -----
    DeprecationWarning
    """
    warnings.warn(
        "Param is an older name: write In(variable, value=default) instead of Param(variable, default)",
        DeprecationWarning,
        stacklevel=2,
    )
    return In(
        variable,
        name=name,
        value=default,
        mutable=mutable,
        strict=strict,
        allow_downcast=allow_downcast,
        implicit=implicit,
        borrow=borrow,
    )


class Out:
    """An output of a function.

    Parameters
    ----------
    variable : symbolic variable
    borrow : bool
        The result need not be a copy of its own. Programs of this package make fresh results in any case.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], theano.Out(x * 2, borrow=True))
    >>> f([1, 2])
    array([2., 4.])
    """

    def __init__(self, variable: Any, borrow: bool = False) -> None:
        self.variable, self.borrow = variable, borrow

    def __str__(self) -> str:
        return f"Out({self.variable},{self.borrow})"

    __repr__ = __str__


SymbolicOutput = Out


def as_input(item: Any) -> In:
    """The declaration of an input: itself, of a variable, or of one of the short forms (name, variable, value).

    Raises TypeError for what cannot be an input.
    """
    if isinstance(item, In):
        return item
    if isinstance(item, Symbolic):
        return In(item)
    if isinstance(item, tuple | list):
        return _short_form(tuple(item))
    raise TypeError(errors.message(texts.NOT_A_VARIABLE, what="an input of a function", value=item))


def _short_form(item: tuple[Any, ...]) -> In:
    """(name, variable), (variable, value), ((variable, update), value), and the last two with a name in front."""
    name = None
    if item and isinstance(item[0], str):
        name, item = item[0], item[1:]
    if len(item) == 1:
        item = (*item, None)
    if len(item) != 2:
        raise TypeError(errors.message(texts.INPUT_SHORT_FORM, item=item))
    variable, value = item
    update = None
    if isinstance(variable, tuple | list):
        if len(variable) != 2:
            raise TypeError(errors.message(texts.INPUT_SHORT_FORM, item=item))
        variable, update = variable
    return In(variable, name=name, value=value, update=update)
