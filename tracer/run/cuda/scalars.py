"""Scalar operations as device functions: their expressions are those of `ops.def`, their functions in the preamble."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.instructions import Step
from tracer.run import cpu
from tracer.run.cuda.halves import HALF, is_half

_FAMILIES = {
    "b": ("bool", "compare"),
    "i": ("integer", "compare"),
    "u": ("integer", "compare"),
    "f": ("float", "float_bool", "compare"),
    "c": ("complex", "complex_real", "complex_bool"),
}
_PREAMBLES = ("preamble.cuh", "matrices.cuh", "real_functions.cuh", "complex_functions.cuh", "draws.cuh")
_NAMESPACES = {"b": "integers", "i": "integers", "u": "integers", "f": "floats", "c": "complexes"}
# Their low bits depend on the low bits of the operands alone, so that they may be done without a sign.
_WRAPPING = frozenset({"add", "subtract", "multiply", "negative", "square"})
_DOUBLE = (np.dtype(np.float64), np.dtype(np.complex128))


class Section(NamedTuple):
    """A piece of the preambles, and the words of which one makes a module need it."""

    words: frozenset[str]
    text: str


@cache
def _sections() -> tuple[Section, ...]:
    sections = []
    for name in _PREAMBLES:
        text = (Path(__file__).parent / name).read_text(encoding="utf-8")
        _, *pieces = re.split(r"^//@ (.*)\n", text, flags=re.MULTILINE)
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        sections += [Section(frozenset(words.split()), body.rstrip("\n") + "\n") for words, body in pairs]
    return tuple(sections)


def preamble(source: str, functions: set[str]) -> str:
    """What a source needs, with device functions that `Functions` has collected."""
    words = {"core", *functions, *re.findall(r"[A-Za-z_]\w*", source)}
    return "".join(section.text for section in _sections() if section.words & words)


@cache
def _expressions() -> dict[tuple[str, str], str]:
    return {(name, family): text for name, family, _, text in cpu.scalar_operations()}


def type_name(dtype: np.dtype[Any]) -> str:
    """The preamble's name of the type of a register; truth values are bytes, numbers of 16 bits are float32."""
    if is_half(dtype):
        return "float32"
    return "uint8" if dtype.kind == "b" else dtype.name


def memory_name(dtype: np.dtype[Any]) -> str:
    """The preamble's name of a type in memory."""
    if is_half(dtype):
        return "float16" if dtype == HALF else "bfloat16"
    return type_name(dtype)


def literal(value: np.generic) -> str:
    """A constant, to the bit but for what kind of no number it is."""
    dtype = value.dtype
    if dtype.kind == "c":
        return f"{dtype.name}{{{literal(value.real)}, {literal(value.imag)}}}"
    if dtype.kind == "f":
        bits, number = str(max(8 * dtype.itemsize, 32)), float(value)
        if np.isnan(number):
            return f"NAN{bits}"
        if np.isinf(number):
            return f"{'-' if number < 0 else ''}INF{bits}"
        return number.hex() + ("f" if dtype.itemsize <= 4 else "")
    whole = int(value)
    if dtype.kind == "u":
        return f"{type_name(dtype)}({whole}ull)"
    # The lowest number has no literal of its own.
    text = f"{whole}ll" if whole > -(2**63) else "-9223372036854775807ll - 1"
    return f"{type_name(dtype)}({text})"


def has_kernel(name: str, operand: np.dtype[Any], result: np.dtype[Any]) -> bool:
    """Whether there is a scalar operation on these dtypes: those of the CPU, and for float16 those of float32."""
    single = np.dtype(np.float32)
    if HALF not in (operand, result):
        return cpu.has_kernel(name, operand, result)
    if name == "cast":
        return True
    return cpu.has_kernel(name, single if operand == HALF else operand, single if result == HALF else result)


def supports(step: Step) -> bool:
    """Whether there is device code for a step of a loop."""
    return step.kernel in ("cast", "where") or _family(step) is not None


