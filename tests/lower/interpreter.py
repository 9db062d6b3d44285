"""Runs a Program with NumPy, memory plan and all: temporaries are windows on one arena of bytes."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tracer.graph.op import OPS
from tracer.lower.program import View

_KERNELS = {op.kernel: op for op in OPS.values() if op.family == "elementwise" and op.kernel}
_REDUCTIONS = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "any": np.logical_or,
    "all": np.logical_and,
}


class Interpreter:
    def __init__(self, program, in_place=None):
        """`in_place` are outputs that are the memory of an argument: its number for each of them."""
        self.program = program
        self.in_place = in_place or {}

    def run(self, arguments):
        program = self.program
        arena = np.full(program.arena + 64, 0xA5, np.uint8)
        arena = arena[-arena.ctypes.data % 64 :][: program.arena]
        self.bases = [self.base(buffer, arguments, arena) for buffer in program.buffers]
        for instruction in program.instructions:
            getattr(self, instruction.opcode)(instruction)
        outputs = [None] * program.outputs
        for buffer, base in zip(program.buffers, self.bases, strict=True):
            if buffer.kind == "output":
                outputs[buffer.index] = base
        return outputs

    def base(self, buffer, arguments, arena):
        if buffer.kind == "argument":
            return arguments[buffer.index]
        if buffer.kind == "constant":
            return self.program.constants[buffer.index]
        if buffer.kind == "output":
            if buffer.index in self.in_place:
                return arguments[self.in_place[buffer.index]]
            return np.full(buffer.shape, 77, buffer.dtype)
        window = arena[buffer.offset : buffer.offset + buffer.nbytes]
        return window.view(buffer.dtype).reshape(buffer.shape)

    def array(self, view, shape, write=False):
        """The window as an array; the verifier has checked that it stays inside its buffer."""
        base = self.bases[view.buffer]
        if 0 in shape:
            return np.empty(shape, base.dtype)
        size = base.itemsize
        strides = [stride * size for stride in view.strides]
        flat = as_strided(base, (1,) * base.ndim, base.strides)
        pointer = flat.__array_interface__["data"][0] + view.offset * size
        return np.asarray(_Window(base, pointer, tuple(shape), tuple(strides), not write))

    def loop(self, loop):
        registers = [self.array(view, loop.shape).copy() for view in loop.loads]
        registers += [np.broadcast_to(scalar, loop.shape) for scalar in loop.immediates]
        with np.errstate(all="ignore"):
            for step in loop.steps:
                inputs = [registers[number] for number in step.inputs]
                if step.kernel == "cast":
                    result = inputs[0].astype(step.out)
                else:
                    result = np.asarray(_KERNELS[step.kernel].evaluate(*inputs))
                assert result.dtype == step.out, step
                registers.append(np.broadcast_to(result, loop.shape))
        for store in loop.stores:
            self.array(store.view, loop.shape, write=True)[...] = registers[store.register]
        for reduce in loop.reduces:
            axes = tuple(axis for axis, stride in enumerate(reduce.view.strides) if stride == 0)
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(loop.shape))
            function, value = _REDUCTIONS[reduce.kind], registers[reduce.register]
            result = function.reduce(value, axis=axes, keepdims=True, dtype=value.dtype)
            self.array(reduce.view, kept, write=True)[...] = result

    def matmul(self, node):
        a = self.array(node.a, (*node.batch, node.m, node.k))
        b = self.array(node.b, (*node.batch, node.k, node.n))
        out = self.array(node.out, (*node.batch, node.m, node.n), write=True)
        product = np.matmul(a, b) if node.alpha == 1 else node.alpha * np.matmul(a, b)
        out[...] = out + product if node.accumulate else product

    def gather(self, node):
        lead = node.shape[: len(node.shape) - len(node.source_shape) + node.axes]
        indices = tuple(self.array(view, lead) for view in node.indices)
        self.array(node.out, node.shape, write=True)[...] = self.array(node.source, node.source_shape)[indices]

    def scatter(self, node):
        lead = node.shape[: len(node.shape) - len(node.out_shape) + node.axes]
        indices = tuple(self.array(view, lead) for view in node.indices)
        out, source = self.array(node.out, node.out_shape, write=True), self.array(node.source, node.shape)
        if node.mode == "add":
            np.add.at(out, indices, source)
        else:
            out[indices] = source

    def cumulative(self, node):
        result = _REDUCTIONS[node.kind].accumulate(self.array(node.source, node.shape), axis=node.axis)
        self.array(node.out, node.shape, write=True)[...] = result

    def arg_reduce(self, node):
        kept = node.shape[: node.axis] + node.shape[node.axis + 1 :]
        result = getattr(np, node.kind)(self.array(node.source, node.shape), axis=node.axis)
        self.array(node.out, kept, write=True)[...] = result

    def call(self, node):
        results = node.function(*(self.array(view, shape).copy() for view, shape in node.inputs))
        results = results if isinstance(results, tuple) else (results,)
        for (view, shape), result in zip(node.outputs, results, strict=True):
            self.array(view, shape, write=True)[...] = result

    def scan(self, node):
        limit = node.steps if node.count is None else min(max(int(self.array(node.count, ())), 0), node.steps)
        in_place = {o: a for a, o in node.carries if node.sources[a].view == node.targets[o].view}
        inner, done = Interpreter(node.program, in_place), 0
        kinds = ("argument", "output")
        groups = [[b for b in node.program.buffers if b.kind == kind] for kind in kinds]
        arguments, outputs = (sorted(group, key=lambda buffer: buffer.index) for group in groups)
        carried = {output for _, output in node.carries}

        def at(window, buffer, write=False):
            row = limit - 1 - done if window.backward else done
            step, *strides = window.view.strides
            view = View(window.view.buffer, window.view.offset + row * step, tuple(strides))
            return self.array(view, buffer.shape, write)

        while done < limit:
            written = in_place.values()
            given = [
                at(window, buffer, number in written)
                for number, (window, buffer) in enumerate(zip(node.sources, arguments, strict=True))
            ]
            made = inner.run(given)
            for number, (window, buffer) in enumerate(zip(node.targets, outputs, strict=True)):
                if number not in carried:
                    at(window, buffer, write=True)[...] = made[number]
            for argument, output in node.carries:
                at(node.sources[argument], arguments[argument], write=True)[...] = made[output]
            done += 1
            if node.stop >= 0 and made[node.stop]:
                break
        for number, (window, buffer) in enumerate(zip(node.targets, outputs, strict=True)):
            if number not in carried and number != node.stop:
                self.array(window.view, (node.steps, *buffer.shape), write=True)[done:] = 0
        if node.done is not None:
            self.array(node.done, (), write=True)[...] = done

    def branch(self, node):
        program = node.programs[0 if self.array(node.predicate, ()) else 1]
        arguments = sorted((b for b in program.buffers if b.kind == "argument"), key=lambda buffer: buffer.index)
        given = [self.array(view, buffer.shape) for view, buffer in zip(node.sources, arguments, strict=True)]
        for view, value in zip(node.targets, Interpreter(program).run(given), strict=True):
            self.array(view, value.shape, write=True)[...] = value


class _Window:
    def __init__(self, base, pointer, shape, strides, readonly):
        self.base = base
        self.__array_interface__ = {
            "version": 3, "data": (pointer, readonly), "shape": shape, "strides": strides, "typestr": base.dtype.str
        }  # fmt: skip
