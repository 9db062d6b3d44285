"""Every kernel of every instruction set of this machine against NumPy, over dense sweeps and special values."""

import functools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tracer import _kernels

ISAS = _kernels.available_isas()
FLOATS = ("float32", "float64")
COMPLEXES = ("complex64", "complex128")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, *FLOATS, *COMPLEXES)

# Required accuracy in units in the last place.
ULPS = {"float32": 4.0, "float64": 2.0}
# Where long double is no wider than double, the reference itself errs by up to one unit.
SLACK = 1.0 if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps else 0.02
POINTS = 8_000

UNARY = (
    "exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh "
    "cbrt sqrt erf sigmoid softplus"
).split()
BINARY = ("power", "arctan2", "hypot", "logaddexp", "logaddexp2")
# The accuracy of the C library's rarely used functions, which NumPy calls too.
LIBM_ULPS = {"cbrt": 4.0, "arcsinh": 3.0, "arccosh": 3.0, "arctanh": 3.0, "arcsin": 3.0, "arccos": 3.0}


@np.errstate(all="ignore")
def special_values(dtype: str) -> NDArray:
    """Signed zeros, infinities, NaN, subnormals and the borders where exponentials overflow and underflow."""
    info = np.finfo(dtype)
    borders = [88.72, 88.73, -87.33, -103.97, -103.98, 709.78, 709.79, -708.39, -745.13, -745.14, 128, 1024, -1074.5]
    small = [info.tiny, info.smallest_subnormal, info.tiny / 2, info.eps, info.eps / 4]
    values = [0.0, 1.0, 2.0, 0.5, 3.0, 0.7071067811865476, 1.4142135623730951, info.max, np.inf, np.nan]
    positive = np.array([*values, *borders, *small], dtype=dtype)
    return np.concatenate([positive, -positive])


@functools.cache
@np.errstate(all="ignore")
def sweep(dtype: str) -> NDArray:
    """Points of all magnitudes, dense where functions change their method."""
    rng = np.random.default_rng(1)
    bits = {"float32": np.int32, "float64": np.int64}[dtype]
    anything = rng.integers(0, np.iinfo(bits).max, POINTS, dtype=bits).view(dtype)
    parts = [anything, -anything, *(rng.uniform(-scale, scale, POINTS) for scale in (1, 10, 100, 1000))]
    parts += [sign * 10.0 ** rng.uniform(-10, 5, POINTS) for sign in (1, -1)]
    parts += [1 + sign * 10.0 ** rng.uniform(-7, 0, POINTS) for sign in (1, -1)]
    parts += [np.arange(-2000, 2000) * np.pi / 4, np.arange(-200, 200) / 8]
    return np.concatenate([special_values(dtype), *(part.astype(dtype) for part in parts)])


@functools.cache
@np.errstate(all="ignore")
def pairs(dtype: str) -> tuple[NDArray, NDArray]:
    """Operands of binary functions: all pairs of special values, then random ones."""
    rng = np.random.default_rng(2)
    special = np.concatenate(
        [special_values(dtype), np.array([-3, 4, -4, 5, 2**24, 2**53 - 1, 1e300, -1e-300]).astype(dtype)]
    )
    first, second = (grid.ravel() for grid in np.meshgrid(special, special))
    wide = sweep(dtype)
    near_one = 1 + rng.uniform(-1e-3, 1e-3, POINTS)
    left = [first, rng.permutation(wide), rng.uniform(0, 3, POINTS), near_one, 10.0 ** rng.uniform(-30, 30, POINTS)]
    right = [
        second,
        rng.permutation(wide),
        rng.uniform(-100, 100, POINTS),
        rng.uniform(-1e5, 1e5, POINTS),
        rng.uniform(-9, 9, POINTS),
    ]
    return np.concatenate(left).astype(dtype), np.concatenate(right).astype(dtype)


