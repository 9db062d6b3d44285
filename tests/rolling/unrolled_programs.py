# ruff: noqa: B007
"""Programs with loops that only Python itself can run: their steps differ, or do what a trace cannot repeat."""

import numpy as np


def early_break(x):
    y = x
    for i in range(60):
        y = y * 0.9
        if i == 40:
            break
    return (y, i)


def odd_even(x):
    y = x
    for i in range(60):
        if i % 2 == 0:
            y = np.sin(y)
        else:
            y = np.cos(y)
    return y


def index_error(x):
    y = x[0]
    for i in range(70):
        y = y * 0.9 + x[i]
    return y


def zero_division(x):
    y = x[0]
    for i in range(60):
        y = y + 1 / (i - 50)
    return y


def shape_change(x):
    y = x[:1]
    for i in range(60):
        y = np.concatenate([y, x[i : i + 1]])
    return y


def dtype_change(x):
    y = np.ones(3, np.float32)
    for i in range(60):
        if i == 30:
            y = y.astype(np.float64)
        y = y * 0.9 + x[0].astype(np.float32)
    return y


def alias_list(x):
    hs = []
    h = np.zeros(3)
    for i in range(60):
        h += x[i]
        hs.append(h)
    return np.stack(hs)


def alias_view(x):
    a = np.reshape(x, (30, 2)) * 1.0
    row = a[0]
    for i in range(1, 30):
        a[i - 1] = a[i - 1] * 2
        prev = row
        row = a[i]
        a[i] += prev
    return (a, row)


def len_list(x):
    hs = []
    y = x
    for i in range(60):
        hs.append(y)
        y = y * 0.9 + len(hs)
    return y


def last_of_list(x):
    hs = [x[0], x[1]]
    for i in range(60):
        hs.append(0.5 * hs[-1] + 0.3 * hs[-2] + x[i])
    return np.stack(hs)


def sometimes_append(x):
    hs = []
    y = x
    for i in range(60):
        y = y * 0.9
        if i % 10 == 0:
            hs.append(y)
    return np.stack(hs)


def dict_keys(x):
    d = {}
    for i in range(60):
        d[i] = np.sin(x[i])
    return (d[3] + d[59], len(d))


def list_write(x):
    d = [x[0]] * 60
    for i in range(60):
        d[i] = np.sin(x[i])
    return d[5] + d[59]


def iterator(x):
    it = iter(range(1000))
    s = 0.0
    for i in range(60):
        s = s * 0.9 + x[i] * next(it)
    return s


def generator(x):

    def gen():
        h = 0.0
        for i in range(60):
            h = h * 0.9 + np.sin(x[i])
            yield h

    return sum(gen())


def nonlocal_(x):
    total = 0.0

    def add(v):
        nonlocal total
        total = total + v

    for i in range(60):
        add(np.sin(x[i]))
    return total


def continue_(x):
    y = x
    for i in range(60):
        if i == 3:
            continue
        z = y * 0.9
        y = z + 1
    return (y, z)


def try_(x):
    y = x
    n = 0
    for i in range(60):
        try:
            y = y * 0.9 + [1.0, 2.0][i]
        except IndexError:
            n += 1
            y = y * 0.5
    return (y, n)


def swaps_in_place(x):
    a = x * 1.0
    b = np.zeros_like(x)
    for i in range(60):
        b[:] = a * 0.9 + 0.1
        a, b = (b, a)
    return (a, b)


def augmented_rebinding(x):
    y = x * 1.0
    for i in range(60):
        y += i
        y = np.sin(y) + y
    return y


def bool_carry(x):
    flag = True
    y = x
    for i in range(60):
        y = y * 0.9 if flag else y * 1.1
        flag = not flag
    return y


def int_overflow_error(x):
    k = np.ones(3, np.int8) + (x[:3] * 0).astype(np.int8)
    for i in range(200):
        k = k + i
    return k


def range_of_index(x):
    s = 0.0
    for i in range(60):
        for j in range(i % 3):
            s = s * 0.9 + x[j]
        s = s + x[i]
    return s


class P:
    def __init__(self, v):
        self._v = v
        self.log = []

    @property
    def v(self):
        return self._v

    @v.setter
    def v(self, value):
        self._v = value
        self.log.append(1)


def property_(x):
    p = P(x)
    for i in range(60):
        p.v = p.v * 0.9
    return (p.v, len(p.log))


class S:
    __slots__ = ("v",)


def slots(x):
    s = S()
    s.v = x
    for i in range(60):
        s.v = s.v * 0.9 + i
    return s.v


class A:
    total = 0


def class_attribute(x):
    A.total = 0
    y = x
    for i in range(60):
        A.total = A.total + 1
        y = y * 0.9 + A.total
    r = A.total
    A.total = 0
    return (y, r)


def set_(x):
    seen = set()
    y = x
    for i in range(60):
        seen.add(i)
        y = y * 0.9 + len(seen)
    return y


def extends(x):
    ys = []
    for i in range(60):
        ys += [np.sin(x[i])]
    return np.stack(ys)


def string_carry(x):
    s = ""
    y = x
    for i in range(60):
        s += "a"
        y = y * 0.9
    return y + len(s)


UNROLLED = (
    early_break,
    odd_even,
    index_error,
    zero_division,
    shape_change,
    dtype_change,
    alias_list,
    alias_view,
    len_list,
    last_of_list,
    sometimes_append,
    dict_keys,
    list_write,
    iterator,
    generator,
    nonlocal_,
    continue_,
    try_,
    swaps_in_place,
    augmented_rebinding,
    bool_carry,
    int_overflow_error,
    range_of_index,
    property_,
    slots,
    class_attribute,
    set_,
    extends,
    string_carry,
)
