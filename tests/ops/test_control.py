"""Loops and conditions: values and derivatives through both executors, and what is asked of their bodies."""

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer import errors
from tracer.testing import check_grads
from tracer.tracing.control import cond, scan

BACKENDS = ("reference", "cpu")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
RNG = np.random.default_rng(0)
W, U = 0.5 * RNG.standard_normal((3, 3)), RNG.standard_normal((2, 3))
X, H0 = RNG.standard_normal((5, 2)), RNG.standard_normal(3)


def check(function, args, backend, order=2, **options):
    """Compiled values are those of plain arrays; derivatives are right."""
    expected = function(*args)
    found = tracer.compile(function, backend=backend)(*args)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
        assert np.asarray(one).dtype == np.asarray(other).dtype
    check_grads(function, args, order=order, backend=backend, **options)


# --- values and derivatives --------------------------------------------------------------------------------------


@every_backend
def test_power_and_cumulative_product(backend):
    def power(a):
        return scan(lambda total: ([], [total * a], []), carries=[np.ones_like(a)], n_steps=4).carries

    def product(x):
        return scan(lambda row, last: ([last * row], [], []), [x], [np.ones((1, 2))]).histories

    a, x = np.array([1.5, -0.7]), RNG.standard_normal((4, 2))
    np.testing.assert_allclose(power(a)[0], a**4)
    np.testing.assert_allclose(product(x)[0][1:], np.cumprod(x, axis=0))
    check(power, (a,), backend)
    check(product, (x,), backend)


def network(W, U, x, h):
    history = scan(lambda row, h: ([np.tanh(h @ W + row @ U)], [], []), [x], [h[None]]).histories[0]
    return (np.sum(history[1:] ** 2), history)


def network_by_hand(W, U, x, h):
    rows = [h]
    for row in x:
        rows.append(np.tanh(rows[-1] @ W + row @ U))
    return np.stack(rows)


@every_backend
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_recurrent_network(backend, steps):
    batch = RNG.standard_normal((steps, 4, 2))
    np.testing.assert_allclose(network(W, U, X[:steps], H0)[1], network_by_hand(W, U, X[:steps], H0))
    check(network, (W, U, X[:steps], H0), backend)
    check(network, (W, U, batch, RNG.standard_normal((4, 3))), backend)


