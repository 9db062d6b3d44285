"""Indexing, read and written: any NumPy key in terms of slice, reshape, transpose, gather and scatter."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from tracer.graph.batching import aligned, spread_all, with_rank
from tracer.graph.node import constant
from tracer.graph.op import OPS, Op, declare
from tracer.graph.rules import Literal, is_traced, known, lift, literal, traced
from tracer.records import NamedTuple
from tracer.types import ArrayType, Shape, broadcast_shapes

_INT64 = np.dtype(np.int64)

# --- gather and scatter ------------------------------------------------------------------------------------------


def _gather_infer(types: Sequence[ArrayType]) -> ArrayType:
    picked = broadcast_shapes(*(item.shape for item in types[1:]))
    return ArrayType(types[0].dtype, picked + types[0].shape[len(types) - 1 :])


def _gather_value(x: Any, *indices: Any) -> Any:
    return np.array(np.asarray(x)[tuple(indices)])


def _gather_vjp(position: int, g: Any, y: Any, x: Any, *indices: Any) -> Any:
    return SCATTER_ADD(np.zeros_like(x), g, *indices) if position == 0 else None


def _batched_indices(like: Any, indices: Sequence[Any], is_batched: Sequence[bool], size: int) -> Any:
    """The index of the example, and the indices within it, as arrays that broadcast."""
    numbers = traced(constant(np.arange(size)), like)
    return aligned([numbers, *indices], [True, *is_batched])


def _gather_batched(inputs: Sequence[Any], is_batched: Sequence[bool], size: int) -> Any:
    x, *indices = inputs
    if not is_batched[0]:
        return GATHER(x, *aligned(indices, is_batched[1:]))
    return GATHER(x, *_batched_indices(x, indices, is_batched[1:], size))


GATHER: Op = declare(
    Op(
        "gather",
        "gather",
        _gather_infer,
        _gather_value,
        vjp=_gather_vjp,
        jvp=lambda tangents, y, x, *indices: GATHER(tangents[0], *indices),
        batch=_gather_batched,
        dtypes=lambda operands: (operands[0], *(_INT64,) * (len(operands) - 1)),
        doc="Elements at integer positions along the first axes.",
        examples=(
            (lambda x: x[[2, 0, -1]], ((3, 4),)),
            (lambda x: x[:, [1, 3]], ((3, 4),)),
            (lambda x: x[np.array([[0], [2]]), [1, 3]], ((3, 4),)),
            (lambda x: x[[0, 1], :, [1, 2]], ((2, 3, 4),)),
            (lambda x: x[np.array([True, False, True])], ((3, 4),)),
        ),
    )
)


def _flat_nonzero(x: Any, size: int) -> Any:
    # A program may be tried on arrays that have another number of them; what it gives is then thrown away.
    found = np.flatnonzero(x)[:size].astype(np.int64)
    return np.concatenate([found, np.zeros(size - found.size, np.int64)]) if found.size < size else found


FLAT_NONZERO: Op = declare(
    Op(
        "flat_nonzero",
        "call",
        lambda types, size: ArrayType(_INT64, (size,)),
        _flat_nonzero,
        zero_derivative=True,
        doc="The positions of the elements of a vector that are not zero, of which there are `size`.",
    )
)


def _scatter_dtypes(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    return operands[0], operands[0], *(_INT64,) * (len(operands) - 2)


def _scatter_value(add: bool) -> Any:
    def evaluate(base: Any, values: Any, *indices: Any) -> Any:
        out = np.array(base)
        if add:
            np.add.at(out, tuple(indices), values)
        else:
            out[tuple(indices)] = values
        return out

    return evaluate


def _scatter_add_vjp(position: int, g: Any, y: Any, base: Any, values: Any, *indices: Any) -> Any:
    if position > 1:
        return None
    return g if position == 0 else GATHER(g, *indices)


def _last_writes(like: Any, values: Any, indices: Sequence[Any]) -> Any:
    """Whether each write is the last one to its place; None if no place can be written twice."""
    picked: Any = broadcast_shapes(*(item.shape for item in indices))
    if all(size == 1 for size in picked):
        return None
    order = np.arange(int(np.prod(picked))).reshape(picked)
    blank = np.zeros_like(like, dtype=np.int64, shape=like.shape[: len(indices)])
    written = SCATTER_SET(blank, literal(order, like), *indices)
    mask = OPS["equal"](GATHER(written, *indices), literal(order, like))
    return np.reshape(mask, picked + (1,) * (len(values.shape) - len(picked)))


def _scatter_set_vjp(position: int, g: Any, y: Any, base: Any, values: Any, *indices: Any) -> Any:
    if position == 0:
        return SCATTER_SET(g, np.zeros_like(values), *indices)
    if position > 1:
        return None
    picked = GATHER(g, *indices)
    last = _last_writes(base, values, indices)
    return picked if last is None else np.where(last, picked, 0)


def _scatter_batched(name: str) -> Any:
    def rule(inputs: Sequence[Any], is_batched: Sequence[bool], size: int) -> Any:
        indices = _batched_indices(inputs[0], inputs[2:], is_batched[2:], size)
        base, values = spread_all(inputs[:2], is_batched[:2], size)
        depth = max(item.ndim for item in indices)
        return OPS[name](base, with_rank(values, base.ndim + depth - len(indices) - 1), *indices)

    return rule


def _scatter_jvp(name: str) -> Any:
    def jvp(tangents: Any, y: Any, base: Any, values: Any, *indices: Any) -> Any:
        first, second = (
            np.zeros_like(value) if tangent is None else tangent
            for tangent, value in zip(tangents, (base, values), strict=False)
        )
        return OPS[name](first, second, *indices)

    return jvp


SCATTER_ADD = declare(
    Op(
        "scatter_add",
        "scatter",
        lambda types: types[0],
        _scatter_value(add=True),
        vjp=_scatter_add_vjp,
        jvp=_scatter_jvp("scatter_add"),
        batch=_scatter_batched("scatter_add"),
        dtypes=_scatter_dtypes,
        kernel="add",
        doc="The first array with values added at integer positions; repeated positions accumulate.",
    )
)
SCATTER_SET = declare(
    Op(
        "scatter_set",
        "scatter",
        lambda types: types[0],
        _scatter_value(add=False),
        vjp=_scatter_set_vjp,
        jvp=_scatter_jvp("scatter_set"),
        batch=_scatter_batched("scatter_set"),
        dtypes=_scatter_dtypes,
        kernel="set",
        doc="The first array with values written at integer positions; the last of repeated writes stays.",
    )
)

# --- reading a key -----------------------------------------------------------------------------------------------


class _Key(NamedTuple):
    """A key that has been read against a shape.

    `basic` is (start, size, step) per axis (size 1 for an int); `integers` are the axes that an int drops; `arrays`
    maps axes to index arrays; `slots` is the order of the result: an axis number, "new", or "array" where the axes of
    the index arrays stand; `picked` is their common shape.
    """

    basic: tuple[tuple[int, int, int], ...]
    integers: tuple[int, ...]
    arrays: dict[int, Any]
    slots: tuple[Any, ...]
    picked: Shape
    rank: int

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that only slices touch."""
        return tuple(axis for axis in range(self.rank) if axis not in self.arrays and axis not in self.integers)

    @property
    def order(self) -> tuple[int, ...]:
        """Axes, counted without those that ints drop: indexed ones first, as gather and scatter want them."""
        left = [axis for axis in range(self.rank) if axis not in self.integers]
        return tuple(left.index(axis) for axis in (*self.arrays, *self.kept))

    @property
    def placed(self) -> tuple[int, ...]:
        """For each axis of the result (new ones left out) its place in the result of gather."""
        depth = len(self.picked)
        result: list[int] = []
        for slot in self.slots:
            if slot == "array":
                result.extend(range(depth))
            elif slot != "new":
                result.append(depth + self.kept.index(slot))
        return tuple(result)

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        result: list[Any] = []
        for slot in self.slots:
            result.extend(self.picked if slot == "array" else (1,) if slot == "new" else (self.basic[slot][1],))
        return tuple(result)


