"""Loops and branches in one kernel: the programs within them run by one block."""

import numpy as np
import pytest
from cuda.cases import leaves, one_instruction, program_of
from cuda.player import Library, Player, needs_compiler
from numpy.testing import assert_allclose

import tracer
import tracer as theano
import tracer.tensor as T
from tracer import _kernels
from tracer.lower.program import Buffer, Gather, Loop, MatMul, Program, Scan, Step, Store, View, Window
from tracer.scan_module import scan, until

pytestmark = needs_compiler
R = np.random.default_rng(0)
X, V, W = R.normal(size=(7, 5)), R.normal(size=5), R.normal(size=(5, 5))


def rnn(w, h, xs):
    return tracer.scan(lambda h, x: (np.tanh(h @ w + x), h.sum(axis=1)), h, xs)


def rnn_gradient(w, h, xs):
    return tracer.grad(lambda w: (rnn(w, h, xs)[0] ** 2).sum())(w)


def kalman(a, c, q, p, zs):
    def step(state, z):
        x, p = state
        x, p = a @ x, a @ p @ a.T + q
        gain = p @ c.T / (c @ p @ c.T + 0.1)
        x = x + gain[:, 0] * (z - c @ x)[0]
        return (x, p - gain @ c @ p), x

    return tracer.scan(step, (np.zeros(4), p), zs)


def swapped(a, b):
    return tracer.fori_loop(0, 5, lambda i, s: (s[1] * 0.5 + i, s[0][::-1]), (a, b))


def nested(a):
    def row(total, x):
        inner = tracer.fori_loop(0, 3, lambda i, y: np.cumsum(y) * 0.5 + i, x)
        inner = tracer.cond(inner.sum() > 0, lambda y: y * 2, lambda y: y - 1, inner)
        return total + inner, tracer.while_loop(lambda s: np.abs(s).sum() < 50, lambda s: s * 2 + total[0], inner + 1)

    return tracer.scan(row, np.zeros(5), a)


def backward(a):
    return tracer.scan(lambda c, row: (c * 0.5 + row, (c.max(), row > c)), np.ones(5), a, reverse=True)


def big_states(a):
    def step(i, s):
        return s[0] + s[1].sum(axis=0), np.sqrt(np.abs(s[1])) * s[0]

    return tracer.fori_loop(0, 3, step, (np.zeros(70), a))


def picked(a, places):
    return tracer.scan(lambda c, i: (c + a[i].sum() + c[i], c[i] * a[i, 0]), np.ones(5), places)


def written(a, places):
    def step(i, s):
        s = s.copy()
        s[places] += i + 1
        s[1:] *= 0.5
        return s

    return tracer.fori_loop(0, 4, step, a)


def branches(a, b):
    def f(x, y):
        return tracer.cond(x.sum() > y.sum(), lambda u, v: (u * 2, v.max()), lambda u, v: (v, u.min()), x, y)

    return (*f(a, b), *f(b, a))


CASES = {
    "rnn": (rnn, W, np.zeros((3, 5)), R.normal(size=(6, 3, 5))),
    "rnn's gradient": (rnn_gradient, W, np.zeros((3, 5)), R.normal(size=(6, 3, 5))),
    "kalman": (kalman, np.eye(4) + 0.1 * R.normal(size=(4, 4)), R.normal(size=(1, 4)), np.eye(4) * 0.01,
               np.eye(4), R.normal(size=(8, 1))),
    "states that exchange": (swapped, V, V[::-1] * 2),
    "nested": (nested, X),
    "backward": (backward, X),
    "states without room": (big_states, R.normal(size=(50, 70))),
    "no steps": (backward, np.zeros((0, 5))),
    "gathers": (picked, X[:5], np.array([0, -1, 3, 3])),
    "scatters": (written, V, np.array([1, 1, -1])),
    "branches": (branches, V, V + 1),
    "single": (rnn, W.astype("f4"), np.zeros((3, 5), "f4"), R.normal(size=(6, 3, 5)).astype("f4")),
    "complex": (swapped, V + 1j, V[::-1] * 2j),
}  # fmt: skip


@pytest.fixture(scope="module")
def built():
    compiled = {name: tracer.compile(function) for name, (function, *_) in CASES.items()}
    players = {name: Player(program_of(*CASES[name]), list(args)) for name, (_, *args) in CASES.items()}
    return compiled, players, Library([player.module for player in players.values()])


@pytest.mark.parametrize("name", CASES)
def test_loops_and_branches_of_small_things_are_one_kernel(built, name):
    compiled, players, library = built
    player = players[name]
    launches = [launch for own in player.module.launches for launch in own]
    assert len(launches) == 1 and launches[0].grid == (1, 1, 1)
    rng = np.random.default_rng(5)
    first = list(CASES[name][1:])
    others = [a if a.dtype.kind == "i" else (a * rng.uniform(0.5, 1.5, a.shape)).astype(a.dtype) for a in first]
    for args in (first, others):
        player.arguments = args
        rtol = 1e-4 if args[0].dtype.itemsize == 4 else 1e-10
        for one, other in zip(player.run(library), leaves(compiled[name](*args)), strict=True):
            assert one.dtype == other.dtype
            assert_allclose(one, other, rtol=rtol, atol=rtol)
        assert player.error == 2**64 - 1


