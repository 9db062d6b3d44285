"""Programs as text: the buffers, then the instructions, one operation a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracer.lower.instructions import (
    ArgReduce,
    Branch,
    Call,
    Cumulative,
    Gather,
    Loop,
    MatMul,
    Scan,
    Scatter,
    View,
    While,
    Window,
)
from tracer.types import contiguous_strides


def program_text(program: Any) -> Iterator[str]:
    """The lines of a program's text."""
    yield f"program: {program.outputs} outputs, arena of {program.arena} bytes{_line(program.line)}"
    for number, buffer in enumerate(program.buffers):
        place = f"@{buffer.offset}" if buffer.kind == "temporary" else f"{buffer.index}"
        strided = "" if buffer.strides == contiguous_strides(buffer.shape) else f" strides {list(buffer.strides)}"
        yield f"  b{number} = {buffer.kind} {place}: {buffer.dtype}{list(buffer.shape)}{strided}"
    for number, instruction in enumerate(program.instructions):
        text = _TEXTS[type(instruction)](instruction)
        yield f"{number}: {instruction.opcode} {next(text)}{_line(instruction.line)}"
        yield from (f"  {line}" for line in text)


def _line(line: str) -> str:
    return f"    # {line}" if line else ""


def _view(view: View) -> str:
    return f"b{view.buffer}[{view.offset}:{','.join(map(str, view.strides))}]"


def _loop_text(loop: Loop) -> Iterator[str]:
    yield str(list(loop.shape))
    for register, view in enumerate(loop.loads):
        yield f"r{register} = load {_view(view)}"
    register = len(loop.loads)
    for immediate in loop.immediates:
        yield f"r{register} = {immediate.dtype} {immediate}"
        register += 1
    for step in loop.steps:
        inputs = ", ".join(f"r{number}" for number in step.inputs)
        types = str(step.dtype) if step.out == step.dtype else f"{step.dtype} -> {step.out}"
        yield f"r{register} = {step.kernel} {inputs} : {types}"
        register += 1
    for store in loop.stores:
        yield f"{_view(store.view)} = r{store.register}"
    for reduce in loop.reduces:
        yield f"{_view(reduce.view)} = {reduce.kind} r{reduce.register}"


def _matmul_text(node: MatMul) -> Iterator[str]:
    scale = "" if node.alpha == 1 else f"{node.alpha} * "
    sign = "+=" if node.accumulate else "="
    sizes = f"batch {list(node.batch)} m {node.m} n {node.n} k {node.k} {node.dtype}"
    yield f"{_view(node.out)} {sign} {scale}{_view(node.a)} @ {_view(node.b)} : {sizes}"


def _gather_text(node: Gather) -> Iterator[str]:
    indices = ", ".join(map(_view, node.indices))
    yield f"{_view(node.out)} = {_view(node.source)}{list(node.source_shape)}[{indices}] : {list(node.shape)}"


def _scatter_text(node: Scatter) -> Iterator[str]:
    indices = ", ".join(map(_view, node.indices))
    sign = "+=" if node.mode == "add" else "="
    yield f"{_view(node.out)}{list(node.out_shape)}[{indices}] {sign} {_view(node.source)} : {list(node.shape)}"


def _axis_text(node: Cumulative | ArgReduce) -> Iterator[str]:
    yield f"{_view(node.out)} = {node.kind} {_view(node.source)} axis {node.axis} : {list(node.shape)}"


def _call_text(node: Call) -> Iterator[str]:
    name = getattr(node.function, "__qualname__", repr(node.function))
    inputs = ", ".join(f"{_view(view)}{list(shape)}" for view, shape in node.inputs)
    yield f"{', '.join(f'{_view(view)}{list(shape)}' for view, shape in node.outputs)} = {name}({inputs})"


def _window(window: Window) -> str:
    return _view(window.view) + (" backward" if window.backward else "")


def _scan_text(node: Scan) -> Iterator[str]:
    limit = "" if node.count is None else f", at most {_view(node.count)}"
    stop = "" if node.stop < 0 else f", until output {node.stop}"
    yield f"{node.steps} steps{limit}{stop}"
    if node.done is not None:
        yield f"{_view(node.done)} = steps done"
    carried = dict(node.carries)
    for number, window in enumerate(node.sources):
        carry = f" from output {carried[number]}" if number in carried else ""
        yield f"argument {number} = {_window(window)}{carry}"
    for number, window in enumerate(node.targets):
        yield f"output {number} = {_window(window)}"
    yield from _program_within(node.program, node.arena)


def _branch_text(node: Branch) -> Iterator[str]:
    yield f"on {_view(node.predicate)}"
    for number, view in enumerate(node.sources):
        yield f"argument {number} = {_view(view)}"
    for number, view in enumerate(node.targets):
        yield f"output {number} = {_view(view)}"
    for program in node.programs:
        yield from _program_within(program, node.arena)


def _while_text(node: While) -> Iterator[str]:
    yield f"{len(node.sweeps)} sweeps"
    for number, view in enumerate(node.fixed):
        yield f"fixed {number} = {_view(view)}"
    yield "condition"
    yield from _program_within(node.condition, node.arena)
    for number, sweep in enumerate(node.sweeps):
        yield f"sweep {number}" + (" backward" if sweep.backward else "")
        for place, (home, spare) in enumerate(sweep.carries):
            yield f"carry {place} = {_view(home)}" + ("" if spare == home else f" or {_view(spare)}")
        yield from _program_within(sweep.program, node.arena)


def _program_within(program: Any, arena: View | None) -> Iterator[str]:
    first, *rest = program_text(program)
    yield first if arena is None else f"{first} in {_view(arena)}"
    yield from (f"  {line}" for line in rest)


_TEXTS: dict[type, Callable[[Any], Iterator[str]]] = {
    Loop: _loop_text,
    MatMul: _matmul_text,
    Gather: _gather_text,
    Scatter: _scatter_text,
    Cumulative: _axis_text,
    ArgReduce: _axis_text,
    Call: _call_text,
    Scan: _scan_text,
    Branch: _branch_text,
    While: _while_text,
}
