"""A program whose instructions are ready to be launched on a GPU, one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from tracer import device
from tracer.lower.instructions import (
    Branch,
    Buffer,
    Call,
    Instruction,
    Loop,
    MatMul,
    Scan,
    View,
    While,
    targets_of,
    views_of,
)
from tracer.lower.program import LoweredProgram
from tracer.records import NamedTuple
from tracer.run.cuda.arrays import Addresses, is_whole, seen
from tracer.run.cuda.calls import DRAWS, FunctionCall
from tracer.run.cuda.draws import Drawn, drawn_by
from tracer.run.cuda.kernels import ERROR, OPTIONS, Launch, Module, source_of, translate
from tracer.run.cuda.products import Product
from tracer.run.cuda.scalars import Functions
from tracer.run.cuda.updates import candidates, start_of_tail, within_tail

ALIGNMENT = 16
"""Bytes to which arguments are aligned at least: what one instruction loads."""
_NOTHING_WRONG = np.uint64(2**64 - 1)


class Step(Protocol):
    """What is done for an instruction, with all addresses given.

    Attributes
    ----------
    is_capturable : bool
        Whether it does nothing but launch kernels, always the same ones.
    """

    is_capturable: bool

    def __call__(self, addresses: Addresses, /) -> None:
        """Do it."""
        ...


class Stretch(NamedTuple):
    """Steps that follow one another."""

    is_capturable: bool
    steps: tuple[Step, ...]

    def launch(self, addresses: Addresses) -> None:
        """Do them."""
        for step in self.steps:
            step(addresses)

    def follow(self, addresses: Addresses) -> None:
        """Do what is done on the host alone, where something else launches the kernels."""
        for step in self.steps:
            if isinstance(step, StateOnHost):
                step(addresses)


class StateOnHost:
    """The state of a generator after draws of kernels, which the host computes so that it need not wait for them."""

    is_capturable = True

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.before, self.after = drawn.state.buffer, drawn.after.buffer

    def __call__(self, addresses: Addresses) -> None:
        """Compute it, if the state before is known."""
        before = addresses.known.get(self.before)
        if before is not None:
            addresses.note(self.after, self.drawn.advanced(before))


def _states_after(instruction: Instruction, program: LoweredProgram) -> list[StateOnHost]:
    drawn = drawn_by(instruction, program) if isinstance(instruction, Call) else None
    if drawn is None or not all(is_whole(View(*item[:3]), program.buffers) for item in (drawn.state, drawn.after)):
        return []
    return [StateOnHost(drawn)]


def _only_drawn(program: LoweredProgram) -> frozenset[int]:
    """The buffers that nothing but a draw writes."""
    written: set[int] = set()
    for instruction, nodes in zip(program.instructions, program.nodes, strict=True):
        match instruction:
            case Loop():
                views: Iterable[View] = targets_of(instruction)
            case Call():
                states = instruction.inputs[:1] if nodes and nodes[0].op.name in DRAWS else ()
                apart = [view.buffer for view, _ in states] != [view.buffer for view, _ in instruction.outputs[:1]]
                views = [view for view, _ in instruction.outputs if not (states and apart)]
            case _:
                views = views_of(instruction)
        written.update(view.buffer for view in views)
    return frozenset(range(len(program.buffers))) - written


class Kernels:
    """The kernels of a function, those of programs within others too, which are compiled together.

    Attributes
    ----------
    function : str
        Its name.
    launches : list of (KernelLaunch, str)
        What launches them, with the name of the kernel, which stands for its content.
    """

    def __init__(self, function: str) -> None:
        self.function = function
        self.launches: list[tuple[KernelLaunch, str]] = []
        self._texts: dict[str, str] = {}
        self._functions = Functions()

    def add(self, module: Module) -> None:
        """Add those of a program."""
        self._texts.update(module.kernels)
        self._functions.add(module.functions)

    def build(self) -> None:
        """Compile them: only then they can be launched."""
        if self._texts:
            module = device.cupy().RawModule(code=source_of(self._texts, self._functions), options=OPTIONS)
            for launch, name in self.launches:
                launch.kernel = module.get_function(name)


class DeviceProgram:
    """A program, ready to be launched.

    Attributes
    ----------
    steps : list of Step
        In the order in which they are done.
    is_capturable : bool
        Whether they do nothing but launch kernels, always the same ones.
    stretches : list of Stretch
        The steps again, those that are capturable and follow one another together.
    overwriting : dict of int to int
        Outputs that may lie where an argument is, and which.
    checked : int
        The stretch before which it must be known that nothing has failed, if they do.
    """

    def __init__(
        self,
        program: LoweredProgram,
        kernels: Kernels,
        alignment: int = ALIGNMENT,
        lent: Mapping[int, int] | None = None,
        updates: Sequence[tuple[int, int]] = (),
    ) -> None:
        cupy = device.cupy()
        self.program = program
        wanted = candidates(program, updates)
        lent = wanted or lent
        self.module: Module = translate(program, alignment, lent)
        self.constants = [cupy.asarray(constant) for constant in program.constants]
        self.workspace = cupy.empty(max(self.module.workspace, 1), np.uint8)
        launches = [launch for own in self.module.launches for launch in own or ()]
        self.may_fail = any(number == ERROR for launch in launches for number, _ in launch.operands)
        self.error = cupy.asarray(np.array(_NOTHING_WRONG))
        kernels.add(self.module)
        self.steps: list[Step] = []
        ends: list[int] = []
        parts = zip(program.instructions, program.nodes, self.module.launches, strict=True)
        for instruction, nodes, found in parts:
            if found is None:
                self.steps.append(_step(instruction, program.buffers, nodes, kernels))
            else:
                self.steps += [KernelLaunch(kernels, launch) for launch in found]
                self.steps += _states_after(instruction, program)
            ends.append(len(self.steps))
        self.is_capturable = all(step.is_capturable for step in self.steps)
        self.overwriting, tail = self._overwriting(wanted, ends)
        self.stretches = _stretches(self.steps[:tail])
        self.checked = len(self.stretches)
        self.stretches += _stretches(self.steps[tail:])
        self.followed = _only_drawn(program)

    def _overwriting(self, wanted: Mapping[int, int], ends: Sequence[int]) -> tuple[dict[int, int], int]:
        """The outputs that may lie where an argument is, and the steps before which failures are looked for."""
        starts = [0, *ends]
        sure = [all(map(_is_sure, self.steps[start:end])) for start, end in zip(starts, ends, strict=False)]
        launches = [own or () for own in self.module.launches]
        tail = start_of_tail(launches, sure)
        found = within_tail(self.program, launches, tail, wanted)
        return found, starts[tail] if found and self.can_fail() else len(self.steps)

    def can_fail(self) -> bool:
        """Whether a kernel may find something wrong with the values."""
        return self.may_fail or any(inner.can_fail() for step in self.steps for inner in getattr(step, "programs", ()))

    def addresses(self, arguments: Sequence[int], outputs: Sequence[int], arena: int) -> Addresses:
        """Where all buffers are, and behind them the workspace and the error of the kernels."""
        found = Addresses(self.followed)
        for buffer in self.program.buffers:
            if buffer.kind == "temporary":
                found.append(arena + buffer.offset)
            elif buffer.kind == "constant":
                found.append(self.constants[buffer.index].data.ptr)
            else:
                found.append((arguments if buffer.kind == "argument" else outputs)[buffer.index])
            if buffer.kind == "constant":
                found.note(len(found) - 1, self.program.constants[buffer.index])
        found += (self.error.data.ptr, self.workspace.data.ptr)
        return found

    def launch(self, addresses: Addresses) -> None:
        """Do all steps; what is wrong with the values is found out later, by `failed`."""
        for step in self.steps:
            step(addresses)

    def on_host(self) -> list[str]:
        """What is done on the host, as far as that is known."""
        own = [step.title for step in self.steps if isinstance(step, FunctionCall) and step.is_on_host]
        return own + [
            text for step in self.steps for inner in getattr(step, "programs", ()) for text in inner.on_host()
        ]

    def failed(self) -> bool:
        """Whether a kernel has found something wrong, such as an index outside its array; forgets it."""
        own = self.may_fail and int(self.error) != int(_NOTHING_WRONG)
        if own:
            self.error.fill(_NOTHING_WRONG)
        inner = [program.failed() for step in self.steps for program in getattr(step, "programs", ())]
        return own or any(inner)


def _stretches(steps: Sequence[Step]) -> list[Stretch]:
    return [Stretch(kind, tuple(own)) for kind, own in groupby(steps, lambda step: step.is_capturable)]


def _is_sure(step: Step) -> bool:
    """Whether a step does nothing but launch kernels, of which none looks for what is wrong with the values."""
    return step.is_capturable and not any(inner.can_fail() for inner in getattr(step, "programs", ()))


class KernelLaunch:
    """A kernel with the grid that it is launched on."""

    is_capturable = True

    def __init__(self, kernels: Kernels, launch: Launch) -> None:
        self.kernel: Any = None
        kernels.launches.append((self, launch.name))
        self.shape = launch.grid, launch.block
        self.shared = launch.shared_bytes
        self.operands = launch.operands

    def __call__(self, addresses: Addresses) -> None:
        """Launch it."""
        pointers = tuple([addresses[number] + offset for number, offset in self.operands])
        self.kernel(*self.shape, pointers, shared_mem=self.shared)


def _step(instruction: Instruction, buffers: tuple[Buffer, ...], nodes: Any, kernels: Kernels) -> Step:
    match instruction:
        case MatMul():
            return Product(instruction, buffers)
        case Call():
            return FunctionCall(instruction, buffers, nodes, kernels.function)
        case Scan():
            return ScanSteps(instruction, buffers, kernels)
        case Branch():
            return BranchSteps(instruction, buffers, kernels)
        case While():
            return WhileSteps(instruction, buffers, kernels)
    raise AssertionError(f"{instruction.opcode} without a kernel")


# --- programs within ---------------------------------------------------------------------------------------------


class _Place:
    """Where a view begins."""

    def __init__(self, view: View, buffers: Sequence[Buffer]) -> None:
        itemsize = buffers[view.buffer].dtype.itemsize
        self.buffer, self.offset = view.buffer, view.offset * itemsize
        self.row = view.strides[0] * itemsize if view.strides else 0

    def __call__(self, addresses: Addresses) -> int:
        return addresses[self.buffer] + self.offset


def _alignment(places: Sequence[_Place]) -> int:
    """Bytes to which all of these are aligned at every step."""
    return math.gcd(ALIGNMENT, *(place.offset for place in places), *(place.row for place in places))


def _arena(view: View | None, buffers: Sequence[Buffer]) -> Callable[[Addresses], int]:
    return (lambda addresses: 0) if view is None else _Place(view, buffers)


def _move(to: int, source: int, nbytes: int) -> None:
    if to != source and nbytes:
        runtime = device.cupy().cuda.runtime
        stream = device.cupy().cuda.get_current_stream().ptr
        runtime.memcpyAsync(to, source, nbytes, runtime.memcpyDeviceToDevice, stream)


def _buffers_of(program: LoweredProgram, kind: str) -> list[Buffer]:
    found = sorted((item.index, number) for number, item in enumerate(program.buffers) if item.kind == kind)
    return [program.buffers[number] for _, number in found]


class ScanSteps:
    """A program that is launched once a step, on windows that move."""

    def __init__(self, instruction: Scan, buffers: tuple[Buffer, ...], kernels: Kernels) -> None:
        self.work = instruction
        self.buffers = buffers
        self.sources = [_Place(window.view, buffers) for window in instruction.sources]
        self.targets = [_Place(window.view, buffers) for window in instruction.targets]
        pairs = [(o, a) for a, o in instruction.carries if self.targets[o].buffer == self.sources[a].buffer]
        places = (*self.sources, *self.targets)
        self.inner = DeviceProgram(instruction.program, kernels, _alignment(places), dict(pairs))
        self.programs = (self.inner,)
        self.arena = _arena(instruction.arena, buffers)
        outputs = _buffers_of(instruction.program, "output")
        self.sizes = [buffer.nbytes for buffer in outputs]
        self.shapes = [buffer.shape for buffer in outputs]
        self.is_capturable = self.inner.is_capturable and instruction.stop < 0 and instruction.count is None

    def __call__(self, addresses: Addresses) -> None:
        """Launch all steps."""
        work = self.work
        limit = work.steps
        if work.count is not None:
            limit = min(max(int(seen(addresses, self.buffers, work.count, ())), 0), limit)
        sources = self._starts(addresses, self.sources, work.sources, limit)
        targets = self._starts(addresses, self.targets, work.targets, limit)
        homes = [sources[argument] for argument, _ in work.carries]
        done = 0
        while done < limit:
            self.inner.launch(self.inner.addresses(sources, targets, self.arena(addresses)))
            done += 1
            stopped = work.stop >= 0 and bool(seen(addresses, self.buffers, self._stop(), ()))
            for argument, output in work.carries:
                sources[argument], targets[output] = targets[output], sources[argument]
            if stopped:
                break
            self._move_on(sources, self.sources, work.sources)
            self._move_on(targets, self.targets, work.targets)
        for home, (argument, output) in zip(homes, work.carries, strict=True):
            _move(home, sources[argument], self.sizes[output])
        self._finish(addresses, done)

    def _stop(self) -> View:
        view = self.work.targets[self.work.stop].view
        return view._replace(strides=())

    @staticmethod
    def _starts(addresses: Addresses, places: Sequence[_Place], windows: Any, limit: int) -> list[int]:
        return [
            place(addresses) + (place.row * (limit - 1) if window.backward else 0)
            for place, window in zip(places, windows, strict=True)
        ]

    @staticmethod
    def _move_on(addresses: list[int], places: Sequence[_Place], windows: Any) -> None:
        for number, (place, window) in enumerate(zip(places, windows, strict=True)):
            addresses[number] += -place.row if window.backward else place.row

    def _finish(self, addresses: Addresses, done: int) -> None:
        """Clear the rows that no step wrote, and say how many did."""
        work = self.work
        carried = {output for _, output in work.carries} | {work.stop}
        for number, window in enumerate(work.targets):
            if done < work.steps and number not in carried:
                seen(addresses, self.buffers, window.view, (work.steps, *self.shapes[number]))[done:] = 0
        if work.done is not None:
            seen(addresses, self.buffers, work.done, ())[...] = done


class BranchSteps:
    """One of two programs, chosen by a value that is read on the host."""

    is_capturable = False

    def __init__(self, instruction: Branch, buffers: tuple[Buffer, ...], kernels: Kernels) -> None:
        self.work = instruction
        self.buffers = buffers
        self.sources = [_Place(view, buffers) for view in instruction.sources]
        self.targets = [_Place(view, buffers) for view in instruction.targets]
        alignment = _alignment((*self.sources, *self.targets))
        self.programs = tuple([DeviceProgram(item, kernels, alignment, {}) for item in instruction.programs])
        self.arena = _arena(instruction.arena, buffers)

    def __call__(self, addresses: Addresses) -> None:
        """Read the predicate and launch what it chooses."""
        chosen = self.programs[0 if bool(seen(addresses, self.buffers, self.work.predicate, ())) else 1]
        sources = [place(addresses) for place in self.sources]
        targets = [place(addresses) for place in self.targets]
        chosen.launch(chosen.addresses(sources, targets, self.arena(addresses)))


class WhileSteps:
    """A program that is launched as long as a condition holds, which the host reads, and others over the same steps."""

    is_capturable = False

    def __init__(self, instruction: While, buffers: tuple[Buffer, ...], kernels: Kernels) -> None:
        self.work = instruction
        self.homes = [[_Place(home, buffers) for home, _ in sweep.carries] for sweep in instruction.sweeps]
        self.spares = [[_Place(spare, buffers) for _, spare in sweep.carries] for sweep in instruction.sweeps]
        self.fixed = [_Place(view, buffers) for view in instruction.fixed]
        alignment = _alignment([place for places in (*self.homes, *self.spares, self.fixed) for place in places])
        self.condition = DeviceProgram(instruction.condition, kernels, alignment, {})
        self.sweeps = []
        for sweep, homes, spares in zip(instruction.sweeps, self.homes, self.spares, strict=True):
            pairs = enumerate(zip(homes, spares, strict=True))
            lent = {place: place for place, (home, spare) in pairs if home.buffer == spare.buffer}
            self.sweeps.append(DeviceProgram(sweep.program, kernels, alignment, lent))
        self.programs = (self.condition, *self.sweeps)
        self.arena = _arena(instruction.arena, buffers)
        self.outputs = [_buffers_of(sweep.program, "output") for sweep in instruction.sweeps]

    def __call__(self, addresses: Addresses) -> None:
        """Launch all sweeps."""
        tapes: list[list[list[Any]]] = []
        answer = device.cupy().empty((), bool)
        for number in range(len(self.sweeps)):
            homes = [place(addresses) for place in self.homes[number]]
            state = homes, [place(addresses) for place in self.spares[number]]
            tape: list[list[Any]] = []
            if number == 0:
                while self._holds(addresses, state[0], answer):
                    state = self._step(addresses, 0, state, [], tape)
            else:
                steps = len(tapes[0])
                backward = self.work.sweeps[number].backward
                for step in reversed(range(steps)) if backward else range(steps):
                    state = self._step(addresses, number, state, [x for old in tapes for x in old[step]], tape)
                tape = tape[::-1] if backward else tape
            tapes.append(tape)
            outputs = self.outputs[number]
            for home, last, buffer in zip(homes, state[0], outputs, strict=False):
                _move(home, last, buffer.nbytes)

    def _holds(self, addresses: Addresses, carries: Sequence[int], answer: Any) -> bool:
        arguments = [*carries, *(place(addresses) for place in self.fixed)]
        asked = self.condition
        asked.launch(asked.addresses(arguments, [answer.data.ptr], self.arena(addresses)))
        return bool(answer)

    def _step(
        self,
        addresses: Addresses,
        number: int,
        state: tuple[list[int], list[int]],
        read: Sequence[Any],
        tape: list[list[Any]],
    ) -> tuple[list[int], list[int]]:
        cupy = device.cupy()
        old, new = state
        record = [cupy.empty(buffer.shape, buffer.dtype) for buffer in self.outputs[number][len(old) :]]
        arguments = [*old, *(item.data.ptr for item in read), *(place(addresses) for place in self.fixed)]
        outputs = [*new, *(item.data.ptr for item in record)]
        inner = self.sweeps[number]
        inner.launch(inner.addresses(arguments, outputs, self.arena(addresses)))
        tape.append(record)
        return new, old