def _family(step: Step) -> str | None:
    families = _FAMILIES.get(step.dtype.kind, ())
    return next((family for family in families if (step.kernel, family) in _expressions()), None)


class Functions:
    """Device functions of scalar operations, as far as they were asked for.

    Attributes
    ----------
    needed : set of str
        Functions of the preamble that they call.
    """

    def __init__(self) -> None:
        self.needed: set[str] = set()
        self._texts: dict[str, str] = {}

    def add(self, other: Functions) -> None:
        """Add those that others have asked for."""
        self.needed |= other.needed
        self._texts.update(other._texts)

    def text(self) -> str:
        """Their definitions."""
        return "".join(self._texts.values())

    def constant(self, array: np.ndarray[Any, Any]) -> str:
        """The name of the words that hold the elements of an array."""
        data = array.tobytes() + bytes(-array.nbytes % 8 or 8 * (not array.nbytes))
        name = f"constant_{hashlib.sha256(data).hexdigest()[:12]}"
        words = ", ".join(f"{word}ull" for word in np.frombuffer(data, "<u8"))
        self._texts[name] = f"alignas(16) static __device__ const uint64 {name}[] = {{{words}}};\n"
        return name

    def apply(self, step: Step, operands: list[str]) -> str:
        """An expression for a step of which `supports` holds."""
        if step.kernel == "where":
            return f"{operands[0]} ? {operands[1]} : {operands[2]}"
        if step.kernel == "cast":
            return _cast(step.dtype, step.out, operands[0])
        family = _family(step)
        assert family is not None
        name = f"{step.kernel}_{step.dtype.name}"
        space = _NAMESPACES[step.dtype.kind]
        if name not in self._texts:
            self._texts[name] = self._define(name, space, step, _expressions()[step.kernel, family], len(operands))
        return f"{space}::{name}({', '.join(operands)})"

    def _define(self, name: str, space: str, step: Step, expression: str, arity: int) -> str:
        kind, out = type_name(step.dtype), type_name(step.out)
        self.needed |= {f"{space}::{word}" for word in re.findall(r"\b([a-z_]\w*)\(", expression)}
        names, before = ("a", "b")[:arity], ""
        if space == "integers" and step.dtype.kind != "b":
            if step.kernel in _WRAPPING:
                names = ("x", "y")[:arity]
                pairs = zip("ab", names, strict=False)
                before = "".join(f"const Wide<{kind}> {a} = static_cast<Wide<{kind}>>({x}); " for a, x in pairs)
            else:
                expression = re.sub(r"(?<=[?:] )-(\w+)", r"minus(\1)", expression)
        parameters = ", ".join(f"{kind} {word}" for word in names)
        result = expression if step.out.kind == "c" else f"static_cast<{out}>({expression})"
        if step.out == HALF:
            result = f"half_rounded({result})"
        return f"namespace {space} {{\nDEVICE {out} {name}({parameters}) {{\n    {before}return {result};\n}}\n}}\n"


def _cast(old: np.dtype[Any], new: np.dtype[Any], value: str) -> str:
    if old.kind == "c" and new.kind == "c":
        part = f"float{4 * new.itemsize}"
        return f"{new.name}{{static_cast<{part}>({value}.re), static_cast<{part}>({value}.im)}}"
    if new.kind == "b":
        return f"uint8({value}.re != 0 || {value}.im != 0)" if old.kind == "c" else f"uint8({value} != 0)"
    if old.kind == "c":
        value = f"{value}.re"
    if new.kind == "c":
        return f"{new.name}{{convert<float{4 * new.itemsize}>({value}), 0}}"
    if new == HALF:  # of float64 rounded once, of all others by way of float32, as NumPy does
        return f"half_rounded({value if old in _DOUBLE else f'convert<float32>({value})'})"
    return f"convert<{new.name}>({value})"
