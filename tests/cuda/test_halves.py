"""Numbers of 16 bits on a GPU: float16 arrays, and what `config.gpu_storage` keeps in float16 or bfloat16."""

import warnings

import numpy as np
import pytest
from cuda.cases import numbers
from cuda.player import Library, Player, needs_compiler
from kernels.building import DTYPES
from kernels.test_vm import Case

import tracer
from tracer import _kernels
from tracer.lower.program import Buffer, Program
from tracer.run.cuda.halves import BFLOAT16, HALF

pytestmark = needs_compiler
COUNT = 301
OPERATIONS = sorted(
    {(name, result, arity) for name, operand, result, arity in _kernels.list_kernels() if operand == "float32"}
)
EXACT = {"add", "subtract", "multiply", "divide", "sqrt", "square", "reciprocal", "remainder", "negative", "rint"}
FLOAT32 = np.dtype(np.float32)
RANDOM = np.random.default_rng(5)


def half_program():
    """Every operation of float32 on float16."""
    rng, case, names = np.random.default_rng(1), Case((COUNT,)), []
    a, b = numbers(rng, HALF, COUNT), np.roll(numbers(rng, HALF, COUNT), 7)
    places = [case.load(rng.integers(0, 2, COUNT).astype(bool)), case.load(a), case.load(b)]
    for name, result, arity in OPERATIONS:
        if name != "cast":
            out = HALF if result == "float32" else np.dtype(result)
            case.store(case.step(name, HALF, *(places if arity == 3 else places[1 : 1 + arity]), out=out), out)
            names.append((name, arity))
    return names, case


def cast_program():
    """From float16 to every dtype, and back."""
    rng, case = np.random.default_rng(2), Case((COUNT,))
    values = (rng.integers(0, 100, COUNT) + 0.37).astype(HALF)
    others = [numbers(rng, dtype, COUNT) for dtype in DTYPES]
    place, places, expected = case.load(values), [case.load(other) for other in others], []
    for dtype, other, source in zip(DTYPES, others, places, strict=True):
        case.store(case.step("cast", HALF, place, out=dtype), dtype)
        case.store(case.step("cast", dtype, source, out=HALF), HALF)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            expected += [values.astype(dtype), other.astype(HALF)]
    return case, expected


def stored_program(dtype, width):
    """What a loop stores into a temporary of 16 bits, and another one reads again."""
    case = Case((width,))
    values = numbers(np.random.default_rng(3), FLOAT32, width)
    case.store(case.load(values), FLOAT32)
    first = case.loop()
    program = case.program()
    buffers = (*program.buffers, Buffer("temporary", dtype, (width,), (1,), 0, 0))
    view = first.stores[0].view
    hidden = view._replace(buffer=len(buffers) - 1)
    instructions = (
        first._replace(stores=(first.stores[0]._replace(view=hidden),)),
        first._replace(loads=(hidden,), stores=first.stores),
    )
    return Program(buffers, (), instructions, 2 * width, 1), values


def bfloat16(values):
    """The nearest numbers of bfloat16, by another way: the nearest multiple of the spacing at each magnitude."""
    with np.errstate(all="ignore"):
        exact = values.astype(np.float64)
        spacing = np.exp2(np.maximum(np.floor(np.log2(np.abs(exact))), -126) - 7)
        found = (np.rint(exact / spacing) * spacing).astype(np.float32)
    return np.where((values == 0) | ~np.isfinite(values), values, found)


def stored_programs():
    return [stored_program(dtype, width) for dtype in (HALF, BFLOAT16) for width in (300, 301)]


@pytest.fixture(scope="module")
def built():
    names, scalar = half_program()
    casts, expected = cast_program()
    stored = stored_programs()
    players = [Player(case.program(), case.arguments) for case in (scalar, casts)]
    players += [Player(program, [values]) for program, values in stored]
    library = Library([player.module for player in players])
    with np.errstate(all="ignore"):
        return (names, scalar, expected, stored), [player.run(library) for player in players], players


