"""Ops and callbacks of one's own: any Python code on NumPy arrays, as a part of traced functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tracer import errors
from tracer.errors import custom as texts
from tracer.graph.batching import aligned, spread_all
from tracer.graph.node import constant
from tracer.graph.op import Op
from tracer.ops.gradient_control import RULED, DerivativeRule
from tracer.ops.python_calls import FOREIGN, ForeignFunction, Results, read_only
from tracer.ruled_calls import (
    checked_derivative,
    fresh,
    is_array,
    is_expression,
    pulled_by_pushing,
    pushed_by_pulling,
    refreshed,
    zero_like,
)
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy, apply_op, unwrap
from tracer.tracing.recording import deferred
from tracer.tree import Structure, flatten, unflatten
from tracer.types import ArrayType, broadcast_shapes, promote, type_of

Function = Callable[..., Any]


# --- types of results --------------------------------------------------------------------------------------------


class _Spec:
    """A leaf of a nest of types."""

    def __init__(self, own: ArrayType) -> None:
        self.own = own


def _spec(value: Any) -> _Spec | None:
    """What says the type of one array, if it does: anything with a dtype and a shape, or a pair of shape and dtype."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None and type(value) is tuple and len(value) == 2:
        shape, dtype = value
        is_shape = isinstance(shape, int | np.integer) or (
            isinstance(shape, tuple | list) and all(isinstance(size, int | np.integer) for size in shape)
        )
        if not is_shape or isinstance(dtype, tuple | list | dict) or dtype is None:
            return None
        shape = (shape,) if isinstance(shape, int | np.integer) else shape
    if dtype is None or not isinstance(shape, tuple | list):
        return None
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        return None
    own = ArrayType(dtype, tuple(int(size) for size in shape))
    trace.check_dtype(own, "a result")
    return _Spec(own)


def _specs(value: Any) -> Any:
    """A nest of types with `_Spec` for each of them."""
    found = _spec(value)
    if found is not None or value is None:
        return found
    if isinstance(value, dict):
        return type(value)({key: _specs(item) for key, item in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_specs, value))
    if type(value) in (tuple, list):
        return type(value)(map(_specs, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _specs(getattr(value, name)) for name in names})
    raise TypeError(errors.message(texts.RESULT_SPEC, value=value))


# --- callbacks ---------------------------------------------------------------------------------------------------


def pure_callback(
    function: Function, result_shape_dtypes: Any, /, *args: Any, vectorized: bool = False, **kwargs: Any
) -> Any:
    """Call any Python function on NumPy arrays when the traced function runs.

    Parameters
    ----------
    function : callable
        Is called with the arguments as NumPy arrays, which cannot be written to. It must be pure: it may be called any
        number of times, or not at all if nobody needs its result.
    result_shape_dtypes : nest of types
        What it returns: for each array a pair (shape, dtype), or anything that has a dtype and a shape.
    *args, **kwargs : arrays or nests of arrays
        Handed to the function; what is no array is handed on as it is.
    vectorized : bool
        Whether, under `vmap`, the function is called once with an axis for the examples in front of every array;
        otherwise it is called for one example after the other.

    Returns
    -------
    array or nest of arrays
        What the function returns. It has no derivative; `tracer.custom_vjp` gives it one.

    Raises
    ------
    ValueError
        When it runs, if the function returns other types than announced. Exceptions of the function are raised with a
        note of the line that asked for it.
    NotDifferentiableError
        If a derivative with respect to an argument is taken.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.compile
    ... def middle(x):
    ...     return 2 * tracer.pure_callback(lambda v: np.float64(sorted(v.tolist())[1]), ((), np.float64), x)
    >>> middle(np.array([3.0, 1.0, 2.0]))
    np.float64(4.0)
    """
    if is_expression(args, kwargs):

        def call(*args: Any, **kwargs: Any) -> Any:
            return pure_callback(function, result_shape_dtypes, *args, vectorized=vectorized, **kwargs)

        return deferred(call, name=label_of(function))(*args, **kwargs)
    specs, structure = flatten(_specs(result_shape_dtypes))
    results = tuple(item.own for item in specs)
    leaves, arguments = flatten((args, kwargs))
    places = tuple(place for place, leaf in enumerate(leaves) if is_array(leaf))
    others = tuple(None if place in places else leaf for place, leaf in enumerate(leaves))
    callback = _Callback(function, arguments, places, others, structure, vectorized)
    arrays = [leaves[place] for place in places]
    if trace.current() is None and not any(isinstance(leaf, Proxy) for leaf in arrays):
        return unflatten(structure, FOREIGN(*map(np.asarray, arrays), function=callback, results=results))
    recorder: Any = Proxy(constant(0), trace.current())
    made = recorder.__tracer_apply__(FOREIGN, arrays, {"function": callback, "results": results})
    return unflatten(structure, [fresh(unwrap(value)) for value in made])