@every_backend
def test_first_step_of_a_gradient_is_that_of_an_unrolled_network(backend):
    def unrolled(W, U, x, h):
        rows = []
        for t in range(x.shape[0]):
            h = np.tanh(h @ W + x[t] @ U)
            rows.append(h)
        return np.sum(np.stack(rows) ** 2)

    numbers = (0, 1, 2, 3)
    looped = tracer.compile(tracer.grad(lambda *args: network(*args)[0], argnums=numbers), backend=backend)
    for one, other in zip(looped(W, U, X, H0), tracer.grad(unrolled, argnums=numbers)(W, U, X, H0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@every_backend
@pytest.mark.parametrize("rows", [3, 5])
def test_lags(backend, rows):
    def function(a, b, first):
        made = scan(lambda one, three: ([a * one * three + np.sin(b * one)], [], [one * three]), (), [first],
                    n_steps=6, lags=[(1, 3)])  # fmt: skip
        return made.histories[0], made.outputs[0]

    first = RNG.standard_normal((rows, 2))
    history = list(first)
    for _ in range(6):
        history.append(0.7 * history[-1] * history[-3] + np.sin(1.3 * history[-1]))
    np.testing.assert_allclose(function(0.7, 1.3, first)[0], history)
    check(function, (0.7, 1.3, first), backend)


@every_backend
@pytest.mark.parametrize("reverse", [False, True])
def test_carries_and_outputs(backend, reverse):
    def function(x, c):
        made = scan(lambda row, c: ([], [c * row + np.sin(c)], [c * row, row]), [x], carries=[c], reverse=reverse)
        return (*made.carries, *made.outputs)

    x, c = RNG.standard_normal((5, 2)), np.array([0.4, -1.1])
    last, outputs = c, np.empty_like(x)
    for t in reversed(range(5)) if reverse else range(5):
        outputs[t], last = last * x[t], last * x[t] + np.sin(last)
    for one, other in zip(function(x, c), (last, outputs, x), strict=True):
        np.testing.assert_allclose(one, other)
    check(function, (x, c), backend)
    for steps in (0, 1):
        check(function, (x[:steps], c), backend)


@every_backend
def test_reverse_goes_from_the_last_row_to_the_first(backend):
    x = np.arange(1.0, 5.0)
    run = tracer.compile(
        lambda x: scan(lambda row, c: ([], [10 * c + row], [c]), [x], carries=[0.0], reverse=True)[1:3],
        backend=backend,
    )
    (last,), (outputs,) = run(x)
    assert last == 4321
    np.testing.assert_array_equal(outputs, [432, 43, 4, 0])


@every_backend
def test_a_reverse_scan_with_states(backend):
    def function(x, first, w):
        made = scan(lambda row, a, b: ([np.sin(a * row) + w * b], [], [a * b]), [x], [first], lags=[(1, 2)],
                    reverse=True)  # fmt: skip
        return made.histories[0], made.outputs[0]

    x, first = RNG.standard_normal(5), RNG.standard_normal(2)
    history, outputs = list(first), np.empty(5)
    for t in reversed(range(5)):
        outputs[t] = history[-1] * history[-2]
        history.append(np.sin(history[-1] * x[t]) + 0.3 * history[-2])
    for one, other in zip(function(x, first, 0.3), (history, outputs), strict=True):
        np.testing.assert_allclose(one, other)
    check(function, (x, first, 0.3), backend)


@every_backend
def test_carries_that_change_places(backend):
    def function(a, b, c):
        def body(a, b, c):
            return [], [b, c * a, np.sin(a)], [a - b]

        made = scan(body, carries=[a, b, c], n_steps=5)
        return (*made.carries, *made.outputs)

    values = [RNG.standard_normal(4) for _ in range(3)]
    a, b, c = values
    for _ in range(5):
        a, b, c = b, c * a, np.sin(a)
    for one, other in zip(function(*values), (a, b, c), strict=False):
        np.testing.assert_allclose(one, other)
    check(function, tuple(values), backend)


@every_backend
def test_carried_arrays_that_change_in_a_few_places(backend):
    def function(a, b, places, rows):
        def body(place, row, a, b):
            a[place] += row * b[0]
            b[1:3] = np.sin(b[:2])
            return [], [a, b], [a[0], b[-1]]

        made = scan(body, [places, rows], carries=[a, b])
        return (*made.carries, *made.outputs)

    places, rows = np.array([2, 0, 2, -1]), RNG.standard_normal((4, 3))
    a, b = RNG.standard_normal((5, 3)), RNG.standard_normal(4)
    expected, other = a.copy(), b.copy()
    for place, row in zip(places, rows, strict=True):
        expected[place] += row * other[0]
        other[1:3] = np.sin(other[:2])
    found = function(a, b, places, rows)
    np.testing.assert_allclose(found[0], expected)
    np.testing.assert_allclose(found[1], other)
    check(function, (a, b, places, rows), backend)


@every_backend
def test_several_of_everything(backend):
    def function(x, y, s, t, c, w):
        def body(row, other, s, t1, t2, c, d, w):
            return [s * row + t2, np.tanh(t1 @ w)], [c + row * s, d * 0.9], [other * d, s + c, t2]

        made = scan(body, [x, y], [s, t], [c, np.float64(1.0)], [w], lags=[(1,), (1, 2)])
        return (*made.histories, *made.carries, *made.outputs)

    args = (
        *(RNG.standard_normal((4, 3)) for _ in range(2)),
        *(RNG.standard_normal((rows, 3)) for rows in (1, 2)),
        RNG.standard_normal(3),
        0.5 * RNG.standard_normal((3, 3)),
    )
    check(function, args, backend)


# --- stopping early ----------------------------------------------------------------------------------------------

GROWTH = np.array([1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])


def growth(x, first, limit=6.0):
    def body(row, one, three, total):
        new = three * row + np.sin(one)
        return [new], [total * new], [new**2], np.sum(new) > limit

    return scan(body, [x], [first], [np.sum(first)], lags=[(1, 3)], until=True)


@every_backend
def test_until(backend):
    first = np.array([1.0, 1.3, 1.2])
    history, total, done = list(first), np.sum(first), 0
    for row in GROWTH:
        history.append(history[-3] * row + np.sin(history[-1]))
        total *= history[-1]
        done += 1
        if history[-1] > 2.2:
            break
    assert 1 < done < len(GROWTH)

    def function(x, first):
        made = growth(x, first, 2.2)
        return (*made.histories, *made.carries, *made.outputs, made.count)

    found = tracer.compile(function, backend=backend)(GROWTH, first)
    padded = np.zeros(len(GROWTH) + 3)
    padded[: len(history)] = history
    np.testing.assert_allclose(found[0], padded)
    np.testing.assert_allclose(found[1], total)
    np.testing.assert_allclose(found[2], padded[3:] ** 2)
    assert found[3] == done and found[3].dtype == np.int64
    check(function, (GROWTH, first), backend)
    gradient = tracer.compile(tracer.grad(lambda x: np.sum(function(x, first)[0])), backend=backend)(GROWTH)
    assert gradient[:done].all() and not gradient[done:].any()


@every_backend
@pytest.mark.parametrize("limit", [-100.0, 100.0])
def test_until_at_once_or_never(backend, limit):
    def function(x, first):
        made = growth(x, first, limit)
        return (*made.histories, *made.carries, *made.outputs, made.count)

    first = np.array([0.3, 0.2, 0.1])
    assert function(GROWTH, first)[3] == (1 if limit < 0 else len(GROWTH))
    check(function, (GROWTH, first), backend)
    assert tracer.compile(function, backend=backend)(GROWTH[:0], first)[3] == 0


@every_backend
def test_rows_that_were_not_reached_do_not_spoil_the_gradient(backend):
    def function(x):
        made = scan(lambda row, c: ([], [c + np.log(row)], [], row > 2), [x], carries=[0.0], until=True)
        return made.carries[0]

    x = np.array([1.0, 3.0, 0.0, np.nan])
    gradient = tracer.compile(tracer.grad(function), backend=backend)(x)
    np.testing.assert_allclose(gradient, [1, 1 / 3, 0, 0])


@every_backend
def test_until_in_reverse(backend):
    def function(x, c):
        made = scan(lambda row, c: ([], [c * row], [c], row > 1.35), [x], carries=[c], until=True, reverse=True)
        return (*made.carries, *made.outputs, made.count)

    check(function, (GROWTH[::-1], np.array([0.5, 2.0])), backend)
    carry, outputs, count = function(GROWTH[::-1], np.float64(1.0))
    assert count == 4 and outputs[:3].tolist() == [0, 0, 0] and np.isclose(carry, np.prod(GROWTH[:4]))


# --- truncated derivatives ---------------------------------------------------------------------------------------


def truncated(W, x, h, last, until=False):
    def body(row, h):
        new = np.tanh(h @ W + row)
        return ([new], [], [new**3]) if not until else ([new], [], [new**3], row[0] > 5)

    made = scan(body, [x], [h[None]], truncate=last, until=until)
    return np.sum(made.histories[0] ** 2) + np.sum(made.outputs[0])


@every_backend
@pytest.mark.parametrize("until", [False, True])
@pytest.mark.parametrize("last", [0, 1, 2, 5, 9])
def test_truncated_gradient(backend, until, last):
    x = RNG.standard_normal((5, 3))
    x[4, 0] = 6.0
    rest = np.full((2, 3), np.nan) if until else np.zeros((0, 3))
    whole = np.concatenate([x, rest])
    start = max(5 - last, 0)
    before = H0
    for row in x[:start]:
        before = np.tanh(before @ W + row)

    def tail(W, x, h):
        total = 0.0
        for row in x:
            h = np.tanh(h @ W + row)
            total = total + np.sum(h**2) + np.sum(h**3)
        return total

    gradient = tracer.grad(lambda *args: truncated(*args, last, until), argnums=(0, 1, 2))
    found = tracer.compile(gradient, backend=backend)(W, whole, H0)
    if last:
        by_w, by_x, by_h = tracer.grad(tail, argnums=(0, 1, 2))(W, x[start:], before)
    else:
        by_w, by_x, by_h = np.zeros_like(W), np.zeros((0, 3)), np.zeros(3)
    expected_x = np.zeros_like(whole)
    expected_x[start:5] = by_x
    np.testing.assert_allclose(found[0], by_w, atol=1e-12)
    np.testing.assert_allclose(found[1], expected_x, atol=1e-12)
    np.testing.assert_allclose(found[2], 2 * H0 + (0 if start else by_h), atol=1e-12)


@every_backend
@pytest.mark.parametrize("last", [1, 2, 4])
def test_truncated_gradient_with_lags(backend, last):
    def function(a, first):
        made = scan(lambda one, three: ([a * one + np.sin(three)], [], []), (), [first], n_steps=4, lags=[(1, 3)],
                    truncate=last)  # fmt: skip
        return np.sum(made.histories[0][-1:])

    first = RNG.standard_normal(3)
    history = list(first)
    for _ in range(4):
        history.append(0.6 * history[-1] + np.sin(history[-3]))
    rows = np.zeros(7)
    rows[-1] = 1
    by_a = 0.0
    for t in range(6, 6 - last, -1):
        by_a += rows[t] * history[t - 1]
        rows[t - 1] += rows[t] * 0.6
        rows[t - 3] += rows[t] * np.cos(history[t - 3])
    found = tracer.compile(tracer.grad(function, argnums=(0, 1)), backend=backend)(0.6, first)
    np.testing.assert_allclose(found[0], by_a)
    np.testing.assert_allclose(found[1], rows[:3])


# --- bodies within bodies ----------------------------------------------------------------------------------------


@every_backend
def test_scan_in_a_scan(backend):
    def function(x, w):
        def outer(row, c):
            made = scan(lambda v, s: ([], [np.sin(s * v) + w], [s * v]), [row], carries=[c])
            return [], [made.carries[0]], [made.outputs[0]]

        made = scan(outer, [x], carries=[np.float64(0.3)])
        return (*made.carries, *made.outputs)

    check(function, (RNG.standard_normal((3, 4)), np.float64(0.4)), backend)


@every_backend
@pytest.mark.parametrize("sign", [1, -1])
def test_cond(backend, sign):
    def function(x, y):
        return cond(np.sum(x) > 0, lambda a: (np.sin(a) * y, a[0]), lambda a: (a * a, np.sum(y)), [x])

    check(function, (sign * np.array([0.3, 0.4]), np.array([1.0, 2.0])), backend)


@every_backend
def test_cond_in_a_scan(backend):
    def function(x, w):
        def body(row, c):
            (new,) = cond(row > 0, lambda: c * w, lambda: np.sin(c) * row)
            return [], [new], [new]

        return scan(body, [x], carries=[np.float64(1.0)]).outputs

    check(function, (np.array([0.5, -0.3, 1.0, -2.0]), np.float64(1.1)), backend)


@every_backend
@pytest.mark.parametrize("w", [1.1, 0.1])
def test_scan_in_a_cond(backend, w):
    def function(x, w):
        def product():
            return scan(lambda v, c: ([], [c * v * w], []), [x], carries=[1.0]).carries[0]

        return cond(w > 1, product, lambda: w * 2)

    check(function, (RNG.standard_normal(4), np.float64(w)), backend)


@every_backend
def test_only_the_branch_that_is_taken_runs(backend):
    def function(x, table, place):
        return cond(x > 0, lambda: table[place] * x, lambda: x * 2.0)[0]

    run = tracer.compile(function, backend=backend)
    table = np.arange(3.0)
    assert run(-2.0, table, 7) == -4
    assert run(2.0, table, 1) == 2
    with pytest.raises(IndexError):
        run(2.0, table, 7)
    gradient = tracer.compile(tracer.grad(lambda x: cond(x > 0, lambda: np.sqrt(x), lambda: x * 0)[0]), backend=backend)
    assert gradient(-4.0) == 0 and gradient(4.0) == 0.25


@every_backend
def test_branches_of_different_dtypes_meet(backend):
    run = tracer.compile(lambda n: cond(n > 2, lambda: n, lambda: n * 0.5), backend=backend)
    assert run(np.int64(3)) == (3.0,) and run(np.int64(1)) == (0.5,)
    assert run(np.int64(3))[0].dtype == np.float64


def test_a_known_condition_runs_its_branch():
    assert cond(True, lambda: 1, lambda: 2) == (1,)
    assert cond(np.bool_(False), lambda x: x + 1, lambda x: x - 1, [3]) == (2,)


# --- types, layouts, threads -------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int64, np.bool_])
def test_dtypes(backend, dtype):
    x = np.asarray(RNG.standard_normal((4, 3)) * 3).astype(dtype)
    if dtype == np.complex128:
        x = x + 1j * RNG.standard_normal((4, 3))

    def function(x):
        made = scan(lambda row, s, c: ([s * row], [c + row], [row]), [x], [np.ones((1, 3), dtype)], [x[0]])
        return (*made.histories, *made.carries, *made.outputs)

    found = tracer.compile(function, backend=backend)(x)
    for one, other in zip(function(x), found, strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if dtype == np.complex128:
        check_grads(function, (x,), order=2, backend=backend)


@every_backend
def test_states_of_integers_beside_floats(backend):
    def function(x):
        made = scan(lambda row, n, s: ([n + 1], [s * row + n], []), [x], [np.zeros(1, np.int64)], [np.float64(1)])
        return (*made.histories, *made.carries)

    check(function, (RNG.standard_normal(4),), backend)


@every_backend
def test_arrays_of_any_layout(backend):
    wide = RNG.standard_normal((6, 8))
    for x in (wide[::2, ::3], wide[::-1, :3], np.asfortranarray(wide[:3, :3]), np.broadcast_to(wide[0, :3], (3, 3))):
        w = wide[:3, 1:7:2].T
        expected = network_by_hand(w, np.eye(3), x, H0)
        found = tracer.compile(lambda w, x, h: network(w, np.eye(3), x, h)[1], backend=backend)(w, x, H0)
        np.testing.assert_allclose(found, expected)


@every_backend
def test_arrays_without_elements(backend):
    def function(x):
        made = scan(lambda row, s, c: ([s + row], [c * 2], [np.sum(row)]), [x], [np.zeros((1, 0))], [np.zeros((0, 2))])
        return (*made.histories, *made.carries, *made.outputs)

    found = tracer.compile(function, backend=backend)(np.zeros((3, 0)))
    assert [item.shape for item in found] == [(4, 0), (0, 2), (3,)]


@every_backend
def test_bodies_that_return_what_they_get(backend):
    def function(x, c):
        made = scan(lambda row, s, c, w: ([row], [c], [s, w, np.float64(7), c]), [x], [c[None]], [c], [c * 2])
        return (*made.histories, *made.carries, *made.outputs)

    check(function, (RNG.standard_normal((3, 2)), RNG.standard_normal(2)), backend)


@every_backend
def test_surroundings_are_followed(backend):
    table, weight = np.ones(3), tracer.shared(np.full(3, 2.0))

    @tracer.compile(backend=backend)
    def function(x):
        scale = x[0] * 3
        return scan(lambda row, c: ([], [c + row * table * weight * scale], []), [x], carries=[np.zeros(3)]).carries[0]

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(function(x), 18.0)
    table[:] = 2.0
    weight.set_value(np.ones(3))
    np.testing.assert_allclose(function(x), 18.0)
    assert function.cache_info().traces == 1


def test_equal_bodies_are_one_node():
    @tracer.compile
    def function(x):
        one = scan(lambda row, c: ([], [c + row], [c]), [x], carries=[0.0])
        two = scan(lambda v, total: ([], [total + v], [total]), [x], carries=[0.0])
        assert one.carries[0].__tracer_node__ is two.carries[0].__tracer_node__
        return one.carries[0]

    function(X[:, 0])


def test_threads_share_a_program():
    run = tracer.compile(lambda *args: network(*args)[1])
    arrays = [RNG.standard_normal((200, 2)) for _ in range(4)]
    expected = [network_by_hand(W, U, x, H0) for x in arrays]
    run(W, U, arrays[0], H0)
    wrong = []

    def work(place):
        for _ in range(20):
            if not np.allclose(run(W, U, arrays[place], H0), expected[place]):
                wrong.append(place)

    on_threads(work)
    assert not wrong


@every_backend
def test_functions_without_a_kernel_run_in_a_body(backend):
    def body(row, c):
        return [], [c + np.linalg.inv(row) @ c], [np.sort(row, axis=None)]

    def function(x):
        made = scan(body, [x], carries=[np.ones(2)])
        return (*made.carries, *made.outputs)

    x = RNG.standard_normal((4, 2, 2)) + 3 * np.eye(2)
    for one, other in zip(function(x), tracer.compile(function, backend=backend)(x), strict=True):
        np.testing.assert_allclose(one, other)


# --- errors ------------------------------------------------------------------------------------------------------


@every_backend
def test_a_failure_in_a_body_names_its_line(backend):
    @tracer.compile(backend=backend)
    def function(table, places):
        return scan(lambda place, c: ([], [c + table[place]], []), [places], carries=[0.0]).carries[0]

    table = np.arange(4.0)
    assert function(table, np.array([0, 1, 2])) == 3
    with pytest.raises(IndexError, match="index 9 is out of bounds") as caught:
        function(table, np.array([0, 1, 9]))
    assert "test_control.py" in "".join(caught.value.__notes__) and "in <lambda>" in "".join(caught.value.__notes__)


ROWS = np.ones((3, 2))
WRONG = {
    "needs to know how many steps": lambda x: scan(lambda c: ([], [c], []), carries=[x]),
    "over 4 steps.*sequence 0 has 3": lambda x: scan(lambda r: ([], [], [r]), [x], n_steps=4),
    "state 0.*read 1, 4 steps back": lambda x: scan(lambda a, b: ([a], [], []), (), [x], n_steps=2, lags=[(1, 4)]),
    "state 0.*has 0 initial rows": lambda x: scan(lambda a: ([a], [], []), (), [x[0, 0]], n_steps=2),
    "must return .states, carries, outputs.": lambda x: scan(lambda r: r, [x]),
    "outputs, stop": lambda x: scan(lambda r: ([], [], [r]), [x], until=True),
    "1 states and 0 carries; it returned a tuple": lambda x: scan(lambda r, s: ([], [], [r]), [x], [x[:1]]),
    "carry 0 of a scan starts with type int64": lambda x: scan(lambda r, c: ([], [c + r[0]], []), [x], carries=[0]),
    "float64.2., but the body gives float64.3, 2": lambda x: scan(lambda s: ([s + x], [], []), (), [x[:1]], n_steps=2),
    "single truth value.*bool.3, 2": lambda x: cond(x > 0, lambda: x, lambda: x),
    "different types: float64.3, 2. and float64.2.": lambda x: cond(x[0, 0] > 0, lambda: x, lambda: x[0]),
    "different types": lambda x: cond(x[0, 0] > 0, lambda: (x, x), lambda: x),
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_that_a_user_can_make(text):
    with pytest.raises(errors.TraceError, match=text) as caught:
        tracer.compile(WRONG[text])(ROWS)
    assert "HINT" in str(caught.value) and "test_control.py" in str(caught.value)


def test_a_value_that_leaves_the_body_is_refused():
    kept = []

    def function(x):
        scan(lambda row, c: (kept.append(row), ([], [c + row], []))[1], [x], carries=[0.0])
        return kept[0]

    with pytest.raises(errors.LeakedValueError):
        tracer.compile(function)(np.ones(3))
