"""Draws of NumPy's generators as kernels, and the states that they lead to, on the host.

A generator is followed where its bits can be computed from the state and a distance alone (PCG64 and Philox), and a
distribution where each number takes as many bits as any other. The numbers are NumPy's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.instructions import Buffer, Call, Shape, View
from tracer.lower.program import Program
from tracer.run.cuda.layout import Operand
from tracer.run.cuda.scalars import literal, type_name
from tracer.run.cuda.writer import FAR, THREADS, Kernel, Launch, ceiling, coordinates, index_type, place_of
from tracer.types import contiguous_strides

MOST_THREADS = 2**17
"""Threads of a draw: a power of two. Each of them goes on in steps of all of them."""
_WIDE, _HALF, _NONE = "wide", "half", "none"
_STATE_WORDS = {"pcg64": 6, "philox": 13}
_HAS_HALF = {"pcg64": 4, "philox": 11}
_WORD = np.dtype(np.uint64)


class Sample(NamedTuple):
    """Numbers of one distribution.

    Attributes
    ----------
    name : str
        As in the kernel of a call.
    unit : {"wide", "half", "none"}
        What each number takes: 64 bits, 32, of which the upper ones wait for the next that takes as many, or none.
    parameters : tuple of (Operand, Shape)
    out : Operand
    shape : tuple of int
    low, bits
        Integers: the lowest, and the logarithm of how many there are.
    """

    name: str
    unit: str
    parameters: tuple[tuple[Operand, Shape], ...]
    out: Operand
    shape: Shape
    low: int = 0
    bits: int = 0

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


class Drawn(NamedTuple):
    """Samples of one generator in turn.

    Attributes
    ----------
    kind : {"pcg64", "philox"}
    state, after : Operand
        The words of its state before and after them.
    samples : tuple of Sample
    """

    kind: str
    state: Operand
    after: Operand
    samples: tuple[Sample, ...]

    def advanced(self, words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The state after the draws, from the one before them."""
        state = [int(word) for word in words]
        for sample in self.samples:
            state = _advanced(self.kind, state, sample.unit, sample.size)
        return np.array(state, _WORD)


# --- what is drawn on a GPU --------------------------------------------------------------------------------------


def drawn_by(instruction: Call, program: Program) -> Drawn | None:
    """What kernels draw for a call; None if it draws nothing, or what the host must draw."""
    word, *rest = instruction.kernel.split() or [""]
    if word != "draw" or rest[0] not in _STATE_WORDS or len(instruction.inputs[0][1]) != 1:
        return None
    kind, *names = rest
    inputs = [(_operand(view, program.buffers), shape) for view, shape in instruction.inputs]
    outputs = [(_operand(view, program.buffers), shape) for view, shape in instruction.outputs]
    samples, place = [], 1
    for name, (out, shape) in zip(names, outputs[1:], strict=True):
        name, _, letters = name.partition("/")
        given = inputs[place : place + len(letters)]
        place += len(letters)
        parameters = [item for item, letter in zip(given, letters, strict=True) if letter == "p"]
        sample = _sample(name, parameters, out, shape, program)
        if sample is None:
            return None
        samples.append(sample)
    state, after = inputs[0][0], outputs[0][0]
    return Drawn(kind, state, after, tuple(samples)) if state.strides == after.strides == (1,) else None


def _operand(view: View, buffers: Sequence[Buffer]) -> Operand:
    return Operand(view.buffer, view.offset, view.strides, buffers[view.buffer].dtype)


def _sample(name: str, parameters: list[Any], out: Operand, shape: Shape, program: Program) -> Sample | None:
    own = contiguous_strides(shape)
    if any(length != 1 and a != b for length, a, b in zip(shape, out.strides, own, strict=True)):
        return None
    numbers: list[Any] = [_constant(operand, its, program) for operand, its in parameters]
    if name == "random" and out.dtype == np.float64:
        return Sample(name, _WIDE, (), out, shape)
    if name == "random_f" and out.dtype == np.float32:
        return Sample(name, _HALF, (), out, shape)
    if name == "uniform" and out.dtype.kind == "f" and out.dtype.itemsize > 2 and _adds_products_apart():
        known = all(operand.dtype.name in ("float64", "float32", "int64") for operand, _ in parameters)
        low, high = (None, None) if None in numbers else map(float, numbers)
        is_fine = low is None or high is None or (low < high and math.isfinite(high - low))
        return Sample(name, _WIDE, tuple(parameters), out, shape) if known and is_fine else None
    is_known = None not in numbers and not name.endswith(("_f", "_other"))
    if name.startswith("integers") and is_known and out.dtype == np.int64:
        return _integers(name, list(map(int, numbers)), out, shape)
    return None