class _Callback(ForeignFunction):
    """A function with the nest of its arguments and that of its results."""

    def __init__(
        self,
        function: Function,
        arguments: Structure,
        places: tuple[int, ...],
        others: tuple[Any, ...],
        structure: Structure,
        vectorized: bool,
    ) -> None:
        self.function, self.arguments, self.places, self.others = function, arguments, places, others
        self.structure, self.vectorized = structure, vectorized
        self.name = label_of(function)

    def _key(self) -> Any:
        return self.function, self.arguments, self.places, self.others, self.structure, self.vectorized

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Callback) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.function, self.arguments, self.places, self.structure))

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        leaves = list(self.others)
        for place, array in zip(self.places, arrays, strict=True):
            leaves[place] = array
        args, kwargs = unflatten(self.arguments, leaves)
        found, structure = flatten(self.function(*args, **kwargs))
        if structure != self.structure:
            names = [f"{item.leaf_count} arrays in a {item.kind}" for item in (structure, self.structure)]
            text = texts.CALLBACK_STRUCTURE
            raise ValueError(errors.message(text, function=self, found=names[0], wanted=names[1]))
        return tuple(map(np.asarray, found))

    def refuse(self) -> NoReturn:
        raise errors.NotDifferentiableError(errors.message(texts.CALLBACK_DERIVATIVE, function=self))

    def batched(self, inputs: Sequence[Any], is_batched: tuple[bool, ...], size: int, results: Results) -> Any:
        if not self.vectorized:
            return super().batched(inputs, is_batched, size, results)
        more = tuple(ArrayType(own.dtype, (size, *own.shape)) for own in results)
        return FOREIGN(*spread_all(inputs, is_batched, size), function=self, results=more)


# --- ops ---------------------------------------------------------------------------------------------------------


