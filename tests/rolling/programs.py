# ruff: noqa: B007, F841
"""Programs with loops that are rolled."""

import numpy as np

COUNT = [0]


def recurrence(x):
    s = 0.0
    for i in range(len(x)):
        s = s * 0.9 + np.sin(x[i])
    return s


def fill(x):
    out = np.zeros(len(x))
    for i in range(len(x)):
        out[i] = np.cos(x[i]) * i
    return out


def lagged(x):
    u = np.zeros(len(x))
    u[0] = x[0]
    u[1] = x[1]
    for i in range(2, len(x)):
        u[i] = 0.5 * u[i - 1] - 0.3 * u[i - 2] + x[i]
    return u


def own_row(x):
    u = x * 1.0
    for i in range(len(x)):
        u[i] += u[i] * 0.5
    return u


def ahead(x):
    u = np.copy(x)
    for i in range(len(x) - 1):
        u[i] = u[i + 1] - u[i]
    return u


def backward(x):
    u = np.zeros_like(x)
    for i in range(len(x) - 2, -1, -1):
        u[i] = u[i + 1] * 0.7 + x[i]
    return u


def negative(x):
    s = np.zeros(())
    for i in range(len(x)):
        s = s * 0.8 + x[-1 - i]
    return s


def rows(x):
    a = np.reshape(x, (-1, 2))
    h = np.zeros(2)
    for r in a:
        h = np.tanh(h * 0.5 + r)
    return h


def enumerated(x):
    h = 0.0
    for k, v in enumerate(x):
        h = h * 0.9 + v / (k + 1)
    return h


def zipped(x):
    h = 0.0
    for a, b in zip(x, x[::-1], strict=True):
        h = h * 0.9 + a * b
    return h


def appended(x):
    hs = []
    h = 0.1
    for i in range(len(x)):
        h = np.tanh(h + x[i])
        hs.append(h)
    return (np.stack(hs), hs[-1], np.array(hs))


def summed(x):
    hs = []
    for i in range(len(x)):
        hs.append(np.sin(x[i]) * i)
    return sum(hs)


def swap(x):
    a, b = (x, x * 0.5)
    for _ in range(60):
        a, b = (b + 0.1 * np.sin(a), a)
    return a + b


def leapfrog(x):
    q, p = (x, np.zeros_like(x))
    for _ in range(60):
        p = p - 0.01 * q
        q = q + 0.01 * p
    return (q, p)


def time_step(x):
    t = 0.0
    y = x
    for i in range(60):
        y = y + 0.01 * np.sin(t) * y
        t += 0.01
    return (y, t)


def counter(x):
    k = 3
    y = x
    for i in range(60):
        k += 2
        y = y * 0.9 + k
    return (y, k)


def used_after(x):
    y = x
    for i in range(60):
        z = y * i
        y = y + 0.001 * z
    return (y, i, z)


def with_else(x):
    y = x
    for i in range(60):
        y = np.sin(y)
    else:
        y = y * 2
    return y


def helper(x):

    def step(h, v):
        return np.tanh(h + v)

    h = np.zeros(())
    for i in range(len(x)):
        h = step(h, x[i])
    return h


def nested_2d(x):
    m = np.reshape(x[:36], (6, 6))
    out = np.zeros((40, 40))
    for i in range(40):
        for j in range(40):
            out[i, j] = x[i] * x[j] + i - j
    return out


def power(x):
    y = x
    for i in range(1, 60):
        y = y + i**2 * 0.001 + i / 7 + 1.5**i * 1e-09 + i // 3 + i % 5
    return y


def columns(x):
    m = np.reshape(x, (2, -1))
    out = np.zeros((2, m.shape[1]))
    h = np.zeros(2)
    for t in range(m.shape[1]):
        h = 0.5 * h + m[:, t]
        out[:, t] = h
    return out


def window(x):
    s = 0.0
    for i in range(1, len(x) - 1):
        s = s * 0.9 + (x[i - 1 : i + 2] * np.array([1.0, -2.0, 1.0])).sum()
    return s


def tables(x):
    ts = np.linspace(0.0, 1.0, len(x))
    y = 0.0
    for i, t in enumerate(ts):
        y = y * 0.5 + t * x[i] + ts[i]
    return y


