"""The Op record, the families that fill it in, and the table of NumPy functions that ops and composites answer.

An op is declared once, in `tracer/ops`; operators, methods, NumPy dispatch, derivatives, kernels, tests and the
reference page are all derived from its record. Rules are written in plain NumPy: on proxies they build graph, on
arrays they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tracer.errors import TraceError
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.batching import aligned, spread_all
from tracer.types import DTYPES, ArrayType, TupleType, broadcast_shapes, is_supported, resolve_ufunc

Rule = Callable[..., Any]
DtypeRule = Callable[[tuple[Any, ...]], tuple[np.dtype[Any], ...]]
Example = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]
"""A call that tests run, and the shapes of the arrays to call it with."""


@dataclass(eq=False)
class Op:
    """Everything that is known about one operation.

    Attributes
    ----------
    name : str
        Its name in texts; NumPy's where NumPy has it.
    family : str
        How it is lowered: elementwise, reduction, view, assemble, matmul, gather, scatter, cumulative, argreduce,
        or call (through `evaluate`).
    infer : callable
        (types, **params) -> ArrayType, or TupleType for an op with several outputs. Raises NumPy's own errors for
        wrong inputs.
    evaluate : callable
        (*arrays, **params) -> array, or a tuple of them, with NumPy: the definition of the op.
    vjp : tuple of callables, a callable, or None
        One rule per input, (g, y, *inputs, **params) -> cotangent of that input, or one rule for any number of inputs,
        (position, g, y, *inputs, **params). None within a tuple: no derivative flows to that input. With several
        outputs g and y are tuples, and an item of g is None if zero.
    jvp : callable, "linear", "multilinear" or None
        (tangents, y, *inputs, **params) -> tangent, where a tangent is None if zero. "linear": the op applied to the
        tangents of all inputs together; "multilinear": the sum over inputs of the op with one replaced by its tangent.
        With several outputs a rule gives a tuple of tangents, None for those that are zero.
    batch : callable or None
        (inputs, is_batched, size, **params) -> the results for `size` examples at once, a tuple if there are several
        outputs. The examples lie along axis 0 of the inputs that are batched, and of the results; what is not batched,
        or is made the `Same` for all examples, has no such axis. Where there is no rule, or it gives NotImplemented,
        the examples are computed one by one in a loop.
    draws : bool
        Whether every example of a batch has results of its own even where the inputs are the same for all.
    higher_order : bool
        It holds graphs of its own. Its vjp is then one rule for all inputs, (positions wanted, g, y, *inputs,
        transform, **params) -> a cotangent or None for each of them, and its jvp takes `transform` too: the derivative
        of graphs itself, which a rule cannot import. So
        does its batch: (outputs, {input: batched input}, size) -> for each output a node and whether it is batched.
    zero_derivative : bool
        The derivative is zero wherever it exists (floor, comparisons): no error, no cotangent.
    dtypes : callable or None
        (operand dtypes or Python scalar types) -> dtypes to which the inputs are cast, then that of the output.
    kernel : str or None
        The scalar op of `kernels_cpp/ops.def`, or the kind of a reduction, cumulative or argreduce.
    call_kernel : callable or None
        Call ops: (**params) -> the kernel of `kernels_cpp/matrix_kernels.cpp`, `kernels_cpp/draws.cpp`,
        `kernels_cpp/fourier.cpp` or `kernels_cpp/sorting.cpp` that does, for what is not out of the ordinary, what
        `evaluate` does, or "".
    layout : callable or None
        View ops: (shape, strides, offset, **params) -> (strides, offset) of the result in the same memory, in elements,
        or None where memory must be copied.
    regions : callable or None
        Assemble ops: (types, **params) -> (fill, regions): fill is a number or the position of the input that is copied
        first; a region is (input position, index of slices, accumulate).
    symbol, precedence : str, int
        How the infix form is printed.
    commutative : bool
        Whether its two inputs may be exchanged.
    domain : tuple
        Elementwise: an interval per input from which tests draw.
    examples : tuple
        Calls that the tests run over dtypes, layouts and derivatives.
    """

    name: str
    family: str
    infer: Callable[..., ArrayType | TupleType]
    evaluate: Callable[..., Any]
    vjp: tuple[Rule | None, ...] | Rule | None = None
    jvp: Rule | str | None = None
    batch: Rule | None = None
    draws: bool = False
    higher_order: bool = False
    zero_derivative: bool = False
    dtypes: DtypeRule | None = None
    kernel: str | None = None
    call_kernel: Callable[..., str] | None = None
    layout: Callable[..., Any] | None = None
    regions: Callable[..., Any] | None = None
    symbol: str | None = None
    precedence: int = 0
    commutative: bool = False
    domain: tuple[tuple[float, float], ...] = ()
    deriv: tuple[Rule | None, ...] = ()
    examples: tuple[Example, ...] = ()
    doc: str = ""

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """Apply to arrays (computes) or to traced values among them (records a node); several outputs are a tuple."""
        for value in inputs:
            record = getattr(value, "__tracer_apply__", None)
            if record is not None:
                return record(self, inputs, params)
        return self.evaluate(*inputs, **params)

    def __repr__(self) -> str:
        return f"Op({self.name!r})"


@dataclass(eq=False)
class Function:
    """How a NumPy function is traced: `apply` is called with the user's own arguments, on duck arrays."""

    numpy: Callable[..., Any]
    apply: Callable[..., Any]
    op: Op | None = None
    examples: tuple[Example, ...] = ()
    doc: str = ""


