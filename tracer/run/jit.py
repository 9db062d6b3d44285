"""When loops get native code: those of programs that run often, on a thread of its own, one for the process.

A program runs at once, in block kernels. When it has run for a little, code that is there already is swapped in, from
this process or from disk; when it has run for a while, its other loops are translated, dearest first, and each is
swapped in as soon as it is there. Loops that differ only in where their arrays are have the same code. The thread asks
for little: it begins when the run that called for it has given back its result, and holds back while others compile.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from tracer import phases
from tracer.config import config
from tracer.errors.native import NO_LLVMLITE
from tracer.phases import Phase

if TYPE_CHECKING:
    from tracer.run.native.compiler import Code
    from tracer.run.native.generator import Outline
    from tracer.run.native.steps import StepsOutline

    AnyOutline: TypeAlias = Outline | StepsOutline

Program = Any
"""A `_kernels.Program`, which only `tracer.run.cpu` may name."""

CHEAP_PROGRAM = 2e3
"""Nanoseconds of a run below which a program is left alone: calling it costs as much."""
PATIENCE = 20e6
"""Nanoseconds of work after which a program is worth translating; about what one loop takes to translate."""
SHORT_PATIENCE = 1e6
"""Nanoseconds of work after which it is worth looking for what is there already."""
RUNS = 1.5
"""Runs after which it is in any case, if it is long, from when what is there already has been looked for."""
LONG_PROGRAM = 2e6
HUGE_PROGRAM = 500e6
"""Nanoseconds of a run above which the first one is not waited for."""
SMALL_SHARE = 0.01
"""Share of a program's work below which a loop keeps its block kernels."""
NICENESS = 10
GRACE = 2e-3
"""Seconds in which the caller whose run made a program hot takes its result, ahead of the thread."""
MOST_PATIENT = 0.2
"""Seconds for which the thread holds back at most, between two loops, while functions are compiled."""

_codes: weakref.WeakValueDictionary[AnyOutline, Code] = weakref.WeakValueDictionary()
translations: weakref.WeakKeyDictionary[Program, list[Phase]] = weakref.WeakKeyDictionary()
"""When loops of a program were translated, if they were: not those whose code was there already."""


def watch(program: Program) -> None:
    """See to it that a new program gets native code if and when `config.jit` says so."""
    if config.jit == "always":
        try:
            for _ in translate(program, 0.0):
                pass
        except ImportError as error:
            raise ImportError(NO_LLVMLITE) from error
    elif config.jit == "auto" and program.cost >= CHEAP_PROGRAM and _worker.usable:
        patience = PATIENCE
        if program.cost > LONG_PROGRAM:
            patience = 0.0 if program.cost > HUGE_PROGRAM else min(PATIENCE, RUNS * program.cost)
        short = min(SHORT_PATIENCE, patience)
        _when_hot(program, short, partial(_adopt, patience=patience - short))


def _when_hot(program: Program, patience: float, task: Callable[[Program], Iterator[None]]) -> None:
    reference = weakref.ref(program)
    program.when_hot(patience, lambda: _worker.put(reference, task))


def _adopt(program: Program, patience: float) -> Iterator[None]:
    """Give a program the code that is there already, and see to it that it gets the rest."""
    loops = _Loops(program, SMALL_SHARE)
    yield from loops.settle(program, compiling=patience <= 0.0)
    if loops.rest:
        _when_hot(program, patience, partial(loops.settle, compiling=True))


def translate(program: Program, share: float) -> Iterator[None]:
    """Give native code to the loops that have at least a share of a program's work; pauses after each translation.

    Raises ImportError if llvmlite is missing.
    """
    return _Loops(program, share).settle(program, compiling=True)