def _integers(name: str, numbers: list[int], out: Operand, shape: Shape) -> Sample | None:
    """Integers of which there are a power of two: of others, NumPy draws some again."""
    low, high = numbers if len(numbers) == 2 else (0, *numbers)
    count = high - low + ("_closed" in name)
    if count < 1 or count & (count - 1) or not -(2**63) <= low < 2**63:
        return None
    bits = count.bit_length() - 1
    return Sample("integers", _NONE if not bits else _HALF if bits <= 32 else _WIDE, (), out, shape, low, bits)


def _constant(operand: Operand, shape: Shape, program: Program) -> Any:
    """The number that a parameter is; None if it is known only later, or is several."""
    buffer = program.buffers[operand.buffer]
    if buffer.kind != "constant" or math.prod(shape) != 1:
        return None
    return program.constants[buffer.index].reshape(-1)[operand.offset]


@cache
def _adds_products_apart() -> bool:
    """Whether NumPy rounds a product before it adds it, as the kernels do: compilers for some machines do not."""
    one, other = (np.random.Generator(np.random.PCG64(1)) for _ in range(2))
    found = one.uniform(0.1, 0.7, 256)
    return bool(np.array_equal(found, 0.1 + (0.7 - 0.1) * other.random(256)))


# --- kernels -----------------------------------------------------------------------------------------------------


def written(drawn: Drawn, number: int, new: Callable[[], Kernel], finish: Callable[..., Launch]) -> list[Launch]:
    """Write the kernels of the draws of an instruction: `finish` takes each, what to call it, and its blocks."""
    launches: list[Launch] = []
    source, offset = drawn.state, 0

    def move_on(unit: str, count: int) -> Operand:
        kernel = new()
        _write_state(kernel, drawn, source, unit, count)
        launches.append(finish(kernel, "state", 1))
        return drawn.after

    for sample in drawn.samples:
        if sample.unit == _HALF and offset:
            source, offset = move_on(_WIDE, offset), 0
        if sample.size:
            kernel = new()
            launches.append(finish(kernel, "draw", _write_sample(kernel, drawn, sample, source, offset, number)))
        if sample.unit == _HALF:
            source = move_on(_HALF, sample.size)
        elif sample.unit == _WIDE:
            offset += sample.size
    if offset or source is drawn.state:
        move_on(_WIDE, offset)
    return launches


def _write_sample(kernel: Kernel, drawn: Drawn, sample: Sample, state: Operand, offset: int, number: int) -> int:
    """Write a sample whose bits begin so many words after a state; gives the number of blocks."""
    count = sample.size
    words = ceiling(count, 2) if sample.unit == _HALF else count
    source = kernel.pointer(state)
    threads = THREADS
    while threads < min(words, MOST_THREADS):
        threads *= 2
    kernel.line(f"const uint32 thread = blockIdx.x * {THREADS}u + threadIdx.x;")
    if sample.unit == _NONE:
        kernel.loop("w", "thread", f"{count}ull", f"{threads}u", True)
        _store(kernel, sample, "w", "", number)
        kernel.close()
        return threads // THREADS
    if sample.unit == _HALF:
        kernel.line(f"const uint64 waiting = {source}[{_HAS_HALF[drawn.kind]}] ? 1 : 0;")
        kernel.open("if (waiting && thread == 0)")
        kernel.line(f"const uint32 half = static_cast<uint32>({source}[{_HAS_HALF[drawn.kind] + 1}]);")
        _store(kernel, sample, "0", "half", number)
        kernel.close()
    if drawn.kind == "pcg64":
        kernel.line(f"Pcg64 bits({source});")
        kernel.line(f"bits.jump({_jump(offset + 1)});")
        for bit in range(threads.bit_length() - 1):
            kernel.line(f"if (thread & {1 << bit}u) bits.jump({_jump(1 << bit)});")
        kernel.loop("w", "thread", f"{words}ull", f"{threads}u", True)
        kernel.line("const uint64 word = bits.word();")
        _visit(kernel, sample, number)
        kernel.line(f"bits.jump({_jump(threads)});")
        kernel.close()
    else:
        kernel.line(f"const uint64 begin = {source}[10] + {offset}ull;")
        kernel.loop("block", f"{offset // 4}ull + thread", f"{ceiling(offset + words, 4) + 1}ull", f"{threads}u", True)
        kernel.line(f"const Philox bits({source}, block);")
        kernel.open("for (uint32 lane = 0; lane < 4; ++lane)")
        kernel.line("const uint64 w = block * 4 + lane - begin;")  # of those before the first a large number
        kernel.line(f"if (w >= {words}ull) continue;")
        kernel.line("const uint64 word = bits.v[lane];")
        _visit(kernel, sample, number)
        kernel.close()
        kernel.close()
    return threads // THREADS