def _bad_index() -> NoReturn:
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean arrays are valid "
        "indices"
    )


def _read_part(part: Any, like: Any) -> Any:
    """One part of a key: None, Ellipsis, a slice, an int, or an array of ints or bools (real or traced).

    The user's own arrays stay what they are; what only this key holds becomes a constant.
    """
    if part is None or part is Ellipsis or isinstance(part, slice | Literal):
        return part
    if is_traced(part):
        if part.dtype.kind not in "biu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        return part
    if not isinstance(part, bool | np.bool_) and hasattr(part, "__index__") and np.ndim(part) == 0:
        return operator.index(part)
    if isinstance(part, list | tuple) and any(map(is_traced, part)):
        return _read_part(np.stack(lift(*part)), like)
    if isinstance(part, list | tuple | np.ndarray | np.generic | bool):
        array = np.asarray(part)
        if array.size == 0 and isinstance(part, list | tuple):
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            if isinstance(part, np.ndarray | list):
                raise IndexError("arrays used as indices must be of integer (or boolean) type")
            _bad_index()
        return array if isinstance(part, np.ndarray) or array.dtype.kind == "b" else literal(array, like)
    return _bad_index()


def _is_mask(part: Any) -> bool:
    return bool((isinstance(part, np.ndarray) or is_traced(part)) and part.dtype.kind == "b")


