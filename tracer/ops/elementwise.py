"""Elementwise arithmetic, comparisons, logic, bits, rounding, and the parts of complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.op import FUNCTIONS, Function, Op, batched_as, composite, declare, elementwise, method
from tracer.graph.rules import is_traced, known
from tracer.types import DTYPES, ArrayType, is_supported, promote, real_dtype, resolve_ufunc

_BOOL = np.dtype(bool)

# --- arithmetic --------------------------------------------------------------------------------------------------

elementwise(
    "add",
    np.add,
    kernel="add",
    deriv=(lambda y, a, b: 1, lambda y, a, b: 1),
    symbol="+",
    precedence=12,
    commutative=True,
    doc="Sum of two arrays, element by element.",
)
elementwise(
    "subtract",
    np.subtract,
    kernel="subtract",
    deriv=(lambda y, a, b: 1, lambda y, a, b: -1),
    symbol="-",
    precedence=12,
    doc="Difference of two arrays, element by element.",
)
elementwise(
    "multiply",
    np.multiply,
    kernel="multiply",
    deriv=(lambda y, a, b: b, lambda y, a, b: a),
    symbol="*",
    precedence=13,
    commutative=True,
    doc="Product of two arrays, element by element.",
)
elementwise(
    "divide",
    np.divide,
    kernel="divide",
    deriv=(lambda y, a, b: 1 / b, lambda y, a, b: -y / b),
    symbol="/",
    precedence=13,
    domain=((-2.0, 2.0), (0.5, 2.0)),
    doc="Quotient of two arrays, element by element.",
)
elementwise(
    "floor_divide",
    np.floor_divide,
    kernel="floor_divide",
    zero_derivative=True,
    symbol="//",
    precedence=13,
    domain=((-4.0, 4.0), (0.5, 2.0)),
    doc="Largest integer not above the quotient.",
)
elementwise(
    "remainder",
    np.remainder,
    kernel="remainder",
    deriv=(lambda y, a, b: 1, lambda y, a, b: -np.floor_divide(a, b)),
    symbol="%",
    precedence=13,
    domain=((-4.0, 4.0), (0.5, 2.0)),
    doc="Remainder of division, with the sign of the divisor.",
)
elementwise(
    "fmod",
    np.fmod,
    kernel="fmod",
    deriv=(lambda y, a, b: 1, lambda y, a, b: -np.trunc(a / b)),
    domain=((-4.0, 4.0), (0.5, 2.0)),
    doc="Remainder of division, with the sign of the dividend.",
)
elementwise(
    "negative",
    np.negative,
    kernel="negative",
    deriv=(lambda y, x: -1,),
    symbol="-",
    precedence=14,
    doc="The number with its sign changed.",
)
# It has no kernel: a rewrite removes it.
elementwise("positive", np.positive, deriv=(lambda y, x: 1,), doc="The number itself.")
elementwise("square", np.square, kernel="square", deriv=(lambda y, x: 2 * x,), doc="x * x.")
elementwise(
    "reciprocal",
    np.reciprocal,
    kernel="reciprocal",
    deriv=(lambda y, x: -y * y,),
    domain=((0.5, 2.0),),
    doc="1 / x.",
)
elementwise(
    "sqrt", np.sqrt, kernel="sqrt", deriv=(lambda y, x: 0.5 / y,), domain=((0.2, 3.0),), doc="Non-negative square root."
)
elementwise(
    "cbrt", np.cbrt, kernel="cbrt", deriv=(lambda y, x: 1 / (3 * y * y),), domain=((0.2, 3.0),), doc="Cube root."
)


def _power_base(y: Any, x: Any, exponent: Any) -> Any:
    number = known(exponent)
    if number is not None and number.ndim == 0:
        static = number.item()
        return 0 if static == 0 else static * np.power(x, static - 1)
    # A zero exponent must not ask for x ** -1, which is infinite at 0 where the derivative is 0.
    lowered = np.where(exponent == 0, 1, exponent - 1)
    return exponent * np.power(x, lowered)


def _power_exponent(y: Any, x: Any, exponent: Any) -> Any:
    return y * np.log(np.where(x == 0, 1, x))


_POWER = elementwise(
    "power",
    np.power,
    kernel="power",
    deriv=(_power_base, _power_exponent),
    symbol="**",
    precedence=15,
    domain=((0.3, 2.0), (-2.0, 2.0)),
    doc="The first array raised to the powers of the second.",
)
elementwise(
    "float_power",
    np.float_power,
    kernel="power",
    deriv=(_power_base, _power_exponent),
    domain=((0.3, 2.0), (-2.0, 2.0)),
    doc="Power in double precision.",
)
_INTEGER_POWER = elementwise(
    "integer_power",
    lambda x, exponent: np.power(x, exponent),
    dtypes=lambda operands: resolve_ufunc(np.power, operands),
    examples=((lambda x: np.power(np.abs(x), np.abs(x)), ((3, 4),)),),
    doc="Power of integers; raises ValueError for a negative exponent, which only the call can tell.",
)
_FAST_POWERS: dict[Any, np.ufunc] = {2: np.square, 1: np.positive, 0.5: np.sqrt, -1: np.reciprocal}


def _power(x: Any, exponent: Any) -> Any:
    """Power; for the exponents that NumPy's `**` treats specially, by the same special functions."""
    if type(exponent) in (int, float) and is_traced(x):
        if x.dtype.kind in "fc":
            fast = _FAST_POWERS.get(exponent)
            if fast is not None:
                return fast(x)
        elif x.dtype.kind in "iu" and type(exponent) is int:
            if exponent < 0 and x.dtype.kind == "u":
                raise OverflowError(f"Python integer {exponent} out of bounds for {x.dtype}")
            if exponent < 0:
                raise ValueError("Integers to negative integer powers are not allowed.")
            if exponent == 2:
                return np.square(x)
            return _POWER(x, exponent)
    if hasattr(type(exponent), "__tracer_weak__"):
        return _POWER(x, exponent)
    base, power = (value.dtype if is_traced(value) else np.asarray(value).dtype for value in (x, exponent))
    return _INTEGER_POWER(x, exponent) if power.kind == "i" and base.kind in "biu" else _POWER(x, exponent)


