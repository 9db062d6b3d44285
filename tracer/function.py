"""Compiling functions of symbolic variables: checking inputs and outputs, replacing givens, collecting updates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tracer import errors
from tracer.config import config
from tracer.errors import function as texts
from tracer.symbolic.derivatives import is_derivative
from tracer.symbolic.function import Function, FunctionMaker
from tracer.symbolic.inputs import In, MissingInputError, Out, UnusedInputError, as_input
from tracer.symbolic.modes import get_mode
from tracer.symbolic.profiling import profile_of
from tracer.symbolic.stand_in_sizes import can_do_without
from tracer.tracing.recording import record
from tracer.tracing.replay import Substitution, ancestors, applies, leaves_of
from tracer.tracing.shared import SharedVariable, shared
from tracer.tracing.symbolic import Constant, Symbolic, as_variable
from tracer.tracing.symbolic_type import TensorType
from tracer.updates import as_pairs, checked_updates, with_default_updates

ON_UNUSED_INPUT = ("raise", "warn", "ignore")


def function(
    inputs: Sequence[Any],
    outputs: Any = None,
    mode: Any = None,
    updates: Any = None,
    givens: Any = None,
    no_default_updates: Any = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: Any = None,
    on_unused_input: str | None = None,
) -> Function:
    """Compile symbolic expressions into a function of their inputs.

    Parameters
    ----------
    inputs : list of symbolic variables or In
        What a call passes, by position or by name.
    outputs : variable, Out, list or dict of them, optional
        What a call returns: an array, a list, or a dict. Without outputs it is an empty list.
    mode : str or Mode, optional
        How it is compiled and run: "FAST_RUN", "FAST_COMPILE", "DebugMode", "NanGuardMode", ...
    updates : pairs or mapping, optional
        Shared variable -> the expression of its new value. All of them see the values before the call.
    givens : pairs or mapping, optional
        Variable -> what takes its place in outputs and updates: an expression, a shared variable, or a value.
    no_default_updates : bool or list of shared variables
        Whether (or for which variables) default updates are left out, such as those of random streams.
    accept_inplace : bool
        Accepted for compatibility: expressions here are never in place.
    name : str, optional
        For messages; the user's file and line if None.
    rebuild_strict : bool
        Whether a given must have just the type of what it replaces.
    allow_input_downcast : bool, optional
        True: arguments are cast whatever it costs; False: only up; None: also Python floats to floatX.
    profile : bool, str or ProfileStats, optional
        Whether calls are timed; see `Function.profile`.
    on_unused_input : {"raise", "warn", "ignore"}, optional
        What to do about an input that nothing depends on; `config.on_unused_input` if None.

    Returns
    -------
    Function

    Raises
    ------
    TypeError
        For an input that is not a variable, and for updates and givens of another type than what they replace.
    ValueError
        For updates that are not pairs, or give a variable twice.
    UnusedInputError
        If an input is not used or listed twice.
    MissingInputError
        If the outputs need a variable that is not given.
    RuntimeError
        If givens replace an input.
    AssertionError
        If a given replaces what an earlier given is computed from.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, w = T.dvector("x"), theano.shared(1.0, name="w")
    >>> f = theano.function([x], (w * x).sum(), updates=[(w, w + 1)])
    >>> f([1, 2]), f([1, 2]), w.get_value()
    (array(3.), array(6.), array(3.))
    """
    line = errors.user_line()
    declared = checked_inputs(inputs, allow_input_downcast)
    results, structure = checked_outputs(outputs)
    variables = [item.variable for item in declared]
    substitution = _substitution(checked_givens(givens, variables, rebuild_strict))

    def rebuild(expression: Any) -> Any:
        return substitution([expression])[0]

    pairs = {target: rebuild(value) for target, value in checked_updates(updates).items()}
    wanted = [rebuild(item.variable) for item in results]
    states = [rebuild(item.update) for item in declared if item.update is not None]
    pairs = with_default_updates([*wanted, *states], pairs, no_default_updates, variables, rebuild)
    expressions = [*wanted, *states, *pairs.values()]
    used = _check_use(declared, expressions, on_unused_input)
    name = name or (f"{line.file}:{line.number}" if line else "function")
    results = [Out(variable, item.borrow) for variable, item in zip(wanted, results, strict=True)]
    stats = profile_of(profile, name)
    return FunctionMaker(name, declared, used, results, structure, states, pairs, get_mode(mode), stats).create()


# --- inputs and outputs ------------------------------------------------------------------------------------------


def checked_inputs(inputs: Any, allow_downcast: bool | None) -> list[In]:
    """The declarations of inputs. Raises TypeError for what cannot be one, UnusedInputError for one listed twice."""
    if not isinstance(inputs, list | tuple):
        raise TypeError(errors.message(texts.INPUTS_NOT_A_LIST, inputs=inputs))
    declared = [_declared(item, allow_downcast) for item in inputs]
    seen: dict[Any, int] = {}
    for position, item in enumerate(declared):
        variable = item.variable
        if isinstance(variable, SharedVariable):
            raise TypeError(errors.message(texts.SHARED_AS_INPUT, name=str(variable)))
        if isinstance(variable, Constant):
            raise TypeError(errors.message(texts.CONSTANT_AS_INPUT, name=str(variable)))
        if variable in seen:
            raise UnusedInputError(
                errors.message(texts.INPUT_TWICE, name=variable, first=seen[variable], second=position)
            )
        seen[variable] = position
    return declared


def _declared(item: Any, allow_downcast: bool | None) -> In:
    if isinstance(item, Symbolic):
        return In(item, allow_downcast=allow_downcast)
    declared = as_input(item)
    if declared.allow_downcast is None and allow_downcast is not None:
        declared = In(**{**vars(declared), "allow_downcast": allow_downcast})
    return declared


def checked_outputs(outputs: Any) -> tuple[list[Out], Any]:
    """Outputs as a list, and how they were given: "none", "one", "list", or the sorted keys of a dict.

    Raises TypeError for an output that is not symbolic, AssertionError for a key that is not a string.
    """
    if outputs is None:
        return [], "none"
    if isinstance(outputs, Mapping):
        for key in outputs:
            if not isinstance(key, str):
                raise AssertionError(errors.message(texts.OUTPUT_KEY, key=key))
        keys = sorted(outputs)
        return [_as_output(outputs[key]) for key in keys], keys
    if isinstance(outputs, list | tuple):
        return [_as_output(item) for item in outputs], "list"
    return [_as_output(outputs)], "one"


def _as_output(item: Any) -> Out:
    borrow = item.borrow if isinstance(item, Out) else False
    value = item.variable if isinstance(item, Out) else item
    try:
        return Out(as_variable(value), borrow)
    except TypeError:
        raise TypeError(errors.message(texts.NOT_A_VARIABLE, what="an output of a function", value=value)) from None


def _check_use(declared: Sequence[In], expressions: Sequence[Any], on_unused: str | None) -> list[Any]:
    """The inputs that expressions use. Raises UnusedInputError and MissingInputError."""
    on_unused = config.on_unused_input if on_unused is None else on_unused
    if on_unused not in ON_UNUSED_INPUT:
        raise ValueError(errors.message(texts.ON_UNUSED_INPUT, value=on_unused))
    leaves = leaves_of(expressions, stop=[item.variable for item in declared])
    needed = set(leaves)
    used = []
    for position, item in enumerate(declared):
        if item.variable in needed:
            needed.discard(item.variable)
            used.append(item.variable)
        elif on_unused != "ignore":
            text = errors.message(texts.UNUSED_INPUT, name=item.variable, position=position)
            if on_unused == "raise":
                raise UnusedInputError(text)
            warnings.warn(text, stacklevel=3)
    missing = [leaf for leaf in leaves if leaf in needed and not (leaf.is_constant or isinstance(leaf, SharedVariable))]
    _check_missing(missing, expressions, [item.variable for item in declared])
    return used


def _check_missing(missing: Sequence[Any], expressions: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Raise MissingInputError, unless only derivatives are computed from what is missing, and can do without it."""
    if missing:
        derivatives = [item for node in applies(expressions, inputs) if is_derivative(node) for item in node.outputs]
        direct = set(leaves_of(expressions, [*inputs, *derivatives]))
        leaf = next((leaf for leaf in missing if leaf in direct), missing[0])
        if leaf in direct or not can_do_without(expressions, missing):
            raise MissingInputError(errors.message(texts.MISSING_INPUT, getattr(leaf, "line", None), name=leaf))


