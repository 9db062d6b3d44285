"""Every scalar operation on every dtype as CUDA source, against the block kernels."""

import numpy as np
import pytest
from cuda.cases import infinite_program, scalar_program, sums
from cuda.player import Library, Player, needs_compiler
from kernels.building import DTYPES

from tracer import _kernels
from tracer.lower.instructions import Step
from tracer.run.cuda.scalars import literal, supports

pytestmark = needs_compiler
# The block kernels and a library are each that near to the true value.
ULPS = {"f": 8, "c": 64}


@pytest.fixture(scope="module")
def played():
    programs = [scalar_program(dtype) for dtype in DTYPES]
    players = [Player(program, arguments) for _, program, arguments in programs]
    library = Library([player.module for player in players])
    found = {}
    for (names, program, arguments), player, dtype in zip(programs, players, DTYPES, strict=True):
        found[dtype] = names, player.run(library), _kernels.Program(program).run(arguments), arguments
    return found


def error_of(found, expected, least=0.0):
    """How many units in the last place of the expected modulus, or of `least`, are between numbers."""
    if expected.dtype.kind not in "fc":
        return (found != expected).astype(float)
    with np.errstate(all="ignore"):
        part = np.abs(expected).dtype
        size = np.maximum(np.maximum(np.abs(expected), least), np.finfo(part).tiny)
        error = np.abs(found - expected) / (size * np.finfo(part).eps)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_operation(played, dtype):
    names, found, expected, arguments = played[dtype]
    wrong = []
    for (name, result), one, other in zip(names, found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        # Their sums cancel.
        error = error_of(one, other, least=1.0 if name.startswith("logaddexp") else 0.0)
        if dtype.kind == "c":
            error[~np.isfinite(other)] = 0
        if error.size and not error.max() <= ULPS.get(dtype.kind, 0):
            worst = int(np.argmax(error))
            given = [array[worst] for array in arguments]
            wrong.append((name, result, given, one[worst], other[worst]))
    assert not wrong


def disagree(found, expected):
    """Where real numbers differ by more than roundings, or zeros in their sign."""
    both = np.isfinite(found) & np.isfinite(expected)
    same = (found == expected) & (np.signbit(found) == np.signbit(expected))
    with np.errstate(all="ignore"):
        near = both & (expected != 0) & (np.abs(found - expected) <= 1e-5 * np.abs(expected))
    return ~(same | near | (np.isnan(found) & np.isnan(expected)))


@pytest.mark.filterwarnings("ignore")
def test_infinite_complex_numbers_are_numpys():
    dtypes = [np.dtype("F"), np.dtype("D")]
    programs = [infinite_program(dtype) for dtype in dtypes]
    players = [Player(program, arguments) for _, program, arguments in programs]
    library, wrong = Library([player.module for player in players]), {}
    for (names, _, arguments), player in zip(programs, players, strict=True):
        for (name, arity), found in zip(names, player.run(library), strict=True):
            expected = getattr(np, name)(*arguments[:arity])
            if expected.dtype.kind == "b":
                bad = found != expected
            else:
                bad = disagree(found.real, expected.real) | disagree(found.imag, expected.imag)
            if bad.any():
                at = int(np.argmax(bad))
                wrong[name] = [a[at] for a in arguments[:arity]], found[at], expected[at]
    assert not wrong


@pytest.mark.filterwarnings("ignore")
def test_reductions_heed_what_is_no_number_and_signs_of_zeros():
    nan, inf = np.nan, np.inf
    lines = [
        [-0.0] * 4,
        [-0.0, 0.0, -0.0, -0.0],
        [1, nan, inf, -inf],
        [inf, -inf, 0, 0],
        [nan, -0.0, nan, 0],
        [-inf] * 4,
    ]
    array = np.array(lines * 6).T.repeat(11, axis=0)
    players = []
    for dtype in ("f4", "f8", "F", "D"):
        for axis in (0, 1):
            case = sums(array.shape, (axis,), dtype, ("sum", "max", "min"))
            case.arguments[0][...] = array
            if dtype in "FD":
                case.arguments[0].imag[...] = array[::-1]
            players.append((axis, Player(case.program(), case.arguments)))
    library = Library([player.module for _, player in players])
    for axis, player in players:
        given = player.arguments[0]
        for name, found in zip(("sum", "max", "min"), player.run(library), strict=True):
            expected = getattr(np, name)(given, axis=axis, keepdims=True)
            np.testing.assert_array_equal(found, expected)
            if name == "sum":  # of equal zeros NumPy takes any as the greatest
                numbers = ~np.isnan(expected)
                np.testing.assert_array_equal(np.signbit(found.real[numbers]), np.signbit(expected.real[numbers]))


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
def test_arithmetic_is_exact_and_heeds_signs_of_zeros(played, dtype):
    names, found, expected, _ = played[dtype]
    exact = {"add", "subtract", "multiply", "divide", "negative", "sqrt", "floor", "copysign", "remainder", "where"}
    for (name, _), one, other in zip(names, found, expected, strict=True):
        if name in exact:
            numbers = ~np.isnan(other)
            np.testing.assert_array_equal(one, other, name)
            np.testing.assert_array_equal(np.signbit(one[numbers]), np.signbit(other[numbers]), name)


def test_every_kernel_has_a_device_function():
    for name, operand, result, arity in _kernels.list_kernels():
        assert supports(Step(name, np.dtype(operand), np.dtype(result), tuple(range(arity))))
    assert not supports(Step("no such thing", np.dtype(float), np.dtype(float), (0,)))


def test_literals():
    assert literal(np.float32(0.1)) == "0x1.99999a0000000p-4f"
    assert literal(np.float64(-0.0)) == "-0x0.0p+0"
    assert (literal(np.float64("-inf")), literal(np.float32("nan"))) == ("-INF64", "NAN32")
    assert literal(np.int64(-(2**63))) == "int64(-9223372036854775807ll - 1)"
    assert literal(np.uint64(2**64 - 1)) == "uint64(18446744073709551615ull)"
    assert (literal(np.bool_(True)), literal(np.int8(-5))) == ("uint8(1ll)", "int8(-5ll)")