def exact(name: str, *operands: NDArray) -> NDArray:
    """Compute in a wider format: float64 for float32, long double for float64."""
    wider = np.float64 if operands[0].dtype == np.float32 else np.longdouble
    x, *rest = (operand.astype(wider) for operand in operands)
    if name == "erf":
        return np.array([math.erf(value) for value in x.astype(np.float64)]).astype(wider)
    if name == "sigmoid":
        small = np.exp(-np.abs(x))
        return np.where(x < 0, small, np.ones_like(x)) / (1 + small)
    if name == "softplus":
        return np.maximum(x, np.zeros_like(x)) + np.log1p(np.exp(-np.abs(x)))
    return getattr(np, name)(x, *rest)


@functools.cache
def reference(name: str, dtype: str) -> NDArray:
    with np.errstate(all="ignore"):
        return exact(name, *(pairs(dtype) if name in BINARY else (sweep(dtype),)))


def error_in_ulps(result: NDArray, true: NDArray, scale: NDArray | None = None) -> NDArray:
    """Distance in units in the last place of the rounded true value; infinite where NaN, zero or infinity is missed."""
    with np.errstate(all="ignore"):
        rounded = true.astype(result.dtype)
        size = np.abs(rounded) if scale is None else np.maximum(np.abs(rounded), scale)
        unit = np.spacing(np.where(np.isfinite(size), size, np.finfo(result.dtype).max)).astype(np.longdouble)
        distance = np.abs(result.astype(np.longdouble) - true) / unit
    distance = np.where(np.isnan(distance) | ~np.isfinite(true), np.inf, distance)
    agree = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    zero_signs_differ = (true == 0) & (result == 0) & (np.signbit(result) != np.signbit(true))
    return np.where(zero_signs_differ, np.inf, np.where(agree, 0, distance))


def assert_accurate(name: str, isa: str, dtype: str, operands: tuple[NDArray, ...]) -> None:
    result = _kernels.apply_isa(isa, name, np.dtype(dtype), *operands)
    # A sum that cancels is only as good as its larger operand.
    scale = np.maximum(*np.abs(operands)) if name.startswith("logaddexp") else None
    errors = error_in_ulps(result, reference(name, dtype), scale)
    worst = int(np.argmax(errors))
    allowed = max(ULPS[dtype], LIBM_ULPS.get(name, 0)) + (1.0 if name == "erf" else SLACK)
    assert errors[worst] <= allowed, (
        f"{name}{tuple(float(operand[worst]) for operand in operands)} = {result[worst]!r}, "
        f"not {reference(name, dtype)[worst]!r}: {errors[worst]} ulp"
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_are_accurate(name: str, dtype: str, isa: str) -> None:
    assert_accurate(name, isa, dtype, (sweep(dtype),))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_are_accurate(name: str, dtype: str, isa: str) -> None:
    assert_accurate(name, isa, dtype, pairs(dtype))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "power", "add", "isnan", "negative"])
def test_partial_vectors_agree_with_whole_ones(name: str, isa: str) -> None:
    for dtype in FLOATS:
        operands = tuple(np.linspace(0.1, 3.0, 80, dtype=dtype) + shift for shift in (0, 1))
        operands = operands[: 2 if name in ("power", "add") else 1]
        out = np.dtype("bool" if name == "isnan" else dtype)
        whole = _kernels.apply_isa(isa, name, out, *operands)
        for length in range(80):
            part = _kernels.apply_isa(isa, name, out, *(operand[:length] for operand in operands))
            np.testing.assert_array_equal(part, whole[:length])


@np.errstate(all="ignore")
def exact_operand(dtype: str, seed: int) -> NDArray:
    """Random elements with many ties, zeros and extremes."""
    rng = np.random.default_rng(seed)
    count = 3000
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        wide = rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
        small = rng.integers(-5 if info.min < 0 else 0, 70, count).astype(dtype)
        edges = rng.choice(np.array([info.min, info.max, 0, 1, info.max - 1], dtype=dtype), count)
        return np.choose(rng.integers(0, 3, count), [wide, small, edges])
    if dtype in FLOATS:
        special = rng.choice(special_values(dtype), count)
        return np.choose(
            rng.integers(0, 3, count), [rng.normal(0, 9, count), rng.integers(-9, 9, count), special]
        ).astype(dtype)
    part = "float32" if dtype == "complex64" else "float64"
    plane = np.empty(count, dtype=dtype)
    plane.real, plane.imag = exact_operand(part, seed), exact_operand(part, seed + 7)
    return plane


