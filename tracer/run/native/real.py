"""Floats of straight-line code, to write formulas with operators.

A product that is only added to something is fused with the sum, as compilers of the block kernels do it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.run.native.writer import Writer, number, type_name


class Real:
    """A float32 or float64 of straight-line code.

    A product is not computed before it is used: what is added to it takes it as one fused multiply-add, and rounds
    once. `rounded` is a product that rounds on its own.

    Parameters
    ----------
    code : Writer
    dtype : numpy.dtype
    name : str or None
        What the code calls it; None for a product that is not computed yet.
    factors : tuple of str
    """

    __slots__ = ("_name", "code", "dtype", "factors")

    def __init__(self, code: Writer, dtype: np.dtype[Any], name: str | None, factors: tuple[str, ...] = ()) -> None:
        self.code, self.dtype, self._name, self.factors = code, dtype, name, factors

    @property
    def kind(self) -> str:
        """LLVM's name of the type."""
        return self.code.kind(type_name(self.dtype))

    @property
    def bits_kind(self) -> str:
        """LLVM's name of integers of the same size."""
        return self.code.kind(f"i{8 * self.dtype.itemsize}")

    @property
    def wide(self) -> bool:
        """Whether it is a float64."""
        return self.dtype.itemsize == 8

    @property
    def name(self) -> str:
        """What the code calls it."""
        if self._name is None:
            self._name = self.code.emit(f"fmul {self.kind} {', '.join(self.factors)}")
            self.factors = ()
        return self._name

    def rounded(self) -> Real:
        """The same, computed here and now."""
        return self.made(self.name)

    def made(self, name: str | None, factors: tuple[str, ...] = ()) -> Real:
        """Another number of the same type."""
        return Real(self.code, self.dtype, name, factors)

    def constant(self, value: float) -> Real:
        """A number of the same type that is the same everywhere."""
        return self.made(self.code.literal(type_name(self.dtype), number(float(self.dtype.type(value)))))

    def _other(self, value: Real | float) -> Real:
        return value if isinstance(value, Real) else self.constant(value)

    def _word(self, word: str, other: Real) -> Real:
        return self.made(self.code.emit(f"{word} {self.kind} {self.name}, {other.name}"))

    def fused(self, factor: Real | float, summand: Real | float) -> Real:
        """``self * factor + summand``, rounded once."""
        operands = (self.name, self._other(factor).name, self._other(summand).name)
        return self.made(self.code.intrinsic("fma", self.kind, *operands))

    def __neg__(self) -> Real:
        if self.factors:
            return self.made(None, ((-self.made(self.factors[0])).name, self.factors[1]))
        return self.made(self.code.emit(f"fneg {self.kind} {self.name}"))

    def __mul__(self, other: Real | float) -> Real:
        return self.made(None, (self.name, self._other(other).name))

    __rmul__ = __mul__

    def __add__(self, other: Real | float) -> Real:
        other = self._other(other)
        for product, summand in ((self, other), (other, self)):
            if product.factors:
                a, b = (self.made(factor) for factor in product.factors)
                return a.fused(b, summand)
        return self._word("fadd", other)

    __radd__ = __add__

    def __sub__(self, other: Real | float) -> Real:
        other = self._other(other)
        if self.factors:
            return self + -other.rounded()
        if other.factors:
            return self + -other
        return self._word("fsub", other)

    def __rsub__(self, other: float) -> Real:
        return self._other(other) - self

    def __truediv__(self, other: Real | float) -> Real:
        return self._word("fdiv", self._other(other))

    def __rtruediv__(self, other: float) -> Real:
        return self._other(other) / self

    def is_(self, relation: str, other: Real | float) -> str:
        """A condition: "eq", "ne", "lt", "le", "gt" or "ge"; only "ne" holds for a NaN."""
        return self.code.compare(relation, self.dtype, self.name, self._other(other).name)

    def where(self, condition: str, other: Real | float) -> Real:
        """Itself where a condition holds, else the other."""
        return self.made(self.code.select(condition, self.kind, self.name, self._other(other).name))

    def clamp(self, low: float, high: float) -> Real:
        """The nearest number between two; lets NaN through."""
        below = self.constant(high).where(self.is_("gt", high), self)
        return self.constant(low).where(below.is_("lt", low), below)

    def larger(self, other: Real | float) -> Real:
        """The larger of two, the other one if one of them is NaN."""
        return self.where(self.is_("gt", other), other)

    def is_finite(self) -> str:
        """Whether this is neither infinite nor NaN."""
        return self.magnitude().is_("lt", float("inf"))

    def is_infinite(self) -> str:
        """Whether this is an infinity."""
        return self.magnitude().is_("eq", float("inf"))

    def call(self, name: str, *others: Real) -> Real:
        """One of LLVM's functions."""
        return self.made(self.code.intrinsic(name, self.kind, self.name, *(other.name for other in others)))

    def magnitude(self) -> Real:
        """Without its sign."""
        return self.call("fabs")

    def with_sign(self, other: Real) -> Real:
        """With the sign of another number; this one has none."""
        return self.call("copysign", other)

    def bits(self) -> Bits:
        """The same bits as an integer."""
        return Bits(self, self.code.emit(f"bitcast {self.kind} {self.name} to {self.bits_kind}"))

    def as_dtype(self, dtype: np.dtype[Any]) -> Real:
        """The nearest number of the other float type."""
        word = "fpext" if dtype.itemsize == 8 else "fptrunc"
        name = self.code.emit(f"{word} {self.kind} {self.name} to {self.code.kind(type_name(dtype))}")
        return Real(self.code, dtype, name)


class Bits:
    """An integer as wide as a float, modulo its range.

    Parameters
    ----------
    like : Real
        A number of the float type.
    name : str
    """

    __slots__ = ("like", "name")

    def __init__(self, like: Real, name: str) -> None:
        self.like, self.name = like, name

    def _word(self, word: str, other: Bits | int) -> Bits:
        operand = other.name if isinstance(other, Bits) else self._literal(other)
        return Bits(self.like, self.like.code.emit(f"{word} {self.like.bits_kind} {self.name}, {operand}"))

    def _literal(self, value: int) -> str:
        width = 8 * self.like.dtype.itemsize
        return self.like.code.literal(f"i{width}", str((value + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)))

    def __add__(self, other: Bits | int) -> Bits:
        return self._word("add", other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._word("sub", other)

    def __and__(self, other: Bits | int) -> Bits:
        return self._word("and", other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._word("or", other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._word("xor", other)

    def __lshift__(self, other: int) -> Bits:
        return self._word("shl", other)

    def __rshift__(self, other: int) -> Bits:
        return self._word("lshr", other)

    def is_zero(self) -> str:
        """Whether no bit is set."""
        return self.like.code.emit(f"icmp eq {self.like.bits_kind} {self.name}, {self._literal(0)}")

    def number(self) -> Real:
        """The same bits as a float."""
        like = self.like
        return like.made(like.code.emit(f"bitcast {like.bits_kind} {self.name} to {like.kind}"))
