"""Whole programs as people write them in NumPy: values, gradients, and every call again with other numbers."""

import numpy as np
import pytest

import tracer

RANDOM = np.random.default_rng(7)
LABELS = RANDOM.integers(0, 3, 10)
POINTS = np.concatenate([RANDOM.normal(size=(20, 2)), RANDOM.normal(size=(20, 2)) + 3])


def normal(*shape, scale=1.0):
    return scale * RANDOM.normal(size=shape)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_regression(w, b, x, y):
    z = x @ w + b
    z = z - z.max(1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -logp[np.arange(len(y)), y].mean() + 1e-3 * (w**2).sum()


def mixture_step(x, share, mean, cov):
    """One step of expectation maximisation of a Gaussian mixture in the plane."""
    apart = x[:, None, :] - mean
    det = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] * cov[:, 1, 0]
    adjugate = np.stack([np.stack([cov[:, 1, 1], -cov[:, 0, 1]], -1), np.stack([-cov[:, 1, 0], cov[:, 0, 0]], -1)], -2)
    distance = np.einsum("nki,kij,nkj->nk", apart, adjugate / det[:, None, None], apart)
    logp = np.log(share) - 0.5 * (distance + np.log(det) + x.shape[1] * np.log(2 * np.pi))
    most = logp.max(1, keepdims=True)
    total = most + np.log(np.exp(logp - most).sum(1, keepdims=True))
    weight = np.exp(logp - total)
    count = weight.sum(0)
    new = weight.T @ x / count[:, None]
    apart = x[:, None] - new
    spread = np.einsum("nk,nki,nkj->kij", weight, apart, apart) / count[:, None, None]
    return count / len(x), new, spread, total.sum()


def k_means(x, centres):
    for _ in range(4):
        nearest = ((x[:, None] - centres) ** 2).sum(-1).argmin(1)
        chosen = (nearest[:, None] == np.arange(len(centres))).astype(x.dtype)
        centres = chosen.T @ x / np.maximum(chosen.sum(0), 1)[:, None]
    return centres, nearest


def attention(x, query, key, value, out, heads=2):
    batch, length, width = x.shape

    def split(z):
        return z.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)

    scores = split(x @ query) @ np.swapaxes(split(x @ key), -1, -2) / np.sqrt(width // heads)
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    mixed = (softmax(scores) @ split(x @ value)).transpose(0, 2, 1, 3).reshape(x.shape)
    y = x + mixed @ out
    return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)


def convolution(x, w, b, stride=2):
    size = w.shape[-1]
    count = (x.shape[-1] - size) // stride + 1
    columns = np.stack([x[:, :, i : i + stride * count : stride] for i in range(size)], -1)
    return np.maximum(np.einsum("bcnk,ock->bon", columns, w) + b[None, :, None], 0).mean(-1)


def kalman(seen, step, watch, drift, noise):
    x, p = np.zeros_like(step[0]), np.eye(step.shape[0])
    path = []
    for t in range(len(seen)):
        x, p = step @ x, step @ p @ step.T + drift
        s = watch @ p @ watch.T + noise
        inverse = np.stack([np.stack([s[1, 1], -s[0, 1]]), np.stack([-s[1, 0], s[0, 0]])])
        gain = p @ watch.T @ (inverse / (s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0]))
        x, p = x + gain @ (seen[t] - watch @ x), p - gain @ watch @ p
        path.append(x)
    return np.stack(path), p


def power_iteration(x, v):
    centred = x - x.mean(0)
    covariance = centred.T @ centred / (len(x) - 1)
    for _ in range(15):
        v = covariance @ v
        v /= np.sqrt(v @ v)
    return v, v @ covariance @ v


def orbits(place, speed, mass):
    place, speed = place.copy(), speed.copy()
    for _ in range(3):
        for i in range(len(place)):
            for j in range(len(place)):
                if i != j:
                    d = place[j] - place[i]
                    speed[i] += 0.01 * mass[j] * d / (d @ d + 0.01) ** 1.5
        place += 0.01 * speed
    return place, speed