def _expand(key: Any, shape: Shape, like: Any) -> list[Any]:
    """The parts of a key, one per axis or new axis, with the ellipsis written out as slices."""
    parts = [_read_part(part, like) for part in (key if isinstance(key, tuple) else (key,))]
    used = 0
    for part in parts:
        if _is_mask(part):
            used += part.ndim
        elif part is not None and part is not Ellipsis:
            used += 1
    if sum(part is Ellipsis for part in parts) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    place = next(number for number, part in enumerate(parts) if part is Ellipsis)
    # An ellipsis between two index arrays separates them even where it stands for no axis.
    written: list[Any] = [slice(None)] * (len(shape) - used) or ["gap"]
    return [*parts[:place], *written, *parts[place + 1 :]]


def _nonzero(mask: Any, shape: Shape, axis: int, like: Any) -> list[Any]:
    for offset, size in enumerate(mask.shape):
        if size != shape[axis + offset]:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + offset}; size of axis is "
                f"{shape[axis + offset]} but size of corresponding boolean axis is {size}"
            )
    if is_traced(mask):
        return list(np.nonzero(mask))
    return [literal(np.ascontiguousarray(item), like) for item in mask.nonzero()]


def _read_key(key: Any, like: Any) -> _Key:
    shape = like.shape
    basic: list[tuple[int, int, int]] = []
    integers: list[int] = []
    arrays: dict[int, Any] = {}
    slots: list[Any] = []
    for part in _expand(key, shape, like):
        axis = len(basic)
        if part is None:
            slots.append("new")
        elif isinstance(part, str):
            slots.append("gap")
        elif isinstance(part, slice):
            basic.append(_slice(part, shape[axis]))
            slots.append(axis)
        elif isinstance(part, int):
            size = shape[axis]
            if size is not None and not -size <= part < size:
                raise IndexError(f"index {part} is out of bounds for axis {axis} with size {size}")
            basic.append((part % size if size else part, 1, 1))
            integers.append(axis)
            slots.append("int")
        else:
            for item in _nonzero(part, shape, axis, like) if _is_mask(part) else [part]:
                arrays[len(basic)] = item
                basic.append((0, shape[len(basic)] or 0, 1))
            slots.append("array")
    picked = _common(arrays)
    if 0 not in picked:
        for axis, item in arrays.items():
            _check_bounds(item, shape[axis], axis)
    return _Key(tuple(basic), tuple(integers), arrays, _place_arrays(slots, bool(arrays)), picked, len(basic))


def _slice(part: slice, size: int | None) -> tuple[int, int, int]:
    if size is None:
        raise ValueError("an axis of unknown size cannot be sliced")
    start, stop, step = part.indices(size)
    count = len(range(start, stop, step))
    if count == 0:
        return 0, 0, 1
    return (start, 1, 1) if count == 1 else (start, count, step)