OPS: dict[str, Op] = {}
"""Every op by name."""
FUNCTIONS: dict[Callable[..., Any], Function] = {}
"""Every traced NumPy or SciPy function, keyed by the function itself."""
METHODS: dict[str, Callable[..., Any]] = {}
"""Array methods that are not simply the NumPy function of the same name."""
UFUNC_NAMES: dict[str, Callable[..., Any]] = {}
"""Ufuncs of packages that are not imported here, by name: SciPy's `erf`, `expit`."""
STAND_INS: dict[str, Callable[..., Any]] = {}
"""What stands in, while a function is traced, for functions that know no protocol, by path: "scipy.linalg.expm"."""
STAND_IN_EXAMPLES: dict[str, tuple[Example, ...]] = {}
"""Examples of stand-ins, by path."""
UFUNC_METHODS: dict[str, Callable[..., Any]] = {}
"""The methods of ufuncs by name, called with the ufunc and the arguments of its method: reduce, at and their kin."""


def declare(op: Op, numpy: Callable[..., Any] | None = None, bind: Callable[..., Any] | None = None) -> Op:
    """Enter an op in the table, with the NumPy function it answers.

    `bind` takes that function's own arguments and returns (inputs, params); without it the arguments are the inputs.
    """
    if op.name in OPS:
        raise ValueError(f"op {op.name!r} is declared twice")
    OPS[op.name] = op
    if numpy is not None:
        apply = op if bind is None else _bound(op, bind)
        FUNCTIONS[numpy] = Function(numpy, apply, op, op.examples, op.doc)
    return op


def _bound(op: Op, bind: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*args: Any, **kwargs: Any) -> Any:
        inputs, params = bind(*args, **kwargs)
        return op(*inputs, **params)

    return apply