class Cell:
    def __init__(self):
        self.h = 0.0
        self.n = 0

    def step(self, v):
        self.h = np.tanh(self.h + v)
        self.n += 1
        return self.h


def attributes(x):
    c = Cell()
    s = 0.0
    for i in range(len(x)):
        s = s + c.step(x[i])
    return (s, c.h, c.n)


def items(x):
    state = {"a": x[0], "b": [x[1] * 1.0, 2.0]}
    for i in range(len(x)):
        state["a"] = np.sin(state["a"] + state["b"][0])
        state["b"][0] = state["a"] * 0.5
    return (state["a"], state["b"][0])


def nest(x):
    state = (x[0], [x[1], x[2]])
    for i in range(len(x)):
        a, (b, c) = state
        state = (np.sin(a + b), [b * 0.9 + c * 0.1, a])
    return state


def conditional(x):
    y = x
    for i in range(60):
        if i > 0:
            y = y * 0.9
        else:
            y = y + 1
        if i == 1000:
            y = y * 0
    return y


def strided(x):
    u = np.zeros(130)
    for i in range(60):
        u[2 * i + 1] = x[i] + u[2 * i]
    return u


def indirect(x):
    perm = np.argsort(np.cos(np.arange(len(x))))
    s = 0.0
    u = np.zeros(len(x))
    for i in range(len(x)):
        u[perm[i]] = x[i] * 2
        s = s * 0.9 + x[perm[i]]
    return (s, u)


def carry_write(x):
    u = np.zeros(5)
    for i in range(len(x)):
        u[i % 5] += x[i]
    return u


def weights(x):
    ws = [np.reshape(x[:4], (2, 2)) * (k + 1) * 0.01 for k in range(60)]
    h = x[:2]
    for w in ws:
        h = np.tanh(w @ h) + 0.1
    return h


def row_after(x):
    a = np.reshape(x, (30, 2)) * 1.0
    s = 0.0
    for i in range(30):
        row = a[i]
        s = s * 0.5 + np.sum(row)
    row[0] = 100.0
    return (a, s)


def late_append(x):
    hs = []
    y = x
    for i in range(60):
        y = y * 0.9
        if i >= 2:
            hs.append(y)
    return np.stack(hs)


def list_lookup(x):
    d = [float(i * i) for i in range(60)]
    s = 0.0
    for i in range(60):
        s = s * 0.9 + x[i] * d[i]
    return s


def global_list(x):
    y = x
    for i in range(60):
        COUNT[0] += 1
        y = y * 0.9 + COUNT[0]
    COUNT[0] = 0
    return y


def continue_last(x):
    y = x
    z = x
    for i in range(60):
        y = y * 0.9
        if i == 59:
            continue
        z = y * 2
    return (y, z)


def mutates_argument(x):
    for i in range(60):
        x[i] = x[i] * 2 + x[i - 1]
    return x.sum()


def augmented(x):
    y = x * 1.0
    z = y
    for i in range(60):
        y *= 0.9
        y += i
    return (y, z)


def weak_float32(x):
    y = x.astype(np.float32)
    t = 0.1
    for i in range(60):
        y = y * t + i * 0.5
        t = t * 1.01
    return (y, t)


def gauss_seidel(x):
    u = np.zeros(62)
    for sweep in range(40):
        for i in range(1, 61):
            u[i] = 0.5 * (u[i - 1] + u[i + 1] + x[i - 1])
    return u


def parts_of_rows(x):
    u = np.outer(x[:40], np.cos(x[:7]))
    for i in range(1, len(u) - 1):
        u[i, 1:-1] = 0.25 * (u[i - 1, 1:-1] + u[i + 1, 1:-1] + u[i, :-2] + u[i, 2:])
        u[i, ::3] *= 0.5
        u[i, 0] += u[i - 1, 1]
    return u


def parts_of_columns(x):
    u = np.outer(np.cos(x[:7]), x[:40])
    for i in range(len(x[:38]), 0, -1):
        u[1:-1, i] += 0.25 * u[2:, i + 1]
        u[0, i] = u[1, i] * u[2, i - 1]
    return u


def wrap_negative(x):
    u = x * 1.0
    for i in range(60):
        u[i] = u[i] + 0.5 * u[i - 1]
    return u


