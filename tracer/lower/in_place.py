"""Carries that change in place: when the new value of one may be the very memory of the old one."""

from __future__ import annotations

from dataclasses import replace

from tracer.lower.checks import may_meet
from tracer.lower.instructions import Instruction, Loop, Shape, Store, View, targets_of, views_of
from tracer.lower.program import LoweredProgram, Program


def is_in_place(program: Program, argument: int, output: int) -> bool:
    """Whether an output of a program may be the very memory of an argument: nothing is read once it is written over.

    A loop may read the elements that it stores, point by point. What is copied from the argument to where it was is
    there already.
    """
    old, new = _buffers(program, argument, output)
    written: list[tuple[View, Shape]] = []
    is_rewritten = False  # by another instruction than a loop, nobody knows where
    for instruction in program.instructions:
        if isinstance(instruction, Loop):
            reads = [view for view in instruction.loads if view.buffer == old]
            copied = [store.view for store in _copies(instruction, old, new)]
            changed = [view for view in targets_of(instruction) if view.buffer == new and view not in copied]
            if reads and (is_rewritten or not _are_apart(instruction, reads, changed, written)):
                return False
            written += [(view, instruction.shape) for view in changed]
        else:
            views = list(views_of(instruction))
            writes = any(view.buffer == new for view in views)
            if any(view.buffer == old for view in views) and (writes or written or is_rewritten):
                return False
            is_rewritten = is_rewritten or writes
    return True


def _are_apart(loop: Loop, reads: list[View], changed: list[View], written: list[tuple[View, Shape]]) -> bool:
    """Whether a loop that changes some views reads nothing that it or another before it has written over."""
    reduced = [reduce.view for reduce in loop.reduces]
    for read in reads:
        for view in changed:
            same = (view.offset, view.strides) == (read.offset, read.strides) and view not in reduced
            if not same and may_meet(view, loop.shape, read, loop.shape):
                return False
        if any(may_meet(view, shape, read, loop.shape) for view, shape in written):
            return False
    return True


def without_copies(program: LoweredProgram, argument: int, output: int) -> LoweredProgram:
    """Leave out copies of an argument to an output that is the same memory, as of an array changed in a few places."""
    old, new = _buffers(program, argument, output)
    instructions: list[Instruction] = []
    nodes = []
    for instruction, made in zip(program.instructions, program.nodes, strict=True):
        if isinstance(instruction, Loop):
            copies = _copies(instruction, old, new)
            stores = tuple([store for store in instruction.stores if store not in copies])
            if not stores and not instruction.reduces:
                continue
            instruction = instruction._replace(stores=stores)
        instructions.append(instruction)
        nodes.append(made)
    return replace(program, instructions=tuple(instructions), nodes=tuple(nodes))


def _copies(loop: Loop, old: int, new: int) -> list[Store]:
    """The stores of a loop that put what they read of one buffer at the same place in the other."""
    same = {place: view._replace(buffer=new) for place, view in enumerate(loop.loads) if view.buffer == old}
    return [store for store in loop.stores if same.get(store.register) == store.view]


def _buffers(program: Program, argument: int, output: int) -> tuple[int, int]:
    """The numbers of the buffers of an argument and an output."""
    places = {(buffer.kind, buffer.index): number for number, buffer in enumerate(program.buffers)}
    return places["argument", argument], places["output", output]
