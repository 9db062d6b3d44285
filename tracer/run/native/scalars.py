"""Scalar operations in LLVM's language: each gives to the bit what the block kernel of the same name gives.

What is here takes an instruction or a few; `tracer.run.native.functions` has the elementary functions. What is in
neither stays with the block kernels.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.lower.instructions import Step
from tracer.run.native.functions import apply_function, has_function
from tracer.run.native.writer import Value, Writer, number, part_type, type_name


class Scalars(Writer):
    """Writes the steps of a loop."""

    def step(self, step: Step, operands: list[Value]) -> Value:
        """Write one step of a loop for which `supports` holds."""
        if step.kernel == "cast":
            return self._cast(step.dtype, step.out, operands[0])
        if step.kernel == "where":
            condition = self.is_true(np.dtype(bool), operands[0])
            kind = type_name(step.dtype)
            return tuple(self.select(condition, kind, *parts) for parts in zip(*operands[1:], strict=True))
        rule = _RULES[_family(step.dtype)].get(step.kernel)
        if rule is not None:
            return rule(self, step.dtype, *operands)
        if step.kernel not in _TESTS:
            return apply_function(self, step.kernel, step.dtype, operands)
        return _TESTS[step.kernel](self, step.dtype, *operands)

    def _cast(self, old: np.dtype[Any], new: np.dtype[Any], value: Value) -> Value:
        if new.kind == "b":
            return value if old.kind == "b" else self.truth(self.is_true(old, value))
        parts = value if new.kind == "c" else value[:1]
        result = tuple(self._cast_part(part_type(old), part_type(new), part) for part in parts)
        return (*result, number(0.0)) if new.kind == "c" and len(result) == 1 else result

    def _cast_part(self, old: np.dtype[Any], new: np.dtype[Any], value: str) -> str:
        source, target = type_name(old), type_name(new)
        if old.kind == "f" and new.kind == "f":
            word = "fptrunc" if new.itemsize < old.itemsize else "fpext"
        elif old.kind == "f":
            return self._truncate(old, new, value)
        elif new.kind == "f":
            word = "sitofp" if old.kind == "i" else "uitofp"
        else:
            word = "trunc" if new.itemsize < old.itemsize else "sext" if old.kind == "i" else "zext"
        return value if source == target else self.emit(f"{word} {source} {value} to {target}")

    def _truncate(self, old: np.dtype[Any], new: np.dtype[Any], value: str) -> str:
        """Float to integer by way of the integers that the kernels use, for the same values out of range."""
        source, target = type_name(old), type_name(new)
        if new == np.dtype("u8"):
            high = self.compare("ge", old, value, number(2.0**63))
            lowered = self.emit(f"fsub {source} {value}, {number(2.0**63)}")
            low = self._to_signed(source, "i64", self.select(high, source, lowered, value))
            top = self.select(high, "i64", str(-(2**63)), "0")
            return self.emit(f"xor i64 {low}, {top}")
        wide = "i32" if new.itemsize < 4 or (new.itemsize == 4 and new.kind == "i") else "i64"
        result = self._to_signed(source, wide, value)
        return result if wide == target else self.emit(f"trunc {wide} {result} to {target}")

    def _to_signed(self, source: str, target: str, value: str) -> str:
        # LLVM leaves open what is out of range, and would then narrow the conversion: what is frozen stays as it is.
        return self.emit(f"freeze {target} {self.emit(f'fptosi {source} {value} to {target}')}")


Rule = Callable[..., Value]


def supports(step: Step) -> bool:
    """Whether there is native code for a step of a loop."""
    if step.kernel in ("cast", "where"):
        return True
    if step.kernel in _RULES[_family(step.dtype)] or step.kernel in _TESTS:
        return True
    return has_function(step.kernel, step.dtype)


def _family(dtype: np.dtype[Any]) -> str:
    return "i" if dtype.kind == "u" else dtype.kind


def _word(word: str) -> Rule:
    """An instruction of one or two operands, part by part."""

    def rule(code: Writer, dtype: np.dtype[Any], *operands: Value) -> Value:
        return tuple(
            code.emit(f"{word} {type_name(dtype)} {', '.join(parts)}") for parts in zip(*operands, strict=True)
        )

    return rule


def _intrinsic(name: str) -> Rule:
    def rule(code: Writer, dtype: np.dtype[Any], *operands: Value) -> Value:
        return (code.intrinsic(name, type_name(dtype), *(item[0] for item in operands)),)

    return rule


def _float_choice(relation: str, nan: int) -> Rule:
    """The first operand where the relation holds or operand `nan` is none; else the second."""

    def rule(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
        tested = (a, b)[nan][0]
        first = code.either(code.compare(relation, dtype, a[0], b[0]), code.compare("ne", dtype, tested, tested))
        return (code.select(first, type_name(dtype), a[0], b[0]),)

    return rule


def _integer_choice(relation: str) -> Rule:
    def rule(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
        return (code.select(code.compare(relation, dtype, a[0], b[0]), type_name(dtype), a[0], b[0]),)

    return rule


def _float_sign(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    kind, zero = type_name(dtype), number(0.0)
    result = code.select(code.compare("eq", dtype, a[0], zero), kind, zero, a[0])
    result = code.select(code.compare("lt", dtype, a[0], zero), kind, number(-1.0), result)
    return (code.select(code.compare("gt", dtype, a[0], zero), kind, number(1.0), result),)


def _integer_sign(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    kind = type_name(dtype)
    more, less = (code.emit(f"zext i1 {code.compare(word, dtype, a[0], '0')} to {kind}") for word in ("gt", "lt"))
    return (code.emit(f"sub {kind} {more}, {less}"),)


def _integer_absolute(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    if dtype.kind == "u":
        return a
    kind = type_name(dtype)
    return (code.select(code.compare("lt", dtype, a[0], "0"), kind, code.emit(f"sub {kind} 0, {a[0]}"), a[0]),)


def _integer_negative(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    return (code.emit(f"sub {type_name(dtype)} 0, {a[0]}"),)


def _shift(left: bool) -> Rule:
    """Shifts by a negative amount, or by as many bits as there are, shift everything out."""

    def rule(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
        kind, bits = type_name(dtype), 8 * dtype.itemsize
        inside = code.emit(f"icmp ult {kind} {b[0]}, {bits}")
        word = "shl" if left else "ashr" if dtype.kind == "i" else "lshr"
        amount = code.select(inside, kind, b[0], "0")
        shifted = code.emit(f"{word} {kind} {a[0]}, {amount}")
        outside = code.emit(f"ashr {kind} {a[0]}, {bits - 1}") if word == "ashr" else "0"
        return (code.select(inside, kind, shifted, outside),)

    return rule


def _parts_of_division(code: Writer, dtype: np.dtype[Any], a: str, b: str) -> tuple[str, str, str]:
    """Quotient and remainder towards zero, both 0 for a division by zero, and whether they lie below the floor."""
    kind = type_name(dtype)
    by_zero = code.compare("eq", dtype, b, "0")
    if dtype.kind == "u":
        divisor = code.select(by_zero, kind, "1", b)
        rest = code.emit(f"urem {kind} {a}, {divisor}")
        return code.select(by_zero, kind, "0", code.emit(f"udiv {kind} {a}, {divisor}")), rest, "false"
    # The smallest number divided by -1 is a trap.
    by_minus_one = code.compare("eq", dtype, b, "-1")
    divisor = code.select(code.either(by_zero, by_minus_one), kind, "1", b)
    rest = code.emit(f"srem {kind} {a}, {divisor}")
    quotient = code.select(by_zero, kind, "0", code.emit(f"sdiv {kind} {a}, {divisor}"))
    quotient = code.select(by_minus_one, kind, code.emit(f"sub {kind} 0, {a}"), quotient)
    signs = code.compare("lt", dtype, code.emit(f"xor {kind} {a}, {b}"), "0")
    return quotient, rest, code.both(code.compare("ne", dtype, rest, "0"), signs)


def _floor_divide(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
    kind = type_name(dtype)
    quotient, _, below = _parts_of_division(code, dtype, a[0], b[0])
    return (code.select(below, kind, code.emit(f"sub {kind} {quotient}, 1"), quotient),)


def _remainder(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
    kind = type_name(dtype)
    _, rest, below = _parts_of_division(code, dtype, a[0], b[0])
    return (code.select(below, kind, code.emit(f"add {kind} {rest}, {b[0]}"), rest),)


def _fmod(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
    return (_parts_of_division(code, dtype, a[0], b[0])[1],)


def _square(word: str) -> Rule:
    return lambda code, dtype, a: (code.emit(f"{word} {type_name(dtype)} {a[0]}, {a[0]}"),)


def _reciprocal(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    return (code.emit(f"fdiv {type_name(dtype)} {number(1.0)}, {a[0]}"),)


def _signbit(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    kind = f"i{8 * dtype.itemsize}"
    bits = code.emit(f"bitcast {type_name(dtype)} {a[0]} to {kind}")
    return code.truth(code.emit(f"icmp slt {kind} {bits}, 0"))


def _complex_multiply(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
    kind = type_name(dtype)
    products = [code.emit(f"fmul {kind} {x}, {y}") for x, y in ((a[0], b[0]), (a[1], b[1]), (a[0], b[1]), (a[1], b[0]))]
    real = code.emit(f"fsub {kind} {products[0]}, {products[1]}")
    return real, code.emit(f"fadd {kind} {products[2]}, {products[3]}")


def _conjugate(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    return a[0], code.emit(f"fneg {type_name(dtype)} {a[1]}")


def _relation(relation: str) -> Rule:
    def rule(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
        part = part_type(dtype)
        found = [code.compare(relation, part, *parts) for parts in zip(a, b, strict=True)]
        if len(found) == 1:
            return code.truth(found[0])
        return code.truth(code.both(*found) if relation == "eq" else code.either(*found))

    return rule


def _logic(word: str) -> Rule:
    def rule(code: Writer, dtype: np.dtype[Any], a: Value, b: Value) -> Value:
        return code.truth(code.emit(f"{word} i1 {code.is_true(dtype, a)}, {code.is_true(dtype, b)}"))

    return rule


def _logical_not(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    return code.truth(code.emit(f"xor i1 {code.is_true(dtype, a)}, true"))


def _size_test(relation: str, join: str) -> Rule:
    """A test of the size of each part against infinity."""

    def rule(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
        if dtype.kind not in "fc":
            return ("1" if relation == "lt" else "0",)
        part, kind, infinity = part_type(dtype), type_name(dtype), number(float("inf"))
        found = [code.compare(relation, part, code.intrinsic("fabs", kind, item), infinity) for item in a]
        return code.truth(found[0] if len(found) == 1 else code.emit(f"{join} i1 {found[0]}, {found[1]}"))

    return rule


def _isnan(code: Writer, dtype: np.dtype[Any], a: Value) -> Value:
    if dtype.kind not in "fc":
        return ("0",)
    found = [code.compare("ne", part_type(dtype), item, item) for item in a]
    return code.truth(found[0] if len(found) == 1 else code.either(*found))


_TESTS: dict[str, Rule] = {
    "isnan": _isnan,
    "isinf": _size_test("eq", "or"),
    "isfinite": _size_test("lt", "and"),
    "equal": _relation("eq"),
    "not_equal": _relation("ne"),
    "logical_and": _logic("and"),
    "logical_or": _logic("or"),
    "logical_xor": _logic("xor"),
    "logical_not": _logical_not,
}
"""What has the same rule for all dtypes."""

_ORDER: dict[str, Rule] = {
    "less": _relation("lt"),
    "less_equal": _relation("le"),
    "greater": _relation("gt"),
    "greater_equal": _relation("ge"),
}

_RULES: dict[str, dict[str, Rule]] = {
    "f": {
        "add": _word("fadd"),
        "subtract": _word("fsub"),
        "multiply": _word("fmul"),
        "divide": _word("fdiv"),
        "negative": _word("fneg"),
        "square": _square("fmul"),
        "reciprocal": _reciprocal,
        "absolute": _intrinsic("fabs"),
        "sign": _float_sign,
        "sqrt": _intrinsic("sqrt"),
        "floor": _intrinsic("floor"),
        "ceil": _intrinsic("ceil"),
        "trunc": _intrinsic("trunc"),
        "rint": _intrinsic("rint"),
        "copysign": _intrinsic("copysign"),
        "maximum": _float_choice("ge", 0),
        "minimum": _float_choice("le", 0),
        "fmax": _float_choice("ge", 1),
        "fmin": _float_choice("le", 1),
        "signbit": _signbit,
        **_ORDER,
    },
    "i": {
        "add": _word("add"),
        "subtract": _word("sub"),
        "multiply": _word("mul"),
        "square": _square("mul"),
        "negative": _integer_negative,
        "absolute": _integer_absolute,
        "sign": _integer_sign,
        "floor_divide": _floor_divide,
        "remainder": _remainder,
        "fmod": _fmod,
        "maximum": _integer_choice("gt"),
        "minimum": _integer_choice("lt"),
        "fmax": _integer_choice("gt"),
        "fmin": _integer_choice("lt"),
        "bitwise_and": _word("and"),
        "bitwise_or": _word("or"),
        "bitwise_xor": _word("xor"),
        "invert": lambda code, dtype, a: (code.emit(f"xor {type_name(dtype)} {a[0]}, -1"),),
        "left_shift": _shift(True),
        "right_shift": _shift(False),
        **_ORDER,
    },
    "b": {
        "add": _word("or"),
        "multiply": _word("and"),
        "absolute": lambda code, dtype, a: a,
        "maximum": _word("or"),
        "minimum": _word("and"),
        "fmax": _word("or"),
        "fmin": _word("and"),
        "bitwise_and": _word("and"),
        "bitwise_or": _word("or"),
        "bitwise_xor": _word("xor"),
        "invert": lambda code, dtype, a: (code.emit(f"xor i8 {a[0]}, 1"),),
        **_ORDER,
    },
    "c": {
        "add": _word("fadd"),
        "subtract": _word("fsub"),
        "negative": _word("fneg"),
        "conjugate": _conjugate,
        "real": lambda code, dtype, a: a[:1],
        "imag": lambda code, dtype, a: a[1:],
    },
}

if platform.machine().lower() in ("x86_64", "amd64"):
    # Elsewhere the compiler of the kernels may contract a product and a sum into one instruction.
    _RULES["c"].update(multiply=_complex_multiply, square=lambda code, dtype, a: _complex_multiply(code, dtype, a, a))
