"""The page of what is traced: every function of NumPy and of parts of SciPy, and what is known of it.

`python -m tracer.capabilities` writes CAPABILITIES.md. Each row is found by tracing a call: an example of the op table,
or the first of some plain calls that NumPy or SciPy itself takes.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.api import compile as compile_function
from tracer.graph.graph import Graph, depends_on, toposort
from tracer.graph.node import Node, constant
from tracer.graph.op import FUNCTIONS, STAND_IN_EXAMPLES, STAND_INS, UFUNC_NAMES, Function, Op
from tracer.random import Generator, default_rng
from tracer.transform.grad import vjp
from tracer.transform.jvp import jvp
from tracer.transform.vmap import looped_ops
from tracer.types import is_inexact

PAGE = "CAPABILITIES.md"
_KINDS = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64, "c": np.complex128}
_MODULES = {
    "numpy": "`numpy`",
    "numpy.linalg": "`numpy.linalg`",
    "numpy.fft": "`numpy.fft`",
    "scipy.special": "`scipy.special`",
    "scipy.linalg": "`scipy.linalg`",
}
_PARTS = ("numpy.lib", "numpy.polynomial", "scipy.signal", "scipy.ndimage")
"""Packages of which the page has only what is traced."""
# Calls of these change settings, read or write files, or print; none computes on arrays.
_NOT_OF_ARRAYS = re.compile("set|get|show|save|load|print|test|info|from|gen|typename|iterable|mintype|nested|require")
_INTRODUCTION = """\
# What is traced

Written by `python -m tracer.capabilities`, which traces a call of every function.

* **dtypes** of the arrays of that call: b bool, i and u integers, f float, c complex. Results have NumPy's own dtypes.
* **reverse**, **forward**: whether derivatives flow in that mode. `0`: the function is constant in pieces, so they are
  zero. `argument 2`: to that argument only. `-`: the result is not of floating-point numbers, or static: known from
  shapes, dtypes and Python numbers alone.
* **batching**: `rule`, by `tracer.vmap` all examples at once; `loop`, one after another.
* **runs**: `kernels`, or the operations for which the native program calls NumPy or SciPy.

Every argument that NumPy knows may be given; what has no traced form raises an error that names it and shows what to
write instead. Found with NumPy {numpy} and SciPy {scipy}.
"""


class Row(NamedTuple):
    """What is known of one function."""

    name: str
    dtypes: str = ""
    reverse: str = ""
    forward: str = ""
    batching: str = ""
    runs: str = ""
    reason: str = ""


# --- calls to trace ----------------------------------------------------------------------------------------------


def _drawn(shape: Sequence[int], dtype: Any, domain: tuple[float, float]) -> Any:
    """Numbers of a dtype within a domain, the same at every run."""
    rng = np.random.default_rng(7)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    low, high = domain
    if kind in "iu":
        low = max(0, np.ceil(low)) if kind == "u" else np.ceil(low)
        return rng.integers(int(low), max(int(low), int(high)), shape, endpoint=True).astype(dtype)
    real = rng.uniform(low, high, shape)
    return np.asarray(real + 1j * rng.uniform(-1, 1, shape) if kind == "c" else real, dtype)


def _plain_calls() -> Iterator[Callable[[Any], tuple[Any, ...]]]:
    """Arguments of plain calls for a dtype: matrices that are positive definite, vectors and places."""

    def matrix(dtype: Any) -> Any:
        return (np.array([[3, 1, 0], [1, 2, 1], [0, 1, 2]]) * (0.9 if np.dtype(dtype).kind in "fc" else 1)).astype(
            dtype
        )

    def vector(dtype: Any) -> Any:
        return (np.array([3, 1, 2]) * (0.3 if np.dtype(dtype).kind in "fc" else 1)).astype(dtype)

    def cube(dtype: Any) -> Any:
        return np.stack([matrix(dtype), matrix(dtype)])

    places = np.array([0, 2, 1])
    yield lambda dtype: (matrix(dtype),)
    yield lambda dtype: (vector(dtype),)
    yield lambda dtype: (matrix(dtype), vector(dtype))
    yield lambda dtype: (vector(dtype), vector(dtype))
    yield lambda dtype: (matrix(dtype), matrix(dtype))
    yield lambda dtype: (places, vector(dtype))
    yield lambda dtype: (vector(dtype), places)
    yield lambda dtype: (vector(dtype), vector(dtype), vector(dtype))
    yield lambda dtype: (matrix(dtype), matrix(dtype), matrix(dtype))
    yield lambda dtype: (vector(dtype), vector(dtype), vector(dtype), cube(dtype))
    yield lambda dtype: (vector(dtype), 1)
    yield lambda dtype: (matrix(dtype), 1)
    yield lambda dtype: (matrix(dtype), 9)
    yield lambda dtype: (1, vector(dtype))
    yield lambda dtype: (4, vector(dtype))
    yield lambda dtype: (matrix(dtype), 0, 1)
    yield lambda dtype: (vector(dtype), vector(dtype), [1, 1])
    yield lambda dtype: (vector(dtype), vector(dtype), vector(dtype), [1, 1, 1])
    yield lambda dtype: ((matrix(dtype), True), vector(dtype))
    yield lambda dtype: ((matrix(dtype), places), vector(dtype))
    yield lambda dtype: (matrix(dtype), [vector(dtype), vector(dtype)])
    yield lambda dtype: (0, vector(dtype), 4)
    yield lambda dtype: (4, 4, 3)
    yield lambda dtype: (vector(dtype), np.dtype(np.float32))
    yield lambda dtype: (3,)


def _as_users(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is traced as one of a user's, which this package's own are not."""
    function.__module__ = "__main__"
    return function