def lstm(inputs, wx, wh, b):
    h = c = np.zeros_like(wh[:, 0])
    states = []
    for x in inputs:
        i, f, o, g = np.split(x @ wx + h @ wh + b, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        states.append(h)
    return np.stack(states)


def cholesky_likelihood(x, y, length):
    n = len(x)
    k = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * length**2)) + 0.1 * np.eye(n)
    factor, a = np.zeros_like(k), np.zeros_like(y)
    for i in range(n):
        for j in range(i + 1):
            s = k[i, j] - factor[i, :j] @ factor[j, :j]
            factor[i, j] = np.sqrt(s) if i == j else s / factor[j, j]
        a[i] = (y[i] - factor[i, :i] @ a[:i]) / factor[i, i]
    return a @ a / 2 + np.log(np.diag(factor)).sum()


def beam(stiffness, load):
    w = np.zeros_like(load)
    for _ in range(4):
        w[2:-2] = (load[2:-2] / stiffness - (w[:-4] - 4 * w[1:-3] - 4 * w[3:-1] + w[4:])) / 6
        w[1] = w[2] / 4
        w[-2] = w[-3] / 4
    return w


def gauss_seidel(u):
    u = u.copy()
    for i in range(1, len(u) - 1):
        u[i] = (u[i - 1] + u[i + 1]) / 2
    return u


def bubble_sort(a):
    a = a.copy()
    for n in range(len(a) - 1, 0, -1):
        for j in range(n):
            a[j], a[j + 1] = np.minimum(a[j], a[j + 1]), np.maximum(a[j], a[j + 1])
    return a


def viterbi(emission, transition):
    best, back = emission[0], []
    for row in emission[1:]:
        scores = best[:, None] + transition
        back.append(scores.argmax(0))
        best = scores.max(0) + row
    path = [best.argmax()]
    for pointers in back[::-1]:
        path.append(pointers[path[-1]])
    return np.stack(path[::-1]), best.max()


def spectrum(x):
    n = np.arange(len(x))
    return np.sum(np.abs(np.exp(-2j * np.pi * np.outer(n, n) / len(x)) @ x) ** 2 * n)


def rotation(psi, angle):
    gate = np.stack([np.stack([np.cos(angle), -1j * np.sin(angle)]), np.stack([-1j * np.sin(angle), np.cos(angle)])])
    state = np.einsum("ab,bcd->acd", gate, psi.reshape(2, 2, 2))
    state = np.tensordot(gate, state, axes=(1, 1)).transpose(1, 0, 2)
    return np.real(np.vdot(state, state) * np.abs(state[0, 0, 0]) ** 2)


def rotary(x):
    width = x.shape[-1]
    angle = np.arange(len(x))[:, None] / 100 ** (np.arange(0, width, 2) / width)
    out = np.empty_like(x)
    out[..., ::2] = x[..., ::2] * np.cos(angle) - x[..., 1::2] * np.sin(angle)
    out[..., 1::2] = x[..., ::2] * np.sin(angle) + x[..., 1::2] * np.cos(angle)
    return out


def lennard_jones(p):
    i, j = np.triu_indices(len(p), 1)
    s = 1 / ((p[i] - p[j]) ** 2).sum(-1) ** 3
    return np.sum(4 * (s**2 - s))


def runge_kutta(y, p):
    def slope(y):
        return np.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])

    for _ in range(8):
        a = slope(y)
        b = slope(y + 0.025 * a)
        c = slope(y + 0.025 * b)
        y = y + 0.05 / 6 * (a + 2 * b + 2 * c + slope(y + 0.05 * c))
    return y


def embedding(table, index, w):
    return np.tanh(table[index].mean(1)) @ w


def interpolation(knots, x):
    k = np.clip((x * 4).astype(int), 0, 3)
    t = x * 4 - k
    return knots[k] * (1 - t) + knots[k + 1] * t


