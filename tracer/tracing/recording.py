"""Recording calls: functions that are deferred, the calls made of them, and the types of their results."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import Line, user_line
from tracer.graph.node import Node, blame
from tracer.records import NamedTuple
from tracer.tracing import dispatch, precision, trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.replay import computing, is_computing, run_call
from tracer.tracing.symbolic_type import Type, tensor_type, type_of_value
from tracer.tree import Structure, flatten, unflatten

Infer = Callable[..., Any]
NUMBERS = (bool, int, float, complex)
"""Python's own numbers, which adapt to the dtype they meet."""


class Operation:
    """A function whose calls on symbolic variables are recorded.

    Attributes
    ----------
    name : str
        What texts call it.
    function : callable
        Plain NumPy: computes on arrays and on proxies alike. A tuple as its result means several outputs.
    infer : callable or None
        The function's own arguments, with symbolic variables among them -> the type of its result, or a tuple of
        types. Without it the function is run on proxies of made-up sizes.
    differentiable : bool
        Whether a derivative can flow through it.
    connection_pattern : callable or None
        (call) -> for each input and output whether a derivative flows from one to the other; for all alike if None.
    is_lazy : bool
        Whether the function can do without some of its inputs: in a replay it may get a `Failure` for one.
    first_operand : int or None
        Where the arguments begin that the dtype of the result is that of, as that of a ufunc is; None for others.
    """

    connection_pattern: Callable[[Any], Any] | None = None
    is_lazy = False
    first_operand: int | None = None

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        infer: Infer | None = None,
        differentiable: bool = True,
        place: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.function, self.infer, self.differentiable = name, function, infer, differentiable
        self._place = place
        if isinstance(function, np.ufunc):
            self.first_operand = 0
        self._inferred: dict[Hashable, Any] = {}

    @property
    def is_comparison(self) -> bool:
        """Whether its results are truth values, which Python must not take for a decision."""
        return self.function in dispatch.COMPARISONS.values()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record a call; compute if a replay or a trace is on, or if an argument is traced."""
        if is_computing():
            return self.function(*args, **kwargs)
        return record(self, args, kwargs)

    def __repr__(self) -> str:
        return f"Elemwise{{{self.name},no_inplace}}" if isinstance(self.function, np.ufunc) else self.name

    def __reduce__(self) -> Any:
        if self._place is not None:
            return _named_operation, self._place
        return operation_of, (self.function,)


_operations: dict[Any, Operation] = {}


def operation_of(function: Callable[..., Any]) -> Operation:
    """The operation of a NumPy function."""
    found = _operations.get(function)
    if found is None:
        name = {"divide": "true_div", "subtract": "sub", "multiply": "mul", "negative": "neg", "power": "pow"}
        label = function.__name__
        found = _operations[function] = Operation(name.get(label, label), function)
    return found


def record_as(function: Callable[..., Any], operation: Operation) -> None:
    """Record the calls of a NumPy function as those of an operation."""
    _operations[function] = operation


def _named_operation(module: str, name: str) -> Operation:
    found = getattr(import_module(module), name)
    operation: Operation = found.operation
    return operation


def deferred(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    infer: Infer | None = None,
    differentiable: bool = True,
) -> Any:
    """Make a plain NumPy function usable on symbolic variables: there its call is recorded; in a trace it computes.

    Parameters
    ----------
    function : callable
        Works on arrays and on proxies; sizes that it needs as numbers it asks for with `static`.
    name : str
        What texts call it; the function's own name if None.
    infer : callable
        As of `Operation`.
    differentiable : bool
        False if no derivative flows through it, so that `grad` calls what is behind it disconnected.
    """

    def enter(inner: Callable[..., Any]) -> Callable[..., Any]:
        place = (inner.__module__, inner.__qualname__)
        operation = Operation(name or inner.__name__, inner, infer, differentiable, place)

        @wraps(inner)
        def call(*args: Any, **kwargs: Any) -> Any:
            return operation(*args, **kwargs)

        call.operation = operation  # type: ignore[attr-defined]
        return call

    return enter if function is None else enter(function)


class Slot(NamedTuple):
    """Stands, in the recorded arguments of a call, for one of its inputs."""

    position: int


def positional(count: int) -> Structure:
    """The structure of the arguments of a call with so many positional ones."""
    return flatten((("",) * count, {}))[1]


class Apply:
    """One recorded call.

    Without `arguments` and `structure` the inputs are its positional arguments.

    Attributes
    ----------
    op : Operation
    inputs : list of variables
        The symbolic arguments, in order of appearance.
    outputs : list of variables
    line : Line or None
        The user's line that made it.
    """

    __slots__ = ("__weakref__", "arguments", "inputs", "line", "op", "outputs", "structure", "tag")

    def __init__(
        self,
        op: Operation,
        inputs: Sequence[Any],
        outputs: Sequence[Any] = (),
        arguments: list[Any] | None = None,
        structure: Structure | None = None,
    ) -> None:
        self.op, self.inputs, self.outputs = op, list(inputs), list(outputs)
        if arguments is None or structure is None:
            slots = tuple(Slot(number) for number in range(len(self.inputs)))
            arguments, structure = list(slots), positional(len(slots))
        self.arguments, self.structure = arguments, structure
        self.line: Line | None = None
        self.tag = SimpleNamespace()
        for number, item in enumerate(self.outputs):
            item.owner, item.index = self, number

    def call_arguments(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """The (args, kwargs) of the call, with these values for its inputs."""
        leaves = [values[item.position] if type(item) is Slot else item for item in self.arguments]
        args, kwargs = unflatten(self.structure, leaves)
        return args, kwargs

    def with_inputs(self, inputs: Sequence[Any]) -> Apply:
        """The same call of other inputs, with new outputs of the same types and names."""
        node = Apply(self.op, inputs, (), self.arguments, self.structure)
        node.line, node.tag = self.line, self.tag
        node.outputs = [
            item.type.make_variable(item.type, item.name, node, number) for number, item in enumerate(self.outputs)
        ]
        return node

    @property
    def out(self) -> Any:
        """Its only output."""
        return self.outputs[0]

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(str(item) for item in self.inputs)})"

    def __reduce__(self) -> Any:
        # What the outputs have besides may lead back here: pickle meets it when the call is already there.
        kinds = [(type(item), item.type) for item in self.outputs]
        state = [
            {name: value for name, value in vars(item).items() if name not in ("owner", "index", "type")}
            for item in self.outputs
        ]
        # Inputs go as a tuple: a list could be met again, by way of an input's update, before it is filled.
        return (
            _restored_call,
            (self.op, tuple(self.inputs), self.arguments, self.structure, self.line, kinds),
            (
                vars(self.tag),
                state,
            ),
        )

    def __setstate__(self, state: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        tag, outputs = state
        vars(self.tag).update(tag)
        for item, own in zip(self.outputs, outputs, strict=True):
            vars(item).update(own)


def _restored_call(
    op: Any, inputs: Sequence[Any], arguments: list[Any], structure: Structure, line: Line | None, kinds: list[Any]
) -> Apply:
    node = Apply(op, list(inputs), (), arguments, structure)
    node.line = line
    for number, (kind, type_) in enumerate(kinds):
        item = object.__new__(kind)
        item.owner, item.index, item.type = node, number, type_
        node.outputs.append(item)
    return node


def record(operation: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Record a call: a variable, or a list of variables if the function gives a tuple.

    Raises
    ------
    TypeError, ValueError
        If the types of the arguments do not fit, with the user's line.
    """
    leaves, structure = flatten((tuple(args), dict(kwargs)))
    is_ufunc = isinstance(operation.function, np.ufunc)
    if operation.first_operand is not None:
        leaves = precision.adapt(operation.function, leaves, operation.first_operand)
    inputs: list[Any] = []
    arguments: list[Any] = []
    for leaf in leaves:
        variable = _operand(leaf, is_ufunc)
        if variable is None:
            arguments.append(leaf)
        else:
            arguments.append(Slot(len(inputs)))
            inputs.append(variable)
    if is_ufunc:
        kinds = [item.type for item in inputs]
        if precision.divides_integers(operation.function, kinds):
            operation = _quotient.operation
        elif precision.is_half(operation.function, kinds):
            inputs = [_single(item) for item in inputs]
    node = Apply(operation, inputs, (), arguments, structure)
    node.line = user_line()
    try:
        types = _types(node)
    except (TypeError, ValueError, IndexError) as error:
        types_text = ", ".join(str(item.type) for item in inputs)
        note = errors.message(errors.RECORDING, node.line, op=operation.name, types=types_text)
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise
    several = isinstance(types, tuple | list)
    node.outputs = [
        item.make_variable(item, None, node, number) for number, item in enumerate(types if several else (types,))
    ]
    announce(node)
    return list(node.outputs) if several else node.outputs[0]