Call = tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]


def _example_calls(function: Callable[..., Any], name: str) -> Iterator[Call]:
    """Calls of a function that the op table has: an example, or a ufunc with numbers of its domain."""
    entry: Any = FUNCTIONS.get(function) or UFUNC_NAMES.get(name.rpartition(".")[2])
    op = entry.op if isinstance(entry, Function) else entry
    examples = [*(getattr(entry, "examples", ()) or getattr(op, "examples", ()))]
    examples += [(partial(call, function), shapes) for call, shapes in STAND_IN_EXAMPLES.get(name, ())]
    for call, shapes in examples:
        yield call, partial(_drawn_all, shapes, ((-2.0, 2.0),) * len(shapes))
    if isinstance(function, np.ufunc) and function.signature is None and isinstance(op, Op):
        domain = op.domain or ((0.3, 2.0),) * function.nin
        yield _as_users(lambda *args: function(*args)), partial(_drawn_all, ((3, 4),) * function.nin, domain)


def _drawn_all(shapes: Sequence[Any], domain: Sequence[tuple[float, float]], dtype: Any) -> tuple[Any, ...]:
    return tuple(_drawn(shape, dtype, limits) for shape, limits in zip(shapes, domain, strict=False))


def _is_numeric(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return bool(items) and all(
        isinstance(item, int | float | complex)
        or (isinstance(item, np.ndarray | np.generic) and item.dtype.kind in "biufc")
        for item in items
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _taken(function: Callable[..., Any]) -> Iterator[Call]:
    """The plain calls that a function takes as it is."""
    for arguments in _plain_calls():
        with contextlib.suppress(Exception), _quietly():
            if _is_numeric(function(*arguments(np.float64))):
                yield _as_users(lambda *args: function(*args)), arguments


# --- what a trace tells ------------------------------------------------------------------------------------------


def _ones(node: Node) -> Node:
    return constant(np.ones(node.type.known_shape, node.type.dtype))


def _reverse(outputs: Sequence[Node], wrt: Node) -> Node | None:
    return vjp(outputs, [_ones(node) for node in outputs], [wrt])[0]


def _forward(outputs: Sequence[Node], wrt: Node) -> Node | None:
    return next((item for item in jvp(outputs, {wrt: _ones(wrt)}) if item is not None), None)


def _flows(mode: Callable[..., Any], outputs: Sequence[Node], inputs: Sequence[Node]) -> str:
    """Whether derivatives flow: to all arguments, to some, or to none."""
    flowing, refused = [], False
    for place, node in enumerate(inputs, 1):
        try:
            if mode(outputs, node) is not None:
                flowing.append(place)
        except errors.NotDifferentiableError:
            refused = True
    if refused:
        return f"argument {', '.join(map(str, flowing))}" if flowing else "no"
    return "yes" if flowing else "0"


def _ops(graph: Graph) -> dict[str, Op]:
    return {node.op.name: node.op for node in toposort(graph.outputs)}


def _traced(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The plan of a call; raises what tracing it raises."""

    def copied(*args: Any) -> Any:
        result = call(*args)
        # A result that is an argument itself would not be an output of the graph.
        return [np.copy(item) for item in result] if isinstance(result, list | tuple) else np.copy(result)

    with _quietly():
        return compile_function(_as_users(copied), backend="reference").plan(*arguments)


def _described(name: str, plan: Any, dtypes: str) -> Row:
    """The row of a function from the trace of a call with floats."""
    graph = plan.traced.graph
    outputs = graph.outputs[: max(plan.traced.result_count, 1)]
    if not outputs or not depends_on(outputs, graph.inputs):
        return Row(name, dtypes, "-", "-", "rule", "static")
    smooth = [node for node in outputs if is_inexact(node.type.dtype)]
    inputs = [node for node in graph.inputs[: plan.traced.argument_count] if is_inexact(node.type.dtype)]
    with _quietly():
        derivatives = [_flows(mode, smooth, inputs) if smooth and inputs else "-" for mode in (_reverse, _forward)]
    used = _ops(plan.graph)
    foreign = sorted(op.name for op in used.values() if op.family == "call")
    looped = set(looped_ops()) & set(_ops(graph))
    return Row(
        name, dtypes, derivatives[0], derivatives[1], "loop" if looped else "rule", ", ".join(foreign) or "kernels"
    )


def _row(function: Callable[..., Any], name: str) -> Row:
    """The row of a function; with a reason if no call of it is traced."""
    reasons: list[str] = []
    found: list[Row] = []
    for call, arguments in _example_calls(function, name):
        found += _tried(call, arguments, name, reasons, list("f") if found else list(_KINDS))
    is_known = name in STAND_INS or name.rpartition(".")[2] in UFUNC_NAMES or not name.startswith("scipy.")
    plain = _taken(function) if is_known else iter(())
    while not found and len(reasons) < 2:
        following = next(plain, None)
        if following is None:
            break
        found += _tried(*following, name, reasons, list(_KINDS))
    if found:
        return _together(found)
    unknown = "no plain call with arrays of numbers alone" if is_known else "no traced form"
    return Row(name, reason=reasons[0] if reasons else unknown)


def _tried(call: Callable[..., Any], arguments: Any, name: str, reasons: list[str], kinds: Sequence[str]) -> list[Row]:
    """The row of one call, if it is traced; else the reason is noted."""
    plans: dict[str, Any] = {}
    for kind in kinds:
        given = arguments(_KINDS[kind])
        try:
            plans[kind] = _traced(call, given)
        except Exception as error:
            if kind == "f":
                reasons.append(_reason(error))
    if not plans:
        return []
    has_arrays = any(isinstance(item, np.ndarray) for item in given)
    chosen = next(kind for kind in "fciub" if kind in plans)
    return [_described(name, plans[chosen], "".join(plans) if has_arrays else "")]


def _together(rows: Sequence[Row]) -> Row:
    """What calls of one function tell together."""

    def first(column: str, order: Sequence[str]) -> str:
        values = [getattr(row, column) for row in rows]
        return next((item for item in order if item in values), values[0])

    runs = sorted({item for row in rows for item in row.runs.split(", ")} - {"kernels", "static"})
    return rows[0]._replace(
        reverse=first("reverse", ("no", "yes", "0")),
        forward=first("forward", ("no", "yes", "0")),
        batching=first("batching", ("loop",)),
        runs=", ".join(runs) or first("runs", ("kernels",)),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, errors.UnsupportedFunctionError | errors.ConcretizationError):
        return "no traced form"
    return str(error).partition("\n")[0] or type(error).__name__


# --- namespaces --------------------------------------------------------------------------------------------------


def _functions(module: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of a module by name, each under its first name only."""
    found = importlib.import_module(module)
    seen: set[int] = set()
    for name in sorted(set(getattr(found, "__all__", None) or dir(found))):
        function = getattr(found, name, None)
        if name.startswith("_") or isinstance(function, type | types.ModuleType) or not callable(function):
            continue
        is_known = isinstance(function, np.ufunc) or inspect.isroutine(function)
        if is_known and id(function) not in seen:
            seen.add(id(function))
            yield name, function


def _module_rows(module: str) -> tuple[list[Row], list[str]]:
    rows, others = [], []
    for name, function in _functions(module):
        with contextlib.suppress(TypeError):
            if function not in FUNCTIONS and _NOT_OF_ARRAYS.match(name):
                others.append(name)
                continue
        rows.append(_row(function, f"{module}.{name}")._replace(name=name))
    return rows, others


def _stand_in_rows() -> list[Row]:
    """The functions of further packages that are traced."""
    rows = []
    for path in sorted(path for path in STAND_INS if path.startswith(_PARTS)):
        module, _, name = path.rpartition(".")
        function = getattr(importlib.import_module(module), name, None)
        if function is not None:
            rows.append(_row(function, path)._replace(name=path))
    return rows


def _method_of(name: str, x: Any, *args: Any) -> Any:
    """What a method gives, or what it has made of the array."""
    changed = np.copy(x)
    result = getattr(changed, name)(*args)
    return changed if result is None else result


def _draw_of(name: str, generator: Any, *args: Any) -> Any:
    drawn = args[0] if name == "shuffle" and args else None
    result = getattr(generator, name)(*args)
    return drawn if result is None else result


def _method_rows() -> list[Row]:
    """The methods of arrays."""
    rows = []
    for name in sorted(name for name in dir(np.ndarray) if not name.startswith("_")):
        if callable(getattr(np.ndarray, name)) and not re.match("dump|to|set|get|resize", name):
            rows.append(_row(partial(_as_users(_method_of), name), f"ndarray.{name}")._replace(name=name))
    return rows


def _draw_rows() -> list[Row]:
    """The draws of generators."""
    rows = []
    for name in sorted(name for name in dir(np.random.Generator) if not name.startswith("_")):
        if not callable(getattr(np.random.Generator, name)) or not hasattr(Generator, name) or name == "spawn":
            continue
        rows.append(_row(partial(_as_users(_draw_of), name, default_rng(0)), f"random.{name}")._replace(name=name))
    return rows


# --- the page ----------------------------------------------------------------------------------------------------


def _table(title: str, rows: Sequence[Row], others: Sequence[str] = ()) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| function | dtypes | reverse | forward | batching | runs |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row.name}` | {row.dtypes} | {row.reverse} | {row.forward} | {row.batching} | {row.runs} |"
        for row in rows
        if not row.reason
    ]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault(row.reason, []).append(row.name)
    if others:
        reasons.setdefault("not of arrays", []).extend(others)
    for reason, names in sorted(reasons.items()):
        lines += ["", f"Not in the table, {reason}: {', '.join(f'`{name}`' for name in names)}."]
    return [*lines, ""]


def sections() -> Iterator[tuple[str, list[str]]]:
    """The sections of the page, as (title, lines), one after another."""
    for module, title in _MODULES.items():
        yield title, _table(title, *_module_rows(module))
    yield "methods", _table("Methods of arrays", _method_rows())
    yield "parts", _table("Parts of further packages", _stand_in_rows())
    yield "draws", _table("Draws of `tracer.random` and of NumPy's generators", _draw_rows())


def page() -> str:
    """The page as Markdown.

    Returns
    -------
    str
        An introduction, and for each namespace a table with a row for every function that is traced and, by reason, the
        names of the others. It depends on the versions of NumPy and SciPy.
    """
    import scipy

    introduction = _INTRODUCTION.format(numpy=np.__version__, scipy=scipy.__version__)
    lines = [line for _, part in sections() for line in part]
    return "\n".join([introduction, *lines]).rstrip() + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file that is named, or to CAPABILITIES.md."""
    Path(arguments[0] if arguments else PAGE).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
