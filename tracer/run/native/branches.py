"""Functions that only a branch makes fast: the code of a whole vector, which looks whether an element is special.

LLVM vectorises a loop with calls of a function if it is told of another one that does the same for a vector.
"""

from __future__ import annotations

from collections.abc import Callable

from tracer.run.native.host import vector_bytes
from tracer.run.native.real import Real
from tracer.run.native.writer import Writer, type_name


def call_with_branch(
    x: Real, name: str, ordinary: Callable[[Real], Real], is_special: Callable[[Real], str], libm: str
) -> Real:
    """A function that the C library computes where its argument is special.

    Parameters
    ----------
    x : Real
    name : str
    ordinary : callable
        Writes the function of other arguments.
    is_special : callable
        Writes the condition.
    libm : str
        The C library's function of a float64.
    """
    lanes, kind = vector_bytes() // x.dtype.itemsize, type_name(x.dtype)
    scalar = f"tracer_{name}_{kind}"
    vector = f"{scalar}_{lanes}"
    declarations = x.code.declarations
    declarations |= {
        f"declare double @{libm}(double) nounwind willreturn memory(none)",
        f"declare i1 @llvm.vector.reduce.or.v{lanes}i1(<{lanes} x i1>)",
    }
    for function, width in ((scalar, None), (vector, lanes)):
        code = Writer(width)
        argument = Real(code, x.dtype, "%x")
        result, special = ordinary(argument).name, is_special(argument)
        if width is None:
            _patch(code, argument, result, special, libm)
        else:
            _patch_lanes(code, width, argument, result, special, libm)
        declarations |= code.declarations
        # Hidden, not internal: nothing calls the function of a vector until the loop is vectorised.
        head = f"define hidden {argument.kind} @{function}({argument.kind} %x)"
        lines = "\n".join(code.lines)
        inlining = "noinline" if width is None else "alwaysinline"
        declarations.add(f"{head} {inlining} nounwind willreturn memory(none) {{\nentry:\n{lines}\n}}")
    variant = f'"vector-function-abi-variant"="_ZGV_LLVM_N{lanes}v_{scalar}({vector})"'
    return x.made(x.code.emit(f"call {kind} @{scalar}({kind} {x.name}) {variant}"))


def _patch(code: Writer, x: Real, result: str, special: str, libm: str) -> None:
    code.lines += [
        f"  br i1 {special}, label %special, label %done\nspecial:",
        *_libm_call(x.kind, libm, "%x", "%patched"),
        "  br label %done\ndone:",
        f"  %y = phi {x.kind} [ {result}, %entry ], [ %patched, %special ]",
        f"  ret {x.kind} %y",
    ]


def _patch_lanes(code: Writer, lanes: int, x: Real, result: str, special: str, libm: str) -> None:
    element, kind, flags = type_name(x.dtype), x.kind, f"<{lanes} x i1>"
    code.lines += [
        f"  %any = call i1 @llvm.vector.reduce.or.v{lanes}i1({flags} {special})",
        "  br i1 %any, label %lane, label %done\nlane:",
        "  %i = phi i32 [ 0, %entry ], [ %n, %next ]",
        f"  %before = phi {kind} [ {result}, %entry ], [ %patched, %next ]",
        f"  %chosen = extractelement {flags} {special}, i32 %i",
        "  br i1 %chosen, label %special, label %next\nspecial:",
        f"  %one = extractelement {kind} %x, i32 %i",
        *_libm_call(element, libm, "%one", "%found"),
        f"  %put = insertelement {kind} %before, {element} %found, i32 %i",
        "  br label %next\nnext:",
        f"  %patched = phi {kind} [ %before, %lane ], [ %put, %special ]",
        "  %n = add i32 %i, 1",
        f"  %end = icmp eq i32 %n, {lanes}",
        "  br i1 %end, label %done, label %lane\ndone:",
        f"  %y = phi {kind} [ {result}, %entry ], [ %patched, %next ]",
        f"  ret {kind} %y",
    ]


def _libm_call(element: str, libm: str, x: str, result: str) -> list[str]:
    if element == "double":
        return [f"  {result} = call double @{libm}(double {x})"]
    return [
        f"  {result}_x = fpext float {x} to double",
        f"  {result}_y = call double @{libm}(double {result}_x)",
        f"  {result} = fptrunc double {result}_y to float",
    ]
