"""Plain NumPy functions of one vector, as users have them, that no protocol of NumPy lets a proxy follow."""

import dataclasses
import functools
import itertools
import math
import operator

import numpy as np
import scipy.linalg
import scipy.special

TABLE = np.arange(12.0).reshape(4, 3)
NUMBERS = [0.5, 1.5, 2.5, 3.5]


def filled_by_item(x):
    out = np.zeros(3)
    for i in range(3):
        out[i] = np.sin(x[i]) * i
    return out


def filled_by_rows(x):
    out = np.empty((4, 3))
    out[0] = x
    for k in range(3):
        out[k + 1] = out[k] + 0.1 * np.sin(out[k])
    return out


def grown_in_place(x):
    total, ones = np.zeros(3), np.ones((2, 3))
    total += x
    total *= 2
    ones[1] -= x
    ones[:, 0] **= 2
    return total, ones


def copies_of_real_arrays(x):
    out, like, eye = TABLE.copy(), np.zeros_like(TABLE), np.eye(3)
    out[1], like[:, 1], eye[0] = x, x[0], x
    counted, spaced = np.arange(3.0), np.linspace(0, 1, 3)
    counted[0], spaced[1] = x[0], x[1]
    nested, same = np.array([[1.0, 2.0], [3.0, 4.0]]), np.identity(2)
    nested[1, 1], same[0, 1] = x[2], x[0]
    return out, like, eye, counted, spaced, nested, same, np.full(3, 2.0) * x


def lists_of_values(x):
    matrix = np.array([[x[0], 1], [2, x[1]]])
    return np.array([x[0], x[1] * 2, 1.0]), matrix, np.asarray(x), np.array([x, x]), np.array((x[0],), dtype=np.float32)


def full_of_one_value(x):
    return np.full((2, 3), x[0]), np.full(3, x), np.full_like(TABLE, x[1]), np.full_like(TABLE[0], x)


def methods_of_real_arrays(x):
    square = TABLE[:3]
    picked = TABLE.take(np.argmax(x), axis=0)
    return TABLE.dot(x), square.T.dot(x), picked, np.arange(3.0).searchsorted(x), TABLE.clip(x[0], None)


def written_by_methods(x):
    filled, put, flat = np.zeros(2), np.zeros(3), np.zeros((2, 2))
    filled.fill(x[0])
    put.put([0, 2], x[:2])
    flat.flat[3] = x[1]
    flat.flat[:2] = x[:2]
    return filled, put, flat


def written_by_functions(x):
    out = np.zeros((3, 3))
    np.copyto(out, x)
    np.add(x, 1, out=out[1])
    np.multiply(x, 2, out[2])
    np.fill_diagonal(out, x[2])
    np.add.at(out, (0, [0, 0]), x[1])
    np.put(out, 5, x[0])
    return out


def traced_index(x):
    i = np.argmax(x)
    return TABLE[i], TABLE[i, 1:], TABLE[[0, i]], NUMBERS[i], NUMBERS[i + 1], (x, 2 * x, 3 * x)[i], np.take(NUMBERS, i)


def joined(x):
    return np.r_[x, 1, x[0]], np.c_[x, 2 * x], np.r_[0:3, x], np.r_["0,2", x, x], np.c_[np.ones((3, 2)), x]


def numbers(x):
    powers = math.sin(x[0]) + math.exp(x[1]) ** 2 + math.sqrt(x[2]) + math.atan2(x[0], x[1]) + math.hypot(x[0], 2.0)
    more = math.erf(x[0]) + math.log(x[1], 2) + math.lgamma(x[2]) + math.fabs(x[0]) + math.pow(x[0], 3)
    return powers, more, float(x[0]) * 2, abs(x[1]), round(x[2], 1), x[0].item(), x.tolist(), complex(x[0])


def whole_numbers(x):
    return int(10 * x[0]), math.floor(x[2]), math.ceil(x[1]), round(x[2] * 3)


def extremes(x):
    return max(x[0], x[1]), min(x[0], x[1], 0.5), max(x), min([x[1], x[2]]), sum([x[0], x[1]]), sum(x), sorted(x)