def custom_op(
    name: str | Function | None = None,
    function: Function | None = None,
    /,
    *,
    vjp: Function | None = None,
    jvp: Function | None = None,
    batch: Function | bool | None = None,
    result: Function | None = None,
    elementwise: bool = False,
    deriv: Function | Sequence[Function | None] | None = None,
) -> Any:
    """Make an op of a function of NumPy arrays, in which anything may happen: SciPy, other packages, loops.

    Traced functions call it as it is, and know of it what is declared here. All rules are plain NumPy.

    Parameters
    ----------
    name : str
        Its name in texts and messages; that of the function if not given.
    function : callable
        (*arrays, **params) -> array or tuple of arrays. What goes by keyword is static and must be hashable. It cannot
        write into its arguments, and must return the same for the same arguments. Without one a decorator is returned.
    vjp : callable, optional
        (g, y, *inputs, **params) -> the cotangent of the input, or a tuple with one for each input, None for zero. With
        several results g and y are tuples.
    jvp : callable, optional
        (tangents, y, *inputs, **params) -> the tangent of the result, or a tuple of them; tangents is a tuple. With one
        of the two rules, which must be linear, the other mode uses its transpose.
    batch : callable or True, optional
        What `vmap` does: (inputs, is_batched, size, **params) -> results for all examples along axis 0, where
        is_batched says which inputs have such an axis; True if the function itself takes arrays with an axis more in
        front. Without one it is called for one example after the other.
    result : callable, optional
        (*inputs, **params) -> (shape, dtype) of the result, or a list of such; the inputs have a dtype and a shape
        only. Without one the function is run once on arrays of ones of each new combination of types.
    elementwise : bool
        The function works element by element and broadcasts: it has a `deriv` instead of the rules above.
    deriv : callable or sequence of callables, optional
        For each input (y, *inputs) -> the local derivative; None where it is zero.

    Returns
    -------
    callable
        The op. On arrays, outside of traced functions, it is the function itself.

    Raises
    ------
    NotDifferentiableError
        If a derivative is taken of an op without rules.
    ValueError
        When it runs, if the function returns another type than announced.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> from scipy.special import wofz
    >>> voigt = tracer.custom_op("voigt", lambda x: wofz(x + 1j).real, elementwise=True,
    ...                          deriv=lambda y, x: -2 * x * y + 2 * imaginary(x))
    >>> imaginary = tracer.custom_op("imaginary", lambda x: wofz(x + 1j).imag, elementwise=True)
    >>> tracer.grad(lambda x: np.sum(voigt(x)))(np.array([0.0, 1.0])).round(4)
    array([ 0.    , -0.1931])
    >>> @tracer.custom_op(vjp=lambda g, y, a: g * y * np.linalg.inv(a).T, result=lambda a: ((), a.dtype))
    ... def determinant(a):
    ...     return np.linalg.det(a)
    >>> tracer.grad(determinant)(np.array([[2.0, 1.0], [1.0, 3.0]])).round(4)
    array([[ 3., -1.],
           [-1.,  2.]])
    """
    if callable(name):
        name, function = None, name
    options = {"vjp": vjp, "jvp": jvp, "batch": batch, "result": result, "deriv": deriv}

    def make(inner: Function) -> Any:
        if not callable(inner):
            raise TypeError(f"tracer.custom_op needs a function, not {inner!r}")
        label = name or label_of(inner).rpartition(".")[2]
        unfit = ("vjp", "jvp", "batch", "result") if elementwise else ("deriv",)
        for option in unfit:
            if options[option] is not None:
                kind = "elementwise" if elementwise else "not elementwise"
                raise TypeError(errors.message(texts.OP_ELEMENTWISE_OPTIONS, function=label, kind=kind, option=option))
        if elementwise:
            return _Elementwise(label, inner, deriv)
        return _CustomOp(label, inner, vjp, jvp, batch, result)

    return make if function is None else make(function)


class _OwnOp:
    """What both kinds of ops have in common."""

    def __init__(self, name: str, function: Function) -> None:
        self.__name__ = self.__qualname__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = self.function = function

    def __repr__(self) -> str:
        return f"<op {self.__name__}>"

    def is_plain(self, inputs: Sequence[Any]) -> bool:
        """Whether there is nothing to record."""
        return trace.current() is None and not any(isinstance(value, Proxy) for value in inputs)


