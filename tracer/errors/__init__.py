"""Every error that a user can cause: its class and its text, in one place.

A text says what happened, where in the user's code, the types involved, and shows code that works after ``HINT:``.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One place in the user's source."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} in {self.function}"


_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FOREIGN = tuple(
    os.path.dirname(os.path.abspath(module.__file__)) + os.sep
    for module in (sys.modules.get("numpy"), sys.modules.get("functools"))
    if module is not None and module.__file__ and "numpy" in module.__name__
)
_SKIPPED: dict[str, bool] = {}


def _is_skipped(filename: str) -> bool:
    skipped = _SKIPPED.get(filename)
    if skipped is None:
        skipped = filename.startswith((_OWN_FOLDER, *_FOREIGN)) or filename.startswith("<__array_function__")
        _SKIPPED[filename] = skipped
    return skipped


def user_line() -> Line | None:
    """The innermost frame of the stack that is neither this package's nor NumPy's."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not _is_skipped(code.co_filename):
            return Line(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def raised_at(error: BaseException) -> Line | None:
    """The innermost line of an exception's traceback that is neither this package's nor NumPy's."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not _is_skipped(code.co_filename):
            found = Line(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found


def defined_at(function: Any) -> Line | None:
    """Where a function is defined."""
    code = getattr(function, "__code__", None)
    return Line(code.co_filename, code.co_firstlineno, code.co_name) if code is not None else None


class TracerError(Exception):
    """Base of the errors that this package raises for its own reasons (not NumPy's)."""


class TraceError(TracerError, TypeError):
    """The traced function did something that a trace cannot follow, such as branching on a traced value."""


class ConcretizationError(TraceError):
    """A traced value was used where Python needs a number: `float(x)`, `if x:`, `range(x)`, `np.asarray(x)`.

    Attributes
    ----------
    line : Line or None
        Where in the user's code.
    """

    line: Line | None = None


class LeakedValueError(TraceError):
    """A traced value was kept after its trace had ended, and then used."""


class UnsupportedFunctionError(TraceError, NotImplementedError):
    """A NumPy function that has no traced form."""


class NotDifferentiableError(TracerError, TypeError):
    """A derivative was asked of something that has none."""


class DisconnectedInputError(TracerError, ValueError):
    """The gradient with respect to a value on which the cost does not depend."""


class GraphError(TracerError, AssertionError):
    """A graph or program that breaks its own rules: a fault of this package or of a custom op."""


class UpdateError(TracerError, TypeError):
    """An update of a shared variable that cannot be: wrong type, shape, or twice the same variable."""


class MismatchError(TracerError, AssertionError):
    """`mode="check"`: the kernels, the reference and the plain function do not agree."""


# --- texts -------------------------------------------------------------------------------------------------------
# Fields are filled by `message(TEXT, ...)`; `line` is added as a last paragraph when it is known.

CONCRETE = (
    "{what} needs a number, but {value} is a traced value: it has no number while the function is traced.\nHINT: {hint}"
)
HINT_BOOL = (
    "choose elementwise with np.where(condition, a, b), e.g.\n"
    "    y = np.where(x > 0, x, 0.0)        # instead of: y = x if x > 0 else 0.0\n"
    "or branch on something static, such as x.shape or a Python argument."
)
HINT_NUMBER = (
    "keep computing with NumPy on the traced value, e.g. np.sqrt(x) instead of math.sqrt(x) or float(x) ** 0.5,\n"
    "or pass the number as a Python argument, which is static."
)
HINT_INDEX = (
    "sizes and loop counts must be static: use x.shape[0], or pass the number as a Python int argument.\n"
    "To index a real array by a traced integer, pass the array as an argument too: array[i] on a traced array works."
)
HINT_ARRAY = (
    "use the NumPy function on the traced value itself, e.g. np.stack([a, b]) instead of np.array([a, b]),\n"
    "np.copy(x) instead of np.array(x), np.take(table, x, axis=0) instead of table[x] on an array that is not traced,\n"
    "and np.where or np.concatenate instead of writing into an np.zeros array."
)
HINT_ITERATE = "a traced value can be iterated only along a known first dimension: for i in range(x.shape[0]): x[i]"
HINT_ATTRIBUTE = "use a NumPy function on the traced value, or indexing: x.reshape(-1)[3] instead of x.flat[3]."
HINT_FORMAT = "return the value and print it outside the traced function; {x.shape} and {x} work in it."
LEAKED = (
    "{value} belongs to the trace of {function!r}, which has ended; a traced value cannot be used outside its trace.\n"
    "HINT: return it from the function instead of storing it in a list, an attribute or a global."
)
UNSUPPORTED = "{function} has no traced form.\nHINT: {hint}"
UNSUPPORTED_METHOD = "the method {method!r} of ufunc {function} has no traced form here.\nHINT: {hint}"
UNSUPPORTED_ARGUMENT = "{function} is traced without its argument {argument}.\nHINT: {hint}"
RANDOM_IN_TRACE = (
    "np.random.{function} was called while {traced!r} is traced: its numbers would be frozen into the compiled "
    "function.\nHINT: draw outside and pass the numbers as an argument:\n"
    "    noise = rng.standard_normal(x.shape)\n"
    "    y = f(x, noise)"
)
UNSUPPORTED_DTYPE = (
    "arrays of dtype {dtype} cannot be traced; {name} has it.\n"
    "HINT: convert it first, e.g. x.astype(np.float64). Traced dtypes: {known}."
)
NON_SCALAR_COST = (
    "the cost must be a scalar, but it has type {type}.\n"
    "HINT: reduce it, e.g. np.sum(cost) or np.mean(cost); for a full Jacobian differentiate each element."
)
NON_FLOAT_COST = "the cost must be a real floating-point number, but it has type {type}.\nHINT: {hint}"
NOT_DIFFERENTIABLE = "{op} has no derivative with respect to its argument {position}.\nHINT: {hint}"
INTEGER_ARGUMENT = (
    "{function} cannot differentiate with respect to {name}, which has type {type}.\n"
    "HINT: pass floats, e.g. np.asarray(x, dtype=float), or choose other arguments with argnums."
)
DISCONNECTED = (
    "the cost does not depend on {value}.\n"
    "HINT: check that the cost uses this value itself and not a copy, or pass disconnected_inputs='ignore' "
    "to get zeros, or 'warn'."
)
UPDATE_TARGET = "an update needs a shared variable on its left, not {target!r}.\nHINT: w = tracer.shared(np.zeros(3))"
UPDATE_TYPE = "the update of {name} has type {new}, but the shared variable has type {old}.\nHINT: {hint}"
UPDATE_TWICE = "{name} is updated twice in one function; one of the two values would be lost.\nHINT: combine them."
UPDATE_OUTSIDE = "{name}.set(...) records an update inside a traced function.\nHINT: use {name}.set_value(...) here."
NAN_FOUND = "{op} gave NaN ({count} of {size} values) in {function!r}.\n  inputs: {inputs}"
STATIC_UNHASHABLE = (
    "argument {name} of {function!r} is a {type}: it is neither an array nor hashable.\n"
    "HINT: pass arrays, numbers, strings, or tuples/lists/dicts/dataclasses of them."
)
RECORDING = "while recording {op} of {types}"
HINTS_FOR_SHAPES = {
    "elementwise": "shapes must be equal or 1, counted from the last axis; x[:, None] adds an axis of size 1.",
    "matmul": "the last axis of the left must be as long as the second last of the right; x.T or np.reshape may help.",
}
RETRACE = "tracer: compiling {function!r} again (trace {count}): {reason}"
NO_PARAMETERS = (
    "{rule} finds no float shared variable that the cost of {function!r} depends on.\n"
    "HINT: make the parameters shared, w = tracer.shared(...), or name them with params=[...]."
)
UPDATES_NEED_COST = (
    "updates={rule} needs a function that returns a scalar cost, or a tuple whose first item is one; {function!r} "
    "returned {type}."
)


def message(text: str, line: Line | None = None, **fields: Any) -> str:
    """Fill a text of this module, and say where in the user's code it happened."""
    filled = text.format(**fields)
    place = line if line is not None else user_line()
    return f"{filled}\n  at {place}" if place else filled


CAPTURE_CHANGED = (
    "{function!r} changed a real array ({value}) after computing with it; a trace cannot follow that.\n"
    "HINT: build the array completely before it meets a traced value, or pass it as an argument, whose in-place "
    "changes are traced."
)
STATE_CHANGED = (
    "tracer: {function!r} changed {place} from {old} to {new} while it was traced; later calls will not.\n"
    "HINT: keep state in a shared variable, n = tracer.shared(0), and update it with n.set(n + 1)."
)
RESULT_HIDDEN = (
    "{function!r} returned a {type}, in which traced values cannot be found.\n"
    "HINT: return arrays, or tuples, lists, dicts, named tuples or dataclasses of them."
)
OVERLAP = (
    "{function!r} writes into its argument {one}, which shares memory with {two}: a write to one is a write to both.\n"
    "HINT: pass a copy of one of them, or write x = x + y instead of x += y."
)
UNSUPPORTED_ARRAY = (
    "a {type} computes by other rules than an array and cannot be traced; {name} is one.\n"
    "HINT: pass plain arrays, e.g. np.asarray(x), or x.filled(0.0) and x.mask for a masked array."
)
STATE_REPLACED = (
    "{function!r} read the array in {place} and then stored a traced value there, which ends with the trace.\n"
    "HINT: keep state in a shared variable, w = tracer.shared(...), and update it with w.set(...)."
)
IN_PLACE_ON_REAL_ARRAY = (
    "a traced value was written into a real array{value}.\n"
    "HINT: start from a traced array, out = np.zeros_like(x), or np.broadcast_to(0 * x[0], shape).copy() for another\n"
    "shape; or collect the parts in a list and use np.stack(parts)."
)
SHARED_IN_PLACE = (
    "the shared variable {name} cannot be changed in place in a traced function.\n"
    "HINT: {name}.set({name} - 0.1 * gradient) records its new value."
)
SHARED_OF_TRACED = "a shared variable needs a real value, but {value} is traced.\nHINT: w.set(value) updates one."
FOREIGN_VALUE = (
    "{function!r} uses a symbolic value ({value}) that is neither its argument nor a shared variable.\n"
    "HINT: pass it as an argument, or make it tracer.shared(...)."
)
ARGNUM_MISSING = (
    "{function} was called with {count} positional arguments, but argnums asks for argument {number}.\n"
    "HINT: pass differentiated arguments by position, and count them from 0."
)
WRT_NOT_TRACED = (
    "grad(cost, wrt) needs wrt to be traced values or shared variables, not a {type}.\n"
    "HINT: for a function use tracer.grad(f, argnums=0)(x)."
)
GRAD_TARGET = (
    "tracer.grad needs a function, or inside a trace a traced cost, not a {type}.\n"
    "HINT: tracer.grad(f)(x), or tracer.grad(cost, [w, b]) in a function decorated with @tracer.compile."
)
NOT_A_GRAPH = (
    "a {type} has no graph to show.\n"
    "HINT: tracer.pp(f, x) for a function f at an argument x, or tracer.pp(value) in a trace."
)
MISMATCH = "mode='check': {what} of {function!r} differ at output {output}: {detail}"
