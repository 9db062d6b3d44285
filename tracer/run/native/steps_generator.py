"""The steps of scans and while loops in LLVM's language: a function of addresses and of a range of steps.

It gives the step that comes next, or its complement if there is none because of what was computed.
"""

from __future__ import annotations

import numpy as np

from tracer.run.native.generator import FUNCTION
from tracer.run.native.scalars import Scalars
from tracer.run.native.steps import Place, StepsOutline
from tracer.run.native.writer import Value, constant, part_type, type_name


def steps_text(outline: StepsOutline) -> str:
    """A module with the function of the steps."""
    return _Generator(outline).text()


class _Generator:
    def __init__(self, outline: StepsOutline) -> None:
        self.outline = outline
        self.code = Scalars()
        self.last = "body" if outline.condition >= 0 else "head"
        """The block at the end of a step."""

    def text(self) -> str:
        outline, code = self.outline, self.code
        write = code.lines.append
        places = [*(place for place, _ in outline.carried), *outline.loads, *(place for _, place in outline.stores)]
        for slot in sorted({place.slot for place in places}):
            write(f"  %s{slot} = getelementptr inbounds ptr, ptr %slots, i64 {slot}")
            write(f"  %p{slot} = load ptr, ptr %s{slot}, align 8")
        first = [self.load(place, "%begin") for place, _ in outline.carried]
        fixed = {place: self.load(place, "") for place in outline.loads if place.row == 0}
        write("  br label %head\nhead:")
        write(f"  %i = phi i64 [ %begin, %entry ], [ %n, %{self.last} ]")
        names = [tuple(f"%c{number}.{part}" for part in range(len(value))) for number, value in enumerate(first)]
        header = len(code.lines)
        values: list[Value] = [*names]
        # Whether there is a step decides whether there is something to load.
        moving = {} if self.last == "body" else self.load_rows()
        values += [fixed.get(place) or moving.get(place, ()) for place in outline.loads]
        values += [constant(np.frombuffer(raw, dtype)[0]) for dtype, raw in outline.immediates]
        self.operate(values, 0, outline.asked)
        if self.last == "body":
            write(f"  br i1 {code.is_true(np.dtype(bool), values[outline.condition])}, label %body, label %over\nbody:")
        self.operate(values, outline.asked, len(outline.operations))
        for register, place in outline.stores:
            self.store(values[register], place)
        self.finish(values, names)
        code.lines[header:header] = self.phis(names, first, [values[register] for register in outline.following])
        body, declarations = "\n".join(code.lines), "\n".join(sorted(code.declarations))
        return (
            f"define i64 @{FUNCTION}(ptr noalias nocapture readonly %slots, i64 %begin, i64 %end) nounwind {{\n"
            f"entry:\n{body}\n}}\n{declarations}\n"
        )

    def operate(self, values: list[Value], start: int, end: int) -> None:
        for step in self.outline.operations[start:end]:
            values.append(self.code.step(step, [values[number] for number in step.inputs]))

    def phis(self, names: list[Value], first: list[Value], following: list[Value]) -> list[str]:
        lines = []
        for (place, _), own, start, after in zip(self.outline.carried, names, first, following, strict=True):
            kind = type_name(np.dtype(place.dtype))
            for name, before, later in zip(own, start, after, strict=True):
                lines.append(f"  {name} = phi {kind} [ {before}, %entry ], [ {later}, %{self.last} ]")
        return lines

    def finish(self, values: list[Value], names: list[Value]) -> None:
        """Go on with the next step or leave, with the carried values back where they came from."""
        write, code = self.code.lines.append, self.code
        write("  %n = add nsw i64 %i, 1")
        more = code.emit("icmp slt i64 %n, %end")
        result = "%n"
        if self.outline.stop >= 0:
            stopped = code.is_true(np.dtype(bool), values[self.outline.stop])
            more = code.both(more, code.emit(f"xor i1 {stopped}, true"))
            result = code.select(stopped, "i64", code.emit("xor i64 %n, -1"), "%n")
        write(f"  br i1 {more}, label %head, label %out\nout:")
        self.bring_home([values[register] for register in self.outline.following])
        write(f"  ret i64 {result}")
        if self.last == "body":
            write("over:")
            self.bring_home(names)
            write(f"  ret i64 {code.emit('xor i64 %i, -1')}")

    def bring_home(self, values: list[Value]) -> None:
        for value, (place, kept) in zip(values, self.outline.carried, strict=True):
            if kept:
                self.store(value, place)

    # --- memory ---

    def load_rows(self) -> dict[Place, Value]:
        return {place: self.load(place, "%i") for place in self.outline.loads if place.row != 0}

    def parts(self, place: Place, step: str) -> list[str]:
        """The addresses of the parts of a number at a step."""
        address, dtype = f"%p{place.slot}", np.dtype(place.dtype)
        if place.row != 0:
            distance = self.code.emit(f"mul nsw i64 {step}, {place.row}")
            address = self.code.emit(f"getelementptr inbounds i8, ptr {address}, i64 {distance}")
        offsets = range(place.offset, place.offset + dtype.itemsize, part_type(dtype).itemsize)
        return [self.code.emit(f"getelementptr inbounds i8, ptr {address}, i64 {offset}") for offset in offsets]

    def load(self, place: Place, step: str) -> Value:
        dtype = np.dtype(place.dtype)
        kind, size = type_name(dtype), part_type(dtype).itemsize
        return tuple(self.code.emit(f"load {kind}, ptr {address}, align {size}") for address in self.parts(place, step))

    def store(self, value: Value, place: Place) -> None:
        dtype = np.dtype(place.dtype)
        kind, size = type_name(dtype), part_type(dtype).itemsize
        for part, address in zip(value, self.parts(place, "%i"), strict=True):
            self.code.lines.append(f"  store {kind} {part}, ptr {address}, align {size}")