class _CustomOp(_OwnOp):
    """An op with rules for whole arrays."""

    def __init__(
        self,
        name: str,
        function: Function,
        vjp: Function | None,
        jvp: Function | None,
        batch: Function | bool | None,
        result: Function | None,
    ) -> None:
        super().__init__(name, function)
        self.vjp, self.jvp, self.batch, self.result = vjp, jvp, batch, result
        self.__tracer_rules__ = tuple(rule for rule in (vjp, jvp, batch, result) if callable(rule))
        self.known: dict[Any, tuple[Results, bool]] = {}

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """Compute, or record a node."""
        if is_expression(inputs):
            return deferred(lambda *inputs, **params: self(*inputs, **params), name=self.__name__)(*inputs, **params)
        if self.is_plain(inputs):
            return self.function(*inputs, **params)
        values = [fresh(unwrap(value)) for value in inputs]
        try:
            results, is_several = self.types(tuple(value.type for value in values), params)
        except TypeError as error:
            for name, value in params.items():
                if type(value).__hash__ is None:
                    text = errors.message(texts.OP_PARAMS, function=self.__name__, name=name, value=value)
                    raise TypeError(text) from error
            raise
        foreign = _OwnFunction(self, params, is_several)
        recorder: Any = Proxy(constant(0), trace.current())
        outputs = recorder.__tracer_apply__(FOREIGN, values, {"function": foreign, "results": results})
        found = RULED(*outputs, *values, rule=_OpRule(self, params, results, is_several))
        return tuple(found) if is_several else found[0]

    def types(self, types: tuple[ArrayType, ...], params: dict[str, Any]) -> tuple[Results, bool]:
        """The types of the results, and whether they come as a tuple."""
        key = (types, tuple(params.items()))
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._announced(types, params) if self.result else self._tried(types, params)
        return found

    def _announced(self, types: tuple[ArrayType, ...], params: dict[str, Any]) -> tuple[Results, bool]:
        assert self.result is not None
        found = self.result(*types, **params)
        one = _spec(found)
        if one is not None:
            return (one.own,), False
        specs = [_spec(item) for item in found] if isinstance(found, tuple | list) else [None]
        if not specs or any(item is None for item in specs):
            raise ValueError(errors.message(texts.RESULT_SPEC, value=found))
        return tuple(item.own for item in specs if item is not None), True

    def _tried(self, types: tuple[ArrayType, ...], params: dict[str, Any]) -> tuple[Results, bool]:
        try:
            with trace.suspended():
                found = self.function(*(read_only(np.ones(own.shape, own.dtype)) for own in types), **params)
        except Exception as error:
            kinds = ", ".join(map(str, types))
            text = errors.message(texts.RESULT_UNKNOWN, function=self.__name__, types=kinds, error=repr(error))
            raise ValueError(text) from error
        is_several = isinstance(found, tuple | list)
        results = tuple(type_of(item) for item in (found if is_several else (found,)))
        for own in results:
            trace.check_dtype(own, f"a result of {self.__name__}")
        return results, is_several


class _OwnFunction(ForeignFunction):
    """What a call of an op does."""

    def __init__(self, op: _CustomOp, params: dict[str, Any], is_several: bool) -> None:
        self.op, self.params, self.is_several, self.name = op, params, is_several, op.__name__

    def _key(self) -> Any:
        return self.op, tuple(self.params.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OwnFunction) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        found = self.op.function(*arrays, **self.params)
        return tuple(map(np.asarray, found if self.is_several else (found,)))

    def refuse(self) -> NoReturn:
        raise errors.NotDifferentiableError(errors.message(texts.OP_DERIVATIVE, function=self.name))

    def batched(self, inputs: Sequence[Any], is_batched: tuple[bool, ...], size: int, results: Results) -> Any:
        rule = self.op.batch
        if rule is None:
            return super().batched(inputs, is_batched, size, results)
        if callable(rule):
            found = rule([fresh(unwrap(value)) for value in inputs], is_batched, size, **self.params)
            return tuple(found) if self.is_several else (found,)
        more = tuple(ArrayType(own.dtype, (size, *own.shape)) for own in results)
        return FOREIGN(*spread_all(inputs, is_batched, size), function=self, results=more)