def over_lists(x):
    pair = [x[0], x[1]]
    return (
        np.mean(pair),
        np.sin(pair),
        np.linalg.norm(pair),
        np.ones(2) * pair,
        np.dot([1.0, 2.0], pair),
        np.sum([x, x]),
    )


@np.vectorize
def bent(a, b=2.0):
    return math.exp(-a) * b


def vectorized(x):
    several = np.vectorize(lambda a, b: (a + b, math.sin(a)))(x[:, None], x)
    inner = np.vectorize(np.dot, signature="(n),(n)->()")(np.stack([x, 2 * x]), x)
    return bent(x), several, inner, np.frompyfunc(lambda a: 2 * a, 1, 1)(x).astype(float)


def along_axes(x):
    rows = x * np.ones((2, 1))
    scaled = np.apply_along_axis(lambda row: row * math.exp(row[0]), 1, rows)
    real = np.apply_along_axis(lambda row: row @ x, 1, TABLE)
    return scaled, np.apply_along_axis(np.sum, 0, rows), real, np.apply_over_axes(np.sum, rows, [0, 1])


def iterated(x):
    doubled = x.copy()
    with np.nditer(doubled, op_flags=["readwrite"]) as places:
        for place in places:
            place[...] = place * 2
    out, walk = np.zeros(3), np.nditer(x, flags=["multi_index"])
    while not walk.finished:
        out[walk.multi_index] = walk[0] * 3
        walk.iternext()
    for place, value in np.ndenumerate(x):
        out[place] += value
    for place in np.ndindex(3):
        out[place] *= 2
    return doubled, out, np.fromiter((math.sin(value) for value in x), float), np.broadcast(x, TABLE).shape[0] * x


def functions_of_positions(x):
    return np.fromfunction(lambda i, j: i * x[0] + j, (2, 3)), functools.reduce(operator.mul, [x[0], x[1], 2.0])


def views_of_one_buffer(x):
    buffer = np.zeros(6)
    grid = buffer.reshape(2, 3)
    row, backwards, diagonal = grid[1], buffer[::-1], np.einsum("ii->i", grid[:, 1:])
    grid[1] = x
    row *= 2
    buffer[::2] += 1
    backwards[0] = x[0]
    grid.T[2] = x[:2]
    diagonal[:] = x[1]
    return buffer, grid, row + 0, backwards + 0, buffer.sum()


def parts_of_complex_numbers(x):
    z = np.zeros(3, complex)
    z.real[:] = x
    z.imag = 2 * x
    z[0] *= 1j
    return z, z.real


def no_axes(x):
    total, place = np.zeros(()), np.array(0.0)
    total += x[0]
    total[()] += x[1]
    place[...] = x[2]
    number = 0.0
    number += x[0]
    return total, place, number


def exchanged(x):
    one, other = np.zeros(3), np.ones(3)
    one[0], other[1] = x[0], x[1]
    one[0], one[1] = one[1], one[0]
    one, other = other, one
    first, *rest = one
    return np.stack([one, other]), first, np.array(rest)


def buffers_in_containers(x):
    rows, named = [np.zeros(2) for _ in range(3)], {"a": np.zeros(2)}
    for row, value in zip(rows, x, strict=True):
        row[0] = value
    twice = [np.zeros(2)] * 2
    twice[0][1] = x[0]
    named["a"][0] = x[1]
    named["a"] += 1
    return rows, named, np.stack(rows), sum(rows), twice, np.concatenate([named["a"], rows[0]])


def kinds(x):
    answers = [
        isinstance(x, np.ndarray), isinstance(x[0], float), isinstance(x[0], np.floating), isinstance(x[0], np.ndarray),
        isinstance(x[0], int), np.isscalar(x[0]), np.isscalar(x), type(x) is np.ndarray, type(x[0]) is np.float64,
    ]  # fmt: skip
    return x * np.array(answers, float).sum() + [1.0, 2.0, 4.0][answers.count(True) % 3]


def fill(out, values, scale=2.0, *, shift=0.0):
    for k, value in enumerate(values):
        out[k] = value * scale + shift
    return out