def elementwise_kernels() -> list[tuple[str, str, str, int]]:
    skipped = {*UNARY, *BINARY, "where", "cast", "power"} - {"sqrt"}
    return [row for row in _kernels.list_kernels() if row[0] not in skipped and row[1] not in COMPLEXES]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("row", elementwise_kernels(), ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_exact_kernels_equal_numpy(row: tuple[str, str, str, int], isa: str) -> None:
    name, dtype, out, arity = row
    operands = [exact_operand(dtype, seed) for seed in range(arity)]
    if dtype in INTEGERS and name == "reciprocal":
        operands[0][operands[0] == 0] = 1  # undefined in NumPy
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*operands)
    assert expected.dtype == out
    result = _kernels.apply_isa(isa, name, np.dtype(out), *operands)
    np.testing.assert_array_equal(result, expected)
    if dtype in FLOATS and out in FLOATS and name not in ("maximum", "minimum", "fmax", "fmin"):
        ordered = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(result[ordered]), np.signbit(expected[ordered]))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_powers_wrap_as_numpy_does(dtype: str) -> None:
    base, exponent = exact_operand(dtype, 0), (np.arange(3000) % 12).astype(dtype)
    expected = np.power(base, exponent)
    np.testing.assert_array_equal(_kernels.apply("power", np.dtype(dtype), base, exponent), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_where_selects(dtype: str, isa: str) -> None:
    condition, yes, no = exact_operand("bool", 0), exact_operand(dtype, 1), exact_operand(dtype, 2)
    result = _kernels.apply_isa(isa, "where", np.dtype(dtype), condition, yes, no)
    np.testing.assert_array_equal(result, np.where(condition, yes, no))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("target", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_casts_equal_astype(source: str, target: str, isa: str) -> None:
    values = exact_operand(source, 3)
    if source in (*FLOATS, *COMPLEXES) and target in INTEGERS:
        # Out-of-range conversions are undefined in C.
        info = np.iinfo(target)
        inside = (values.real > max(info.min, -(2.0**62))) & (values.real < min(info.max, 2.0**62))
        values = values[inside]
    with np.errstate(all="ignore"):
        expected = (values.real if target not in (*COMPLEXES, "bool") else values).astype(target)
    np.testing.assert_array_equal(_kernels.apply_isa(isa, "cast", np.dtype(target), values), expected)


def complex_kernels(exact_only: bool) -> list[tuple[str, str, str, int]]:
    plain = "add subtract negative real imag conjugate rint maximum minimum fmax fmin sign".split()
    rows = [row for row in _kernels.list_kernels() if row[1] in COMPLEXES and row[0] not in ("where", "cast")]
    return [row for row in rows if (row[0] in plain or row[2] == "bool") == exact_only]


@pytest.mark.parametrize("row", complex_kernels(exact_only=True), ids=lambda row: f"{row[0]}-{row[1]}")
def test_exact_complex_kernels_equal_numpy(row: tuple[str, str, str, int]) -> None:
    name, dtype, out, arity = row
    operands = [exact_operand(dtype, seed) for seed in range(arity)]
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*operands)
    np.testing.assert_array_equal(_kernels.apply(name, np.dtype(out), *operands), expected)


@pytest.mark.parametrize("row", complex_kernels(exact_only=False), ids=lambda row: f"{row[0]}-{row[1]}")
def test_complex_functions_are_close_to_numpy(row: tuple[str, str, str, int]) -> None:
    name, dtype, out, arity = row
    rng = np.random.default_rng(5)
    plane = (rng.normal(0, 3, (arity, 3000)) + 1j * rng.normal(0, 3, (arity, 3000))).astype(dtype)
    plane[:, :400].imag = 0
    plane[:, 400:800].real = 0
    plane[-1, 800:1200] = rng.integers(-6, 7, 400)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*plane)
        result = _kernels.apply(name, np.dtype(out), *plane)
        known = np.isfinite(expected)
        distance = np.abs(result - expected)[known] / np.maximum(np.abs(expected[known]), np.finfo(dtype).tiny)
    np.testing.assert_array_equal(np.isfinite(result), known)
    assert distance.max() <= 8 * np.finfo(dtype).eps


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min", "any", "all"])
def test_reductions_equal_numpy(kind: str, dtype: str, isa: str) -> None:
    for length in (*range(0 if kind not in ("max", "min") else 1, 40), 100, 1000, 3000):
        values = exact_operand(dtype, 3)[:length]
        if dtype in (*FLOATS, *COMPLEXES) and kind in ("sum", "prod"):
            values = np.random.default_rng(length).uniform(0.5, 1.5, length).astype(dtype)
        result = _kernels.reduce_isa(isa, kind, values)
        with np.errstate(all="ignore"):
            expected = getattr(np, kind)(values, **({"dtype": result.dtype} if kind in ("sum", "prod") else {}))
        if dtype in (*FLOATS, *COMPLEXES) and kind in ("sum", "prod"):
            np.testing.assert_allclose(result, expected, rtol=1e-13)
        else:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_sums_are_at_least_as_accurate_as_numpy(isa: str) -> None:
    rng = np.random.default_rng(6)
    for length in (100, 4096, 200_000):
        values = rng.uniform(0, 1, length) * 10.0 ** rng.uniform(-3, 3, length)
        true = math.fsum(values)
        assert abs(float(_kernels.reduce_isa(isa, "sum", values)) - true) <= max(
            abs(np.sum(values) - true), 4 * np.spacing(true)
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEXES])
def test_sums_propagate_infinity_and_nan(dtype: str, isa: str) -> None:
    for position in (0, 50, 299):
        for special in (np.inf, -np.inf, np.nan):
            values = np.ones(300, dtype=dtype)
            values[position] = special
            np.testing.assert_array_equal(_kernels.reduce_isa(isa, "sum", values), np.sum(values))
    both = np.ones(300, dtype=dtype)
    both[[3, 200]] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        assert np.isnan(_kernels.reduce_isa(isa, "sum", both))