def _visit(kernel: Kernel, sample: Sample, number: int) -> None:
    """Write what is done with the 64 bits `word`, number `w` of them."""
    if sample.unit == _WIDE:
        _store(kernel, sample, "w", "word", number)
        return
    for place, value in enumerate(("word", "word >> 32")):
        kernel.open(f"if (w * 2 + waiting + {place} < {sample.size}ull)")
        kernel.line(f"const uint32 half = static_cast<uint32>({value});")
        _store(kernel, sample, f"w * 2 + waiting + {place}", "half", number)
        kernel.close()


def _store(kernel: Kernel, sample: Sample, place: str, source: str, number: int) -> None:
    """Write how one number is made of its bits, and goes to its place."""
    wide = sample.size >= FAR
    kernel.open()
    kernel.line(f"const {index_type(wide)} i = static_cast<{index_type(wide)}>({place});")
    if sample.name == "random":
        value = f"unit_float64({source})"
    elif sample.name == "random_f":
        value = f"unit_float32({source})"
    elif sample.name == "uniform":
        coordinates(kernel, "i", list(enumerate(sample.shape)), wide)
        for name, (operand, shape) in zip(("low", "high"), sample.parameters, strict=True):
            lead = len(sample.shape) - len(shape)
            steps = [0 if length == 1 else step for length, step in zip(shape, operand.strides, strict=True)]
            over = operand._replace(strides=(*(0,) * lead, *steps))
            kernel.line(f"const float64 {name} = static_cast<float64>({kernel.pointer(operand)}[{place_of(over)}]);")
        kernel.line("const float64 width = high - low;")
        kernel.line(f"if (!is_range(width)) report_index({kernel.error()}, {number}, 0, i);")
        value = f"low + width * unit_float64({source})"
    else:
        unit = 64 if sample.unit == _WIDE else 32
        low = literal(np.int64(sample.low))
        part = f"({source} >> {unit - sample.bits})" if sample.bits else "0"
        value = f"static_cast<uint64>({low}) + {part}"
    kernel.line(f"{kernel.pointer(sample.out, True)}[i] = static_cast<{type_name(sample.out.dtype)}>({value});")
    kernel.close()


