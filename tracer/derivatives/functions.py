"""What all derivatives of functions share: compiled transforms, and variables in place of arguments."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from tracer import errors
from tracer.arguments import positional_names
from tracer.compiled import Compiled
from tracer.errors import derivatives as texts
from tracer.explaining import Explained, Profilable
from tracer.graph.graph import Graph, substitute, toposort
from tracer.graph.node import CONSTANT, INPUT, Node, constant, input_node, make_node
from tracer.ops.gradient_control import MARK
from tracer.remembering import kept_with
from tracer.rewrite.passes import stabilise
from tracer.rewrite.shifts import hold_maxima
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.layout import turned_strides
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tree import Structure, flatten, leaf_paths, unflatten
from tracer.types import is_inexact

Function = Callable[..., Any]


def remembered(
    function: Function, kind: str, options: tuple[Any, ...], make: Callable[[Function], Transform]
) -> Transform:
    """The transform of a function, made once: then `tracer.grad(f)(x)` in a loop is traced once.

    `functools.partial` stands for a call of its function with more arguments.
    """
    inner = function.func if isinstance(function, functools.partial) else function
    known = kept_with(inner, (Transform, Compiled))
    if known is None:
        return make(function)
    if isinstance(function, functools.partial):
        return _of_partial(function, known, (kind, options), make)
    found: Transform | None = known.get((kind, options))
    if found is None or found.function != function:
        found = known[kind, options] = make(function)
    return found


def _of_partial(
    function: functools.partial[Any], known: dict[Any, Any], key: Any, make: Callable[[Function], Transform]
) -> Transform:
    """The transform of a partial function, which shares what is compiled with others of that function."""
    made, inner = make(function), function.func
    if not all(isinstance(leaf, np.ndarray | Hashable) for leaf in flatten((function.args, function.keywords))[0]):
        return made
    key = (*key, len(function.args), *function.keywords)
    if known.get(key, (None,))[0] != inner:

        def run(args: Any, keywords: Any, /, *rest: Any, **more: Any) -> Any:
            return make(functools.partial(inner, *args, **keywords)).__tracer_run__(*rest, **more)

        run.__tracer_run__ = run  # type: ignore[attr-defined]
        places = [number if number < 0 else number + 2 for number in made.argnums]
        known[key] = inner, Compiled(run, name=made.__name__, traced_floats=places)
    made.compiled = functools.partial(known[key][1], function.args, function.keywords)
    return made


class Transform(Profilable):
    """A function made from another by a transform; compiled at its first call outside of a trace.

    It is pickled as the call that made it, `made_by`: a function and its arguments.
    """

    def __init__(
        self,
        function: Function,
        run: Function,
        argnums: tuple[int, ...],
        name: str,
        made_by: tuple[Function, tuple[Any, ...]] | None = None,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__qualname__ = self.__name__ = name
        self.function = function
        self.argnums = argnums
        self.__tracer_run__ = run
        self._made_by = made_by
        self.compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Differentiate at these arguments."""
        if trace.current() is not None:
            return self.__tracer_run__(*args, **kwargs)
        return self._compiled()(*args, **kwargs)

    def __tracer_plans__(self) -> Explained:
        compiled, _ = self._known()
        return compiled.__tracer_plans__()

    def __tracer_job__(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        compiled, first = self._known()
        return compiled.__tracer_job__((*first, *args), kwargs)

    def _known(self) -> tuple[Compiled, tuple[Any, ...]]:
        """What is compiled, and the arguments that it takes before those of a call."""
        found = self._compiled()
        first = found.args if isinstance(found, functools.partial) else ()
        return cast("Compiled", found.func if isinstance(found, functools.partial) else found), first

    def _compiled(self) -> Callable[..., Any]:
        if self.compiled is None:
            self.compiled = Compiled(self, traced_floats=self.argnums)
        return self.compiled

    def __repr__(self) -> str:
        return f"<{self.__name__}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._made_by or self.__qualname__


def argument_numbers(argnums: Any) -> tuple[int, ...]:
    """`argnums` as a tuple. Raises TypeError for what is no int, and ValueError for none or repeated ones."""
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        raise TypeError(errors.message(texts.ARGNUMS, argnums=argnums))
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(errors.message(texts.ARGNUMS, argnums=argnums))
    return numbers


class Variables:
    """Fresh nodes in place of the differentiated arguments, so that only this use of them is differentiated.

    The function is handed marked arguments. What it leaves elsewhere, as in an array that it closes over and writes
    into, is computed from the arguments that way. For the derivative itself the marks are replaced by inputs, so that
    it looks at nothing above them; `close` puts the arguments in their place.

    Attributes
    ----------
    name : str
        The function's name.
    groups : list of lists
        For each differentiated argument its leaves, each with its input; None for an integer leaf.
    structures : list of Structure
        The nests that these arguments are.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        function: Function,
        args: tuple[Any, ...],
        argnums: tuple[int, ...],
        *,
        allow_int: bool = False,
        hint: str = texts.HINT_ARGNUMS,
    ) -> None:
        self.name = label_of(function)
        self.groups: list[list[tuple[Node | None, Any]]] = []
        self.structures: list[Structure] = []
        self._function, self._allow_int, self._hint = function, allow_int, hint
        self._actual: dict[Node, Node] = {}
        self._marks: dict[Node, Node] = {}
        self._handed: list[tuple[Any, Proxy, Node, Node, str]] = []
        given = positional_names(function)
        self._given, self._args = args, list(args)
        for number in self._positions(argnums, len(args)):
            leaves, structure = flatten(args[number])
            names = leaf_paths(structure, given[number] if number < len(given) else f"argument {number}")
            pairs = [self._variable(leaf, name) for leaf, name in zip(leaves, names, strict=True)]
            self.groups.append([(node, leaf) for (node, _), leaf in zip(pairs, leaves, strict=True)])
            self.structures.append(structure)
            self._args[number] = unflatten(structure, [proxy for _, proxy in pairs])

    def _positions(self, argnums: tuple[int, ...], count: int) -> list[int]:
        for number in argnums:
            if not -count <= number < count:
                text = errors.message(errors.ARGNUM_MISSING, function=self.name, number=number, count=count)
                raise TypeError(text)
        positions = [number % count for number in argnums]
        if len(set(positions)) != len(positions):
            raise ValueError(errors.message(texts.ARGNUMS, argnums=argnums))
        return positions

    def _variable(self, leaf: Any, name: str) -> tuple[Node | None, Any]:
        try:
            actual = unwrap(leaf)
        except TypeError:
            raise self._not_float(name, type(leaf).__name__, texts.HINT_OBJECT) from None
        name = actual.name or name
        if not is_inexact(actual.type.dtype):
            if self._allow_int:
                return None, leaf
            raise self._not_float(name, actual.type)
        node = input_node(actual.type, actual.name)
        mark = make_node(MARK, (actual,), {"key": ("variable", next(self._numbers))})
        mark.name = actual.name
        trace.stand_for(mark, actual)
        proxy = Proxy(mark, trace.current())
        if isinstance(leaf, Proxy):
            proxy._strides, proxy._is_array = turned_strides(leaf), leaf._is_array
        else:
            proxy._is_array = isinstance(leaf, np.ndarray)
        self._actual[node], self._marks[mark] = actual, node
        self._handed.append((leaf, proxy, mark, actual, name))
        return node, proxy

    def _not_float(self, name: str, kind: Any, hint: str | None = None) -> errors.NotDifferentiableError:
        hint = hint or self._hint.format(function=self.name)
        text = errors.message(texts.NOT_FLOAT, function=self.name, name=name, type=kind, hint=hint)
        return errors.NotDifferentiableError(text)

    @property
    def flat(self) -> list[Node]:
        """The inputs of all leaves that are differentiated."""
        return list(self._actual)

    @property
    def names(self) -> list[str]:
        """How the user would write each leaf that is differentiated."""
        return [name for *_, name in self._handed]

    def call(self, kwargs: dict[str, Any]) -> Any:
        """What the function returns for the variables; computed from the marks."""
        return self._function(*self._args, **kwargs)

    def opened(self, values: Sequence[Any], alone: bool = False) -> list[Node]:
        """Nodes of what the function returned, computed from the variables, by formulas that are stable.

        With `alone` the derivative is that of these nodes and of nothing else: arguments that are inputs of the trace,
        and are used in no other way, then need no variables in their place.
        """
        nodes = tuple([unwrap(value) for value in values])
        order = toposort(nodes, self._marks.keys())
        actual = self._actual.values()
        if alone and all(node.op is INPUT for node in actual) and len(set(actual)) == len(actual):
            if set(order).isdisjoint(actual):
                self._marks = {mark: self._actual[node] for mark, node in self._marks.items()}
                self._actual = {node: node for node in actual}
        frozen = unmoved(order, self._marks).union(self.flat)
        stable = stabilise(Graph((), nodes), frozen, self._marks, order)
        return list(hold_maxima(stable, frozen).outputs)

    def close(self, nodes: Sequence[Node]) -> list[Any]:
        """Put the arguments in place of the variables and return values of the running trace."""
        if any(node is not actual for node, actual in self._actual.items()):
            nodes = substitute(nodes, self._actual)
        return [wrap(node, trace.current()) for node in nodes]

    def passed_on(self, nest: Any) -> Any:
        """What the function returned besides, computed from the arguments."""
        leaves, structure = flatten(nest)
        own = {id(proxy): leaf for leaf, proxy, *_ in self._handed}
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Proxy) and id(leaf) not in own]
        nodes = substitute([leaves[place].__tracer_node__ for place in places], self._unmarked)
        for place, leaf in enumerate(leaves):
            leaves[place] = own.get(id(leaf), leaf)
        for place, node in zip(places, nodes, strict=True):
            leaves[place] = wrap(node, trace.current())
        return unflatten(structure, leaves)

    @property
    def _unmarked(self) -> dict[Node, Node]:
        return {mark: self._actual[node] for mark, node in self._marks.items()}

    def write_back(self) -> None:
        """Give the arguments that the function wrote into their new contents.

        Raises TraceError where such an argument is an array of the surroundings, or one that the function knows by
        another name too.
        """
        active = trace.current()
        for leaf, proxy, _, actual, name in self._handed:
            if active is not None and id(proxy) in active.in_place_scalars:
                active.in_place_scalars.add(id(leaf))
            if isinstance(leaf, Proxy) and leaf.__tracer_node__ is not actual:
                raise errors.TraceError(errors.message(texts.WRITTEN_TWICE, name=name, function=self.name))
        written = [item for item in self._handed if item[1].__tracer_node__ is not item[2]]
        for leaf, _, _, _, name in written:
            self._check_written(leaf, name)
        values = substitute([proxy.__tracer_node__ for _, proxy, *_ in written], self._unmarked)
        for (leaf, *_), value in zip(written, values, strict=True):
            leaf._assign(wrap(value))

    def _check_written(self, leaf: Any, name: str) -> None:
        if isinstance(leaf, np.ndarray):
            raise errors.TraceError(errors.message(texts.WRITTEN_OUTSIDE, name=name, function=self.name))
        if not isinstance(leaf, Proxy):
            raise TypeError(f"'{type(leaf).__name__}' object does not support item assignment")
        cells = getattr(self._function, "__closure__", None) or ()
        known = flatten((self._given, [cell.cell_contents for cell in cells]))[0]
        if sum(isinstance(other, Proxy) and _root(other) is _root(leaf) for other in known) > 1:
            raise errors.TraceError(errors.message(texts.WRITTEN_TWICE, name=name, function=self.name))


def _root(value: Proxy) -> Proxy:
    """The array that a traced value is a view of, through any number of views."""
    while value._base is not None:
        value = value._base
    return value


def unmoved(order: Iterable[Node], sources: Iterable[Node]) -> frozenset[Node]:
    """The nodes, of some whose inputs come first, that depend neither on sources nor on constants alone.

    A derivative with respect to the sources leaves them as they are: another one may be taken with respect to them.
    """
    moved, found = set(sources), []
    constants: set[Node] = set()
    for node in order:
        if node in moved or not moved.isdisjoint(node.inputs):
            moved.add(node)
        elif node.op is CONSTANT or (node.inputs and constants.issuperset(node.inputs)):
            constants.add(node)
        else:
            found.append(node)
    return frozenset(found)


def one(node: Node) -> Node:
    """A cotangent of ones."""
    return _full(1, node.type.dtype, node)


def zeros(node: Node) -> Node:
    """The derivative where there is none: zeros of the node's shape, floats if it holds integers."""
    return _full(0, node.type.dtype if is_inexact(node.type.dtype) else np.dtype(np.float64), node)


def _full(value: int, dtype: np.dtype[Any], node: Node) -> Node:
    number = constant(value, dtype)
    return unwrap(np.broadcast_to(wrap(number), node.type.known_shape)) if node.shape else number
