"""Functions that only a branch makes fast: the code of a whole vector, which looks whether an element is special.

LLVM vectorises a loop with calls of a function if it is told of another one that does the same for a vector.
"""

from __future__ import annotations

from collections.abc import Callable

from tracer.run.native.host import vector_bytes
from tracer.run.native.real import Real
from tracer.run.native.writer import Writer, type_name

Operands = tuple[Real, ...]
Body = Callable[[Writer, Operands], None]


def call_patched(
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

    def body(code: Writer, operands: Operands) -> None:
        (argument,) = operands
        result, special = ordinary(argument).name, is_special(argument)
        patch = _patch if code.lanes is None else _patch_lanes
        patch(code, argument, result, special, libm)

    x.code.declarations.add(f"declare double @{libm}(double) nounwind willreturn memory(none)")
    return _call((x,), name, body)


def call_branching(
    operands: Operands,
    name: str,
    ordinary: Callable[..., Real],
    is_special: Callable[..., str],
    special: Callable[..., Real],
) -> Real:
    """A function that has a longer formula, which is taken if an operand of a vector is special.

    Parameters
    ----------
    operands : tuple of Real
    name : str
    ordinary : callable
        Writes the function of other operands.
    is_special : callable
        Writes the condition.
    special : callable
        Writes the function of all operands.
    """

    def body(code: Writer, operands: Operands) -> None:
        result = ordinary(*operands)
        _branch(code, is_special(*operands), "special")
        code.lines.append("special:")
        other = special(*operands).name
        code.lines += [
            "  br label %done\ndone:",
            f"  %y = phi {result.kind} [ {result.name}, %entry ], [ {other}, %special ]",
            f"  ret {result.kind} %y",
        ]

    return _call(operands, name, body)


def _call(operands: Operands, name: str, body: Body) -> Real:
    """Call a function, and define it for numbers and for vectors."""
    first = operands[0]
    lanes, kind = vector_bytes() // first.dtype.itemsize, type_name(first.dtype)
    scalar = f"tracer_{name}_{kind}"
    vector = f"{scalar}_{lanes}"
    for function, width in ((scalar, None), (vector, lanes)):
        code = Writer(width)
        arguments = tuple(Real(code, first.dtype, f"%x{number}") for number in range(len(operands)))
        body(code, arguments)
        # Hidden, not internal: nothing calls the function of a vector until the loop is vectorised.
        listed = ", ".join(f"{argument.kind} {argument.name}" for argument in arguments)
        inlining = "noinline" if width is None else "alwaysinline"
        head = f"define hidden {code.kind(kind)} @{function}({listed}) {inlining}"
        lines = "\n".join(code.lines)
        first.code.declarations |= code.declarations
        first.code.declarations.add(f"{head} nounwind willreturn memory(none) {{\nentry:\n{lines}\n}}")
    variant = f'"vector-function-abi-variant"="_ZGV_LLVM_N{lanes}{"v" * len(operands)}_{scalar}({vector})"'
    listed = ", ".join(f"{kind} {operand.name}" for operand in operands)
    return first.made(first.code.emit(f"call {kind} @{scalar}({listed}) {variant}"))


def _branch(code: Writer, special: str, label: str) -> None:
    """Go to a label if a condition holds, of a vector anywhere; else to the end."""
    if code.lanes is not None:
        kind = code.kind("i1")
        reduction = f"@llvm.vector.reduce.or.v{code.lanes}i1"
        code.declarations.add(f"declare i1 {reduction}({kind})")
        special = code.emit(f"call i1 {reduction}({kind} {special})")
    code.lines.append(f"  br i1 {special}, label %{label}, label %done")


def _patch(code: Writer, x: Real, result: str, special: str, libm: str) -> None:
    _branch(code, special, "special")
    code.lines += [
        "special:",
        *_libm_call(x.kind, libm, x.name, "%patched"),
        "  br label %done\ndone:",
        f"  %y = phi {x.kind} [ {result}, %entry ], [ %patched, %special ]",
        f"  ret {x.kind} %y",
    ]


def _patch_lanes(code: Writer, x: Real, result: str, special: str, libm: str) -> None:
    element, kind = type_name(x.dtype), x.kind
    _branch(code, special, "lane")
    code.lines += [
        "lane:",
        "  %i = phi i32 [ 0, %entry ], [ %n, %next ]",
        f"  %before = phi {kind} [ {result}, %entry ], [ %patched, %next ]",
        f"  %chosen = extractelement {code.kind('i1')} {special}, i32 %i",
        "  br i1 %chosen, label %special, label %next\nspecial:",
        f"  %one = extractelement {kind} {x.name}, i32 %i",
        *_libm_call(element, libm, "%one", "%found"),
        f"  %put = insertelement {kind} %before, {element} %found, i32 %i",
        "  br label %next\nnext:",
        f"  %patched = phi {kind} [ %before, %lane ], [ %put, %special ]",
        "  %n = add i32 %i, 1",
        f"  %end = icmp eq i32 %n, {code.lanes}",
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
