"""What is a view and what is a copy: writing shows where NumPy shows it, and nowhere else."""

import numpy as np
import pytest

import tracer

A = np.arange(24.0).reshape(4, 6) + 0.5
COMPLEX = A[:2, :3] + 1j * A[2:, :3]


def element(a):
    kept = a[0, 0]
    a[0, 0] = 5
    return kept


def element_counted(a):
    kept = a[0, 0]
    kept += 1
    a[1, 1] += 5
    return kept


def carried_along_a_row(a):
    before = a[0, 0]
    for i in range(1, 6):
        now = a[0, i]
        a[0, i] = before
        before = now
    return before


def swapped_elements(a):
    row = a[0]
    kept = row[1]
    row[1] = row[2]
    row[2] = kept


def unpacked(a):
    first, second, *_ = a[0]
    values = list(a[1])
    a[...] = 0
    return first, second, np.stack(values)


def view_without_axes(a):
    place = a[0, 0, ...]
    place += 3
    a[0, 0] *= 2
    return place + 0


def rows(a):
    for number, row in enumerate(a):
        row += 1
        row[number] = 0


def reshaped_transposed(a):
    flat = a.T.reshape(-1)
    flat[3] = 98
    return flat


def reshaped(a):
    flat = a.reshape(-1)
    flat[3] = 98
    return flat, a + 0


def reshaped_before_a_write(a):
    flat = a.reshape(2, -1)
    a[0, 0] = 98
    return flat + 0


def reshaped_part(a):
    flat, rows = a[:, ::2].reshape(-1), a[1:3].reshape(-1)
    flat[0] = rows[1] = 98


def reshaped_result(a):
    doubled = a.T * 2
    flat, again = doubled.reshape(-1), doubled.copy()
    flat[1] = 98
    part = again.reshape(-1)
    part[2] = 99
    return doubled, again


def taken(a):
    row, filled = np.take(a, 0, axis=0), np.full_like(a, a[1])
    filled[0, 0] = a[0, 1] = 7
    return row, filled


def by_an_array_of_no_axes(a):
    row = a[np.array(1)]
    row[0] = 9
    return row


def halves(a):
    above, below = np.split(a, 2)
    left, right = np.hsplit(below, 2)
    above += 1
    right *= 2
    return left + 0


def turned(a):
    np.moveaxis(a, 0, 1)[0] = 3
    np.expand_dims(a, 0)[0, 1] = 4
    np.flip(a, 1)[2, 0] = 5
    np.rot90(a)[0] = 6


def written_with_out(a):
    np.add(a[0], 1, out=a[1])
    np.cumsum(a[0], out=a[2])
    np.sum(a, axis=0, out=a[3])


def parts(z):
    z.real[0] = 5
    imaginary = z.imag
    imaginary += 1
    z[1] *= 2j
    return imaginary + 0


ON_REAL = [
    *(element, element_counted, carried_along_a_row, swapped_elements, unpacked, view_without_axes, rows),
    *(reshaped_transposed, reshaped, reshaped_before_a_write, reshaped_part, reshaped_result),
    *(taken, by_an_array_of_no_axes, halves, turned, written_with_out),
]
LAYOUTS = {
    "C": np.copy,
    "Fortran": lambda a: np.array(a, order="F"),
    "reversed": lambda a: a[::-1].copy()[::-1],
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
}


def assert_alike(function, make):
    compiled = tracer.compile(function)
    for _ in range(2):
        plain, traced = make(), make()
        expected, actual = function(plain), compiled(traced)
        if not isinstance(expected, tuple):
            expected, actual = (expected,), (actual,)
        for one, other in zip(expected, actual, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(plain, traced)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", ON_REAL, ids=lambda function: function.__name__)
def test_writes(function, layout):
    assert_alike(function, lambda: LAYOUTS[layout](A))


def test_parts_of_complex_numbers():
    assert_alike(parts, COMPLEX.copy)


def test_gradient_through_a_swap():
    def cost(x, w):
        y = x.copy()
        kept = y[0]
        y[0] = y[1]
        y[1] = kept
        return np.sum(y * w)

    np.testing.assert_array_equal(tracer.grad(cost)(np.ones(3), np.array([1.0, 2, 3])), [2, 1, 3])