def where(x):
    y = x
    for i in range(60):
        y = np.where(y > i * 0.01, y * 0.9, y + 0.1)
    return y


def comparisons(x):
    y = x
    for i in range(60):
        y = y + (y > i) * 0.5 + (i < y) * 0.25
    return y


def local_list(x):
    y = x
    for i in range(60):
        parts = []
        for k in range(3):
            parts.append(y * k)
        y = sum(parts) * 0.2 + parts[1] * 0.1
    return y


def list_rebinding(x):
    ys = [x, x * 2]
    for i in range(60):
        ys = [np.sin(v) + i * 0.01 for v in ys]
    return ys


def append_twice(x):
    ys = []
    for i in range(60):
        ys.append(x[i])
        ys.append(x[i] * 2)
    ys[3] = ys[3] * 5
    return (np.array(ys), ys[-1], sum(ys), np.mean(ys), max(len(ys), 3))


def append_pairs(x):
    ys = []
    for i in range(60):
        ys.append((x[i], i, i * 0.5))
    return (ys[10][0] + ys[59][1] + ys[20][2], ys[5])


def append_then_iterate(x):
    ys = []
    for i in range(60):
        ys.append(np.sin(x[i]))
    s = 0.0
    for y in ys:
        s = s * 0.9 + y
    return (s, np.concatenate([ys[:3], ys[-3:]]))


def reads_row_twice(x):
    u = np.zeros(61)
    for i in range(60):
        u[i + 1] = u[i] + x[i]
        y = u[i + 1] * 2
    return (u, y)


def const_write(x):
    u = np.zeros((60, 3), np.float32)
    for i in range(60):
        u[i] = x[i]
        u[i, 1] = 5
    return u


def complex_(x):
    z = x + 0j
    for i in range(60):
        z = z * (0.9 + 0.1j) + i
    return z


def noncontig(x):
    a = np.reshape(x, (6, 10)).T
    for i in range(60):
        a = a * 0.9 + i
    return (a, a.ravel(), a.reshape(-1))


def reversed_(x):
    s = 0.0
    for i in reversed(range(60)):
        s = s * 0.9 + x[i]
    for v in reversed(x):
        s = s * 0.9 + v
    return s


def buffer_real(x):
    b = np.zeros(4)
    y = x
    for i in range(60):
        b[i % 4] = i * 1.0
        y = y * 0.9 + b.sum()
    return y


def copyto(x):
    a = np.zeros(60)
    y = x
    for i in range(60):
        np.copyto(a, y * 0.5)
        y = y + a
        np.multiply(y, 0.9, out=y)
    return (y, a)


def none_carry(x):
    prev = None
    y = x
    for i in range(60):
        if prev is not None:
            y = y + 0.1 * prev
        prev = y * 0.5
    return y


def deep_index(x):
    m = np.reshape(x, (2, 5, 6))
    s = 0.0
    for i in range(30):
        s = s * 0.9 + m[1, i % 5, i // 5] + m[..., i % 6].sum() + m[:, i % 5].sum() + m[0, :, i % 6][0]
    return s


def none_index(x):
    s = np.zeros((1, 1))
    for i in range(60):
        s = s * 0.9 + x[None, i, None] + x[i, ...]
    return s


ROLLED = (
    recurrence,
    fill,
    lagged,
    own_row,
    ahead,
    backward,
    negative,
    rows,
    enumerated,
    zipped,
    appended,
    summed,
    swap,
    leapfrog,
    time_step,
    counter,
    used_after,
    with_else,
    helper,
    nested_2d,
    power,
    columns,
    window,
    tables,
    attributes,
    items,
    nest,
    conditional,
    strided,
    indirect,
    carry_write,
    weights,
    row_after,
    late_append,
    list_lookup,
    global_list,
    continue_last,
    mutates_argument,
    augmented,
    weak_float32,
    gauss_seidel,
    parts_of_rows,
    parts_of_columns,
    wrap_negative,
    where,
    comparisons,
    local_list,
    list_rebinding,
    append_twice,
    append_pairs,
    append_then_iterate,
    reads_row_twice,
    const_write,
    complex_,
    noncontig,
    reversed_,
    buffer_real,
    copyto,
    none_carry,
    deep_index,
    none_index,
)