def mandelbrot(c):
    z, count = np.zeros_like(c), np.zeros_like(c, dtype=int)
    for _ in range(8):
        inside = np.abs(z) < 2
        z = np.where(inside, z * z + c, z)
        count += inside
    return count


def life(grid):
    around = sum(np.roll(grid, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
    return ((around == 3) | ((grid == 1) & (around == 2))).astype(grid.dtype)


def shift_register(s):
    for _ in range(5):
        s = s ^ (s << np.uint32(13))
        s ^= s >> np.uint32(17)
        s ^= s << np.uint32(5)
    return s


def histogram(x):
    cell = np.clip(np.floor(x * 2).astype(int) + 4, 0, 7)
    counts = np.zeros_like(x, shape=8)
    np.add.at(counts, cell, 1.0)
    return counts


SYSTEM = (np.eye(4) + np.diag([0.1, 0.1], 2), np.eye(2, 4), 0.01 * np.eye(4), 0.1 * np.eye(2))
MIXTURE = (np.full(2, 0.5), np.array([[0.0, 1.0], [2.0, 2.0]]), np.stack([np.eye(2)] * 2))
PROGRAMS = {  # function, arguments, order up to which its derivatives are checked
    "softmax regression": (softmax_regression, (normal(5, 3), normal(3), normal(10, 5), LABELS), 2),
    "gaussian mixture": (mixture_step, (POINTS, *MIXTURE), 1),
    "k means": (k_means, (POINTS, POINTS[:3].copy()), 0),
    "attention": (attention, (normal(2, 4, 6), *(normal(6, 6, scale=0.3) for _ in range(4))), 2),
    "convolution": (convolution, (normal(2, 3, 11), normal(4, 3, 5), normal(4)), 1),
    "kalman filter": (kalman, (normal(5, 2), *SYSTEM), 1),
    "power iteration": (power_iteration, (normal(20, 4), normal(4)), 1),
    "orbits": (orbits, (normal(3, 2), normal(3, 2), np.ones(3)), 1),
    "lstm": (lstm, (normal(4, 3), normal(3, 8), normal(2, 8), normal(8)), 2),
    "gaussian process": (cholesky_likelihood, (normal(5, 2), normal(5), np.float64(0.7)), 2),
    "beam": (beam, (np.float64(2.0), normal(12)), 1),
    "gauss seidel": (gauss_seidel, (normal(7),), 1),
    "bubble sort": (bubble_sort, (normal(6),), 1),
    "viterbi": (viterbi, (normal(6, 3), normal(3, 3)), 0),
    "spectrum": (spectrum, (normal(8),), 2),
    "rotation": (rotation, (normal(8) + 1j * normal(8), np.float64(0.3)), 1),
    "rotary": (rotary, (normal(5, 6),), 1),
    "lennard jones": (lennard_jones, (3 * normal(4, 3),), 1),
    "runge kutta": (runge_kutta, (np.array([1.0, 0.5]), np.array([1.0, 0.5, 0.3, 0.7])), 2),
    "embedding": (embedding, (normal(10, 4), RANDOM.integers(0, 10, (3, 6)), normal(4, 2)), 2),
    "interpolation": (interpolation, (normal(5), RANDOM.uniform(size=9)), 1),
    "mandelbrot": (mandelbrot, (normal(4, 5) + 1j * normal(4, 5),), 0),
    "life": (life, (RANDOM.integers(0, 2, (7, 8)).astype(np.uint8),), 0),
    "shift register": (shift_register, (np.arange(1, 9, dtype=np.uint32),), 0),
    "histogram": (histogram, (normal(20),), 0),
}


def assert_same(expected, actual, tolerance=1e-9):
    if not isinstance(expected, tuple):
        expected, actual = (expected,), (actual,)
    for one, other in zip(expected, actual, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


def other_values(arguments):
    """Arguments of the same types with other numbers: each array in reverse along its first axis."""
    return tuple(np.ascontiguousarray(value[::-1]) if np.ndim(value) else value for value in arguments)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name, backend):
    function, arguments, _ = PROGRAMS[name]
    compiled = tracer.compile(function, backend=backend)
    for values in (arguments, arguments, other_values(arguments)):
        assert_same(function(*values), compiled(*values))
    assert compiled.cache_info().traces == 1
    tracer.compile(function, mode="check")(*arguments)


@pytest.mark.parametrize("name", [name for name, (_, values, _) in PROGRAMS.items() if values[0].dtype == np.float64])
def test_single_precision(name):
    function, arguments, _ = PROGRAMS[name]
    arguments = tuple(value.astype(np.float32) if value.dtype == np.float64 else value for value in arguments)
    assert_same(function(*arguments), tracer.compile(function)(*arguments), 2e-3)


@pytest.mark.parametrize("name", [name for name, (_, _, order) in PROGRAMS.items() if order])
def test_derivatives(name):
    function, arguments, order = PROGRAMS[name]
    tracer.testing.check_grads(function, arguments, order=order, rtol=1e-4, atol=1e-5)


def test_training_a_model_of_layers_with_adam_as_by_hand():
    class Dense:
        def __init__(self, weight):
            self.weight, self.bias = tracer.shared(weight), tracer.shared(np.zeros(weight.shape[1]))

        def __call__(self, x):
            return x @ self.weight + self.bias

    first, second = normal(5, 8, scale=0.5), normal(8, 3, scale=0.5)
    x, y = normal(10, 5), LABELS
    layers = [Dense(first), Dense(second)]

    @tracer.compile(updates=tracer.optim.adam(0.01))
    def cost(x, y):
        z = layers[1](np.maximum(layers[0](x), 0))
        return -np.mean(np.log(softmax(z))[np.arange(len(y)), y])

    parameters = [first, np.zeros(8), second, np.zeros(3)]
    mean = [np.zeros_like(p) for p in parameters]
    square = [np.zeros_like(p) for p in parameters]
    for step in range(1, 21):
        h = x @ parameters[0] + parameters[1]
        a = np.maximum(h, 0)
        p = softmax(a @ parameters[2] + parameters[3])
        assert cost(x, y) == pytest.approx(-np.mean(np.log(p[np.arange(10), y])), rel=1e-8)
        g = (p - np.eye(3)[y]) / len(y)
        gh = (g @ parameters[2].T) * (h > 0)
        for i, gradient in enumerate([x.T @ gh, gh.sum(0), a.T @ g, g.sum(0)]):
            mean[i] = 0.9 * mean[i] + 0.1 * gradient
            square[i] = 0.999 * square[i] + 0.001 * gradient**2
            scaled = np.sqrt(square[i] / (1 - 0.999**step)) + 1e-8
            parameters[i] = parameters[i] - 0.01 * mean[i] / (1 - 0.9**step) / scaled
    np.testing.assert_allclose(layers[0].weight.get_value(), parameters[0], rtol=1e-6)
    assert cost.cache_info().traces == 1


def test_newtons_method_traces_once():
    def f(x):
        return x**3 - 2 * x - 5

    slope, x = tracer.grad(f), 2.0
    for _ in range(8):
        x = x - f(x) / slope(x)
    assert f(x) == pytest.approx(0, abs=1e-10)
    assert slope.compiled.cache_info().traces == 1


def test_a_long_graph_compiles_in_time_that_grows_with_its_length():
    def chain(x):
        y = x
        for i in range(3000):
            y = np.sin(y) * 0.5 + x * i
        return np.sum(y)

    x = normal(4)
    value, gradient = tracer.value_and_grad(chain)(x)
    np.testing.assert_allclose(value, chain(x))
    np.testing.assert_allclose(gradient @ x, (chain(x * (1 + 1e-6)) - chain(x * (1 - 1e-6))) / 2e-6, rtol=1e-5)