def composite(
    *functions: Callable[..., Any], examples: Sequence[Example] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare that NumPy functions are traced by running this one, written in terms of other NumPy functions."""

    def enter(apply: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = Function(function, apply, None, tuple(examples), apply.__doc__ or "")
        return apply

    return enter


def stand_in(*paths: str, examples: Sequence[Example] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare what stands in for functions of packages that are not imported here and ask their arguments nothing.

    The examples are for the page of what is traced; they cannot import the packages either, so they are given them:
    a call is made with the function itself first, then the arrays.
    """

    def enter(apply: Callable[..., Any]) -> Callable[..., Any]:
        STAND_INS.update(dict.fromkeys(paths, apply))
        STAND_IN_EXAMPLES.update(dict.fromkeys(paths, tuple(examples)))
        return apply

    return enter


def method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an array method whose arguments differ from those of the NumPy function of its name."""

    def enter(apply: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = apply
        return apply

    return enter


def batched_as(name: str, change: Callable[..., dict[str, Any]] | None = None) -> Rule:
    """The batching rule of an op that takes a batch as it is, with parameters `change(**params)` instead of its own."""

    def rule(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, /, **params: Any) -> Any:
        return OPS[name](*spread_all(inputs, is_batched, size), **(params if change is None else change(**params)))

    return rule


# --- families ----------------------------------------------------------------------------------------------------


def elementwise(
    name: str,
    function: Callable[..., Any],
    *,
    deriv: tuple[Rule | None, ...] | None = None,
    kernel: str | None = None,
    dtypes: DtypeRule | None = None,
    zero_derivative: bool = False,
    **fields: Any,
) -> Op:
    """Declare an elementwise op with broadcasting.

    Parameters
    ----------
    name : str
        Its name.
    function : ufunc or callable
        NumPy's function, or any function of arrays that broadcasts.
    deriv : tuple of callables
        For each input (y, *inputs) -> local derivative dy/dinput, or None where it is zero.
    kernel : str
        Its line in ops.def; without one it runs through `function`.
    dtypes : callable
        Loop dtypes for operand dtypes; NumPy's own table if `function` is a ufunc.
    """
    resolve = dtypes or (lambda operands: resolve_ufunc(function, operands))

    @cache
    def rule(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
        return _supported(name, resolve(operands))

    def infer(types: Sequence[ArrayType]) -> ArrayType:
        out = rule(tuple(item.dtype for item in types))[-1]
        return ArrayType(out, broadcast_shapes(*(item.shape for item in types)))

    op = Op(
        name,
        "elementwise" if kernel else "call",
        infer,
        function,
        dtypes=rule,
        kernel=kernel,
        deriv=deriv or (),
        zero_derivative=zero_derivative,
        batch=lambda inputs, is_batched, size: op(*aligned(inputs, is_batched)),
        **fields,
    )
    return declare(op, function if isinstance(function, np.ufunc) else None)


def _supported(name: str, dtypes: tuple[np.dtype[Any], ...]) -> tuple[np.dtype[Any], ...]:
    if is_supported(dtypes[-1]):
        # NumPy asks small integers as float16; what is not float16 itself is the same when asked as float32.
        return tuple(np.dtype(np.float32) if dtype == np.float16 else dtype for dtype in dtypes)
    for dtype in dtypes:
        if not is_supported(dtype):
            known = ", ".join(map(str, DTYPES))
            raise TraceError(unsupported_dtype(dtype, f"the result of {name}", known))
    return dtypes


@dataclass(frozen=True)
class _Infer:
    """Type rule of an op whose output depends only on shapes: keeps the first input's dtype."""

    shape: Callable[..., tuple[int | None, ...]] = field()

    def __call__(self, types: Sequence[ArrayType], **params: Any) -> ArrayType:
        return ArrayType(types[0].dtype, self.shape(types[0].shape, **params))


def view(
    name: str,
    shape: Callable[..., tuple[int | None, ...]],
    layout: Callable[..., Any],
    evaluate: Callable[..., Any],
    vjp: Rule,
    batch: Rule,
    *,
    numpy: Callable[..., Any] | None = None,
    bind: Callable[..., Any] | None = None,
    **fields: Any,
) -> Op:
    """Declare a linear op of one input that only rearranges elements, without copying where strides allow.

    `shape(shape, **params)` gives the result's shape, `layout` its strides and offset, `vjp(g, y, x, **params)` the
    transpose, and `batch` is the batching rule.
    """
    op = Op(name, "view", _Infer(shape), evaluate, vjp=(vjp,), jvp="linear", batch=batch, layout=layout, **fields)
    return declare(op, numpy, bind)