OBSERVERS: set[Callable[[Apply], None]] = set()
"""Functions that are told of every new call."""


def announce(node: Apply) -> None:
    """Tell the observers of a new call."""
    for observer in tuple(OBSERVERS):
        observer(node)


def _operand(leaf: Any, is_ufunc: bool) -> Any:
    """The variable that a leaf of the arguments is or becomes; None if it stays a static argument."""
    if type(leaf) is np.ndarray:
        return Type.make_constant(type_of_value(leaf), leaf)
    if is_ufunc and (type(leaf) in NUMBERS or isinstance(leaf, np.generic)):
        return Type.make_constant(type_of_value(leaf), leaf)
    symbolic = getattr(leaf, "__symbolic__", None)
    if symbolic is not None:
        return symbolic
    if isinstance(leaf, Proxy):
        raise TypeError(errors.message(errors.TRACED_IN_SYMBOLIC, value=leaf))
    return None


def _types(node: Apply) -> Any:
    operation = node.op
    if operation.infer is not None:
        args, kwargs = node.call_arguments(node.inputs)
        return operation.infer(*args, **kwargs)
    key: Any = None
    if isinstance(operation.function, np.ufunc) or all(not item.is_constant or item.is_number for item in node.inputs):
        signs = tuple((item.type, np.shape(item.data)) if item.is_constant else item.type for item in node.inputs)
        weak = tuple(type(item.data) if item.is_constant else None for item in node.inputs)
        # 1, 1.0 and True are equal, and give results of different types.
        key = (signs, weak, tuple(node.arguments), tuple(map(type, node.arguments)), node.structure)
        try:
            found = operation._inferred.get(key)
        except TypeError:
            key = found = None
        if found is not None:
            return found
    found = types_by_stand_in(node)
    if key is not None and len(operation._inferred) < 4096:
        operation._inferred[key] = found
    return found