class _Loops:
    """The loops of a program that are still to get native code.

    Attributes
    ----------
    rest : dict
        Outline -> the numbers of the loops that have it, dearest first.
    """

    def __init__(self, program: Program, share: float) -> None:
        from tracer.run.native.generator import outline
        from tracer.run.native.steps import steps_outline

        numbers: dict[AnyOutline, list[int]] = {}
        costs: dict[AnyOutline, float] = {}
        total, first = 0.0, 0
        for number, (described, cost) in enumerate(program.loops()):
            if number < first:
                continue
            found: AnyOutline | None
            if isinstance(described[-1], int):
                found = steps_outline(described[0])
                if found is None:
                    continue
                # The loops inside are in its code.
                first = number + 1 + described[-1]
            else:
                found = outline(described)
            total += cost
            if found is not None:
                numbers.setdefault(found, []).append(number)
                costs[found] = costs.get(found, 0.0) + cost
        order = sorted(numbers, key=costs.__getitem__, reverse=True)
        self.rest = {found: numbers[found] for found in order if costs[found] >= share * total}

    def settle(self, program: Program, compiling: bool) -> Iterator[None]:
        """Give them code: that which is there already, or all; pauses after each outline."""
        for found in list(self.rest):
            start, was_known = perf_counter(), found in _codes
            code = _find(found, compiling)
            if code is not None:
                if not was_known:
                    done = Phase("native code", start, perf_counter() - start, threading.current_thread().name)
                    translations.setdefault(program, []).append(done)
                for number in self.rest.pop(found):
                    program.use_native(number, code.address, code)
            yield


def _find(outline: AnyOutline, compiling: bool) -> Code | None:
    """The code of a loop: from this process, from disk, or made now; None if it would have to be made but must not."""
    from tracer.run.native import cache
    from tracer.run.native.compiler import Code, compile_loop

    code = _codes.get(outline)
    if code is not None:
        return code
    store = cache.store()
    key = "" if store is None else cache.key_of(outline)
    content = None if store is None else store.get(key)
    if content is None:
        if not compiling:
            return None
        content = compile_loop(outline)
        if store is not None:
            store.put(key, content)
    code = _codes[outline] = Code(content)
    return code


def wait() -> None:
    """Wait until every program that has asked for native code has it."""
    _worker.wait()


class _Worker:
    """The thread that translates, started when the first program asks."""

    def __init__(self) -> None:
        self.usable = True
        self.reset()

    def reset(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Held during a translation: no process may be forked in the middle of one.
        self._busy = threading.Lock()
        # Set while somebody waits for what is to be translated.
        self._hurry = threading.Event()

    def put(self, reference: weakref.ref[Any], task: Callable[[Program], Iterator[None]]) -> None:
        """Have something done for a program, if it is still there by then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="tracer-jit", daemon=True)
            self._thread.start()
        self._tasks.put(partial(self._work, reference, task))

    def wait(self) -> None:
        if self._thread is not None:
            done = threading.Event()
            self._hurry.set()
            self._tasks.put(done.set)
            done.wait()
            self._hurry.clear()

    def stop(self) -> None:
        """End the thread: LLVM must not be at work when the process takes its memory down."""
        self.usable = False
        if self._thread is not None:
            self._hurry.set()
            self._tasks.put(None)
            self._thread.join()

    def before_fork(self) -> None:
        self._busy.acquire()

    def after_fork_in_parent(self) -> None:
        self._busy.release()

    def _serve(self) -> None:
        if sys.platform == "linux":
            # The priority of a thread is its own there.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while (task := self._tasks.get()) is not None:
            self._hurry.wait(GRACE)
            task()

    def _hold_back(self) -> None:
        """Let others have the interpreter first: a translation holds it for milliseconds at a time."""
        last = perf_counter() + MOST_PATIENT
        while phases.compiling() and perf_counter() < last:
            if self._hurry.wait(GRACE):
                return

    def _work(self, reference: weakref.ref[Any], task: Callable[[Program], Iterator[None]]) -> None:
        program = reference()
        steps = iter(()) if program is None else task(program)
        try:
            while self.usable:
                self._hold_back()
                with self._busy:
                    if next(steps, self) is self:
                        return
        except ImportError:
            self.usable = False
            _log().info("llvmlite is not installed: loops stay in block kernels")
        except Exception:
            _log().warning("a loop could not be translated and stays in block kernels", exc_info=True)


def _log() -> Any:
    import logging  # here: most programs never need it

    return logging.getLogger(__name__)


_worker = _Worker()
atexit.register(_worker.stop)
os.register_at_fork(
    before=_worker.before_fork, after_in_parent=_worker.after_fork_in_parent, after_in_child=_worker.reset
)
