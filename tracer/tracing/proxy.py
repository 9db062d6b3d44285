"""The traced value: an object that looks like a NumPy array and records what is done to it.

A proxy points at the node of its current value. In-place code makes a new version: writing to a view rebuilds the
base it looks into, and every other view of that base sees the write when it is next read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracer import device, errors
from tracer.errors import branches
from tracer.errors.dtypes import refuse_sparse
from tracer.errors.elsewhere import ATTRIBUTES
from tracer.graph.node import Node, constant, item_nodes, make_node
from tracer.graph.op import OPS, Op
from tracer.ops import indexing
from tracer.tracing import attributes, dispatch, layout, suggestion, trace
from tracer.types import ArrayType, promote

if TYPE_CHECKING:

    def _operator(self: Any, other: Any) -> Any: ...


_ARRAY_ATTRIBUTES = frozenset(name for name in dir(np.ndarray) if not name.startswith("_"))
_PYTHON_SCALARS = (bool, int, float, complex)


class Proxy:
    """A traced array value. Users never make one: it is what their function receives while it is traced."""

    __slots__ = ("__weakref__", "_base", "_base_node", "_is_array", "_node", "_path", "_strides", "_trace")
    __array_priority__ = 1000.0

    if TYPE_CHECKING:  # dispatch.install derives these from the op table
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _operator
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __mod__ = __floordiv__ = _operator
        __lt__ = __le__ = __gt__ = __ge__ = _operator

        def __neg__(self) -> Any: ...

    def __init__(self, node: Node, owner: trace.Trace | None = None) -> None:
        self._node = node
        self._trace = owner
        self._base: Proxy | None = None
        self._base_node: Node | None = None
        self._path: tuple[Op | layout.Pick, Mapping[str, Any]] | None = None
        self._is_array: bool | None = None  # of an argument: an array, even if 0-d, or a NumPy scalar
        self._strides: tuple[int, ...] | None = None  # of a value that is not in C order

    # --- the current value ---------------------------------------------------------------------------------------

    @property
    def __tracer_node__(self) -> Node:
        if self._trace is not None and self._trace.ended:
            raise errors.LeakedValueError(
                errors.message(errors.LEAKED, value=describe(self._node), function=self._trace.name)
            )
        if self._base is not None and self._path is not None:
            current = self._base.__tracer_node__
            if current is not self._base_node and not self._left_base():
                self._base_node = current
                op, params = self._path
                if isinstance(op, layout.Pick):
                    self._node = unwrap(indexing.index(wrap(current), op.key))
                else:
                    self._node = make_node(op, (current,), params)
        return self._node

    def _left_base(self) -> bool:
        """Stop looking into the base, if what was done to it makes a copy in NumPy."""
        if layout.is_copy(self):
            self._base = None
        return self._base is None

    def _assign(self, value: Any) -> None:
        """Make `value`, of this proxy's own shape and dtype, the new version; writes through to the base."""
        node = unwrap(value)
        if self._base is None or self._path is None or self._left_base():
            trace.note_write(self)
            self._node = node
            return
        op, params = self._path
        base = self._base
        match op.name:
            case "slice":
                base._assign(OPS["slice_set"](base, wrap(node), index=params["index"]))
            case "reshape":
                base._assign(np.reshape(wrap(node), base.shape))
            case "transpose":
                base._assign(np.transpose(wrap(node), np.argsort(params["axes"])))
            case "real":
                base._assign(OPS["complex"](wrap(node), np.imag(base)))
            case "imag":
                base._assign(OPS["complex"](np.real(base), wrap(node)))
            case "bitcast":
                base._assign(op(wrap(node), dtype=base.dtype))  # type: ignore[operator]
            case "pick":
                base._assign(indexing.assign(base, op.key, wrap(node), "set"))  # type: ignore[union-attr]
            case "diagonal":
                spread: Any = op.vjp[0](wrap(node), None, base, **params)  # type: ignore[index, misc, union-attr]
                mask = np.eye(base.shape[-2], base.shape[-1], params["k"], bool)
                base._assign(OPS["where"](wrap(constant(mask)), spread, base))
            case _:
                raise ValueError("assignment destination is read-only")

    def __tracer_apply__(self, op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        return apply_op(op, inputs, params)

    def __getattr__(self, name: str) -> Any:
        hint = errors.HINT_ATTRIBUTE if name in _ARRAY_ATTRIBUTES else ATTRIBUTES.get(name)
        hint = f"\nHINT: {hint}" if hint else ""
        raise AttributeError(f"a traced value has no attribute {name!r}{hint}", name=name, obj=self)

    # --- NumPy's protocols ---------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        return dispatch.call_ufunc(ufunc, method, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return dispatch.call_function(function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        known = trace.constant_value(self.__tracer_node__)
        active = trace.current()
        if known is None or not (copy or active is None or active.session):
            # What np.asarray gives shares memory with this one; where code is rewritten it is this one itself.
            error = self._needs_number("np.asarray or a function outside NumPy's dispatch", errors.HINT_ARRAY)
            if known is None:
                raise error
            found = np.array(known, dtype)
            found.flags.writeable = False
            return found
        return np.array(known, dtype)

    # --- what is known while tracing -----------------------------------------------------------------------------

    @property
    def type(self) -> ArrayType:
        """Dtype and shape."""
        return self._node.type

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._node.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._node.type.shape  # type: ignore[return-value]

    @shape.setter
    def shape(self, shape: Any) -> None:
        raise errors.TraceError(errors.message(errors.SHAPE_ASSIGNED))

    @property
    def ndim(self) -> int:
        return len(self._node.type.shape)

    @property
    def size(self) -> int:
        return self._node.type.size

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def T(self) -> Any:
        """The array with its axes reversed."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        """The array with its last two axes exchanged."""
        return np.matrix_transpose(self)

    @property
    def real(self) -> Any:
        return np.real(self)

    @property
    def imag(self) -> Any:
        return np.imag(self)

    @property
    def name(self) -> str | None:
        return self._node.name

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError(errors.message("iteration over a 0-d array.\nHINT: " + errors.HINT_ITERATE))
        return (self[position] for position in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"<traced {describe(self._node)}>"

    __hash__ = object.__hash__

    # --- reading and writing parts -------------------------------------------------------------------------------

    @staticmethod
    def _select(array: Proxy, key: Any) -> Any:
        """What a mask, or places it selects, give, if that is put off until it is known how many; else None."""
        return None

    def _spread_over(self, mask: Any) -> Any:
        """If these are the elements that a mask selects of an array, that array; else None."""
        return None

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, Proxy | tuple):
            selected = self._select(self, key)
            if selected is not None:
                return selected
        part = indexing.index(self, key)
        keys = key if isinstance(key, tuple) else (key,)
        is_scalar = part.shape == () and not any(item is Ellipsis for item in keys)
        has_arrays = any(isinstance(item, Proxy | np.ndarray) for item in keys)
        if not is_scalar and not has_arrays:
            return part
        picked = Proxy(part.__tracer_node__, self._trace)  # NumPy makes scalars and copies here, views by integers only
        if not is_scalar and all(map(_picks_view, keys)):
            key = [wrap(unwrap(item)) if isinstance(item, Proxy) else item for item in keys]
            _remember_base(picked, self, layout.Pick(tuple(key)), {})
        return picked

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._is_array is False and not self.shape:
            raise TypeError(f"'numpy.{self.dtype.type.__name__}' object does not support item assignment")
        if isinstance(value, Proxy) and value._base is not None and dispatch.is_same_part(self, key, value):
            return
        if isinstance(value, Proxy) and value.dtype.kind == "c" and self.dtype.kind != "c":
            value = value.real
        spread = value._spread_over(key) if isinstance(value, Proxy) and isinstance(key, Proxy) else None
        if spread is not None and key.shape == self.shape and spread.shape == self.shape:
            self._assign(np.where(key, spread.astype(self.dtype), self))
            return
        if hasattr(type(value), "__tracer_weak__"):
            value = Proxy(unwrap(value, self.dtype), self._trace)
        self._assign(indexing.assign(self, key, value, "set"))

    # --- escapes into Python -------------------------------------------------------------------------------------

    def _needs_number(self, what: str, hint: str, text: str = errors.CONCRETE) -> errors.ConcretizationError:
        line = errors.user_line()
        function = errors.scipy_call()
        if function is not None:
            is_sparse = function.endswith("scipy.sparse")
            hint = errors.HINT_SPARSE if is_sparse else errors.HINT_SCIPY.format(function=function)
        error = errors.ConcretizationError(errors.message(text, line, what=what, value=describe(self._node), hint=hint))
        error.line = line
        active = trace.current()
        if active is not None:
            active.escape = error
        return error

    def _number(self, kind: str, what: str, hint: str) -> np.ndarray[Any, Any]:
        """The number at the call at hand, where the trace may depend on it; raises ConcretizationError elsewhere."""
        found = trace.answer(self.__tracer_node__, kind)
        if found is None:
            # A guarded trace knows all numbers but those within bodies of loops and mapped functions.
            active = trace.current()
            text = branches.IN_BODY if active is not None and active.is_guarded else errors.CONCRETE
            raise self._needs_number(what, hint, text)
        return found

    def __bool__(self) -> bool:
        what, hint = "`if`, `while`, `and`, `or` or `not`", errors.HINT_BOOL
        if not trace.has_answer(self.__tracer_node__):
            raise self._needs_number(what, suggestion.suggest() or hint)
        if self.size != 1:
            return bool(np.ndarray(self.shape, bool))  # raises NumPy's own error
        truth: Any = self if self.dtype.kind == "b" else np.not_equal(self, 0)
        return bool(truth._number("test", what, hint))

    def __float__(self) -> float:
        return float(self._number("number", "float() or a function of the math module", errors.HINT_NUMBER))

    def __int__(self) -> int:
        known = trace.known_value(self.__tracer_node__)
        if known is None:
            raise self._needs_number("int()", errors.HINT_NUMBER)
        return int(known)

    def __complex__(self) -> complex:
        return complex(self._number("number", "complex()", errors.HINT_NUMBER))

    def __index__(self) -> int:
        known = trace.known_value(self.__tracer_node__)
        if known is not None:
            return int(known[()].__index__())
        hint = suggestion.suggest() or errors.HINT_INDEX
        raise self._needs_number("range(), a size or a list index", hint)

    def __tracer_size__(self, what: str) -> int:
        """The number that this value counts, as a size that is found at the call at hand."""
        known = trace.known_size(self.__tracer_node__)
        if known is None:
            raise self._needs_number(what, "", branches.IN_BODY)
        return known

    def __contains__(self, item: Any) -> bool:
        found: Any = np.any(np.equal(self, item))
        return bool(found._number("test", "`in`", "use np.any(x == item)"))

    def copy(self, order: str = "C") -> Any:
        """A copy: writing into it does not change the original."""
        result: Any = np.copy(self, order=order)  # type: ignore[call-overload]
        result._is_array = self._is_array or (self._base is not None) or None  # a copy of a scalar is one
        return result

    def item(self, *place: Any) -> Any:
        """The element as a Python number."""
        return self._number("number", ".item()", errors.HINT_NUMBER).item(*place)

    def __format__(self, style: str) -> str:
        if style:
            raise self._needs_number("a format such as {x:.3f}", errors.HINT_FORMAT)
        return repr(self)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._number("number", ".tolist()", errors.HINT_NUMBER).tolist()

    def __deepcopy__(self, memo: Any) -> Any:
        return np.copy(self)

    def fill(self, value: Any) -> None:
        """Write one value to every element."""
        self[...] = value


def _picks_view(item: Any) -> bool:
    """Whether NumPy makes a view for an item of a key: a slice or an integer, but not an array of one."""
    if isinstance(item, Proxy):
        return item.shape == () and item.dtype.kind in "iu" and item._base is None and not item._is_array
    return item is None or item is Ellipsis or (isinstance(item, slice | int | np.integer) and type(item) is not bool)


def describe(node: Node) -> str:
    """Name a value for a message: its name if it has one, its type, and the line that made it."""
    label = f"{node.name} " if node.name else ""
    made = f" (from {node.line})" if node.line else ""
    return f"{label}{node.type}{made}"


def wrap(node: Node, owner: trace.Trace | None = None) -> Proxy:
    """Return a proxy of a node, so that NumPy code can go on from it."""
    return Proxy(node, owner)


def unwrap(value: Any, dtype: np.dtype[Any] | None = None) -> Node:
    """Return the node of a proxy, scalar, array or nested list; cast to `dtype` if given.

    Raises TypeError for anything else, and for dtypes that cannot be traced.
    """
    if isinstance(value, Proxy):
        node = value.__tracer_node__
    elif type(value) in _PYTHON_SCALARS:
        return _scalar(value, dtype)
    elif isinstance(value, np.ndarray):
        node = _array(value)
    elif isinstance(value, np.generic):
        node = constant(_checked(value))
    elif hasattr(value, "__tracer_node__"):
        node = value.__tracer_node__
        if dtype is not None and hasattr(type(value), "__tracer_cast__"):
            value.__tracer_cast__(dtype)
    elif isinstance(value, list | tuple):
        node = unwrap(np.stack(value) if has_proxy(value) else np.asarray(value))
    elif isinstance(value, _PYTHON_SCALARS):  # of a class of its own, such as an enum.IntEnum
        node = constant(np.asarray(value))
    elif device.is_on_gpu(value):
        node = _array(device.to_gpu(value))
    else:
        refuse_sparse(value)
        node = _array(_checked(np.asarray(value)))
    if dtype is not None and node.type.dtype != dtype:
        if node.is_constant:
            return constant(node.value.astype(dtype))
        node = make_node(OPS["astype"], (node,), {"dtype": dtype})
    return node


def _scalar(value: Any, dtype: np.dtype[Any] | None) -> Node:
    if dtype is not None and dtype.kind in "iu" and isinstance(value, float):
        return constant(np.asarray(value).astype(dtype))
    return constant(value, dtype)


def has_proxy(value: Any) -> bool:
    """Whether a value is traced, or a nest of lists and tuples with a traced value in it."""
    if isinstance(value, list | tuple):
        return any(has_proxy(item) for item in value)
    return isinstance(value, Proxy)


def _checked(array: Any) -> Any:
    trace.check_dtype(array, "a value in the traced function")
    return array


def _array(array: np.ndarray[Any, Any]) -> Node:
    """A real array met while tracing: captured by the trace as an input, or a constant outside of any trace."""
    trace.check_array(array, "a value in the traced function")
    active = trace.current()
    return constant(_checked(device.to_host(array))) if active is None else active.capture(_checked(array))


def operand_type(value: Any) -> Any:
    """The dtype of a value, or the Python scalar type that stands for a weak scalar."""
    kind = type(value)
    if kind is Proxy:
        return value._node.type.dtype
    if kind in _PYTHON_SCALARS:
        return np.dtype(bool) if kind is bool else kind
    weak = getattr(kind, "__tracer_weak__", None)
    if weak is not None:
        return weak
    dtype = getattr(value, "dtype", None)
    return np.dtype(dtype) if dtype is not None else _list_dtype(value)


def _list_dtype(value: Any) -> Any:
    if isinstance(value, _PYTHON_SCALARS):
        return np.asarray(value).dtype
    if not isinstance(value, list | tuple):
        raise TypeError(errors.message("cannot compute with a {kind} in a traced function", kind=type(value).__name__))
    if not has_proxy(value):
        return np.asarray(value).dtype
    return promote(operand_type(item) for item in value)


def apply_op(op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Record one op on values of which at least one is traced; returns a proxy, or a tuple of them."""
    if op.dtypes is not None and op.kernel != "cast":
        wanted = op.dtypes(tuple([operand_type(value) for value in inputs]))
        nodes = tuple([_operand(value, dtype) for value, dtype in zip(inputs, wanted, strict=False)])
    else:
        nodes = tuple([unwrap(value) for value in inputs])
    node = make_node(op, nodes, params)
    owner = None
    for value in inputs:
        if isinstance(value, Proxy) and value._trace is not None:
            owner = value._trace
            break
    if node.has_items:
        return tuple(Proxy(item, owner) for item in item_nodes(node))
    result = Proxy(node, owner)
    keeps_order = op.family == "elementwise" or op.name == "concatenate"
    if keeps_order and len(node.type.shape) > 1 and any(map(_may_be_turned, inputs)):
        result._strides = layout.kept_strides(inputs, node.type.known_shape)
    elif op.family == "reduction" and len(node.type.shape) > 1 and _may_be_turned(inputs[0]):
        if "keepdims" in params:
            result._strides = layout.reduced_strides(inputs[0], **params, shape=node.type.known_shape)
    if op.name == "astype" and isinstance(inputs[0], Proxy) and (inputs[0]._is_array or inputs[0]._base is not None):
        result._is_array = True
    if isinstance(inputs[0], Proxy) and (op.family == "view" or op.name in ("real", "imag", "bitcast")):
        _remember_base(result, inputs[0], op, params)
    return result


def _may_be_turned(value: Any) -> bool:
    return isinstance(value, Proxy) and (value._base is not None or value._strides is not None)


def _operand(value: Any, dtype: np.dtype[Any]) -> Node:
    try:
        return unwrap(value, dtype)
    except OverflowError:
        if dtype.kind not in "iu":
            raise
        raise OverflowError(f"Python integer {value} out of bounds for {dtype}") from None


def _remember_base(result: Proxy, base: Proxy, op: Op | layout.Pick, params: Mapping[str, Any]) -> None:
    result._base, result._base_node, result._path = base, base.__tracer_node__, (op, params)


dispatch.install(Proxy)
attributes.install(Proxy)