def _check_bounds(indices: Any, size: int | None, axis: int) -> None:
    values = known(indices)
    if values is None or size is None or values.size == 0:
        return
    low, high = int(values.min()), int(values.max())
    if low < -size or high >= size:
        wrong = low if low < -size else high
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def _common(arrays: dict[int, Any]) -> Shape:
    shapes = [item.shape for item in arrays.values()]
    try:
        return broadcast_shapes(*shapes) if shapes else ()
    except ValueError:
        texts = " ".join(str(shape).replace(" ", "") for shape in shapes)
        raise IndexError(f"shape mismatch: indexing arrays could not be broadcast together with shapes {texts} ") from (
            None
        )


def _place_arrays(slots: list[Any], has_arrays: bool) -> tuple[Any, ...]:
    """Mark where the axes of the index arrays go: in their place if they stand together, else in front."""
    if not has_arrays:
        return tuple(slot for slot in slots if slot not in ("int", "gap"))
    advanced = [number for number, slot in enumerate(slots) if slot in ("int", "array")]
    together = advanced[-1] - advanced[0] + 1 == len(advanced)
    rest = [(number, slot) for number, slot in enumerate(slots) if slot not in ("int", "array", "gap")]
    before = [slot for number, slot in rest if together and number < advanced[0]]
    return (*before, "array", *(slot for _, slot in rest[len(before) :]))


# --- index and assign --------------------------------------------------------------------------------------------


def _as_place(flag: Any) -> Any:
    """The places along a new axis of size 1 that one truth value selects."""
    return np.flatnonzero(flag) if is_traced(flag) else np.zeros(int(bool(flag)), np.int64)


def _without(key: Any) -> tuple[Any, Any]:
    """Split 0-d boolean keys off: True and False add an axis of size 1 or 0, which ordinary arrays can index."""
    parts = key if isinstance(key, tuple) else (key,)
    flags = [isinstance(part, bool | np.bool_) or (_is_mask(part) and part.shape == ()) for part in parts]
    if not any(flags):
        return None, key
    expander = tuple(
        None if flag else slice(None) if part is not None and part is not Ellipsis else part
        for part, flag in zip(parts, flags, strict=True)
        if part is not None
    )
    replaced = tuple(_as_place(part) if flag else part for part, flag in zip(parts, flags, strict=True))
    return expander, replaced


def _needs_array(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, bool | np.bool_ | np.ndarray) or _is_mask(part) for part in parts)


def _part(x: Any, key: _Key) -> Any:
    """What slices and ints leave of an array."""
    if any(part != (0, size, 1) for part, size in zip(key.basic, x.shape, strict=True)):
        x = OPS["slice"](x, index=key.basic)
    return x


def _drop(x: Any, key: _Key) -> Any:
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in key.integers)
    return np.reshape(x, shape) if key.integers else x


def index(x: Any, key: Any) -> Any:
    """Return x[key] for any key that NumPy takes, real or traced.

    How many elements a traced mask selects is found at the call at hand. Raises IndexError as NumPy does.
    """
    if _is_mask(key) and is_traced(key) and key.ndim and key.shape == x.shape[: key.ndim]:
        flat = np.reshape(x, (key.size, *x.shape[key.ndim :]))
        return GATHER(flat, np.flatnonzero(key))
    if _needs_array(key):
        expander, key = _without(key)
        if expander is not None:
            x = index(x, expander)
    read = _read_key(key, x)
    part = _drop(_part(x, read), read)
    if read.arrays:
        if read.order != tuple(range(len(read.order))):
            part = np.transpose(part, read.order)
        part = GATHER(part, *read.arrays.values())
        if read.placed != tuple(range(len(read.placed))):
            part = np.transpose(part, read.placed)
    return part if part.shape == read.shape else np.reshape(part, read.shape)


