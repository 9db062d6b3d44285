"""Every error that a user can cause: its class and its text, in one place.

A text says what happened, where in the user's code, the types involved, and shows code that works after ``HINT:``.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

from tracer.records import NamedTuple


class Line(NamedTuple):
    """One place in the user's source."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} in {self.function}"


_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FOREIGN = tuple(
    os.path.dirname(os.path.abspath(found.origin)) + os.sep
    for found in (find_spec("numpy"), find_spec("scipy"))
    if found is not None and found.origin is not None
)
_SKIPPED: dict[str, bool] = {}


def _is_skipped(filename: str) -> bool:
    skipped = _SKIPPED.get(filename)
    if skipped is None:
        skipped = filename.startswith((_OWN_FOLDER, *_FOREIGN)) or filename.startswith("<__array_function__")
        _SKIPPED[filename] = skipped
    return skipped


def is_own(filename: str) -> bool:
    """Whether a file is one of this package's, NumPy's or SciPy's, not the user's."""
    return _is_skipped(filename)


def user_line() -> Line | None:
    """The innermost frame of the stack that is neither this package's nor NumPy's nor SciPy's."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        skipped = _SKIPPED.get(code.co_filename)
        if not (_is_skipped(code.co_filename) if skipped is None else skipped):
            return Line(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def scipy_call() -> str | None:
    """The function of SciPy that the user called and that runs now; None if none does."""
    called = None
    frame = sys._getframe(1)
    while frame is not None and _is_skipped(frame.f_code.co_filename):
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("scipy."):
            package = ".".join(part for part in module.split(".") if not part.startswith("_"))
            called = f"{frame.f_code.co_qualname} of {package}"
        frame = frame.f_back  # type: ignore[assignment]
    return called


def raised_at(error: BaseException) -> Line | None:
    """The innermost line of an exception's traceback that is neither this package's nor NumPy's nor SciPy's."""
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


class NullTypeGradError(TracerError, TypeError):
    """The gradient with respect to a value for which it is not defined."""


class GraphError(TracerError, AssertionError):
    """A graph or program that breaks its own rules: a fault of this package or of a custom op."""


class UpdateError(TracerError, TypeError):
    """An update of a shared variable that cannot be: wrong type, shape, or twice the same variable."""


class DeviceError(TracerError, RuntimeError):
    """A GPU was asked for and there is none that works, or a function has no form for it."""


class DeviceWarning(UserWarning):
    """A part of a function on the GPU runs on the CPU."""


class ConvergenceError(TracerError, RuntimeError):
    """An iteration has not come to its end within the steps that it may do."""


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
    "or branch on something static, such as x.shape or a Python argument; or let the function be compiled for each\n"
    'path that calls take: @tracer.compile(branches="guard").'
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
HINT_WRITER = "return the array, and print or save it outside the traced function."
HINT_SCIPY = (
    "{function} computes where no trace can follow. Make the call an op with rules of its own,\n"
    "    op = tracer.custom_op(lambda x: ..., vjp=lambda g, y, x: ...), or without any by tracer.pure_callback."
)
HINT_SPARSE = (
    "a product with a sparse matrix A that stays the same is an op, and so is its transpose:\n"
    "    times = tracer.custom_op('times', lambda x: A @ x, vjp=lambda g, y, x: times_t(g))\n"
    "    times_t = tracer.custom_op('times_t', lambda x: A.T @ x, vjp=lambda g, y, x: times(g))\n"
    "then y = times(x). tracer.function has sparse matrices as arguments: tracer.sparse."
)
SPARSE_OPERAND = "a {type} of scipy.sparse cannot be traced.\nHINT: {hint}"
HINT_ITERATE = "a traced value can be iterated only along a known first dimension: for i in range(x.shape[0]): x[i]"
HINT_ATTRIBUTE = "use a NumPy function on the traced value, or call it on the result, outside the traced function."
HINT_FORMAT = "return the value and print it outside the traced function; {x.shape} and {x} work in it."
LEAKED = (
    "{value} belongs to the trace of {function!r}, which has ended; a traced value cannot be used outside its trace.\n"
    "HINT: return it from the function instead of storing it in a list, an attribute or a global."
)
UNSUPPORTED = "{function} has no traced form.\nHINT: {hint}"
UNSUPPORTED_METHOD = "the method {method!r} of ufunc {function} has no traced form here.\nHINT: {hint}"
UNSUPPORTED_ARGUMENT = "{function} is traced without its argument {argument}.\nHINT: {hint}"
UNSUPPORTED_DTYPE = (
    "arrays of dtype {dtype} cannot be traced; {name} has it.\nHINT: convert it first: {hint}. Traced dtypes: {known}."
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
NO_TEST_VALUE = (
    "{value} has no test value, and config.compute_test_value asks for one.\n"
    "HINT: x.tag.test_value = numpy.ones((2, 3)), an array of the variable's type."
)
REPLAYING = "while computing {op} of {shapes}"
HINTS_FOR_SHAPES = {
    "elementwise": "shapes must be equal or 1, counted from the last axis; x[:, None] adds an axis of size 1.",
    "matmul": "the last axis of the left must be as long as the second last of the right; x.T or np.reshape may help.",
}
RETRACE = "tracer: compiling {function!r} again (trace {count}): {reason}"
HINT_STATIC_INT = (
    "\nHINT: a Python int is part of the program; a number that changes from call to call is one argument for all of "
    "them as np.asarray(n), or as a float."
)
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
PUT_INTO_ARGUMENT = (
    "tracer: {function!r} puts a new value into {place}; the caller's own does not get it.\n"
    "HINT: write into the array, {place}[...] = value or {place} -= step, or return the new nest: "
    "params = step(params, x)."
)
ITEM_TAKEN = (
    "tracer: {function!r} took items of the iterator {place} while it was traced; later calls get the same items.\n"
    "HINT: take them outside and pass them as arguments, f(x, next({place}))."
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
CLOCK_READ = (
    "tracer: {function!r} asks {place}, which happens while it is traced only: later calls get the same answer.\n"
    "HINT: ask outside and pass the answer as an argument, f(x, np.float64(time.time()))."
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
SHAPE_ASSIGNED = (
    "the shape of a traced array cannot be assigned.\n"
    "HINT: x = x.reshape(2, 3) gives a view of another shape: what is written to it is written to x."
)
SHARED_IN_PLACE = (
    "the shared variable {name} is changed in place outside of a traced function.\n"
    "HINT: value = {name}.get_value(), value[rows] += change, {name}.set_value(value); in a function under "
    "@tracer.compile, {name}[rows] += change."
)
SHARED_OF_TRACED = (
    "a shared variable needs a real value, but {value} is traced.\n"
    "HINT: w.set(value) updates one; shared(np.zeros(w.shape, w.dtype)) makes one of the shape of another."
)
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

# --- symbolic variables ------------------------------------------------------------------------------------------

WRONG_NDIM = (
    "wrong number of dimensions: {type} has {expected}, but the value has {found}, with shape {shape}.\n"
    "HINT: reshape the value, e.g. x[None, :] for a row or x[0] for a scalar, or declare the variable with another "
    "type, such as T.matrix or T.vector."
)
NOT_BROADCASTABLE = (
    "{type} has size 1 along axis {axis}, but the value has shape {shape}.\n"
    "HINT: declare the variable as T.matrix instead of T.row or T.col, or pass x[:1]."
)
SYMBOLIC_ARGUMENT = (
    "expected a value for {type}, but {value} is symbolic.\n"
    "HINT: pass numbers to the compiled function; to compute with another expression use givens=[(old, new)]."
)
STRICT_TYPE = (
    "{type} is strict and takes only arrays of just its dtype, not {kind}.\n"
    "HINT: pass numpy.asarray(value, dtype=...), or declare the input without strict=True."
)
NOT_AN_ARRAY = "{type} cannot hold a {kind}: {value!r}.\nHINT: pass numbers, arrays, or nested lists of numbers."
PRECISION_LOST = (
    "{type} cannot hold values of dtype {dtype} without loss of precision.\n"
    "HINT: cast it, numpy.asarray(value, dtype='{target}'), or compile with function(..., allow_input_downcast=True)."
)
NOT_SYMBOLIC = (
    "a {kind} cannot be part of a symbolic expression: {value!r}.\nHINT: use numbers, arrays and symbolic variables."
)
SYMBOLIC_NUMBER = (
    "{what} needs a number, but {value} is symbolic: it has none until a compiled function is called.\n"
    "HINT: compute with tensor functions, T.sqrt(x) instead of math.sqrt(x), or get a number with x.eval({{y: 2.0}})."
)
SYMBOLIC_TRUTH = (
    "the truth of {value} is not known before a compiled function is called.\n"
    "HINT: choose with T.switch(condition, a, b), or ifelse(condition, a, b); combine conditions with T.and_ and T.or_."
)
SYMBOLIC_LENGTH = (
    "the length of {value} is not known before a compiled function is called.\n"
    "HINT: x.shape[0] is its symbolic length; loop with scan(fn, sequences=x), or use T.sum, T.max."
)
SYMBOLIC_ASSIGNMENT = (
    "{value} is symbolic: elements cannot be assigned.\n"
    "HINT: y = T.set_subtensor(x[0], value), or T.inc_subtensor(x[0], value) for x[0] += value."
)
TRACED_IN_SYMBOLIC = (
    "{value} belongs to a trace and cannot be mixed with symbolic variables.\n"
    "HINT: pass it as an argument, or use tracer.shared(...) for values that both see."
)
MISSING_SYMBOLIC_INPUT = (
    "{value} is an input of the expression, but has no value.\n"
    "HINT: list it among the inputs of the function, function([x, ...], ...), or replace it with givens."
)
IN_FUNCTION = "  in the compiled function {function!r}"
HINT_VERBOSITY = "HINT: tracer.config.exception_verbosity = 'high' shows the arguments of the call."


# --- random numbers ----------------------------------------------------------------------------------------------

NOT_A_RANDOM_STATE = (
    "{name} holds the state of a numpy.random.RandomState, not a {kind}.\n"
    "HINT: {name}.set_value(numpy.random.RandomState(234)), or set_value(generator.get_state())."
)
UNKNOWN_DISTRIBUTION = (
    "{name!r} is not a distribution that can be drawn from.\nHINT: draws are named as RandomState's methods: {known}."
)
RANDOM_SIZE = (
    "the size {size} has {given} dimensions, but {reason}.\n"
    "HINT: leave ndim out, or give a size that broadcasts with the parameters, e.g. size=x.shape."
)
RANDOM_NDIM = (
    "how many dimensions a sample of size {size} has is not known.\nHINT: srng.uniform(size, ndim=2), or size=(n, m)."
)
MRG_SEED = "MRG_RandomStreams cannot start from {seed}: {reason}.\nHINT: MRG_RandomStreams(12345), or six such numbers."
MRG_SIZE = (
    "the size {size} of a random sample has a dimension that is not positive.\n"
    "HINT: srng.uniform(size=(3, 4)), or a symbolic size such as x.shape."
)
MRG_ARGUMENT = "MRG_RandomStreams.{function} {reason}.\nHINT: {hint}"
LOOP_LENGTH = (
    "a scan needs to know how many steps to do.\nHINT: give it a sequence, whose rows it takes, or n_steps=10."
)
LOOP_ROWS = (
    "a scan over {steps} steps needs as many rows of each sequence, but sequence {number} has {rows}.\n"
    "HINT: n_steps may be at most the length of the shortest sequence."
)
LOOP_LAGS = (
    "state {number} of a scan is read {lags} steps back, but has {rows} initial rows.\n"
    "HINT: lags are at least 1, and the initial value has a row for each step back, oldest first: np.stack([x0, x1])."
)
LOOP_RESULT = (
    "the body of a scan must return {wanted}; it returned {found}.\n"
    "HINT: return [new_state], [new_carry], [output], with [] where there is none."
)
LOOP_TYPE = (
    "{what} starts with type {wanted}, but the body gives {found}.\n"
    "HINT: start with the type that the body gives, e.g. np.zeros(3) instead of 0, or convert it: x.astype(np.float32)."
)
BRANCH_TYPES = (
    "the branches of a condition give different types: {one} and {two}.\n"
    "HINT: both must return as many arrays, of the same shapes; np.zeros_like(x) may stand for nothing."
)
PREDICATE = (
    "a condition needs a single truth value, but got {type}.\n"
    "HINT: reduce it, e.g. np.all(x > 0); np.where(x > 0, a, b) chooses element by element."
)

# --- scan and ifelse ---------------------------------------------------------------------------------------------

SCAN_RESULT = (
    "cannot tell outputs, updates and the condition apart in what the function of scan returned: {value!r}.\n"
    "HINT: return outputs, then updates, then the condition, each if there is one:\n"
    "    return [h, y], {{counter: counter + 1}}, until(abs(y) < 1e-6)"
)
SCAN_NO_RESULT = "the function of scan returned nothing.\nHINT: return new_state, or [new_state, output]."
SCAN_NO_LENGTH = (
    "scan does not know how many steps to do.\nHINT: give it n_steps=10, or a sequence, whose rows it takes."
)
SCAN_STEPS_TYPE = "n_steps must be an integer, but has type {type}.\nHINT: n_steps=T.cast(n, 'int64')."
SCAN_NEGATIVE = (
    "scan was asked to do {steps} steps.\n"
    "HINT: n_steps counts steps and is not negative; go_backwards=True reads sequences from their end."
)
SCAN_TOO_SHORT = (
    "scan was asked to do {steps} steps, but {name} has rows for {rows} only.\n"
    "HINT: leave n_steps out to do as many steps as the shortest sequence has rows; taps shorten a sequence."
)
SCAN_NO_ROWS = (
    "{name} has type {type}, which has no leading dimension.\n"
    "HINT: {what}; what is the same at every step belongs in non_sequences."
)
SCAN_KEYS = "{what} of scan is a dict with the key {key!r}; it may have {known}.\nHINT: {hint}"
SCAN_TAPS_WITHOUT_INITIAL = (
    "output {number} of scan has taps but no initial value.\n"
    "HINT: outputs_info=[dict(initial=x0, taps=[-1])]; an output that is not fed back has None in outputs_info."
)
SCAN_FUTURE_TAPS = (
    "output {number} of scan has the taps {taps}: only earlier steps of an output can be read.\n"
    "HINT: taps=[-1] is the step before; x0 of taps=[-2, -1] has two rows, oldest first."
)
SCAN_OUTPUT_COUNT = (
    "the function of scan returned {found} outputs, but outputs_info describes {given}.\n"
    "HINT: give None in outputs_info for each output that is not fed back, as in outputs_info=[h0, None]."
)
SCAN_STATE_TYPE = (
    "the initial state (outputs_info) of output {number} of scan, {name}, has {initial} a step, but the function "
    "returns {found}.\nHINT: {hint}"
)
HINT_STATE_DTYPE = (
    "start with the dtype that the function returns, T.constant(0, dtype='{dtype}') or numpy.{dtype}(0), or cast what "
    "it returns."
)
HINT_STATE_NDIM = (
    "both must have as many dimensions: T.zeros_like(x) or T.zeros((n,)) instead of 0, or reduce the output."
)
HINT_STATE_BROADCAST = (
    "they differ in which dimensions have size 1: T.unbroadcast(x0, axis) or T.addbroadcast(x0, axis) changes it."
)
SCAN_INITIAL_ROWS = (
    "output {number} of scan is read {lag} steps back, but its initial value has {rows} rows.\n"
    "HINT: give it {lag} rows, oldest first: T.stack([x0, x1])."
)
SCAN_STRICT = (
    "the function of scan uses {name}, which is not among its non_sequences, but strict=True.\n"
    "HINT: scan(fn, non_sequences=[{name}], strict=True), and let fn take it as an argument."
)
SCAN_ROWS = (
    "how many steps a loop did that stops by a condition is known only after it has run, but its rows are needed as an "
    "array of a known size.\n"
    "HINT: in a traced function take single rows, values[-1], or sums, np.sum(values, axis=0)."
)
SCAN_SIZE = (
    "a size must be known before a loop runs, but {value} differs from step to step of a scan.\n"
    "HINT: let every step compute on arrays of one size, T.sum(x * (T.arange(x.shape[0]) < k)) instead of T.sum(x[:k])."
)
SCAN_IN_TRACE = (
    "scan was called in a traced function with a function that updates {name}.\n"
    "HINT: return the value as an output, and set it after the loop: {name}.set(outputs[-1])."
)
CHECKPOINT_TAPS = (
    "scan_checkpoints takes outputs that are read one step back only, not taps.\n"
    "HINT: outputs_info=[x0]; scan has taps."
)
CHECKPOINT_UNTIL = (
    "scan_checkpoints does a known number of steps, but the function of it returned a condition.\n"
    "HINT: use scan, which stops with until(condition)."
)
CHECKPOINT_LENGTH = (
    "{steps} steps cannot be divided into segments of save_every_N={size}.\n"
    "HINT: padding=True fills up the last segment."
)
IFELSE_COUNT = (
    "ifelse has {one} values in its then branch and {two} in its else branch.\n"
    "HINT: ifelse(condition, [a, b], [c, d]) gives as many values as each branch has."
)
IFELSE_TYPES = (
    "the two branches of ifelse should have identical types, but they are {one} and {two}.\n"
    "HINT: both need the same dtype and number of dimensions, T.cast(x, 'float64'), and both or none must be lists."
)
COMPLEX_EIGENVALUES = (
    "a matrix given to eig has complex eigenvalues, but the result has the matrix's own real dtype.\n"
    "HINT: eig(T.cast(a, 'complex128')) gives complex ones; eigh is for symmetric matrices."
)


# --- ops of one's own --------------------------------------------------------------------------------------------

PYTHON_RESULT = (
    "{code} gave an array of type {found}, but {wanted} was declared.\n"
    "HINT: cast the result to the dtype of the output's type, and let infer_shape return its shape."
)


# --- shared variables --------------------------------------------------------------------------------------------

SHARED_VALUE = "{name} has no attribute `value`.\nHINT: {name}.get_value() reads its value, set_value(...) writes it."
NOT_SUBSCRIPTABLE = (
    "{name} cannot be indexed: it holds a {kind}, not an array.\n"
    "HINT: make it of an array, shared(numpy.asarray(values)), or index the value itself: {name}.get_value()[0]."
)
SHARED_TARGET = (
    "a shared variable lives on the CPU or on the GPU; there is no device {target!r}.\n"
    "HINT: leave target out, or target='gpu'."
)

# --- dtypes of symbolic variables --------------------------------------------------------------------------------

FLOAT64_MADE = (
    "a variable of dtype float64 was made: {type}, and tracer.config.warn_float64 is {setting!r}.\n"
    "HINT: declare inputs as float32, T.fmatrix or floatX=float32, and cast numbers: numpy.float32(0.5)."
)
