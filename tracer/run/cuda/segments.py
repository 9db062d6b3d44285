"""Loops of one kind over different arrays, as the updates of all parameters of a model, in one kernel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tracer.run.cuda.layout import Memory, Nest, Operand
from tracer.run.cuda.loops import MOST_BLOCKS, body
from tracer.run.cuda.scalars import memory_name
from tracer.run.cuda.writer import FAR, THREADS, Kernel, ceiling

MOST_POINTERS = 256
"""Operands of all segments: a kernel takes 4 KB of them."""


def flat(nest: Nest) -> Nest | None:
    """A nest without reductions as one over a single axis, along which all operands go evenly; None if it is not."""
    if nest.folds or not 0 < nest.size < FAR:
        return None
    merged = nest.squeezed().merged()
    steps = [operand.strides for operand in merged.operands()]
    plain = len(merged.shape) == 1 and all(step in ((0,), (1,)) for step in steps)
    return merged if plain and all(operand.strides == (1,) for operand in merged.targets()) else None


def kind_of(nest: Nest) -> Hashable:
    """What must be equal of flat nests that share a kernel."""
    operands = nest.operands()
    return (
        tuple((operand.dtype, operand.strides, operands.index(operand)) for operand in operands),
        tuple((item.dtype, item.tobytes()) for item in nest.immediates),
        nest.steps,
        tuple(register for register, _ in nest.stores),
    )


def independent(one: Nest, other: Nest, memory: Memory) -> bool:
    """Whether neither of two nests writes to memory that the other reads or writes."""

    def meet(a: Operand, b: Operand) -> bool:
        if memory.space(a.buffer) != memory.space(b.buffer):
            return False
        first, second = memory.address(a), memory.address(b)
        sizes = [(nest.size if o.strides[0] else 1) * o.dtype.itemsize for nest, o in ((one, a), (other, b))]
        return first < second + sizes[1] and second < first + sizes[0]

    pairs = [(a, b) for a in one.targets() for b in other.operands()]
    pairs += [(a, b) for a in one.loads for b in other.targets()]
    return not any(meet(a, b) for a, b in pairs)


def write(kernel: Kernel, nests: Sequence[Nest]) -> int:
    """Write flat nests of one kind, each for blocks of its own; gives the number of blocks."""
    width = min(kernel.memory.width(nest, tail=True) for nest in nests)
    first, operands = nests[0], nests[0].operands()
    names = {operand: f"q{number}" for number, operand in reversed(list(enumerate(operands)))}
    for name, operand in sorted((name, operand) for operand, name in names.items()):
        kernel.line(f"{memory_name(operand.dtype)}* {name};")
    kernel.line("uint32 size, begin, blocks;")
    begin = 0
    for place, nest in enumerate(nests):
        blocks = min(ceiling(ceiling(nest.size, width), THREADS), MOST_BLOCKS // len(nests))
        test = f"if (blockIdx.x < {begin + blocks}u)" if place < len(nests) - 1 else ""
        kernel.open(f"else {test}".strip() if place else test)
        for number, operand in enumerate(nest.operands()):
            if names[operands[number]] == f"q{number}":
                kernel.line(f"q{number} = {kernel.pointer(operand, True)};")
        kernel.line(f"size = {nest.size}u, begin = {begin}u, blocks = {blocks}u;")
        kernel.close()
        begin += blocks
    for operand, name in names.items():
        kernel.rename(operand, name)
    start = f"(blockIdx.x - begin) * {THREADS}u + threadIdx.x"
    kernel.loop("i", start, f"size / {width}u", f"blocks * {THREADS}u")
    kernel.line(f"const int32 x0 = static_cast<int32>(i) * {width};")
    body(kernel, first, width)
    kernel.close()
    if width > 1:
        kernel.loop("i", f"size / {width}u * {width}u + {start}", "size", f"blocks * {THREADS}u")
        kernel.line("const int32 x0 = static_cast<int32>(i);")
        body(kernel, first, 1)
        kernel.close()
    return begin
