"""Small matrix products, an element of the result for each thread: beside other small things they need no launch."""

from __future__ import annotations

import math

from tracer.lower.instructions import MatMul, Step, View
from tracer.run.cuda.layout import Nest, Operand
from tracer.run.cuda.loops import Threads
from tracer.run.cuda.scalars import literal, memory_name, type_name
from tracer.run.cuda.writer import Kernel, coordinates, is_wide, place_of


def product(kernel: Kernel, node: MatMul, threads: Threads) -> int:
    """Write a matrix product; gives the number of threads that have something to do."""
    buffers = kernel.memory.buffers
    shape = (*node.batch, node.m, node.n)

    def operand(view: View, row: int, column: int) -> Operand:
        """Over the axes of the result, without the one that is summed."""
        strides = (*view.strides[:-2], row, column)
        return Operand(view.buffer, view.offset, strides, buffers[view.buffer].dtype)

    a, b = operand(node.a, node.a.strides[-2], 0), operand(node.b, 0, node.b.strides[-1])
    steps = node.a.strides[-1], node.b.strides[-2]
    nest = Nest(shape, (a, b), (), (), ((0, operand(node.out, *node.out.strides[-2:])),), ()).squeezed()
    a, b, out = nest.operands()
    kind, wide, size = type_name(node.dtype), is_wide(nest), math.prod(shape)
    kernel.loop("i", threads.first, f"{size}u", threads.step, wide)
    coordinates(kernel, "i", list(enumerate(nest.shape)), wide)
    kernel.line(f"const {memory_name(a.dtype)}* const left = {kernel.pointer(a)} + {place_of(a)};")
    kernel.line(f"const {memory_name(b.dtype)}* const right = {kernel.pointer(b)} + {place_of(b)};")
    kernel.line(f"{kind} total{{}};")
    kernel.line("#pragma unroll 8")
    kernel.open(f"for (int k = 0; k < {node.k}; ++k)")
    kernel.line(f"const {kind} x = left[k * {steps[0]}], y = right[k * {steps[1]}];")
    _add_product(kernel, node)
    kernel.close()
    target = f"{kernel.pointer(out, True)}[{place_of(out)}]"
    if node.alpha != 1:
        scale = literal(node.dtype.type(node.alpha))
        kernel.line(f"total = {_applied(kernel, 'multiply', node, 'total', scale)};")
    if node.accumulate:
        kernel.line(f"total = {_applied(kernel, 'add', node, target, 'total')};")
    kernel.line(f"{target} = total;")
    kernel.close()
    return size


def _applied(kernel: Kernel, name: str, node: MatMul, one: str, other: str) -> str:
    return kernel.functions.apply(Step(name, node.dtype, node.dtype, (0, 1)), [one, other])


def _add_product(kernel: Kernel, node: MatMul) -> None:
    """Write what adds `x * y` to `total`, with one rounding where there are roundings."""
    match node.dtype.kind:
        case "f":
            kernel.line("total = ::fma(x, y, total);")
        case "c":
            kernel.line("total.re = ::fma(-x.im, y.im, ::fma(x.re, y.re, total.re));")
            kernel.line("total.im = ::fma(x.im, y.re, ::fma(x.re, y.im, total.im));")
        case _:
            both = _applied(kernel, "multiply", node, "x", "y")
            kernel.line(f"total = {_applied(kernel, 'add', node, 'total', both)};")
