"""`vmap`: a function of one example becomes a function of many, without a loop over them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.derivatives.functions import Transform, remembered
from tracer.errors import batching as texts
from tracer.graph.graph import toposort
from tracer.graph.node import Node, input_node
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.layout import turned_strides
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.transform.vmap import Found, batch_values
from tracer.tree import flatten, leaf_paths, unflatten
from tracer.types import ArrayType

Function = Callable[..., Any]


def vmap(function: Function, in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None) -> Transform:
    """Return a function that maps another one over an axis of its arguments, computing all examples together.

    The function is traced once, on one example. What it computes then gets an axis more: elementwise work becomes one
    loop over all elements, products with a matrix that the examples share become one product.

    Parameters
    ----------
    function : callable
        A NumPy function of one example. Its arguments and its result may be nests of arrays.
    in_axes : int, None, or a tuple with one entry for each positional argument
        Which axis of an argument counts the examples; None for an argument that they share. An entry for a nest may be
        a nest of entries. Keyword arguments are mapped over axis 0.
    out_axes : int, None, or a nest of them
        Where the axis of the examples goes in the results; None for a result that is the same for all of them.
    axis_size : int, optional
        The number of examples; needed if no argument is mapped.

    Returns
    -------
    callable
        Takes the arguments of `function`, the mapped ones with an axis more, and returns its results with an axis
        more. A result that does not depend on a mapped argument is repeated. Strings, functions and other arguments
        that are not arrays are handed to `function` as they are. Where the function writes into a mapped argument, it
        writes into the caller's array. Random draws give every example numbers of its own: those of one draw for all.

    Raises
    ------
    ValueError
        If the axes do not fit the arguments or results, or the numbers of examples differ.
    TypeError
        If an argument that is mapped is a number, or an entry of the axes is no int.
    TraceError
        If values that differ between examples are written into an array that they share.
    UpdateError
        If a shared variable is set to a value that differs between examples.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.vmap(np.dot, in_axes=(0, None))(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    >>> gradients = tracer.vmap(tracer.grad(lambda w, x: np.sum(w * x) ** 2), in_axes=(None, 0))
    >>> gradients(np.ones(2), np.array([[1.0, 2.0], [3.0, 4.0]]))  # one row for each example
    array([[ 6., 12.],
           [42., 56.]])
    """
    if not callable(function):
        raise TypeError(f"vmap needs a function, not {function!r}")
    keys = _checked_axes(in_axes, "in_axes", "arguments"), _checked_axes(out_axes, "out_axes", "results")

    def make(function: Function) -> Transform:
        mapping = _Mapping(function, in_axes, out_axes, axis_size)
        made_by = vmap, (function, in_axes, out_axes, axis_size)
        return Transform(function, mapping, (), f"vmap({label_of(function)})", made_by)

    return remembered(function, "vmap", (*keys, axis_size), make)


def _checked_axes(axes: Any, name: str, what: str) -> Any:
    """Raise unless axes are ints or None, nested or not; gives what tells them apart."""
    leaves, structure = flatten(axes)
    if any(type(leaf) is not int and not isinstance(leaf, np.integer) for leaf in leaves):
        raise TypeError(errors.message(texts.AXES_VALUE, name=name, what=what, value=axes))
    return tuple(map(int, leaves)), structure


class _Argument(NamedTuple):
    """A mapped leaf of the arguments: the caller's, its axis, all examples along axis 0, and one of them."""

    leaf: Any
    axis: int
    whole: Node
    node: Node
    proxy: Proxy


class _Mapping:
    """One function with its axes; calling it within a trace maps it."""

    def __init__(self, function: Function, in_axes: Any, out_axes: Any, axis_size: int | None) -> None:
        self.function, self.in_axes, self.out_axes, self.axis_size = function, in_axes, out_axes, axis_size
        self.name = label_of(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        active = trace.current()
        leaves, structure = flatten((args, kwargs))
        arguments, size = self.arguments(leaves, self.axes_of_arguments(args, kwargs), self.names(args, kwargs))
        inner = list(leaves)
        for place, argument in arguments.items():
            inner[place] = argument.proxy
        shared = {id(leaf): (leaf, leaf.__tracer_node__) for leaf in inner if isinstance(leaf, Proxy)}
        before = _State.of(active)
        variables = {} if active is None else active.shared_arrays()
        new_args, new_kwargs = unflatten(structure, inner)
        result = self.function(*new_args, **new_kwargs)
        written = {} if active is None else active.shared_written(variables)
        shared |= {id(array): (array, node) for array, node in written.items()}
        return _Results(self, arguments, size, before, list(shared.values())).finish(result)

    # --- arguments ---

    def axes_of_arguments(self, args: Any, kwargs: Any) -> list[int | None]:
        """The axis of each leaf of the arguments."""
        axes = tuple(self.in_axes) if isinstance(self.in_axes, list) else self.in_axes
        given = self.spread(axes, args, "in_axes", "arguments")
        return given + [0] * len(flatten(kwargs)[0])

    def spread(self, axes: Any, value: Any, name: str, what: str) -> list[int | None]:
        """The axis of each leaf of a nest, given for the nest or for parts of it."""
        if axes is None or isinstance(axes, int | np.integer):
            own = None if axes is None else int(axes)
            return [own] * len(flatten(value)[0])
        found = None
        if isinstance(axes, tuple | list):
            if isinstance(value, tuple | list) and len(value) == len(axes):
                found = list(zip(axes, value, strict=True))
        elif isinstance(axes, dict):
            if isinstance(value, dict) and set(value) == set(axes):
                found = [(axes[key], item) for key, item in value.items()]
        elif type(value) is type(axes):
            found = [(getattr(axes, field.name), getattr(value, field.name)) for field in dataclasses.fields(axes)]
        if found is None:
            kind = f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
            text = errors.message(
                texts.AXES_STRUCTURE, name=name, axes=axes, what=what, function=self.name, found=f"there is {kind}"
            )
            raise ValueError(text)
        return [axis for own, item in found for axis in self.spread(own, item, name, what)]

    def names(self, args: Any, kwargs: Any) -> list[str]:
        """How a user would write each leaf of the arguments."""
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        own = [item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
        result: list[str] = []
        for place, value in enumerate(args):
            result += leaf_paths(flatten(value)[1], own[place] if place < len(own) else f"argument {place}")
        for key, value in kwargs.items():
            result += leaf_paths(flatten(value)[1], key)
        return result

    def arguments(
        self, leaves: Sequence[Any], axes: Sequence[int | None], names: Sequence[str]
    ) -> tuple[dict[int, _Argument], int]:
        """What stands for one example of each mapped leaf, and the number of examples."""
        found: dict[int, _Argument] = {}
        sizes: dict[str, int] = {}
        same: dict[tuple[int, int], _Argument] = {}
        for place, (leaf, axis, name) in enumerate(zip(leaves, axes, names, strict=True)):
            if axis is None or not _is_value(leaf):
                continue
            shape = np.shape(leaf)
            if not -len(shape) <= axis < len(shape):
                kind = leaf.type if isinstance(leaf, Proxy) else type(leaf).__name__
                value = f"of shape {shape}" if shape else f"a single number ({kind})"
                text = errors.message(texts.NOT_MAPPED, function=self.name, axis=axis, name=name, value=value)
                raise (ValueError if shape else TypeError)(text)
            axis %= len(shape)
            sizes[name] = shape[axis]
            key = id(leaf), axis
            if key not in same:
                same[key] = _argument(leaf, axis, name)
            found[place] = same[key]
        return found, self.size(sizes)

    def size(self, sizes: dict[str, int]) -> int:
        """The number of examples. Raises ValueError unless all agree."""
        if self.axis_size is not None:
            sizes = {**sizes, "axis_size": self.axis_size}
        if not sizes:
            raise ValueError(errors.message(texts.NOTHING_MAPPED, function=self.name))
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{size} in {name}" for name, size in sizes.items())
            raise ValueError(errors.message(texts.SIZES, function=self.name, sizes=text))
        return next(iter(sizes.values()))


def _is_value(leaf: Any) -> bool:
    """Whether a leaf is an array or a number, rather than a setting of the function."""
    return hasattr(leaf, "__tracer_node__") or isinstance(leaf, np.ndarray | np.generic | int | float | complex)


def _argument(leaf: Any, axis: int, name: str) -> _Argument:
    node = unwrap(leaf)
    example = input_node(ArrayType(node.dtype, (*node.shape[:axis], *node.shape[axis + 1 :])), name)
    trace.EXAMPLES.add(example)
    rows: Any = wrap(node)
    whole = unwrap(np.moveaxis(rows, axis, 0))
    proxy = Proxy(example, trace.current())
    proxy._strides = turned_strides(leaf, axis)
    return _Argument(leaf, axis, whole, example, proxy)


class _State(NamedTuple):
    """What a trace is going to change besides arguments: shared variables, and generators that it drew from."""

    updates: dict[Any, Node]
    streams: dict[Any, Node]

    @classmethod
    def of(cls, active: trace.Trace | None) -> _State:
        """As it is now."""
        if active is None:
            return cls({}, {})
        return cls(dict(active.updates), {stream: stream.current for stream in active.streams.values()})

    def since(self, before: _State) -> _State:
        """What is different; generators that were made since then are no one else's."""
        updates = {key: node for key, node in self.updates.items() if before.updates.get(key) is not node}
        streams = {
            stream: node
            for stream, node in self.streams.items()
            if before.streams.get(stream, stream.node) is not node
            and not (stream.node.is_constant and stream not in before.streams)
        }
        return _State(updates, streams)

    @property
    def nodes(self) -> list[Node]:
        """All new values."""
        return [*self.updates.values(), *self.streams.values()]


class _Results:
    """What a function did with one example, and what follows for all of them."""

    def __init__(
        self,
        mapping: _Mapping,
        arguments: dict[int, _Argument],
        size: int,
        before: _State,
        shared: list[tuple[Proxy, Node]],
    ) -> None:
        self.mapping, self.size, self.before, self.shared = mapping, size, before, shared
        self.arguments = list({argument.node: argument for argument in arguments.values()}.values())

    def finish(self, result: Any) -> Any:
        """The results for all examples; updates and writes of one example become those of all."""
        active = trace.current()
        leaves, structure = flatten(result)
        axes = self.mapping.spread(self.mapping.out_axes, result, "out_axes", "results")
        places = [place for place, leaf in enumerate(leaves) if _is_value(leaf)]
        changed_state = _State.of(active).since(self.before)
        own = {id(argument.proxy) for argument in self.arguments}
        written = [argument for argument in self.arguments if argument.proxy.__tracer_node__ is not argument.node]
        changed = [
            (proxy, node) for proxy, node in self.shared if id(proxy) not in own and proxy.__tracer_node__ is not node
        ]
        nodes = [unwrap(leaves[place]) for place in places]
        nodes += changed_state.nodes
        nodes += [argument.proxy.__tracer_node__ for argument in written]
        nodes += [proxy.__tracer_node__ for proxy, _ in changed]
        found = iter(self.batched(nodes, changed_state))
        for place in places:
            leaves[place] = self.placed(*next(found), axes[place])
        for variable in changed_state.updates:
            node = self.agreed(variable, *next(found))
            if active is not None:
                active.updates[variable] = node
        for stream in changed_state.streams:
            stream.current = self.agreed(stream, *next(found))
        for argument in written:
            self.write(argument, *next(found))
        for proxy, before in changed:
            self.check_shared(proxy, before, *next(found))
        return unflatten(structure, leaves)

    def batched(self, nodes: Sequence[Node], changed: _State) -> list[Found]:
        """What stands for nodes for all examples."""
        given = {argument.node: argument.whole for argument in self.arguments}
        # A draw that advances a generator gives every example numbers of its own.
        inside = set(toposort(changed.nodes)).difference(toposort(self.before.nodes)) if changed.nodes else set()
        return batch_values(nodes, given, self.size, inside)

    def placed(self, node: Node, is_batched: bool, axis: int | None) -> Any:
        """A result with the axis of the examples where it was asked for."""
        value: Any = wrap(node, trace.current())
        name = self.mapping.name
        if axis is None:
            if is_batched:
                text = errors.message(texts.OUT_AXIS_NONE, node.line, function=name, value=f"a {node.type}")
                raise ValueError(text)
            return value
        ndim = len(node.shape) + (not is_batched)
        if not -ndim <= axis < ndim:
            raise ValueError(errors.message(texts.OUT_AXIS, function=name, axis=axis, ndim=ndim, last=ndim - 1))
        if not is_batched:
            value = np.broadcast_to(value, (self.size, *value.shape))
        return np.moveaxis(value, 0, axis)

    def agreed(self, variable: Any, node: Node, is_batched: bool) -> Node:
        """The new value of a shared variable or generator. Raises UpdateError unless the examples agree on it."""
        if is_batched:
            text = errors.message(texts.UPDATE_BATCHED, node.line, function=self.mapping.name, name=variable.label)
            raise errors.UpdateError(text)
        return node

    def write(self, argument: _Argument, node: Node, is_batched: bool) -> None:
        """Write into the caller's array what the examples wrote into their parts of it."""
        if not isinstance(argument.leaf, Proxy):
            raise errors.TraceError(errors.message(errors.IN_PLACE_ON_REAL_ARRAY, node.line, value=""))
        value: Any = wrap(node, trace.current())
        if not is_batched:
            value = np.broadcast_to(value, (self.size, *value.shape))
        argument.leaf[...] = np.moveaxis(value, 0, argument.axis)

    def check_shared(self, proxy: Proxy, before: Node, node: Node, is_batched: bool) -> None:
        """Raise TraceError if what the examples wrote into an argument that they share differs."""
        if is_batched:
            name = before.name or "an argument"
            text = errors.message(texts.WRITE_BATCHED, node.line, function=self.mapping.name, name=name)
            raise errors.TraceError(text)
        if proxy.__tracer_node__ is not node:
            proxy[...] = wrap(node, trace.current())
