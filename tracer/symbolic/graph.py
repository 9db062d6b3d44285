"""Recorded expressions as graphs: evaluating, copying, comparing and walking them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import gradient as texts
from tracer.function import function
from tracer.tracing.recording import Apply, record
from tracer.tracing.replay import ancestors as _ancestors
from tracer.tracing.replay import applies, closure, leaves_of, substitute
from tracer.tracing.symbolic import Variable, as_variable, method
from tracer.tree import flatten, unflatten

# --- evaluating --------------------------------------------------------------------------------------------------


class _Functions(dict[tuple[Any, ...], Any]):
    """The functions that a variable was evaluated with; they are not pickled."""

    def __reduce__(self) -> Any:
        return _Functions, ()


@method("eval")
def evaluate(x: Any, inputs_to_values: Mapping[Any, Any] | None = None) -> Any:
    """The value of a variable, given those of its inputs.

    A function is compiled for each set of inputs, and kept with the variable.

    Parameters
    ----------
    inputs_to_values : mapping, optional
        Variable, or its name -> value.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> (x + y).eval({x: 1, y: 2})
    array(3.)
    """
    values = {_input_named(x, key): value for key, value in (inputs_to_values or {}).items()}
    inputs = tuple(sorted(values, key=id))
    if not isinstance(x, Variable):
        return function(inputs, x)(*(values[item] for item in inputs))
    known = x.__dict__.setdefault("_functions", _Functions())
    found = known.get(inputs)
    if found is None:
        found = known[inputs] = function(inputs, x)
    return found(*(values[item] for item in inputs))


def _input_named(x: Any, key: Any) -> Any:
    if not isinstance(key, str):
        return key
    named = [item for item in _ancestors([x]) if getattr(item, "name", None) == key]
    if len(named) != 1:
        raise ValueError(errors.message(texts.NO_INPUT_NAMED, name=key, variable=x, count=len(named)))
    return named[0]


# --- copying -----------------------------------------------------------------------------------------------------


def clone(
    output: Any,
    replace: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
    strict: bool = True,
    share_inputs: bool = True,
    copy_inputs: bool | None = None,
) -> Any:
    """Copy expressions, with other variables in place of some.

    Parameters
    ----------
    output : variable, or list, tuple or dict of them
        The expressions.
    replace : mapping or pairs, optional
        Variable -> what takes its place, which may mention what it replaces.
    strict : bool
        Whether a replacement must have the type of what it replaces.
    share_inputs : bool
        Keep the inputs of the expressions, rather than making new ones.
    copy_inputs : bool, optional
        An older name of `share_inputs`.

    Returns
    -------
    variable, or list, tuple or dict of them

    Raises
    ------
    TypeError
        If a replacement has another type and `strict` is true.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> theano.clone(x**2, replace={x: y + 1}).eval({y: 2.0})
    array(9.)
    """
    if copy_inputs is not None:
        warnings.warn("copy_inputs is called share_inputs", DeprecationWarning, stacklevel=2)
        share_inputs = copy_inputs
    pairs = _checked_replacements(replace, strict)
    leaves, structure = flatten(output)
    variables = [as_variable(leaf) for leaf in leaves]
    if not share_inputs:
        kept = [*pairs, *(value for value in pairs.values())]
        # A copy of a shared variable shares its value, but has a default update of its own.
        inputs = [item for item in leaves_of([*variables, *pairs.values()]) if not item.is_constant]
        fresh = {item: item.clone() for item in inputs if item not in kept}
        pairs = {item: substitute([value], fresh)[0] for item, value in pairs.items()} | fresh
    return unflatten(structure, substitute(variables, pairs))


def _checked_replacements(replace: Any, strict: bool) -> dict[Any, Any]:
    pairs = replace.items() if isinstance(replace, Mapping) else replace or ()
    found = {}
    for old, new in pairs:
        old, new = as_variable(old), as_variable(new)
        if strict and new.type != old.type and not _fits(old.type, new.type):
            raise TypeError(errors.message(texts.REPLACEMENT_TYPE, old=old, wanted=old.type, new=new, found=new.type))
        found[old] = new
    return found


def _fits(wanted: Any, found: Any) -> bool:
    is_super = getattr(wanted, "is_super", None)
    return bool(is_super and is_super(found))


def clone_replace(output: Any, replace: Any = None, **options: Any) -> Any:
    """As `clone`."""
    return clone(output, replace, **options)


def graph_replace(outputs: Any, replace: Any = None, *, strict: bool = True) -> Any:
    """As `clone`, but with `strict` every replaced variable must be in the graph.

    Raises
    ------
    ValueError
        If one is not.
    """
    pairs = _checked_replacements(replace, strict=False)
    known = set(_ancestors([as_variable(leaf) for leaf in flatten(outputs)[0]]))
    for old in pairs:
        if strict and old not in known:
            raise ValueError(errors.message(texts.NOT_IN_GRAPH, value=old))
    return clone(outputs, pairs, strict=False)


def map_variables(replacer: Callable[[Any], Any], graphs: Sequence[Any], additional_inputs: Sequence[Any] = ()) -> Any:
    """Copy expressions, with every computed variable replaced by what a function gives for it.

    Parameters
    ----------
    replacer : callable
        Variable -> what takes its place: itself, or an expression, which may mention it.
    graphs : list of variables
        The expressions. Graphs inside of ops are changed too.
    additional_inputs : list of variables
        Inputs that only replacements mention; they need not be listed.

    Returns
    -------
    list of variables

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> y = T.exp(x)
    >>> y.tag.replacement = y + 1
    >>> (z,) = map_variables(lambda item: getattr(item.tag, "replacement", item), [2 * y])
    >>> z.eval({x: 0.0})
    array(4.)
    """

    def mapped(outputs: Sequence[Any]) -> list[Any]:
        return map_variables(replacer, outputs, additional_inputs)

    new: dict[Any, Any] = {}
    for node in applies(graphs):
        outputs = _mapped_call(node, [new.get(item, item) for item in node.inputs], mapped)
        for old, item in zip(node.outputs, outputs, strict=True):
            item.name, item.tag = old.name, old.tag
            wanted = replacer(old)
            new[old] = item if wanted is old else substitute([wanted], {**new, old: item})[0]
    return [new.get(item, item) for item in graphs]


def _mapped_call(node: Apply, inputs: list[Any], mapped: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
    """The outputs of a call of other inputs, with the graphs inside of it mapped too.

    What these graphs use from then on of their surroundings becomes an input of the call.
    """
    inner: Any = node.arguments[0] if node.arguments else None
    old: Any = node.op
    if hasattr(old, "with_mapped_graph"):
        new = old.with_mapped_graph(mapped)
        return _as_list(record(new, [*inputs, *new.hidden[len(old.hidden) :]], {}))
    if hasattr(inner, "with_mapped_graph"):
        args, kwargs = node.call_arguments(inputs)
        call = signature(node.op.function).bind(*args, **kwargs)
        twin = inner.with_mapped_graph(mapped)
        used = closure(twin.results, [*twin.inputs, *twin.outer])
        twin.outer = [*twin.outer, *used]
        call.arguments.update(inner=twin, outer=[*call.arguments["outer"], *used])
        return _as_list(record(node.op, call.args, call.kwargs))
    return node.with_inputs(inputs).outputs


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


# --- comparing ---------------------------------------------------------------------------------------------------


def equal_computations(
    xs: Sequence[Any], ys: Sequence[Any], in_xs: Sequence[Any] | None = None, in_ys: Sequence[Any] | None = None
) -> bool:
    """Whether expressions compute the same in the same way, where `in_xs` in one stand for `in_ys` in the other.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> equal_computations([x + 1], [y + 1]), equal_computations([x + 1], [y + 1], [x], [y])
    (False, True)
    """
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} expressions cannot be compared with {len(ys)}")
    same: dict[Any, Any] = dict(zip(in_xs or (), in_ys or (), strict=True))
    stack = [*zip(xs, ys, strict=True), *same.items()]
    while stack:
        one, other = stack.pop()
        if one in same:
            if same[one] is not other or one.type != other.type:
                return False
            continue
        same[one] = other
        if one.owner is None or other.owner is None:
            if not _are_same_leaves(one, other):
                return False
        elif not _are_same_calls(one, other):
            return False
        else:
            stack += zip(one.owner.inputs, other.owner.inputs, strict=True)
    return True


def _are_same_leaves(one: Any, other: Any) -> bool:
    if one.is_constant and other.is_constant:
        return bool(one.type == other.type and np.array_equal(one.data, other.data, equal_nan=one.dtype[0] in "fc"))
    return one is other


def _are_same_calls(one: Any, other: Any) -> bool:
    """Whether two variables are the same outputs of calls that are alike but for their inputs."""
    left, right = one.owner, other.owner
    if left is right:
        return bool(one.index == other.index)
    alike = left.op == right.op and one.index == other.index and left.structure == right.structure
    return alike and len(left.inputs) == len(right.inputs) and all(map(_equal, left.arguments, right.arguments))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Apply) and isinstance(other, Apply):  # an op of one's own gets its call as an argument
        return True
    return one is other or bool(np.array_equal(one, other))


def is_same_graph(var1: Any, var2: Any, givens: Any = None) -> bool:
    """Whether two expressions compute the same in the same way.

    Parameters
    ----------
    var1, var2 : variables
    givens : mapping or pairs, optional
        Variable -> what takes its place in both before they are compared.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> is_same_graph(x + 1, x + 1), is_same_graph(x + 1, y + 1, givens={x: y})
    (True, True)
    """
    pairs = dict(givens.items() if isinstance(givens, Mapping) else givens or ())
    one, other = substitute([var1, var2], pairs) if pairs else (var1, var2)
    return equal_computations([one], [other])


# --- walking -----------------------------------------------------------------------------------------------------


def inputs(variable_list: Iterable[Any], blockers: Iterable[Any] | None = None) -> list[Any]:
    """The variables that expressions start from: those without an owner, constants too, and blockers."""
    return leaves_of(variable_list, stop=blockers or ())


def ancestors(variable_list: Iterable[Any], blockers: Iterable[Any] | None = None) -> list[Any]:
    """Every variable that expressions are computed from, themselves included, as far as blockers."""
    return _ancestors(variable_list, stop=blockers or ())


def variables(i: Iterable[Any], o: Iterable[Any]) -> list[Any]:
    """The variables between inputs and outputs, with the outputs and the inputs that are needed."""
    return _ancestors(o, stop=i)


def orphans(i: Iterable[Any], o: Iterable[Any]) -> list[Any]:
    """What outputs need besides inputs: constants, shared and other variables without an owner."""
    given = set(i)
    return [item for item in leaves_of(o, stop=given) if item not in given]


def list_of_nodes(i: Iterable[Any], o: Iterable[Any]) -> list[Any]:
    """The calls between inputs and outputs."""
    return applies(o, stop=i)


def io_toposort(i: Iterable[Any], o: Iterable[Any]) -> list[Any]:
    """The calls between inputs and outputs, each after those that it depends on."""
    return applies(o, stop=i)


def ops(i: Iterable[Any], o: Iterable[Any]) -> set[Any]:
    """The operations between inputs and outputs."""
    return {node.op for node in applies(o, stop=i)}


def is_in_ancestors(l_node: Any, f_node: Any) -> bool:
    """Whether a call depends on another one, or is it."""
    return f_node in applies(l_node.outputs)