def types_by_stand_in(node: Apply) -> Any:
    """Find the types of a call's results by running its function on proxies of made-up sizes."""
    values = [item.data if item.is_constant else item.type.stand_in() for item in node.inputs]
    with computing(), trace.specialising(_stand_in_value), blame(node.line):
        try:
            result = run_call(node, values)
        except (ValueError, IndexError):
            if not any(item.is_constant and not item.is_number for item in node.inputs):
                raise
            # A constant array has sizes of its own, which made-up ones do not fit.
            values = [
                item.data if item.is_constant and item.is_number else item.type.stand_in() for item in node.inputs
            ]
            result = run_call(node, values)
    if isinstance(result, tuple | list):
        return tuple(type_of_value(item) for item in result)
    return type_of_value(result)


def _stand_in_value(node: Node) -> np.ndarray[Any, Any]:
    return np.full(node.type.known_shape, 2).astype(node.type.dtype)


@deferred(
    name="Shape", infer=lambda x: tensor_type(np.dtype(np.int64), (getattr(x, "ndim", 0) == 1,)), differentiable=False
)
def shape_of(x: Any) -> Any:
    """The shape of an array, as a vector of int64."""
    return np.array(np.shape(x), np.int64)


record_as(np.shape, shape_of.operation)


@deferred(name="Cast")
def _single(x: Any) -> Any:
    return np.multiply(x, np.float32(1))


@deferred(name="true_div")
def _quotient(x: Any, y: Any) -> Any:
    return np.true_divide(x, y).astype(np.float32)
