"""The GPU executor: kernels launched one by one, and from the second call alike replayed as a CUDA graph."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tracer import device
from tracer.config import config
from tracer.errors.device import OUT_OF_MEMORY
from tracer.graph.graph import Graph
from tracer.lower.build import Layout
from tracer.lower.schedule import lower
from tracer.phases import phase
from tracer.run import reference
from tracer.run.cuda.arrays import Addresses, array_at, reach
from tracer.run.cuda.scalars import has_kernel
from tracer.run.cuda.steps import ALIGNMENT, DeviceProgram, Kernels, Stretch
from tracer.run.cuda.storage import narrowed
from tracer.run.cuda.updates import is_ours, remember

log = logging.getLogger("tracer")

_SEEN = "seen"
"""Stands for the graph of addresses that were met once."""
_MOST_GRAPHS = 16
"""Sets of addresses for which the CUDA graphs of a program are kept."""
_HOLDERS = 4
"""What holds the value of a shared variable during a run, if nobody else does: it, two lists, and who counts."""
STREAMS: set[int] = set()
"""The streams that anything has run on."""
_SMALL = 1 << 16
"""Bytes of an output that is computed in a place of its own and then copied, so that a graph fits the next call too."""


def _aligned(array: Any) -> Any:
    """An array of CuPy that begins where kernels can load several elements at once: itself, or a copy of its memory."""
    if array.data.ptr % ALIGNMENT == 0:
        return array
    cupy = device.cupy()
    low, end = reach(array.shape, array.strides, array.itemsize)
    nbytes = end - low
    memory = cupy.empty(nbytes + ALIGNMENT, np.uint8)
    start = memory.data.ptr + low % ALIGNMENT  # so that the first element is where it should be
    runtime = cupy.cuda.runtime
    stream = cupy.cuda.get_current_stream().ptr
    runtime.memcpyAsync(start, array.data.ptr + low, nbytes, runtime.memcpyDeviceToDevice, stream)
    return array_at(start - low, array.shape, array.dtype, array.strides, memory)


class Executable:
    """A graph compiled for a GPU, for arguments of given layouts.

    Attributes
    ----------
    program : LoweredProgram
        What was lowered.
    """

    native = None

    def __init__(
        self,
        graph: Graph,
        layouts: Sequence[Layout] | None = None,
        function: str = "",
        updates: Sequence[tuple[int, int]] = (),
    ) -> None:
        cupy = device.cupy()
        self.graph = graph
        with phase("lower"):
            self.program = lower(graph, layouts, has_kernel, partial(narrowed, storage=config.gpu_storage))
        with phase("build"):
            kernels = Kernels(function)
            self.ready = DeviceProgram(self.program, kernels, updates=updates)
            kernels.build()
        self.updates = frozenset(output for output, _ in updates)
        self.arena = cupy.empty(max(self.program.arena, 1), np.uint8)
        buffers = list(enumerate(self.program.buffers))
        self.arguments = [(number, buffer.index) for number, buffer in buffers if buffer.kind == "argument"]
        outputs = [(number, buffer) for number, buffer in buffers if buffer.kind == "output"]
        outputs.sort(key=lambda item: item[1].index)
        self.numbers = [number for number, _ in outputs]
        self.outputs = [buffer for _, buffer in outputs]
        self.places = [
            cupy.empty(buffer.shape, buffer.dtype) if buffer.nbytes <= _SMALL else None for buffer in self.outputs
        ]
        self.function = function
        self.graphs: dict[tuple[int, ...], Any] = {}
        self.may_capture = True
        self.has_run = False
        self.stream: Any = None
        self.lock = threading.Lock()  # the arena is one

    def run(self, arrays: Sequence[Any], /, free: Collection[int] = ()) -> list[Any]:
        """Run on arrays of CuPy or NumPy; gives fresh ones of CuPy, which may not be computed yet.

        States of generators that come from the host, and which it has followed, are NumPy's. Of the inputs in `free`,
        which nobody else holds, some are written over by what replaces them and given back, unless the run fails.

        Raises
        ------
        MemoryError
            If the GPU has too little; what is kept for later is given back.
        IndexError and the like
            As NumPy raises them, with the user's line as their attribute `tracer_line`.
        """
        try:
            given = [_aligned(device.to_gpu(array)) for array in arrays]
            with self.lock:
                self._enter_stream()
                over = self._overwritten(arrays, given, free)
                outputs, failed = self._launch(given, arrays, over)
        except MemoryError as error:
            self.graphs.clear()
            device.cupy().get_default_memory_pool().free_all_blocks()
            raise MemoryError(OUT_OF_MEMORY.format(function=self.function, reason=error)) from None
        if failed:
            # NumPy raises; but where a matrix is singular only as kernels round, it has results.
            results = reference.Executable(self.graph).run([device.to_host(array) for array in arrays])
            pairs = zip(map(np.asarray, results), outputs, strict=True)
            return [item if isinstance(output, np.ndarray) else device.to_gpu(item) for item, output in pairs]
        for output in self.updates:
            if output not in over and device.is_on_gpu(outputs[output]):
                remember(outputs[output])
        self.has_run = True
        return outputs

    def _overwritten(self, arrays: Sequence[Any], given: Sequence[Any], free: Collection[int]) -> dict[int, int]:
        """The outputs that are written where an input is, in a run of these inputs, and which."""
        # The first run may yet fail in a library. On several streams, something may still read what is there.
        if not self.has_run or config.check_nan or len(STREAMS) > 1:
            return {}
        alone = {place for place in free if given[place] is arrays[place] and is_ours(given[place])}
        alone = {place for place in alone if sys.getrefcount(given[place]) == _HOLDERS}
        return {output: place for output, place in self.ready.overwriting.items() if place in alone}

    def on_host(self) -> list[str]:
        """The functions that are called, and the distributions that are drawn from, on the host."""
        return list(dict.fromkeys(self.ready.on_host()))

    def _enter_stream(self) -> None:
        """Wait for what another stream still does with the memory that all runs share."""
        stream = device.cupy().cuda.get_current_stream()
        if self.stream is not None and self.stream.ptr != stream.ptr:
            self.stream.synchronize()
        self.stream = stream
        STREAMS.add(stream.ptr)

    def _launch(self, given: Sequence[Any], arrays: Sequence[Any], over: Mapping[int, int]) -> tuple[list[Any], bool]:
        """The outputs, and whether a kernel has found something wrong: then no input is changed."""
        cupy = device.cupy()
        ready = self.ready
        # All memory is there before anything is written over.
        results = [
            given[over[number]] if number in over else cupy.empty(buffer.shape, buffer.dtype)
            for number, buffer in enumerate(self.outputs)
        ]
        pairs = enumerate(zip(results, self.places, strict=True))
        outputs = [result if place is None or number in over else place for number, (result, place) in pairs]
        arguments = [array.data.ptr for array in given]
        written = [array.data.ptr for array in outputs]
        addresses = ready.addresses(arguments, written, self.arena.data.ptr)
        for number, place in self.arguments:
            if isinstance(arrays[place], np.ndarray):
                addresses.note(number, arrays[place])
        for number, stretch in enumerate(ready.stretches):
            if over and number == ready.checked and ready.failed():
                return results, True
            if stretch.is_capturable and self.may_capture:
                self._replay((number, *arguments, *written), stretch, addresses)
            else:
                stretch.launch(addresses)
        for result, output in zip(results, outputs, strict=True):
            if result is not output:
                result[...] = output
        known = [addresses.known.get(number) for number in self.numbers]
        found = [result if state is None else state for state, result in zip(known, results, strict=True)]
        return found, not over and ready.failed()

    def _replay(self, key: tuple[int, ...], stretch: Stretch, addresses: Addresses) -> None:
        """Launch at addresses: one by one the first time, and later as one CUDA graph."""
        known = self.graphs.pop(key, None)
        if known == _SEEN:
            known = self._capture(stretch, addresses)
        if known is None:
            stretch.launch(addresses)
            known = _SEEN
        else:
            stretch.follow(addresses)
            known.launch()
        self.graphs[key] = known  # the newest last
        if len(self.graphs) > _MOST_GRAPHS * len(self.ready.stretches):
            del self.graphs[next(iter(self.graphs))]

    def _capture(self, stretch: Stretch, addresses: Addresses) -> Any:
        """The CUDA graph of a stretch; None if CUDA makes none, which is not tried again."""
        stream = device.cupy().cuda.Stream(non_blocking=True)
        try:
            with stream:
                stream.begin_capture()
                try:
                    stretch.launch(addresses)
                finally:
                    graph = stream.end_capture()
        except Exception as error:  # of classes that need CUDA; launched one by one, the kernels do the same
            log.warning("no CUDA graph of %s: %s", self.function, error)
            self.may_capture = False
            return None
        return graph
