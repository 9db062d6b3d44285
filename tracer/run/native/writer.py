"""Straight-line code in LLVM's language, one instruction after the other.

A value of a register is the names of its parts: one, or the real and the imaginary part. Truth values are bytes, as in
memory.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Value = tuple[str, ...]
"""The names of the parts of a register."""

_FLOATS = {4: "float", 8: "double"}


def part_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a register: real for complex numbers."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def type_name(dtype: np.dtype[Any]) -> str:
    """LLVM's name of the parts of a register."""
    part = part_type(dtype)
    return _FLOATS[part.itemsize] if part.kind == "f" else f"i{8 * part.itemsize}"


def constant(value: np.generic) -> Value:
    """A register that is the same everywhere."""
    if value.dtype.kind == "c":
        return (*constant(value.real), *constant(value.imag))
    if value.dtype.kind == "f":
        return (number(float(value)),)
    return (str(int(value)),)


def number(value: float) -> str:
    """A float constant, whatever its width."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Writer:
    """Writes straight-line code, and collects the declarations that it needs.

    Parameters
    ----------
    lanes : int or None
        A number makes it the code of vectors of so many elements, of floats, integers and conditions alike.
    """

    def __init__(self, lanes: int | None = None) -> None:
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.lanes = lanes
        self._count = 0

    def kind(self, name: str) -> str:
        """The type of what holds elements of a type."""
        return name if self.lanes is None else f"<{self.lanes} x {name}>"

    def literal(self, name: str, text: str) -> str:
        """A constant of a type."""
        return text if self.lanes is None else f"<{', '.join([f'{name} {text}'] * self.lanes)}>"

    def emit(self, text: str) -> str:
        """Append an instruction; gives the name of its result."""
        self._count += 1
        self.lines.append(f"  %v{self._count} = {text}")
        return f"%v{self._count}"

    def intrinsic(self, name: str, kind: str, *operands: str) -> str:
        """Call one of LLVM's functions of floats."""
        width = "f64" if "double" in kind else "f32"
        full = f"@llvm.{name}.{width if self.lanes is None else f'v{self.lanes}{width}'}"
        self.declarations.add(f"declare {kind} {full}({', '.join([kind] * len(operands))})")
        return self.emit(f"call {kind} {full}({', '.join(f'{kind} {item}' for item in operands)})")

    def select(self, condition: str, kind: str, yes: str, no: str) -> str:
        """One of two parts."""
        return self.emit(f"select {self.kind('i1')} {condition}, {kind} {yes}, {kind} {no}")

    def both(self, a: str, b: str) -> str:
        """Whether two conditions hold."""
        return self.emit(f"and {self.kind('i1')} {a}, {b}")

    def either(self, a: str, b: str) -> str:
        """Whether one of two conditions holds."""
        return self.emit(f"or {self.kind('i1')} {a}, {b}")

    def negated(self, condition: str) -> str:
        """Whether a condition does not hold."""
        return self.emit(f"xor {self.kind('i1')} {condition}, {self.literal('i1', 'true')}")

    def compare(self, relation: str, dtype: np.dtype[Any], a: str, b: str) -> str:
        """Compare two numbers by "eq", "ne", "lt", "le", "gt" or "ge"; only "ne" holds for a NaN."""
        if dtype.kind == "f":
            prefix, word = "fcmp", ("u" if relation == "ne" else "o") + relation
        else:
            sign = "" if relation in ("eq", "ne") else "s" if dtype.kind == "i" else "u"
            prefix, word = "icmp", sign + relation
        return self.emit(f"{prefix} {word} {self.kind(type_name(dtype))} {a}, {b}")

    def truth(self, condition: str) -> Value:
        """A condition as a register."""
        return (self.emit(f"zext i1 {condition} to i8"),)

    def is_true(self, dtype: np.dtype[Any], value: Value) -> str:
        """Whether a register is not zero."""
        zero = number(0.0) if dtype.kind in "fc" else "0"
        found = [self.compare("ne", part_type(dtype), part, zero) for part in value]
        return found[0] if len(found) == 1 else self.either(*found)