def by_a_helper(x):
    def inner(k):
        buffer[k] = x[k] ** 2

    buffer = np.empty(3)
    for k in range(3):
        inner(k)
    return fill(np.zeros(4), x), fill(np.zeros(3), x, 3.0, shift=1.0), buffer, functools.partial(fill, np.zeros(3))(x)


def doubled_result(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * 2

    return wrapper


@doubled_result
def by_a_decorated_function(x, n=3):
    out = np.zeros(n)
    out[0] = x[0]
    return out


class Filter:
    rate = 0.5

    def __init__(self, size):
        self.state = np.zeros(size)
        self.__hidden = np.ones(size)

    def step(self, x):
        self.state[0] = x[0]
        self.state[1:] += x[1:] * self.rate
        self.__hidden[0] += x[0]
        return self.state + self.__hidden

    @property
    def root(self):
        return np.array([math.sqrt(self.rate), 1.0])

    @staticmethod
    def first(x):
        out = np.zeros(1)
        out[0] = x[0]
        return out

    @classmethod
    def shifted(cls, x):
        return cls.first(x) + cls.rate

    def __call__(self, x):
        return self.step(x)

    def __matmul__(self, x):
        return np.array([self.rate, x[0]])

    def __getitem__(self, x):
        return math.exp(x)


class Sharper(Filter):
    rate = 0.25

    def step(self, x):
        out = np.empty(3)
        out[:] = super().step(x)
        out[1] = x[1]
        return out + __class__.rate


@dataclasses.dataclass
class Settings:
    scale: float
    memory: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))

    def run(self, x):
        self.memory[0] = x[0] * self.scale
        return self.memory * 2


def by_objects(x):
    made, sharp = Filter(3), Sharper(3)
    return (
        made.step(x), sharp.step(x), made(x), made @ x, made[x[0]], made.root * x[0], Filter.shifted(x),
        made.first(x), Settings(2.0).run(x), list(map(made.first, [x, 2 * x])),
    )  # fmt: skip


def by_generators(x):
    def partial_sums():
        out = np.zeros(2)
        for i in range(2):
            out[i] = x[i]
            yield out.copy()

    total, count = 0.0, 0

    def bump():
        nonlocal count
        count += 1

    for out in partial_sums():
        total = total + out
        bump()
    return total * count, [math.sqrt(value) for value in x], {k: float(value) for k, value in enumerate(x)}


def statements(x, flag=True):
    out = np.zeros((2, 3))
    with np.errstate(all="ignore"):
        out[1, 2] = 1 / x[0]
    try:
        out[1, 1] = math.log(x[2])
    finally:
        out[0, 0] += 2
    match flag:
        case True:
            out += 1
        case _:
            pass
    if (n := len(x)) > 2:
        out[1] -= n
    a = b = np.zeros(2)
    a[0] = x[0]
    return out, b, [*map(math.sin, x)], (lambda t: np.array([t, t]))(x[1]), {**{"k": float(x[0])}}["k"], out[..., ::-1]


def static_parts(x):
    mask, order, counts = np.array([True, False, True]), np.arange(3), np.zeros(3, int)
    out = np.zeros(3)
    for k in order:
        if mask[k]:
            out[k] = x[k]
    for k in range(order[2]):
        out[k] += 1
    counts[1] = 2
    while counts[1] > 0:
        counts[1] -= 1
        out = out + 1
    return out


def with_scipy(x):
    matrix = np.eye(3)
    matrix[0] = x
    solved = scipy.linalg.solve(matrix.T @ matrix + np.eye(3), x)
    return solved, scipy.special.erf(math.pi * x[0]), np.array(list(itertools.accumulate(x)))


def other_dtypes(x):
    single, whole = np.zeros(3, np.float32), np.zeros(3, int)
    single[:] = x
    whole[:] = 10 * x
    cast = np.vectorize(float, otypes=[np.float32])(x)
    return (
        cast,
        single,
        whole,
        np.array([x[0], 1], np.float32),
        np.float32(x[0]),
        np.int64(x[1]),
        np.array([single[0], 1.0]),
    )


PROGRAMS = [
    value for value in dict(vars()).values() if callable(value) and getattr(value, "__module__", "") == __name__
]
PROGRAMS = [value for value in PROGRAMS if not isinstance(value, type) and value not in (fill, doubled_result)]