FUNCTIONS[np.power] = Function(np.power, _power, _POWER, (), _POWER.doc)

# --- magnitude and choice ----------------------------------------------------------------------------------------


def _absolute_jvp(tangents: Any, y: Any, x: Any) -> Any:
    slope = np.sign(x)
    return np.real(np.conjugate(slope) * tangents[0]) if x.dtype.kind == "c" else slope * tangents[0]


elementwise(
    "absolute",
    np.absolute,
    kernel="absolute",
    vjp=(lambda g, y, x: g * np.conjugate(np.sign(x)),),
    jvp=_absolute_jvp,
    doc="Absolute value; the derivative at 0 is 0.",
)
elementwise("fabs", np.fabs, kernel="absolute", deriv=(lambda y, x: np.sign(x),), doc="Absolute value of a real float.")

_SIGN = elementwise("sign", np.sign, kernel="sign", zero_derivative=True, doc="-1, 0 or 1.")


def _direction_vjp(g: Any, y: Any, x: Any) -> Any:
    size = np.absolute(x)
    across = g - np.real(g * y) * np.conjugate(y)
    return np.where(size == 0, 0, across / np.where(size == 0, 1, size))


def _direction_jvp(tangents: Any, y: Any, x: Any) -> Any:
    size = np.absolute(x)
    across = tangents[0] - y * np.real(np.conjugate(y) * tangents[0])
    return np.where(size == 0, 0, across / np.where(size == 0, 1, size))


_DIRECTION = elementwise(
    "complex_sign",
    lambda x: np.sign(x),
    kernel="sign",
    dtypes=lambda operands: resolve_ufunc(np.sign, operands),
    vjp=(_direction_vjp,),
    jvp=_direction_jvp,
    doc="x / |x| of complex numbers, 0 at 0.",
)


def _sign(x: Any) -> Any:
    """Sign of a real number, direction of a complex one."""
    return _DIRECTION(x) if x.dtype.kind == "c" else _SIGN(x)


FUNCTIONS[np.sign] = Function(np.sign, _sign, _SIGN, (), _SIGN.doc)


