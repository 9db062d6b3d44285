"""Rewrite rules as data: a pattern and its replacement, both plain NumPy over named wildcards.

``Rule("log1p", lambda x: np.log(1 + x), lambda x: np.log1p(x))``: the pattern is run once on terms, which record a
tree; the replacement is run on traced values for every match, so dtypes and promotion come out by themselves.

Wildcards
    A parameter of the pattern stands for any value. Used twice, it must be the same value. Where its name starts with
    "c" it stands only for a scalar constant, and the replacement receives that NumPy scalar. Where it is used for a
    parameter of an op (an axis, a shape), it stands for that parameter.
Literals
    A number stands for a constant equal to it, whatever its dtype, also when it is broadcast. Zeros keep their sign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from tracer.graph.node import CONSTANT, Node, blame, make_node
from tracer.graph.op import FUNCTIONS, OPS, Op
from tracer.records import NamedTuple
from tracer.tracing.dispatch import COMPARISONS, OPERATORS, UNARY_OPERATORS
from tracer.tracing.proxy import unwrap, wrap
from tracer.types import ArrayType

_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
Binding = dict[str, Any]
Frozen = frozenset[Node] | set[Node]


def op(name: str) -> Callable[..., Any]:
    """The op of a name as a function; the table is asked only when it is called, so that importing rules is cheap."""

    def apply(*inputs: Any, **params: Any) -> Any:
        return OPS[name](*inputs, **params)

    return apply


# --- patterns ----------------------------------------------------------------------------------------------------


class Term:
    """What a pattern computes with: a tree of ops over wildcards and numbers."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Term:
        if method != "__call__" or kwargs:
            raise TypeError(f"a pattern cannot use {ufunc.__name__}.{method} or its keywords {sorted(kwargs)}")
        return _applied(ufunc, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Term:
        bind = _BOUND.get(function)
        if bind is None:
            raise TypeError(f"a pattern cannot use {function.__name__}; call its op instead")
        return bind(*args, **kwargs)

    def __tracer_apply__(self, operation: Op, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> Term:
        return Apply(operation, inputs, params)

    def astype(self, dtype: Any) -> Term:
        """A cast to a dtype, or to the dtype that a wildcard stands for."""
        return Apply(OPS["astype"], (self,), {"dtype": dtype})


class Wildcard(Term):
    """Any value, or any scalar constant if its name starts with "c"."""

    __slots__ = ("name", "scalar")

    def __init__(self, name: str) -> None:
        self.name = name
        self.scalar = name.startswith("c")


wildcard = cache(Wildcard)
"""The wildcard of a name: most patterns have the same few."""


class Apply(Term):
    """An op applied to terms and numbers; the parameters it mentions must agree."""

    __slots__ = ("inputs", "op", "params")

    def __init__(self, operation: Op, inputs: tuple[Any, ...], params: Mapping[str, Any] = _NO_PARAMS) -> None:
        self.op = operation
        self.inputs = inputs
        self.params = params


def _applied(ufunc: Any, inputs: tuple[Any, ...]) -> Apply:
    entry = FUNCTIONS.get(ufunc)
    return Apply(entry.op if entry and entry.op else OPS[ufunc.__name__], inputs)


def _give_operators() -> None:
    """The operators themselves: by way of NumPy each of them takes several times as long, at the first call."""
    for name, ufunc in (*OPERATORS.items(), *COMPARISONS.items()):
        setattr(Term, f"__{name}__", lambda self, other, ufunc=ufunc: _applied(ufunc, (self, other)))
    for name, ufunc in OPERATORS.items():
        setattr(Term, f"__r{name}__", lambda self, other, ufunc=ufunc: _applied(ufunc, (other, self)))
    for name, ufunc in UNARY_OPERATORS.items():
        setattr(Term, f"__{name}__", lambda self, ufunc=ufunc: _applied(ufunc, (self,)))


_give_operators()

ALL_AXES = object()


def _reduction(name: str) -> Callable[..., Term]:
    def bind(x: Any, axis: Any = None, keepdims: Any = False) -> Term:
        return Apply(OPS[name], (x,), {"axes": ALL_AXES if axis is None else axis, "keepdims": keepdims})

    return bind


def _with_param(name: str, param: str) -> Callable[..., Term]:
    return lambda x, value: Apply(OPS[name], (x,), {param: value})


# The functions of a pattern that are no ufuncs: how their arguments become inputs and parameters.
_BOUND: dict[Any, Callable[..., Term]] = {
    **{getattr(np, name): _reduction(name) for name in ("sum", "prod", "max", "min", "any", "all")},
    np.reshape: _with_param("reshape", "shape"),
    np.transpose: _with_param("transpose", "axes"),
    np.broadcast_to: _with_param("broadcast_to", "shape"),
    np.where: lambda condition, x, y: Apply(OPS["where"], (condition, x, y), {}),
}


# --- matching ----------------------------------------------------------------------------------------------------

TRANSPARENT = frozenset(("broadcast_to", "reshape", "astype"))


def scalar_value(node: Node) -> np.generic | None:
    """The number that every element of a node is, if it is a constant one; None otherwise."""
    if node.op is CONSTANT:
        array: Any = node.value
        return array.reshape(())[()] if array.size == 1 else None
    if node.op.name not in TRANSPARENT:
        return None
    value = scalar_value(node.inputs[0])
    if value is not None and value.dtype != node.dtype:
        with np.errstate(all="ignore"):
            value = value.astype(node.dtype)
    return value


def is_number(value: np.generic, number: Any) -> bool:
    """Whether a constant is a literal of a pattern: equal, both or neither boolean, and zeros of one sign."""
    if (value.dtype.kind == "b") != isinstance(number, bool) or value != number:
        return False
    if number != 0 or value.dtype.kind not in "fc":
        return True
    negative = bool(np.signbit(number))
    return bool(np.signbit(value.real) == negative and (value.dtype.kind == "f" or np.signbit(value.imag) == negative))


Goals = tuple[Any, Node, Any] | None
"""What is still to be matched: a term, the node it must match, and the rest."""


def solve(goals: Goals, binding: Binding, frozen: Frozen, accept: Callable[[Binding], bool]) -> Binding | None:
    """Match terms with nodes; both orders of a commutative op are tried.

    Returns the wildcards' values of the first match that `accept` agrees to, or None.
    """
    while goals is not None:
        term, node, goals = goals
        if isinstance(term, Apply):
            if node.op is not term.op or len(node.inputs) != len(term.inputs) or node in frozen:
                return None
            if not _match_params(term, node, binding):
                return None
            if term.op.commutative:
                (first, second), (left, right) = term.inputs, node.inputs
                straight = solve((first, left, (second, right, goals)), dict(binding), frozen, accept)
                if straight is not None or left is right:
                    return straight
                goals = (first, right, (second, left, goals))
            else:
                for pair in zip(term.inputs, node.inputs, strict=True):
                    goals = (*pair, goals)
        elif isinstance(term, Wildcard):
            value = node if not term.scalar else None if node in frozen else scalar_value(node)
            if value is None or not _bind(term.name, value, binding):
                return None
        else:
            value = None if node in frozen else scalar_value(node)
            if value is None or not is_number(value, term):
                return None
    return binding if accept(binding) else None


def _bind(name: str, value: Any, binding: Binding) -> bool:
    if name not in binding:
        binding[name] = value
        return True
    known = binding[name]
    return known is value or (not isinstance(value, Node) and type(known) is type(value) and bool(known == value))


def _match_params(term: Apply, node: Node, binding: Binding) -> bool:
    for name, wanted in term.params.items():
        actual = node.params[name]
        if isinstance(wanted, Wildcard):
            if not _bind(wanted.name, actual, binding):
                return False
        elif wanted is ALL_AXES:
            if len(actual) != node.inputs[0].type.ndim:
                return False
        elif wanted != actual:
            return False
    return True


class Scalar(NamedTuple):
    """A scalar constant as an input: the op that makes it, and its number if some pattern asks for that one."""

    op: Op
    number: Any


NUMBER = object()
"""Among what a rule needs of the inputs: that one of them is a scalar constant."""
TWICE = object()
"""That its two inputs are the same."""
NUMBERS: set[Any] = set()
"""The numbers that the patterns of rules have as inputs of their outermost op."""


def _could_be(term: Any, kind: Any) -> bool:
    if isinstance(term, Apply):
        return term.op is (kind.op if isinstance(kind, Scalar) else kind)
    if isinstance(term, Wildcard):
        return isinstance(kind, Scalar) or not term.scalar
    return isinstance(kind, Scalar) and kind.number is not None and bool(kind.number == term)


def _collect_ops(term: Any, found: set[Op]) -> None:
    if isinstance(term, Apply):
        found.add(term.op)
        for item in term.inputs:
            _collect_ops(item, found)


# --- rules -------------------------------------------------------------------------------------------------------


def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


class _Flat(NamedTuple):
    """A pattern of one op whose inputs and parameters are wildcards, each another: matching is looking at the op.

    `asked` is what the rule's condition asks: places of inputs and names of parameters.
    """

    inputs: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    asked: tuple[int | str, ...]


def _flat(term: Apply, asked: tuple[str, ...]) -> _Flat | None:
    """A pattern as a flat one, if it is; `asked` are the wildcards of the rule's condition."""
    terms = [*term.inputs, *term.params.values()]
    if term.op.commutative or not all(isinstance(item, Wildcard) and not item.scalar for item in terms):
        return None
    places: dict[str, int | str] = {item.name: place for place, item in enumerate(term.inputs)}
    places.update((item.name, key) for key, item in term.params.items())
    if len(places) < len(terms):
        return None
    params = tuple([(key, item.name) for key, item in term.params.items()])
    return _Flat(tuple([item.name for item in term.inputs]), params, tuple([places[name] for name in asked]))


class _Names(NamedTuple):
    """What a rule's functions take, and its pattern if that is a flat one: found when the rule is first tried."""

    build: tuple[str, ...]
    when: tuple[str, ...]
    flat: _Flat | None


_NO_EXAMPLE: Mapping[str, Any] = MappingProxyType({})


class Rule:
    """One rewrite: where the pattern stands, its replacement is built.

    Attributes
    ----------
    name : str
        What tests and errors call it.
    pattern, build : callable
        Plain NumPy over wildcards; `build` may use fewer of them. A build that returns None refuses.
    when : callable or None
        A condition over some of the wildcards: nodes, NumPy scalars for constants, parameters as they are.
    example : mapping
        A value for every wildcard, on which pattern and replacement agree.
    extreme : tuple of a mapping and an array, or None
        Values for which the pattern is not finite or not right, and what the replacement must give for them.
    term : Apply
        The pattern as a tree.
    needed : frozenset
        What must be among the inputs of a node: the ops that make them, NUMBER and TWICE.
    """

    __slots__ = ("_found", "build", "example", "extreme", "name", "needed", "pattern", "term", "when")

    def __init__(
        self,
        name: str,
        pattern: Callable[..., Any],
        build: Callable[..., Any],
        when: Callable[..., bool] | None = None,
        example: Mapping[str, Any] = _NO_EXAMPLE,
        extreme: tuple[Mapping[str, Any], Any] | None = None,
    ) -> None:
        term = pattern(*map(wildcard, _names(pattern)))
        if not isinstance(term, Apply):
            raise TypeError(f"the pattern of rule {name!r} is not an op")
        self.name, self.pattern, self.build, self.when = name, pattern, build, when
        self.example, self.extreme, self.term = example, extreme, term
        self._found: _Names | None = None
        needed: set[Any] = set()
        for item in term.inputs:
            if isinstance(item, Apply):
                needed.add(item.op)
            elif not isinstance(item, Wildcard):
                needed.add(NUMBER)
                NUMBERS.add(item)
            elif item.scalar:
                needed.add(NUMBER)
        if len(term.inputs) == 2 and term.inputs[0] is term.inputs[1]:
            needed.add(TWICE)
        self.needed = frozenset(needed)

    @property
    def ops(self) -> set[Op]:
        """The ops of the pattern."""
        found: set[Op] = set()
        _collect_ops(self.term, found)
        return found

    def _functions(self) -> _Names:
        names = () if self.when is None else _names(self.when)
        self._found = _Names(_names(self.build), names, _flat(self.term, names))
        return self._found

    def match(self, node: Node, frozen: Frozen = frozenset()) -> Binding | None:
        """The values of the wildcards if the pattern stands at this node and the condition holds, else None."""
        flat = (self._found or self._functions()).flat
        if flat is None:
            return solve((self.term, node, None), {}, frozen, self._accepts)
        inputs, params = node.inputs, node.params
        if node.op is not self.term.op or len(inputs) != len(flat.inputs) or node in frozen:
            return None
        if self.when is not None:  # asked first: most nodes are refused
            asked = [inputs[key] if isinstance(key, int) else params[key] for key in flat.asked]
            if not self.when(*asked):
                return None
        binding: Binding = dict(zip(flat.inputs, inputs, strict=True))
        for key, name in flat.params:
            binding[name] = params[key]
        return binding

    def _accepts(self, binding: Binding) -> bool:
        names = (self._found or self._functions()).when
        return self.when is None or bool(self.when(*[binding[name] for name in names]))

    def apply(self, node: Node, frozen: Frozen = frozenset()) -> Node | None:
        """The node that replaces this one, of the same type; None where the rule does not apply."""
        binding = self.match(node, frozen)
        if binding is None:
            return None
        values = [binding[name] for name in (self._found or self._functions()).build]
        with blame(node.line):
            built = self.build(*[wrap(value) if isinstance(value, Node) else value for value in values])
            return None if built is None else fit(unwrap(built), node.type)

    def fits(self, operation: Op, kinds: tuple[Any, ...]) -> bool:
        """Whether the rule can apply to a node of its op with inputs of these kinds."""
        inputs = self.term.inputs
        if len(inputs) != len(kinds):
            return False
        if all(map(_could_be, inputs, kinds)):
            return True
        return operation.commutative and all(map(_could_be, inputs[::-1], kinds))


class NodeRule:
    """A rewrite over whole families of ops, which no single pattern says.

    `build(node, frozen)` returns a node or None, and is asked for nodes of `families` of which an input (every
    input) is made by the op named `above`: that is `needed`.
    """

    __slots__ = ("above", "build", "every", "example", "families", "name", "needed", "pattern")

    def __init__(
        self,
        name: str,
        families: frozenset[str],
        above: str,
        every: bool,
        build: Callable[[Node, Frozen], Node | None],
        pattern: Callable[..., Any],
        example: Mapping[str, Any] = _NO_EXAMPLE,
    ) -> None:
        self.name, self.families, self.above, self.every = name, families, above, every
        self.build, self.pattern, self.example = build, pattern, example
        self.needed = frozenset([CONSTANT if above == CONSTANT.name else OPS[above]])

    def apply(self, node: Node, frozen: Frozen = frozenset()) -> Node | None:
        """The node that replaces this one, of the same type; None where the rule does not apply."""
        with blame(node.line):
            built = self.build(node, frozen)
            return None if built is None else fit(built, node.type)

    def fits(self, operation: Op, kinds: tuple[Any, ...]) -> bool:
        """Whether the rule can apply to a node of one of its families with inputs of these kinds."""
        names = [(kind.op if isinstance(kind, Scalar) else kind).name if kind is not None else "" for kind in kinds]
        return all(name == self.above for name in names) if self.every else self.above in names


AnyRule = Rule | NodeRule


def fit(node: Node, wanted: ArrayType) -> Node | None:
    """Cast and broadcast a node to a type; None if that would lose something."""
    if node.dtype != wanted.dtype:
        if not np.can_cast(node.dtype, wanted.dtype, "same_kind") and node.op is not CONSTANT:
            return None
        node = make_node(OPS["astype"], (node,), {"dtype": wanted.dtype})
    if node.shape != wanted.shape:
        extra = len(wanted.shape) - len(node.shape)
        if None in wanted.shape or extra < 0:
            return None
        if any(size not in (1, target) for size, target in zip(node.shape, wanted.shape[extra:], strict=True)):
            return None
        node = make_node(OPS["broadcast_to"], (node,), {"shape": wanted.shape})
    return node