# --- givens ------------------------------------------------------------------------------------------------------


def checked_givens(givens: Any, inputs: Sequence[Any], strict: bool) -> dict[Any, Any]:
    """What replaces what, each replacement with those before it already made.

    Raises TypeError for a key that is no variable or a replacement of another type, RuntimeError for a key that is an
    input, and AssertionError for one that an earlier replacement is computed from.
    """
    found: dict[Any, Any] = {}
    touched: set[Any] = set()
    explicit = set(inputs)
    for key, value in as_pairs(givens, "givens"):
        if not isinstance(key, Symbolic):
            raise TypeError(errors.message(texts.GIVEN_KEY, key=key))
        if key in explicit:
            raise RuntimeError(errors.message(texts.GIVEN_INPUT, name=str(key)))
        if key in touched:
            raise AssertionError(errors.message(texts.GIVEN_DEPENDENT, name=str(key)))
        new = _replacement(key, value, strict)
        touched.update(ancestors([new], stop=found))
        touched.add(key)
        found[key] = _substitution(found)([new])[0]
    return found


def _replacement(key: Any, value: Any, strict: bool) -> Any:
    new = getattr(value, "__symbolic__", None)
    if new is None:
        value = key.type.filter(value)
        if not isinstance(key.type, TensorType):
            return shared(value)
        return Constant(key.type, value) if value.ndim == 0 else shared(value, broadcastable=key.type.broadcastable)
    old = key.type
    if strict and old != new.type and not (isinstance(old, TensorType) and old.is_super(new.type)):
        raise TypeError(
            errors.message(
                texts.GIVEN_TYPE, name=str(key), old=old, value=str(new), new=new.type, dtype=getattr(old, "dtype", old)
            )
        )
    return new


def _substitution(replacements: Mapping[Any, Any]) -> Substitution:
    """What makes replacements; where types change, they are found anew."""
    is_retyped = any(key.type != value.type for key, value in replacements.items())
    return Substitution(replacements, _recorded_again if is_retyped else None)


def _recorded_again(node: Any, inputs: Sequence[Any]) -> list[Any]:
    args, kwargs = node.call_arguments(inputs)
    made = record(node.op, args, kwargs)
    copies = made if isinstance(made, list) else [made]
    for old, item in zip(node.outputs, copies, strict=True):
        item.name = old.name
    return copies