def test_maximum_and_minimum_reductions_propagate_nan() -> None:
    for isa in ISAS:
        for dtype in FLOATS:
            for position in (0, 17, 99):
                values = np.arange(100, dtype=dtype)
                values[position] = np.nan
                assert np.isnan(_kernels.reduce_isa(isa, "max", values))
                assert np.isnan(_kernels.reduce_isa(isa, "min", values))


def test_every_loop_of_a_numpy_ufunc_has_a_kernel() -> None:
    rows = {row[:3] for row in _kernels.list_kernels()}
    missing = []
    for name in sorted({row[0] for row in rows} - {"where", "cast", "erf", "sigmoid", "softplus", "real", "imag"}):
        for signature in getattr(np, name).types:
            operands, results = signature.split("->")
            types = (
                [np.dtype(code).name for code in (*operands, *results)]
                if set(signature) <= set("?bhilBHILfdFD->")
                else []
            )
            if types and len(set(types[:-1])) == 1 and (name, types[0], types[-1]) not in rows:
                missing.append((name, types[0], types[-1]))
    # What NumPy computes in another type or copies, the op table does by a cast or by nothing.
    copies = {"floor", "ceil", "trunc", "conjugate", "sign", "invert", "positive"}
    assert [row for row in missing if row[0] not in copies] == []


def test_unknown_kernels_are_key_errors() -> None:
    with pytest.raises(KeyError, match="no kernel"):
        _kernels.apply("nonsense", np.dtype("float64"), np.zeros(3))
    with pytest.raises(KeyError, match="no kernel"):
        _kernels.apply("exp", np.dtype("int64"), np.zeros(3, dtype=np.int64))