class _OpRule(DerivativeRule):
    """The derivatives of a call of an op."""

    keeps_body = pushes_body = False

    def __init__(self, op: _CustomOp, params: dict[str, Any], results: Results, is_several: bool) -> None:
        self.op, self.params, self.results, self.is_several = op, params, results, is_several
        self.count, self.name = len(results), op.__name__

    def _key(self) -> Any:
        return self.op, tuple(self.params.items()), self.results

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OpRule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _missing(self) -> NoReturn:
        raise errors.NotDifferentiableError(errors.message(texts.OP_DERIVATIVE, function=self.name))

    def _result(self, values: Sequence[Any]) -> Any:
        """Values of the results as the rules take them."""
        return tuple(values) if self.is_several else values[0]

    def pull(self, wanted: Any, g: Any, y: Any, outputs: Any, inputs: Any) -> list[Any]:
        """The cotangents of the inputs."""
        if self.op.vjp is None:
            if self.op.jvp is None:
                self._missing()
            types = [value.type for value in inputs]
            return pulled_by_pushing(lambda tangents: self.push(tangents, None, y, inputs), wanted, types, g)
        filled = [
            zero_like(own) if part is None else fresh(unwrap(part)) for part, own in zip(g, self.results, strict=True)
        ]
        values = refreshed(inputs)
        found = self.op.vjp(self._result(filled), self._result(refreshed(y)), *values, **self.params)
        parts = found if isinstance(found, tuple | list) else (found,)
        if len(parts) != len(values):
            size, needed = f"{len(parts)} cotangents", f"{len(values)} cotangents"
            text = texts.RULE_COUNT
            raise TypeError(errors.message(text, rule="vjp", function=self.name, found=size, wanted=needed))
        return [checked_derivative(parts[p], inputs[p].type, "vjp", self.name, f"input {p}") for p in wanted]

    def push(self, tangents: Any, through: Any, y: Any, inputs: Any) -> list[Any]:
        """The tangents of the results."""
        if self.op.jvp is None:
            if self.op.vjp is None:
                self._missing()
            return pushed_by_pulling(lambda wanted, g: self.pull(wanted, g, y, None, inputs), tangents, self.results)
        pairs = zip(tangents, inputs, strict=True)
        filled = tuple(zero_like(value.type) if part is None else fresh(unwrap(part)) for part, value in pairs)
        found = self.op.jvp(filled, self._result(refreshed(y)), *refreshed(inputs), **self.params)
        parts = found if self.is_several and isinstance(found, tuple | list) else (found,)
        if len(parts) != self.count:
            size, needed = f"{len(parts)} tangents", f"{self.count} tangents"
            text = texts.RULE_COUNT
            raise TypeError(errors.message(text, rule="jvp", function=self.name, found=size, wanted=needed))
        pairs = zip(parts, self.results, strict=True)
        return [checked_derivative(part, own, "jvp", self.name, "the result") for part, own in pairs]


class _Elementwise(_OwnOp):
    """An op that works element by element."""

    def __init__(self, name: str, function: Function, deriv: Any) -> None:
        super().__init__(name, function)
        rules = () if deriv is None else (deriv,) if callable(deriv) else tuple(deriv)
        self.__tracer_rules__ = tuple(rule for rule in rules if rule is not None)
        self.known: dict[Any, np.dtype[Any]] = {}
        self.op = Op(
            name,
            "call",
            self.infer,
            self.evaluate,
            deriv=rules,
            dtypes=self.dtypes,
            batch=lambda inputs, is_batched, size: self.op(*aligned(inputs, is_batched)),
            doc=function.__doc__ or "",
        )

    def __call__(self, *inputs: Any) -> Any:
        """Compute, or record a node."""
        if self.op.deriv and len(self.op.deriv) != len(inputs):
            found, count = len(self.op.deriv), len(inputs)
            raise TypeError(errors.message(texts.OP_DERIVS, function=self.__name__, count=count, found=found))
        if is_expression(inputs):
            return deferred(lambda *inputs: self(*inputs), name=self.__name__)(*inputs)
        if self.is_plain(inputs):
            return self.function(*inputs)
        result = apply_op(self.op, inputs, {})
        return fresh(result.__tracer_node__)

    def dtypes(self, operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
        """The dtypes of the inputs, Python numbers taking that of the others, and of the result."""
        common = promote(operands)
        own = tuple(item if isinstance(item, np.dtype) else common for item in operands)
        if own not in self.known:
            with trace.suspended(), np.errstate(all="ignore"):
                value = np.asarray(self.function(*(np.ones(1, dtype) for dtype in own)))
            trace.check_dtype(value, f"a result of {self.__name__}")
            self.known[own] = value.dtype
        return (*own, self.known[own])

    def infer(self, types: Sequence[ArrayType]) -> ArrayType:
        """The type of the result."""
        dtype = self.dtypes(tuple(own.dtype for own in types))[-1]
        return ArrayType(dtype, broadcast_shapes(*(own.shape for own in types)))

    def evaluate(self, *arrays: Any) -> Any:
        """Compute, and check the result."""
        wanted = self.infer([type_of(array) for array in arrays])
        value = np.asarray(self.function(*map(read_only, arrays)))
        if (value.dtype, value.shape) != wanted:
            text = errors.message(texts.FOREIGN_RESULT, function=self.__name__, found=type_of(value), wanted=wanted)
            raise ValueError(text)
        return value