@pytest.mark.filterwarnings("ignore")
def test_every_operation_is_numpys(built):
    (names, case, _, _), (found, *_), _ = built
    for (name, arity), one in zip(names, found, strict=True):
        given = case.arguments if arity == 3 else case.arguments[1 : 1 + arity]
        function = getattr(np, name, None)
        if function is None:  # ours: what it gives for float32, rounded
            other = Case((COUNT,))
            other.store(other.step(name, FLOAT32, *(other.load(a.astype(FLOAT32)) for a in given)), FLOAT32)
            expected = _kernels.Program(other.program()).run(other.arguments)[0].astype(HALF)
        else:
            expected = function(*given)
        assert one.dtype == expected.dtype
        if one.dtype == HALF:
            numbers_ = ~np.isnan(expected)
            assert np.array_equal(numbers_, ~np.isnan(one)), name
            steps = np.abs(np.spacing(expected[numbers_])) * (0 if name in EXACT else 1)
            infinite = np.isinf(expected[numbers_]) | (one[numbers_] == expected[numbers_])
            assert (infinite | (np.abs(one[numbers_] - expected[numbers_]) <= steps)).all(), name
            if name in EXACT:
                np.testing.assert_array_equal(np.signbit(one[numbers_]), np.signbit(expected[numbers_]), name)
        else:
            np.testing.assert_array_equal(one, expected, name)


def test_casts_are_numpys(built):
    (_, _, expected, _), (_, found, *_), _ = built
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_stored_in_16_bits_is_rounded_to_the_nearest(built):
    (_, _, _, stored), (_, _, *found), players = built
    for (program, values), (one,) in zip(stored, found, strict=True):
        with np.errstate(all="ignore"):
            half = program.buffers[-1].dtype == HALF
            expected = values.astype(HALF).astype(FLOAT32) if half else bfloat16(values)
        np.testing.assert_array_equal(one, expected)
    assert "Pack<float16, 4>" in players[2].module.source  # beside four numbers of float32
    assert "Pack<float16, 8>" in players[0].module.source


# --- whole functions ---------------------------------------------------------------------------------------------

X = RANDOM.normal(size=(100, 80)).astype(np.float32)
W1, W2 = (RANDOM.normal(size=size).astype(np.float32) / 8 for size in ((80, 96), (96, 70)))


def network(x, w1, w2):
    hidden = np.tanh(x @ w1)
    scores = hidden @ w2
    return np.mean((scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))) ** 2)


@pytest.mark.parametrize(("storage", "number", "bits"), [("float16", 2, 11), ("bfloat16", 14, 8)])
def test_storage_changes_products_and_little_else(gpu, storage, number, bits):
    step = tracer.compile(tracer.value_and_grad(network, argnums=(1, 2)), device="gpu")
    exact = step(X, W1, W2)
    assert not gpu.mixed_products
    with tracer.config.changed(gpu_storage=storage):
        for _ in range(3):  # launched, captured, replayed
            value, gradients = step(X, W1, W2)
        again = step(X * 2, W1, W2)[0]
    assert {(a, b, compute) for a, b, _, compute in gpu.mixed_products} == {(number, number, 68)}
    assert value.dtype == np.float32 and all(item.dtype == np.float32 for item in gradients)
    assert value != exact[0] and again != value
    np.testing.assert_allclose(value, exact[0], rtol=4 * 2.0**-bits)
    for one, other in zip(gradients, exact[1], strict=True):
        np.testing.assert_allclose(one, other, atol=16 * 2.0**-bits * np.abs(other).max())
    assert step(X, W1, W2)[0] == exact[0]  # the setting holds for what is compiled under it


def test_storage_leaves_sums_and_other_dtypes_alone(gpu):
    wide = X.astype(np.float64)
    f = tracer.compile(lambda x: (x @ x.T, np.tanh(x).sum(axis=0), x.sum()), device="gpu")
    with tracer.config.changed(gpu_storage="bfloat16"):
        for one, other in zip(f(wide), (wide @ wide.T, np.tanh(wide).sum(axis=0), wide.sum()), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        ones = np.ones((3000, 40), np.float32)
        assert f(ones)[2] == 120000.0


def test_tensor_float32_only_if_asked(gpu):
    f = tracer.compile(lambda x, w: x @ w, device="gpu")
    f(X, W1)
    assert not gpu.mixed_products
    with tracer.config.changed(gpu_tf32=True):
        np.testing.assert_allclose(f(X, W1), X @ W1, rtol=1e-2, atol=1e-2)
        f(X.astype(float), W1.astype(float))
    assert gpu.mixed_products == [(0, 0, 0, 77)]
