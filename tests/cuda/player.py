"""Runs the CUDA source of programs without a GPU: as C++ under `shim.hpp`, with guarded memory."""

import ctypes
import getpass
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from lower.interpreter import Interpreter

from tracer.lower.program import element_range
from tracer.run.cuda.kernels import ERROR, WORKSPACE, translate

SHIM = Path(__file__).parent / "shim.hpp"
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off"]
CACHE = Path(tempfile.gettempdir()) / f"tracer-cuda-shim-{getpass.getuser()}"
GUARD = 512
MEETS = re.compile(r"__sync|__ballot|merge_(lanes|adjacent|apart)|scan_(block|warp)")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs g++")


class Refused(Exception):
    """A kernel wrote where it may not, or its threads waited for each other for ever."""


def kernels_of(source):
    """The text of each kernel of a source, by name."""
    pieces = re.split(r'^extern "C" __global__ void __launch_bounds__\(256\) ', source, flags=re.MULTILINE)
    return pieces[0], {piece.partition("(")[0]: piece for piece in pieces[1:]}


class Library:
    """The kernels of many modules, built by one call of the compiler, or found where an earlier one has put them."""

    def __init__(self, modules):
        modules = [module for module in {module.source: module for module in modules}.values() if module.source]
        text, names = ['#include "shim.hpp"\n'], {}
        for number, module in enumerate(modules):
            head, kernels = kernels_of(module.source)
            body = head + "".join("static void " + kernel for kernel in kernels.values())
            text.append(f"namespace m{number} {{\n{body}}}\n")
            for name, kernel in kernels.items():
                if name not in names:
                    names[name] = bool(MEETS.search(kernel))
                    text.append(
                        f'extern "C" int play_{name}(void** given, const unsigned* grid, unsigned threads, int order)'
                        f" {{\n    return shim::play([](void** given) {{ shim::call(m{number}::{name}, given); }},"
                        f" given, grid, threads, order, {int(names[name])});\n}}\n"
                    )
        self.functions = ctypes.CDLL(str(built("".join(text)))) if names else None

    def launch(self, launch, addresses, order=0):
        given = (ctypes.c_void_p * len(addresses))(*addresses)
        grid = (ctypes.c_uint * 3)(*launch.grid)
        function = getattr(self.functions, f"play_{launch.name}")
        if function(given, grid, ctypes.c_uint(launch.block[0]), ctypes.c_int(order)):
            raise Refused(f"{launch.name}: some threads wait for others that never come")


def built(text):
    """The shared library of a source."""
    digest = hashlib.sha256("\0".join([text, SHIM.read_text(), *FLAGS]).encode()).hexdigest()[:24]
    library = CACHE / f"{digest}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        source, target = CACHE / f"{digest}.cpp", CACHE / f"{digest}-{os.getpid()}.tmp"
        source.write_text(text)
        command = [COMPILER, *FLAGS, f"-I{SHIM.parent}", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()[:4000]
        os.replace(target, library)
    return library


class Guarded:
    """Memory with a guard on either side; all bits are set, so that what is read there is no number."""

    def __init__(self, size, before=0):
        self.memory = np.full(GUARD + before + size + 2 * GUARD, 0xFF, np.uint8)
        start = self.memory.ctypes.data + GUARD + before
        self.at = GUARD + before + -start % 256
        self.low, self.high = self.at - before, self.at + size
        self.address = self.memory.ctypes.data + self.at

    def check(self, name):
        if not (self.memory[: self.low] == 0xFF).all() or not (self.memory[self.high :] == 0xFF).all():
            raise Refused(f"something was written beside {name}")

    def array(self, shape, strides, dtype):
        if 0 in shape:
            return np.empty(shape, dtype)
        steps = [stride * dtype.itemsize for stride in strides]
        return np.ndarray(shape, dtype, self.memory, self.at, steps)


class Player:
    """A program with its kernels.

    Parameters
    ----------
    program : Program
    arguments : list of numpy.ndarray
    """

    def __init__(self, program, arguments, **options):
        self.program, self.arguments = program, arguments
        self.module = translate(program, **options)
        self.error = None

    def run(self, library, order=0):
        """The outputs; arguments that the program writes to are changed."""
        program = self.program
        memories, arena = [], Guarded(program.arena)
        workspace, error = Guarded(self.module.workspace), Guarded(8)
        interpreter = Interpreter(program)
        interpreter.bases = []
        for buffer in program.buffers:
            memory, base = self.place(buffer, arena)
            memories.append(memory)
            interpreter.bases.append(base)
        for instruction, launches in zip(program.instructions, self.module.launches, strict=True):
            if launches is None:
                getattr(interpreter, instruction.opcode)(instruction)
            for launch in launches or ():
                special = {WORKSPACE: workspace.address, ERROR: error.address}
                addresses = [
                    special[number] if number < 0 else interpreter.bases[number].ctypes.data
                    for number, _ in launch.operands
                ]
                pairs = zip(addresses, launch.operands, strict=True)
                library.launch(launch, [address + place for address, (_, place) in pairs], order)
        for memory in (*memories, arena, workspace, error):
            memory.check("a buffer")
        self.error = int(error.memory[error.at : error.high].view(np.uint64)[0])
        outputs = [None] * program.outputs
        for buffer, base in zip(program.buffers, interpreter.bases, strict=True):
            if buffer.kind == "output":
                outputs[buffer.index] = base
            elif buffer.kind == "argument" and self.arguments[buffer.index].flags.writeable:
                self.arguments[buffer.index][...] = base
        return outputs

    def place(self, buffer, arena):
        if buffer.kind == "temporary":
            window = Guarded.__new__(Guarded)
            window.__dict__.update(arena.__dict__, at=arena.at + buffer.offset)
            return arena, window.array(buffer.shape, buffer.strides, buffer.dtype)
        low, high = element_range(buffer.shape, buffer.strides) if buffer.size else (0, -1)
        size = buffer.dtype.itemsize
        memory = Guarded((high + 1) * size, -low * size)
        base = memory.array(buffer.shape, buffer.strides, buffer.dtype)
        if buffer.kind != "output":
            source = self.arguments if buffer.kind == "argument" else self.program.constants
            base[...] = source[buffer.index]
        return memory, base