def _choice(is_ahead: Callable[..., Any], ignores_nan: bool = False) -> dict[str, Any]:
    """Rules of a choice between two elements. Derivatives are chosen too: zero times an infinite one would be NaN."""

    def share(g: Any, a: Any, b: Any) -> Any:
        own = np.where(is_ahead(a, b), g, np.where(a == b, 0.5 * g, 0))
        return np.where(np.isnan(b), np.where(np.isnan(a), 0, g), own) if ignores_nan else own

    def push(tangents: Any, y: Any, a: Any, b: Any) -> Any:
        parts = [share(t, *pair) for t, pair in zip(tangents, ((a, b), (b, a)), strict=True) if t is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    return {"vjp": (lambda g, y, a, b: share(g, a, b), lambda g, y, a, b: share(g, b, a)), "jvp": push}


elementwise(
    "maximum",
    np.maximum,
    kernel="maximum",
    **_choice(np.greater),
    commutative=True,
    doc="The larger of two elements; NaN if one is. A tie shares the derivative evenly.",
)
elementwise(
    "minimum",
    np.minimum,
    kernel="minimum",
    **_choice(np.less),
    commutative=True,
    doc="The smaller of two elements; NaN if one is. A tie shares the derivative evenly.",
)
elementwise(
    "fmax",
    np.fmax,
    kernel="fmax",
    **_choice(np.greater, ignores_nan=True),
    doc="The larger of two elements, ignoring NaN.",
)
elementwise(
    "fmin",
    np.fmin,
    kernel="fmin",
    **_choice(np.less, ignores_nan=True),
    doc="The smaller of two elements, ignoring NaN.",
)


def _where_dtypes(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    dtype = promote(operands[1:])
    return _BOOL, dtype, dtype, dtype


def _where_jvp(tangents: Any, y: Any, condition: Any, a: Any, b: Any) -> Any:
    _, left, right = tangents
    return np.where(condition, 0 if left is None else left, 0 if right is None else right)


# Explicit rules: a product with the mask would turn an infinite cotangent of the other branch into NaN.
WHERE = elementwise(
    "where",
    np.where,
    kernel="where",
    dtypes=_where_dtypes,
    vjp=(None, lambda g, y, c, a, b: np.where(c, g, 0), lambda g, y, c, a, b: np.where(c, 0, g)),
    jvp=_where_jvp,
    domain=((-2.0, 2.0), (-2.0, 2.0), (-2.0, 2.0)),
    doc="Elements of the second array where the first is true, of the third elsewhere.",
)

elementwise(
    "copysign",
    np.copysign,
    kernel="copysign",
    deriv=(lambda y, x, s: np.sign(x) * np.copysign(1, s), None),
    doc="The first number with the sign of the second.",
)
elementwise(
    "heaviside",
    np.heaviside,
    deriv=(None, lambda y, x, h: (x == 0).astype(h.dtype)),
    doc="0 below 0, 1 above, the second argument at 0.",
)

# --- dtype and parts of complex numbers --------------------------------------------------------------------------


def _astype_vjp(g: Any, y: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    if g.dtype.kind == "c" and x.dtype.kind != "c":
        g = np.real(g)
    return g.astype(x.dtype)


def _astype_value(x: Any, dtype: np.dtype[Any]) -> Any:
    array = np.asarray(x)
    return (array.real if array.dtype.kind == "c" and dtype.kind not in "cb" else array).astype(dtype)


ASTYPE = declare(
    Op(
        "astype",
        "elementwise",
        lambda types, dtype: ArrayType(dtype, types[0].shape),
        _astype_value,
        vjp=(_astype_vjp,),
        jvp="linear",
        batch=batched_as("astype"),
        kernel="cast",
        doc="The same numbers in another dtype.",
    )
)


def _astype(
    x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    target = np.dtype(dtype)
    if not np.can_cast(x.dtype, target, casting):  # type: ignore[arg-type]
        raise TypeError(f"Cannot cast array data from {x.dtype!r} to {target!r} according to the rule {casting!r}")
    if not is_supported(target):
        text = unsupported_dtype(target, "astype", ", ".join(map(str, DTYPES)))
        raise errors.TraceError(text)
    result = x if target == x.dtype and not copy else ASTYPE(x, dtype=target)
    if order in ("C", "F") and None not in x.shape:
        is_ordered = result.flags.c_contiguous if order == "C" else result.flags.f_contiguous
        return result if is_ordered else np.copy(result, order=order)  # type: ignore[call-overload]
    return result


method("astype")(_astype)


def _part(name: str, function: Callable[..., Any], vjp: Callable[..., Any]) -> Op:
    return declare(
        Op(
            name,
            "elementwise",
            lambda types: ArrayType(real_dtype(types[0].dtype), types[0].shape),
            function,
            vjp=(vjp,),
            jvp="linear",
            batch=batched_as(name),
            kernel=name,
            doc=f"The {name} part of complex numbers.",
        )
    )


_REAL = _part("real", np.real, lambda g, y, x: g.astype(x.dtype))
_IMAG = _part("imag", np.imag, lambda g, y, x: g * -1j)


def _real(val: Any) -> Any:
    """The real part; a real array itself."""
    return _REAL(val) if val.dtype.kind == "c" else val


def _imag(val: Any) -> Any:
    """The imaginary part; zeros for a real array."""
    return _IMAG(val) if val.dtype.kind == "c" else np.zeros_like(val)


FUNCTIONS[np.real] = Function(np.real, _real, _REAL, (), _REAL.doc)
FUNCTIONS[np.imag] = Function(np.imag, _imag, _IMAG, (), _IMAG.doc)

_CONJUGATE = elementwise(
    "conjugate",
    np.conjugate,
    kernel="conjugate",
    vjp=(lambda g, y, x: np.conjugate(g),),
    jvp="linear",
    doc="The complex conjugate.",
)


def _conjugate(x: Any) -> Any:
    """The complex conjugate; a copy of a real array."""
    return _CONJUGATE(x) if x.dtype.kind == "c" else x.astype(resolve_ufunc(np.conjugate, (x.dtype,))[-1])


FUNCTIONS[np.conjugate] = Function(np.conjugate, _conjugate, _CONJUGATE, (), _CONJUGATE.doc)
method("conj")(_conjugate)


def _complex_value(real: Any, imag: Any) -> Any:
    real, imag = np.asarray(real), np.asarray(imag)
    out = np.empty(np.broadcast_shapes(real.shape, imag.shape), _complex_dtypes((real.dtype, imag.dtype))[-1])
    out.real, out.imag = real, imag
    return out


def _complex_dtypes(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    part = promote((*operands, np.dtype(np.float32)))
    if part.kind == "c":
        raise TypeError("the parts of a complex number are real")
    return part, part, promote((part, np.dtype(np.complex64)))


elementwise(
    "complex",
    _complex_value,
    dtypes=_complex_dtypes,
    vjp=(lambda g, y, a, b: np.real(g), lambda g, y, a, b: -np.imag(g)),
    jvp="linear",
    doc="The complex number of two parts.",
)

# --- comparison and logic ----------------------------------------------------------------------------------------


def _comparison(ufunc: np.ufunc, symbol: str, commutative: bool, negative: bool) -> None:
    """`negative`: the answer where an int64 is below zero and is compared with a uint64."""
    op = elementwise(
        ufunc.__name__,
        ufunc,
        kernel=ufunc.__name__,
        zero_derivative=True,
        symbol=symbol,
        precedence=7,
        commutative=commutative,
        doc=f"Whether a {symbol} b, element by element.",
    )

    def compare(a: Any, b: Any) -> Any:
        kinds = getattr(a, "dtype", None), getattr(b, "dtype", None)
        if None not in kinds and {str(kind) for kind in kinds} == {"int64", "uint64"}:
            if kinds[0] == np.uint64:
                return _MIRRORED[ufunc](b, a)
            small = np.less(a, 0)
            other = op(a.astype(np.uint64), b)
            return small | other if negative else ~small & other
        return op(_in_range(a, b), _in_range(b, a))

    FUNCTIONS[ufunc] = Function(ufunc, compare, op, (), op.doc)


def _in_range(number: Any, other: Any) -> Any:
    # A Python int that the other side's dtype cannot hold still compares, as an infinity.
    dtype = getattr(other, "dtype", None)
    if type(number) is int and dtype is not None and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if number > limits.max or number < limits.min:
            return np.float64(np.inf if number > 0 else -np.inf)
    return number


_MIRRORED: dict[np.ufunc, np.ufunc] = {
    np.less: np.greater,
    np.less_equal: np.greater_equal,
    np.greater: np.less,
    np.greater_equal: np.less_equal,
    np.equal: np.equal,
    np.not_equal: np.not_equal,
}
_comparison(np.less, "<", False, True)
_comparison(np.less_equal, "<=", False, True)
_comparison(np.greater, ">", False, False)
_comparison(np.greater_equal, ">=", False, False)
_comparison(np.equal, "==", True, False)
_comparison(np.not_equal, "!=", True, True)


def _logic(ufunc: np.ufunc) -> None:
    elementwise(
        ufunc.__name__,
        ufunc,
        kernel=ufunc.__name__,
        zero_derivative=True,
        commutative=ufunc.nin == 2,
        doc=f"{ufunc.__name__.replace('_', ' ').capitalize()} of truth values.",
    )


_logic(np.logical_and)
_logic(np.logical_or)
_logic(np.logical_xor)
_logic(np.logical_not)


def _bits(ufunc: np.ufunc, symbol: str, precedence: int, commutative: bool = True, **fields: Any) -> None:
    elementwise(
        ufunc.__name__,
        ufunc,
        kernel=ufunc.__name__,
        zero_derivative=True,
        symbol=symbol,
        precedence=precedence,
        commutative=commutative,
        doc=f"a {symbol} b on bits.",
        **fields,
    )


_bits(np.bitwise_and, "&", 10)
_bits(np.bitwise_or, "|", 8)
_bits(np.bitwise_xor, "^", 9)
_bits(np.left_shift, "<<", 11, commutative=False, domain=((0, 4), (0, 4)))
_bits(np.right_shift, ">>", 11, commutative=False, domain=((-40, 40), (0, 4)))
elementwise("invert", np.invert, kernel="invert", zero_derivative=True, symbol="~", precedence=14, doc="Bits inverted.")
elementwise("bitwise_count", np.bitwise_count, zero_derivative=True, doc="Number of bits set in |x|.")
elementwise("gcd", np.gcd, zero_derivative=True, doc="Greatest common divisor.")
elementwise("lcm", np.lcm, zero_derivative=True, doc="Least common multiple.")


for _ufunc, _doc in (
    (np.isnan, "Whether an element is not a number."),
    (np.isfinite, "Whether an element is neither infinite nor NaN."),
    (np.isinf, "Whether an element is infinite."),
    (np.signbit, "Whether the sign bit is set."),
):
    elementwise(_ufunc.__name__, _ufunc, kernel=_ufunc.__name__, zero_derivative=True, doc=_doc)

# --- rounding ----------------------------------------------------------------------------------------------------


def _rounding(ufunc: np.ufunc, doc: str) -> None:
    op = elementwise(ufunc.__name__, ufunc, kernel=ufunc.__name__, zero_derivative=True, doc=doc)

    def apply(x: Any) -> Any:
        out = resolve_ufunc(ufunc, (x.dtype,))[-1]
        return op(x) if out.kind in "fc" else x.astype(out)

    FUNCTIONS[ufunc] = Function(ufunc, apply, op, (), doc)


_rounding(np.floor, "Largest integer not above x.")
_rounding(np.ceil, "Smallest integer not below x.")
_rounding(np.trunc, "x without its fraction.")
_rounding(np.rint, "Nearest integer, ties to even.")
elementwise(
    "nextafter", np.nextafter, deriv=(lambda y, x, t: 1, None), doc="Next float after x in the direction of another."
)
elementwise("spacing", np.spacing, zero_derivative=True, doc="Distance to the next float.")
elementwise(
    "ldexp",
    np.ldexp,
    deriv=(lambda y, x, n: np.exp2(n.astype(x.dtype)), None),
    examples=((lambda x: np.ldexp(x, np.array([1, 2, -1, 0])), ((3, 4),)),),
    doc="x * 2 ** n.",
)
_MANTISSA = elementwise(
    "mantissa",
    lambda x: np.frexp(x)[0],
    dtypes=lambda operands: resolve_ufunc(np.frexp, operands)[:2],
    deriv=(lambda y, x: np.ldexp(np.ones_like(x), -_EXPONENT(x)),),
    doc="x without its power of two.",
)
_EXPONENT: Op = elementwise(
    "exponent",
    lambda x: np.frexp(x)[1],
    dtypes=lambda operands: resolve_ufunc(np.frexp, operands)[::2],
    zero_derivative=True,
    doc="The power of two in x.",
)


@composite(np.frexp, examples=((lambda x: np.frexp(x)[0], ((3, 4),)),))
def _frexp(x: Any) -> Any:
    """Mantissa and power of two."""
    return _MANTISSA(x), _EXPONENT(x)