def tabled(index):
    """A loop whose program looks into constants: `s = table[index] + [nan, s[1]]`, with the values in bits."""
    f8, one = np.dtype(float), (1,)
    table = np.array([[1.5, -0.0], [np.inf, 3e-310]])
    inner = Program(
        (
            Buffer("argument", f8, (2,), one, 0), Buffer("argument", np.dtype(np.int64), (), (), 1),
            Buffer("constant", f8, (2, 2), (2, 1), 0), Buffer("constant", f8, (), (), 1),
            Buffer("temporary", f8, (2,), one), Buffer("output", f8, (2,), one, 0),
        ),
        (table, np.array(np.nan)),
        (
            Gather((2,), View(2, 0, (2, 1)), (2, 2), 1, (View(1, 0, ()),), View(4, 0, one)),
            Loop((2,), (View(0, 0, one), View(4, 0, one)), (), (Step("add", f8, f8, (0, 1)),),
                 (Store(2, View(5, 0, one)),), ()),
            Loop((1,), (View(3, 0, (0,)),), (), (), (Store(0, View(5, 0, one)),), ()),
        ),
        64, 1,
    )  # fmt: skip
    buffers = (
        Buffer("argument", np.dtype(np.int64), index.shape, one, 0), Buffer("output", f8, (2,), one, 0),
        Buffer("temporary", f8, (2,), one), Buffer("temporary", np.dtype(np.uint8), (64,), one, 0, 64),
    )  # fmt: skip
    zero = Loop((2,), (), (np.float64(0.5),), (), (Store(0, View(1, 0, one)),), ())
    sources = Window(View(1, 0, (0, 1))), Window(View(0, 0, one))
    loop = Scan(inner, index.size, sources, (Window(View(2, 0, (0, 1))),), ((0, 0),), arena=View(3, 0, one))
    program = Program(buffers, (), (zero, loop), 128, 1)
    program.verify()
    return program


def test_constants_of_programs_within_and_indices_out_of_range():
    program = tabled(np.zeros(3, int))
    player = Player(program, [np.array([1, 0, -1])])
    library = Library([player.module])
    np.testing.assert_array_equal(player.run(library)[0], _kernels.Program(program).run(player.arguments)[0])
    assert player.error == 2**64 - 1
    player.arguments = [np.array([1, 5, 0])]
    player.run(library)
    assert player.error >> 48 == 1


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", "i4", "u1"])
def test_small_products_are_scaled_and_added(dtype):
    rng, dtype = np.random.default_rng(1), np.dtype(dtype)
    a, b, c = (rng.integers(0, 9, shape).astype(dtype) for shape in [(3, 20, 6), (4, 6), (3, 20, 4)])

    def before(out):
        return [Loop(c.shape, (View(2, 0, (80, 4, 1)),), (), (), (Store(0, View(out.buffer, 0, (80, 4, 1))),), ())]

    def made(views, out):
        by_columns = View(1, 0, (0, 1, 6))
        return MatMul(dtype, (3,), 20, 4, 6, views[0], by_columns, out, 2.0 if dtype.kind == "f" else 1.0, True)

    player = Player(one_instruction([a, b, c], c.shape, dtype, made, before), [a, b, c])
    (found,) = player.run(Library([player.module]))
    np.testing.assert_array_equal(found, c + (2 if dtype.kind == "f" else 1) * (a @ b.T))


def check(function, *args):
    """A function gives on the GPU what it gives on the CPU."""
    on_gpu, on_cpu = tracer.compile(function, device="gpu"), tracer.compile(function)
    for _ in range(3):
        for one, other in zip(leaves(on_gpu(*args)), leaves(on_cpu(*args)), strict=True):
            assert_allclose(one, other, rtol=1e-12)


def test_loops_that_stop(gpu):
    x, limit, most = T.dvector("x"), T.dscalar("limit"), T.iscalar("most")

    def step(v, older, x):
        new = v * 0.5 + older * 0.25 + x
        return [new, new * 2], until(new.sum() > limit)

    start = T.stack([x, x * 2])
    values, _ = scan(step, None, [{"initial": start, "taps": [-1, -2]}, None], x, n_steps=most)
    f = theano.function([x, limit, most], values)
    arguments = [(V, 1e9, 6), (np.abs(V), 8.0, 6), (np.abs(V), 0.0, 6), (V, 1e9, 1)]
    expected = [f(*args) for args in arguments]
    with theano.config.changed(device="cuda"):
        g = theano.function([x, limit, most], values)
        for args, found in zip(arguments * 2, expected * 2, strict=True):
            for one, other in zip(g(*args), found, strict=True):
                assert_allclose(one, other, rtol=1e-12)
    assert gpu.launches


def test_larger_things_are_launched_step_by_step(gpu):
    wide = R.normal(size=(5, 5000))
    check(lambda a: tracer.cond(a.sum() > 0, lambda b: b * 2, lambda b: b - 1, a), np.abs(wide))
    check(lambda a: tracer.scan(lambda c, r: (c * 0.5 + r / (1 + (c * c).sum()), c.sum()), a[0], a), wide)
    check(lambda a: tracer.while_loop(lambda s: s.sum() < 9e4, lambda s: s * 1.5, np.abs(a)), wide)


def test_a_wrong_index_ends_a_loop(gpu):
    @tracer.compile(device="gpu")
    def f(a, place):
        return tracer.while_loop(lambda s: s.sum() < 100, lambda s: s + a[place], a)

    assert_allclose(f(np.abs(V), np.array(1)), tracer.compile(f)(np.abs(V), np.array(1)))
    with pytest.raises(IndexError, match="out of bounds"):
        f(np.abs(V), np.array(9))