def _write_state(kernel: Kernel, drawn: Drawn, state: Operand, unit: str, count: int) -> None:
    """Write the state after so many numbers of a unit; a single thread does."""
    source, target = kernel.pointer(state), kernel.pointer(drawn.after, True)
    has_half, size = _HAS_HALF[drawn.kind], _STATE_WORDS[drawn.kind]
    kernel.open("if (threadIdx.x == 0)")
    kernel.line(f"uint64 old[{size}];")
    kernel.line(f"for (int i = 0; i < {size}; ++i) old[i] = {source}[i];")
    kernel.line("uint64 last = 0;")
    if unit == _HALF and count:
        kernel.line(f"const uint64 waiting = old[{has_half}] ? 1 : 0;")
        kernel.line(f"const uint64 words = ({count}ull - waiting + 1) / 2;")
        kernel.line(f"old[{has_half}] = ({count}ull - waiting) & 1;")
    else:
        kernel.line(f"const uint64 words = {count}ull;")
    if drawn.kind == "pcg64":
        _step_pcg(kernel, count // 2 if unit == _HALF else count)
    else:
        _step_philox(kernel)
    if unit == _HALF:
        kernel.line(f"if (words) old[{has_half + 1}] = last >> 32;")
    kernel.line(f"for (int i = 0; i < {size}; ++i) {target}[i] = old[i];")
    kernel.close()


def _step_pcg(kernel: Kernel, least: int) -> None:
    """Write the state so many `words` on, `least` of them or one more."""
    kernel.line("Pcg64 bits(old);")
    kernel.line(f"bits.jump({_jump(least)});")
    kernel.line(f"if (words > {least}ull) bits.jump({_jump(1)});")
    kernel.line("last = bits.word();")
    kernel.line("old[0] = bits.state.low;")
    kernel.line("old[1] = bits.state.high;")


def _step_philox(kernel: Kernel) -> None:
    """Write the state so many `words` on."""
    kernel.line("const uint64 end = old[10] + words;")
    kernel.line("uint64 ahead = end > 4 ? (end - 1) / 4 : 0;")
    kernel.open("if (words)")
    kernel.line("const Philox bits(old, ahead);")
    kernel.line("old[10] = end - 4 * ahead;")
    kernel.line("last = bits.v[old[10] - 1];")
    kernel.line("for (int i = 0; i < 4; ++i) old[6 + i] = bits.v[i];")
    kernel.open("for (int i = 0; i < 4; ++i)")
    kernel.line("old[i] += ahead;")
    kernel.line("ahead = old[i] < ahead;")
    kernel.close()
    kernel.close()


# --- states ------------------------------------------------------------------------------------------------------

_MULTIPLIER = (2549297995355413924 << 64) + 4865540595714422341
_64, _128 = (1 << 64) - 1, (1 << 128) - 1


@cache
def _powers(steps: int) -> tuple[int, int]:
    """The multiplier to a power, and the sum of its lower powers: what so many steps of PCG64 are as one."""
    power, total = 1, 0
    own, added = _MULTIPLIER, 1
    while steps:
        if steps & 1:
            power, total = power * own & _128, (total * own + added) & _128
        own, added = own * own & _128, added * (own + 1) & _128
        steps >>= 1
    return power, total


def _jump(steps: int) -> str:
    """Those as arguments of a function."""
    return ", ".join(f"Bits128{{{number >> 64:#x}ull, {number & _64:#x}ull}}" for number in _powers(steps))


def _advanced(kind: str, state: list[int], unit: str, count: int) -> list[int]:
    """The words of a state after so many numbers of a unit."""
    if unit == _NONE or not count:
        return state
    place, words = _HAS_HALF[kind], count
    if unit == _HALF:
        waiting = int(state[place] != 0)
        words = (count - waiting + 1) // 2
        state = [*state[:place], (count - waiting) & 1, *state[place + 1 :]]
    state, last = (_pcg_after if kind == "pcg64" else _philox_after)(state, words)
    if unit == _HALF and words:
        state[place + 1] = last >> 32
    return state


def _pcg_after(state: list[int], words: int) -> tuple[list[int], int]:
    """The state so many words on, and the last of them."""
    power, total = _powers(words)
    number = (power * (state[0] + (state[1] << 64)) + total * (state[2] + (state[3] << 64))) & _128
    mixed, turn = (number >> 64) ^ (number & _64), number >> 122
    return [number & _64, number >> 64, *state[2:]], (mixed >> turn | mixed << (64 - turn)) & _64


def _philox_after(state: list[int], words: int) -> tuple[list[int], int]:
    """The same for Philox."""
    end = state[10] + words
    ahead = (end - 1) // 4 if end > 4 else 0
    counter = sum(word << (64 * place) for place, word in enumerate(state[:4])) + ahead
    numbers = [counter >> (64 * place) & _64 for place in range(4)]
    buffer = _philox(numbers, state[4], state[5]) if ahead else state[6:10]
    last = buffer[end - 4 * ahead - 1] if words else 0
    return [*numbers, *state[4:6], *buffer, end - 4 * ahead, *state[11:]], last


def _philox(numbers: list[int], first: int, second: int) -> list[int]:
    """The four words that a counter and a key stand for."""
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * numbers[0], 0xCA5A826395121157 * numbers[2]
        numbers = [b >> 64 ^ numbers[1] ^ first, b & _64, a >> 64 ^ numbers[3] ^ second, a & _64]
        first, second = (first + 0x9E3779B97F4A7C15) & _64, (second + 0xBB67AE8584CAA73B) & _64
    return numbers