def assign(x: Any, key: Any, value: Any, mode: str) -> Any:
    """Return the version of x after `x[key] = value` (mode "set") or `np.add.at(x, key, value)` (mode "add").

    Raises IndexError and ValueError as NumPy does.
    """
    if is_traced(key) and key.dtype.kind == "b":
        return _assign_masked(x, key, value, mode)
    if _needs_array(key):
        expander, key = _without(key)
        if expander is not None:
            return np.reshape(assign(index(x, expander), key, value, mode), x.shape)
    read = _read_key(key, x)
    value = _fitted(_value_like(x, value), read.shape)
    squeezed = tuple(size for size, slot in zip(read.shape, _flat_slots(read), strict=True) if slot != "new")
    value = value if value.shape == squeezed else np.reshape(value, squeezed)
    sizes = tuple(size for _, size, _ in read.basic)
    if not read.arrays:
        return _write(x, read, np.reshape(value, sizes) if value.shape != sizes else value, mode)
    value = np.transpose(value, np.argsort(read.placed)) if value.ndim else value
    whole = _part(x, read)
    part = _drop(whole, read)
    moved = np.transpose(part, read.order)
    scatter = SCATTER_SET if mode == "set" else SCATTER_ADD
    new = np.transpose(scatter(moved, value, *read.arrays.values()), np.argsort(read.order))
    return _write(x, read, np.reshape(new, sizes) if new.shape != sizes else new, "set")


def _flat_slots(key: _Key) -> list[Any]:
    return [part for slot in key.slots for part in (["array"] * len(key.picked) if slot == "array" else [slot])]


def _write(x: Any, key: _Key, value: Any, mode: str) -> Any:
    if mode == "add":
        return OPS["slice_add"](x, value, index=key.basic)
    if all(part == (0, size, 1) for part, size in zip(key.basic, x.shape, strict=True)):
        return value
    return OPS["slice_set"](x, value, index=key.basic)


def _value_like(x: Any, value: Any) -> Any:
    """A value to write into x, in its dtype."""
    if type(value) in (bool, int, float, complex):
        if is_traced(x):
            return np.full_like(x, x.dtype.type(value), shape=())
        return np.asarray(value).astype(x.dtype)
    (value,) = lift(value) if not is_traced(x) else lift(value, x)[:1]
    return value if value.dtype == x.dtype else value.astype(x.dtype)


def _fitted(value: Any, shape: Any) -> Any:
    """Broadcast a value to the shape it is written to; extra leading axes of size 1 are dropped."""
    original = value.shape
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = np.reshape(value, value.shape[1:])
    if value.shape == shape:
        return value
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        texts = [str(tuple(item)).replace(" ", "") for item in (original, shape)]
        raise ValueError(f"could not broadcast input array from shape {texts[0]} into shape {texts[1]}") from None


def _assign_masked(x: Any, mask: Any, value: Any, mode: str) -> Any:
    """`x[mask] = value` with a traced mask; how many elements it selects matters only if the value runs along them."""
    if mask.shape != x.shape[: mask.ndim]:
        axis = next(place for place in range(mask.ndim) if place >= x.ndim or mask.shape[place] != x.shape[place])
        raise IndexError(f"boolean index did not match indexed array along axis {axis}")
    value = _value_like(x, value)
    rest = x.ndim - mask.ndim
    if value.ndim > rest:
        return _assign_selected(x, mask, value, mode)
    spread = np.reshape(mask, mask.shape + (1,) * rest)
    return np.where(spread, value, x) if mode == "set" else x + np.where(spread, value, x.dtype.type(0))


def _assign_selected(x: Any, mask: Any, value: Any, mode: str) -> Any:
    """`x[mask] = value` where each selected place gets a value of its own."""
    places = np.flatnonzero(mask)
    count, rest = places.shape[0], x.shape[mask.ndim :]
    if value.ndim == len(rest) + 1 and value.shape[0] not in (1, count):
        raise ValueError(
            f"NumPy boolean array indexing assignment cannot assign {value.shape[0]} input values to the {count} "
            "output values where the mask is true"
        )
    value = _fitted(value, (count, *rest))
    scatter = SCATTER_SET if mode == "set" else SCATTER_ADD
    return np.reshape(scatter(np.reshape(x, (mask.size, *rest)), value, places), x.shape)
