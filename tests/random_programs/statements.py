"""What a random program is made of: each function adds one statement to a builder, or raises Rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
from random_programs.programs import Array, Block, Builder, Rejected

SHAPES = [(), (1,), (3,), (4,), (5,), (2, 3), (3, 3), (3, 4), (4, 1), (1, 3), (2, 3, 2), (2, 0)]
UNARY = ("np.negative", "np.sin", "np.tanh", "np.exp", "np.square", "np.abs", "np.sign", "np.floor", "np.conj")
UNARY_EXACT = ("np.square", "np.abs", "np.positive", "np.invert", "np.logical_not")
SMOOTH = ("np.negative", "np.sin", "np.tanh", "np.arctan", "np.square", "np.cos")
BINARY = ("np.add", "np.subtract", "np.multiply", "np.maximum", "np.minimum")
COMPARISONS = ("<", ">", "<=", "!=")
OPERATORS = ("+", "-", "*")


def is_writable(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.flags.writeable and value.size > 0


def has_axes(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


# --- expressions -------------------------------------------------------------------------------------------------


def literal(b: Builder, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return b.choose(("True", "False"))
    if dtype.kind in "iu":
        return str(b.number(0 if dtype.kind == "u" else -3, 5))
    if dtype.kind == "c" and b.chance(0.5):
        return f"({b.number(-4, 4) / 4} + {b.number(1, 4) / 4}j)"
    if b.chance(0.2):
        return str(b.number(1, 4))
    return str(b.number(-8, 8) / 4 + 0.125)


def slice_text(b: Builder, size: int) -> str:
    """A slice of an axis: never empty, if that is possible."""
    kind = b.number(0, 7)
    if kind == 0 or size < 2:
        return b.choose((":", "::-1", ":"))
    if kind == 1:
        return f"{b.number(0, size - 1)}:"
    if kind == 2:
        return f":{-b.number(1, size - 1)}"
    if kind == 3:
        return f"{b.number(0, size // 2)}:{b.number(size // 2 + 1, size + 1)}"
    if kind == 4:
        return f"{b.choose(('', '1', '0'))}::2"
    if kind == 5:
        return b.choose(("::-2", "-1::-1", f"{size - 1}:0:-1", "-2::-1"))
    if kind == 6:
        return f"1:{size}"
    return ":-1"


def whole_number(b: Builder, size: int) -> str:
    if b.loop_variable is not None and b.loop_variable[1] <= size and b.chance(0.7):
        name = b.loop_variable[0]
        return b.choose((name, f"-{name} - 1", f"{size - 1} - {name}", name))
    return str(b.number(-size, size - 1))


def basic_index(b: Builder, value: Array) -> str:
    if not value.ndim:
        return "..."
    parts: list[str] = []
    for size in value.shape[: b.number(1, value.ndim)]:
        if size and b.chance(0.4):
            parts.append(whole_number(b, size))
        else:
            parts.append(slice_text(b, size))
    if b.chance(0.1):
        parts.insert(b.number(0, len(parts)), "None")
    if b.chance(0.1):
        parts.insert(b.number(0, len(parts)), "...")
    return ", ".join(parts)


def fancy_index(b: Builder, value: Array) -> str:
    kind = b.number(0, 6)
    size = value.shape[0]
    if size == 0:
        return ":"
    numbers = [b.number(-size, size - 1) for _ in range(b.number(1, 4))]
    if kind == 0:
        return f"{numbers}"
    if kind == 1:
        return f"np.array({numbers})"
    if kind == 2 and value.ndim > 1:
        other = [b.number(0, value.shape[1] - 1) for _ in numbers] if value.shape[1] else []
        return f"{numbers}, {other}"
    if kind == 3 and value.ndim > 1:
        return f"{slice_text(b, size)}, {[b.number(0, value.shape[1] - 1) for _ in range(2)] if value.shape[1] else []}"
    if kind == 4 and value.ndim > 1:
        return f"np.array({numbers})[:, None], {[0, value.shape[1] - 1]}"
    if kind == 5 and value.ndim > 2:
        return f"{numbers}, :, {[0] * len(numbers)}"
    traced = b.arrays(lambda v: v.dtype.kind in "iu" and v.size > 0 and v.ndim < 2)
    return f"{b.choose(traced)} % {size}" if traced else str(numbers)


def mask_of(b: Builder, name: str) -> str:
    """A mask of the shape of a variable, which depends on the data."""
    value = b.scope[name]
    others = b.arrays(lambda v: v.shape == value.shape and v.dtype.kind in "biuf")
    if value.dtype.kind == "c":
        return f"({name}.real > {b.number(-2, 2) / 4 + 0.0625})"
    if others and b.chance(0.5):
        other = b.choose(others)
        if b.scope[other].dtype.kind == "b":  # NumPy loses its way where writes change the mask that they go by
            return f"({other} == True)" if np.shares_memory(b.scope[other], value) else other
        if other != name:
            return f"({name} {b.choose(COMPARISONS[:2])} {other} + 0.0312)"
    return f"({name} {b.choose(COMPARISONS)} {b.number(-2, 2) / 4 + 0.0625})"


def fitting(b: Builder, shape: tuple[int, ...], dtype: np.dtype[Any], depth: int = 0) -> str:
    """An expression whose value broadcasts to a shape, and can be cast to a dtype as assignments do."""
    if b.chance(0.15):
        return literal(b, dtype)
    accept = {"b": "b", "i": "bi", "u": "bu", "f": "biuf", "c": "biufc"}[dtype.kind]
    name = b.pick(lambda v: v.dtype.kind in accept and v.size > 0)
    value = b.scope[name]
    expression = name
    if not is_broadcastable(value.shape, shape):
        expression, value = b.choose(reductions_to(name, value, shape))
        try:
            value = b.value(expression)
        except Rejected:
            return literal(b, dtype)
    kind = b.number(0, 5)
    if kind == 0 and dtype.kind in "fc" and value.dtype.kind in "fc":
        return f"{b.choose(SMOOTH)}({expression})"
    if kind == 1 and depth < 2:
        other = fitting(b, value.shape, dtype, depth + 1)
        if dtype.kind == "b":
            return f"({expression} {b.choose(('&', '|', '^'))} {other})"
        return f"({expression} {b.choose(OPERATORS)} {other})"
    if kind == 2 and dtype.kind != "b":
        return f"({expression} {b.choose(OPERATORS)} {literal(b, dtype)})"
    if kind == 3 and dtype.kind not in "bc" and value.dtype.kind != "c":
        other = fitting(b, value.shape, dtype, depth + 1) if depth < 2 else literal(b, dtype)
        return f"np.where({expression} > {literal(b, dtype)}, {expression}, {other})"
    return expression


def is_broadcastable(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def reductions_to(name: str, value: Array, shape: tuple[int, ...]) -> list[tuple[str, Array]]:
    """Expressions of a variable whose values broadcast to a shape, which its own does not."""
    found = [(f"{name}.ravel()[0]", value), (f"{name}.flat[-1]", value), (f"{name}[(0,) * {value.ndim}]", value)]
    if value.dtype.kind != "b":
        found.append((f"{name}.mean()" if value.dtype.kind in "fc" else f"{name}.max()", value))
    count = int(np.prod(shape))
    if value.size >= count:
        found.append((f"{name}.ravel()[:{count}].reshape({shape})", value))
        found.append((f"{name}.reshape(-1)[::-1][:{count}].reshape({shape})", value))
    if shape and value.size >= shape[-1]:
        found.append((f"{name}.flatten()[:{shape[-1]}]", value))
    return found


# --- statements that make values ---------------------------------------------------------------------------------


def view(b: Builder) -> None:
    """A view of a variable, or what NumPy makes a copy of."""
    name = b.pick(has_axes)
    value = b.scope[name]
    axis = b.number(0, value.ndim - 1)
    options = [f"{name}[{basic_index(b, value)}]"] * 4
    options += [f"{name}.T", f"{name}.reshape(-1)", f"{name}.ravel()", f"np.flip({name}, {axis})"]
    options += [f"np.transpose({name}, {tuple(map(int, b.random.permutation(value.ndim)))})"]
    options += [f"{name}.swapaxes(0, {axis})", f"np.moveaxis({name}, {axis}, 0)", f"np.expand_dims({name}, {axis})"]
    options += [f"{name}.squeeze()", f"np.atleast_2d({name})", f"{name}[:]", f"np.asarray({name})"]
    for factor in (2, 3):
        if value.size % factor == 0 and value.size:
            options += [f"{name}.reshape({factor}, -1)", f"np.reshape({name}, (-1, {factor}))"]
            options += [f"{name}.reshape(-1, {factor}, order='F')"]
    if value.ndim == 2:
        options += [f"np.diagonal({name})", f"{name}.diagonal({b.number(-1, 1)})", f"np.diag({name})"]
        options += [f"np.rot90({name})", f"{name}[::-1].T[{slice_text(b, value.shape[1])}]"]
    if value.dtype.kind == "c":
        options += [f"{name}.real", f"{name}.imag", f"np.real({name})"] * 2
    if value.ndim and b.chance(0.2):
        options += [f"np.broadcast_to({name}, (2, *{name}.shape))", f"np.split({name}, [1])[0]"]
        options += [f"np.lib.stride_tricks.sliding_window_view({name}, 2, {axis})", f"{name}.view()"]
    b.add(f"{b.fresh()} = {b.choose(options)}")


def fresh_array(b: Builder) -> None:
    name = b.pick(lambda v: True)
    value = b.scope[name]
    shape = b.choose([s for s in SHAPES if np.prod(s) > 0])
    dtype = b.choose(["float", "np.float32", "int", "complex", "bool"])
    options = [f"np.zeros({shape}, {dtype})", f"np.full({shape}, 0.5)", f"{name}.copy()", f"np.array({name})"]
    options += [f"np.zeros_like({name})", f"np.ones({shape})", f"np.empty_like({name}); {{0}}[...] = 1"]
    options += [f"np.arange({b.number(2, 6)}.0)", f"np.full_like({name}, {literal(b, value.dtype)})"]
    options += [f"{name}.astype({dtype})"] if value.dtype.kind in "biuf" else []
    new = b.fresh()
    b.add(f"{new} = " + b.choose(options).format(new))


def elementwise(b: Builder) -> None:
    name = b.pick(lambda v: v.dtype.kind in "biufc")
    value = b.scope[name]
    choice = b.number(0, 6)
    new = b.fresh()
    if choice == 0:
        exact = value.dtype.itemsize >= 4  # of smaller ones NumPy makes half precision, which is not traced
        b.add(f"{new} = {b.choose(UNARY if exact else UNARY_EXACT)}({name})")
    elif choice in (1, 2):
        b.add(f"{new} = {b.choose(BINARY)}({name}, {fitting(b, value.shape, value.dtype)})")
    elif choice == 3:
        b.add(f"{new} = np.where({mask_of(b, name)}, {name}, {fitting(b, value.shape, value.dtype)})")
    elif choice == 4:
        b.add(f"{new} = {mask_of(b, name)}")
    elif choice == 5:
        masks = f"[{mask_of(b, name)}, {mask_of(b, name)}]"
        values = f"[{name}, {fitting(b, value.shape, value.dtype)}]"
        b.add(f"{new} = np.select({masks}, {values}, {literal(b, value.dtype)})")
    else:
        b.add(f"{new} = np.clip({name}, -1, 1) / (1 + {name} * {name})")


def reduction(b: Builder) -> None:
    name = b.pick(lambda v: has_axes(v) and v.size > 0)
    value = b.scope[name]
    axis = b.choose([None, -1, 0, b.number(0, value.ndim - 1)])
    function = b.choose(["sum", "mean", "max", "min", "prod", "any", "all", "argmax", "std", "ptp", "median"])
    options = f", axis={axis}" if axis is not None else ""
    if function in ("sum", "max", "mean", "min", "prod", "std", "any") and b.chance(0.4):
        options += ", keepdims=True"
    if function in ("sum", "prod", "mean", "any") and b.chance(0.3):
        options += f", where={mask_of(b, name)}" if function != "mean" else ""
    if function in ("max", "min") and b.chance(0.3):
        options += f", initial=-1, where={mask_of(b, name)}"
    if function == "sum" and b.chance(0.2):
        options += ", dtype=float" if value.dtype.kind != "c" else ", dtype=complex"
    b.add(f"{b.fresh()} = np.{function}({name}{options})")


def gather(b: Builder) -> None:
    name = b.pick(lambda v: has_axes(v) and v.size > 0)
    value = b.scope[name]
    index = fancy_index(b, value)
    axis = b.number(0, value.ndim - 1)
    options = [f"{name}[{index}]"] * 3 + [f"np.take({name}, [0, -1, 0], axis={axis})"]
    options += [f"np.take_along_axis({name}, np.argsort({name}, axis={axis}), {axis})"]
    options += [f"{name}[{mask_of(b, name)}].sum()", f"np.compress([True, False], {name}, {axis})"]
    b.add(f"{b.fresh()} = {b.choose(options)}")


def arrangement(b: Builder) -> None:
    name = b.pick(has_axes)
    value = b.scope[name]
    axis = b.number(0, value.ndim - 1)
    other = b.pick(lambda v: v.shape == value.shape)
    options = [f"np.concatenate([{name}, {other}[::-1]], axis={axis})", f"np.stack([{name}, {other}], axis=-1)"]
    options += [f"np.cumsum({name}, axis={axis})", f"np.cumprod({name}, axis={axis})", f"np.diff({name}, axis={axis})"]
    options += [f"np.sort({name}, axis={axis})", f"np.argsort({name}, axis={axis})", f"np.roll({name}, 1, {axis})"]
    options += [f"np.array([{name}.sum(), {other}.sum(), 1])", f"np.pad({name}, 1)", f"np.repeat({name}, 2, {axis})"]
    options += [f"np.array([{name}, {other}])", f"np.tile({name}, 2)", f"np.vstack([{name}, {other}])"]
    options += [f"np.tril({name})", f"np.maximum.accumulate({name}, {axis})", f"np.outer({name}, {other})"]
    options += [f"np.insert({name}, 1, 2, axis={axis})", f"np.delete({name}, 0, axis={axis})"]
    b.add(f"{b.fresh()} = {b.choose(options)}")


def product(b: Builder) -> None:
    name = b.pick(lambda v: has_axes(v) and v.size > 0)
    value = b.scope[name]
    others = b.arrays(lambda v: has_axes(v) and v.shape[max(0, v.ndim - 2)] == value.shape[-1] and v.size > 0)
    new = b.fresh()
    same = b.pick(lambda v: v.shape == value.shape)
    options = [f"np.einsum('...i,...i->...', {name}, {same})", f"np.einsum('i...,i...->...', {name}, {same})"]
    options += [f"{name} @ {same}.T" if value.ndim < 3 else f"np.tensordot({name}, {same}, {value.ndim})"]
    options += [f"np.vdot({name}, {same})", f"np.inner({name}, {same})"]
    if value.ndim == 2:
        options += [f"np.einsum('ij->ji', {name})", f"np.trace({name})", f"np.einsum('ij,ik->jk', {name}, {same})"]
    options += [f"{name} @ {other}" for other in others[:3]]
    b.add(f"{new} = np.array({b.choose(options)}, order='C')")  # sums of products have orders of their own


# --- statements that write ---------------------------------------------------------------------------------------


def target(b: Builder) -> tuple[str, Array]:
    name = b.pick(is_writable)
    return name, b.scope[name]


def assignment(b: Builder) -> None:
    name, value = target(b)
    index = "..." if value.ndim == 0 or b.chance(0.1) else basic_index(b, value)
    if value.ndim and b.chance(0.3):
        index = fancy_index(b, value)
    elif value.ndim and b.chance(0.2):
        index = mask_of(b, name)
        operation = b.choose(["=", "+=", "*="])
        b.add(f"{name}[{index}] {operation} {literal(b, value.dtype)}")
        return
    part = b.value(f"{name}[{index}]")
    operation = b.choose(["=", "=", "+=", "-=", "*="]) if value.dtype.kind != "b" else b.choose(["=", "|=", "&="])
    b.add(f"{name}[{index}] {operation} {fitting(b, np.shape(part), value.dtype)}")


def chained_assignment(b: Builder) -> None:
    """A write into a view of a view without a name."""
    name, value = target(b)
    if not value.ndim:
        raise Rejected
    first = b.choose([f"[{basic_index(b, value)}]", ".T", ".reshape(-1)", ".ravel()", "[::-1]", ".flat", ".squeeze()"])
    if value.dtype.kind == "c":
        first = b.choose([first, ".real", ".imag"])
    inner = b.value(f"{name}{first}")
    if isinstance(inner, np.flatiter):
        index = b.choose([str(b.number(-value.size, value.size - 1)), slice_text(b, value.size)])
        shape: tuple[int, ...] = ()
    elif not is_writable(inner):
        raise Rejected
    else:
        index = "..." if inner.ndim == 0 else basic_index(b, inner)
        shape = np.shape(inner[eval(f"np.s_[{index}]", b.scope)])
    kind = np.dtype(float) if first in (".real", ".imag") else value.dtype
    b.add(f"{name}{first}[{index}] {b.choose(['=', '+=']) if kind.kind != 'b' else '='} {fitting(b, shape, kind)}")


def augmented(b: Builder) -> None:
    name, value = target(b)
    operations = ["+=", "-=", "*="] if value.dtype.kind != "b" else ["|=", "&=", "^="]
    if value.dtype.kind in "fc":
        operations += ["/="]
    if value.dtype.kind in "iu":
        operations += ["//=", "%=", "&=", "<<="]
    operation = b.choose(operations)
    right = fitting(b, value.shape, value.dtype)
    if operation in ("/=", "//=", "%=", "<<="):
        right = "2" if value.dtype.kind in "iu" else f"(1 + {right} * {right})"
    b.add(f"{name} {operation} {right}")


def out_argument(b: Builder) -> None:
    name, value = target(b)
    if value.dtype.kind == "b":
        b.add(f"np.logical_not({fitting(b, value.shape, value.dtype)}, out={name})")
        return
    # NumPy itself is wrong where it casts real numbers to masked complex ones that share their memory.
    where = f", where={mask_of(b, name)}" if b.chance(0.4) and value.dtype.kind != "c" else ""
    right, left = (fitting(b, value.shape, value.dtype) for _ in range(2))
    options = [f"{b.choose(BINARY)}({left}, {right}, out={name}{where})"] * 2
    if value.dtype.kind in "fc":
        options += [f"{b.choose(SMOOTH)}(1.0 * {left}, out={name}{where})"]
    if value.ndim and value.dtype.kind != "c":
        part = f"{name}[{basic_index(b, value)}]"
        inner = b.value(part)
        if isinstance(inner, np.ndarray):
            options += [f"np.multiply({fitting(b, inner.shape, value.dtype)}, 2, out={part})"]
            options += [f"np.clip({part}, 0, 1, out={part})", f"np.cumsum({part}, axis=-1, out={part})"]
            options += [f"np.sum({part}, axis=0, out={part}[0])"] if inner.ndim > 1 else []
    prefix = f"{b.fresh()} = " if b.chance(0.3) else ""
    b.add(prefix + b.choose(options))


def in_place_function(b: Builder) -> None:
    name, value = target(b)
    right = fitting(b, value.shape, value.dtype)
    options = [f"np.copyto({name}, {right})", f"np.copyto({name}, {right}, where={mask_of(b, name)})"]
    options += [f"{name}.fill({literal(b, value.dtype)})"]
    if value.ndim:
        mask, axis = mask_of(b, name), b.number(0, value.ndim - 1)
        numbers = [literal(b, value.dtype) for _ in range(b.number(1, 3))]
        listed = f"[{', '.join(numbers)}]"
        indices = [b.number(0, value.size - 1) for _ in range(3)]
        options += [f"np.place({name}, {mask}, {listed})", f"np.putmask({name}, {mask}, {right})"]
        options += [f"np.put({name}, {indices}, {listed})", f"{name}.put({indices[:1]}, {literal(b, value.dtype)})"]
        options += [f"{name}.sort()", f"{name}.sort(axis={axis})", f"{name}.partition({value.shape[-1] // 2})"]
        first = f"np.zeros({(*value.shape[:axis], 1, *value.shape[axis + 1 :])}, int)"
        options += [f"np.put_along_axis({name}, {first}, {literal(b, value.dtype)}, {axis})"]
        index = fancy_index(b, value)
        if value.dtype.kind in "iufc":
            ufunc = b.choose(["np.add", "np.multiply", "np.maximum", "np.subtract"])
            part = b.value(f"{name}[{index}]")
            options += [f"{ufunc}.at({name}, ({index}), {fitting(b, np.shape(part), value.dtype)})"] * 2
    if value.ndim == 2 and min(value.shape) > 0:
        options += [f"np.fill_diagonal({name}, {literal(b, value.dtype)})", f"np.fill_diagonal({name}, {name}[0])"]
    b.add(b.choose(options))


def swap(b: Builder) -> None:
    name, value = target(b)
    if not value.ndim or value.shape[0] < 2:
        raise Rejected
    one, other = (b.number(0, value.shape[0] - 1) for _ in range(2))
    options = [f"{name}[{one}], {name}[{other}] = {name}[{other}], {name}[{one}]"]
    options += [f"{name}[[{one}, {other}]] = {name}[[{other}, {one}]]"]
    options += [f"{name}[{one}], {name}[{other}] = {name}[{other}].copy(), {name}[{one}].copy()"]
    options += [f"{name}[:], {b.fresh()} = {name}[::-1], {name}[{one}]", f"{name}[1:] = {name}[:-1]"]
    options += [f"{name}[:-1] += {name}[1:]", f"{name}[...] = {name}[::-1]"]
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        options += [f"{name}[...] = {name}.T", f"{name} += {name}.T", f"{name}[:, 0] = {name}[1]"]
    b.add(b.choose(options))


# --- statements with bodies --------------------------------------------------------------------------------------


def inner_statements(b: Builder, productions: list[Any], count: int) -> list[Any]:
    """Statements made one after another, which are taken from the program again to become a body."""
    before = len(b.program.statements)
    for _ in range(4 * count):
        if len(b.program.statements) - before >= count:
            break
        try:
            b.choose(productions)(b)
        except Rejected:
            pass
    body = b.program.statements[before:]
    del b.program.statements[before:]
    b.reset()
    if not body:
        raise Rejected
    return body


SIMPLE = [assignment, assignment, chained_assignment, augmented, out_argument, in_place_function, swap, view]
PURE = [view, elementwise, reduction, gather, arrangement, product]


def loop(b: Builder) -> None:
    """A loop over Python numbers, whose body writes into variables of the program."""
    if b.loop_variable is not None:
        raise Rejected
    count = b.number(2, 3)
    b.loop_variable = (b.fresh("i"), count)
    try:
        before = len(b.program.statements)
        b.program.statements.append(f"{b.loop_variable[0]} = 0")
        b._run(b.program.statements[-1])
        name = b.loop_variable[0]
        body = inner_statements(b, SIMPLE, b.number(1, 3))
    finally:
        b.loop_variable = None
    del b.program.statements[before:]
    b.reset()
    b.add(Block(f"for {name} in range({count}):", body))


def filled(b: Builder) -> None:
    """An array made first and filled element by element."""
    name = b.pick(lambda v: has_axes(v) and v.dtype.kind in "f" and v.size > 0)
    value = b.scope[name]
    new, i = b.fresh(), b.fresh("i")
    size = value.shape[0]
    make = b.choose([f"np.zeros({size})", f"np.empty({size})", f"np.zeros(({size}, 2))", f"[0.0] * {size}"])
    right = b.choose([f"{name}[{i}].sum()", f"np.sin({name}[{i}].ravel()[0]) + {i}", f"{name}[-{i} - 1].max() * 2"])
    b.add(Block("if True:", [f"{new} = {make}", Block(f"for {i} in range({size}):", [f"{new}[{i}] = {right}"])]))
    if make.startswith("["):
        b.add(f"{b.fresh()} = np.array({new})")


def helper(b: Builder) -> None:
    """A function that is called with variables, perhaps the same twice, and writes into them."""
    names = [b.pick(has_axes) for _ in range(b.number(1, 2))]
    if b.chance(0.2):
        names = [names[0], names[0]]
    arguments = [f"{b.scope[name].ndim and name}" for name in names]
    if b.chance(0.3):
        arguments[-1] = f"{names[-1]}[{basic_index(b, b.scope[names[-1]])}]"
    parameters = [b.fresh("p") for _ in names]
    before = len(b.program.statements)
    statements = [f"{p} = {a}" for p, a in zip(parameters, arguments, strict=True)]
    outer = b.hidden
    try:
        for statement in statements:
            b.add(statement)
        b.hidden = {name for name in b.scope if not name.startswith("p")} if b.chance(0.7) else outer
        body = inner_statements(b, SIMPLE + PURE, b.number(1, 4))
    finally:
        b.hidden = outer
        del b.program.statements[before:]
        b.reset()
    made = [line.split(" = ")[0] for line in body if isinstance(line, str) and line.startswith("v") and " = " in line]
    made = [name for name in made if name.isalnum()]
    result = b.choose(made + parameters)
    function = b.fresh("f")
    header = [f"def {function}({', '.join(parameters)}):"]
    call = f"{b.fresh()} = {function}({', '.join(arguments)})"
    decorator = "@tracer.compile" if b.chance(0.3) else ""
    body = [*body]
    block = Block(header[0], body, f"return {result}", [call])
    b.add(Block("if True:", [decorator, block]) if decorator else block)


def control(b: Builder) -> None:
    """`tracer.cond`, `fori_loop` or `scan` with bodies that write into their arguments."""
    name = b.pick(lambda v: is_writable(v) and v.ndim > 0 and v.dtype.kind == "f")
    value = b.scope[name]
    f, new, c = b.fresh("f"), b.fresh(), b.fresh("p")
    before = len(b.program.statements)
    outer = b.hidden
    try:
        b.add(f"{c} = np.array({name})")
        b.hidden = {other for other in b.scope if other != c}
        body = inner_statements(b, [assignment, chained_assignment, augmented, in_place_function], b.number(1, 2))
    finally:
        b.hidden = outer
        del b.program.statements[before:]
        b.reset()
    kind = b.number(0, 2)
    if kind == 0:
        call = f"{new} = tracer.cond({name}.sum() > 0.03, {f}, lambda {c}: {c} * 2, {name} + 0)"
        b.add(Block(f"def {f}({c}):", body, f"return {c}", [call]))
    elif kind == 1:
        call = f"{new} = tracer.fori_loop(0, {b.number(1, 4)}, {f}, {name})"
        b.add(Block(f"def {f}(i, {c}):", body, f"return {c}", [call]))
    elif value.ndim and value.shape[0]:
        call = f"{new}, {b.fresh()} = tracer.scan({f}, {name}, {name})"
        b.add(Block(f"def {f}({c}, row):", body, f"return {c}, row * {c}.sum()", [call]))


def container(b: Builder) -> None:
    """Lists and tuples of arrays, whose members are views or the variables themselves."""
    names = [b.pick(lambda v: True) for _ in range(b.number(1, 3))]
    new = b.fresh("w")
    choice = b.number(0, 3)
    if choice == 0:
        b.add(f"{new} = [{', '.join(names)}]")
    elif choice == 1:
        b.add(f"{new} = ({', '.join(names)}, {names[0]} * 1)")
    elif choice == 2:
        size = b.scope[names[0]].shape[0] if has_axes(b.scope[names[0]]) else 0
        if not 0 < size <= 6:
            raise Rejected
        b.add(f"{new} = list({names[0]})")
    else:
        lists = [name for name, value in b.scope.items() if isinstance(value, list) and name.startswith("w")]
        if not lists:
            raise Rejected
        one = b.choose(lists)
        place = b.number(0, len(b.scope[one]) - 1)
        item = b.scope[one][place]
        if is_writable(item) and item.dtype.kind != "b":
            b.add(f"{one}[{place}] {b.choose(['+=', '*='])} {fitting(b, item.shape, item.dtype)}")
        else:
            b.add(f"{one}[{place}] = {names[0]}")


def rebinding(b: Builder) -> None:
    """A variable that becomes another array: later writes do not reach the old one."""
    name = b.pick(lambda v: True)
    if not name.startswith("v"):
        raise Rejected
    b.add(f"{name} = {name} {b.choose(OPERATORS)} {fitting(b, b.scope[name].shape, b.scope[name].dtype)}")
