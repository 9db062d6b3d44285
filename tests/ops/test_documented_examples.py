"""The facts of the examples in NumPy's documentation: what a call of each function gives, traced as plain."""

import numpy as np
import pytest
from ops.table import assert_same, outcome, quietly

import tracer

A = np.array
PHASE = np.linspace(0, np.pi, num=5)
PHASE[3:] += np.pi
CASES = [
    ("gradient", lambda f: np.gradient(f), A([1, 2, 4, 7, 11, 16.0])),
    ("gradient, spacing", lambda f: np.gradient(f, 2), A([1, 2, 4, 7, 11, 16.0])),
    ("gradient, places", lambda f, x: np.gradient(f, x), A([1, 2, 4, 7, 11, 16.0]), A([0.0, 1, 1.5, 3.5, 4, 6])),
    ("gradient, rows", lambda f: np.gradient(f, axis=0), A([[1, 2, 6], [3, 4, 5.0]])),
    ("gradient, edges", lambda f: np.gradient(f, edge_order=2), A([0.0, 1, 4, 9, 16])),
    ("unwrap", lambda p: np.unwrap(p), PHASE),
    ("unwrap, period", lambda p: np.unwrap(p, period=4), A([0, 1, 2, -1, 0])),
    ("histogram", lambda a: np.histogram(a, bins=[0, 1, 2, 3])[0], A([1, 2, 1])),
    ("histogram, density", lambda a: np.histogram(a, bins=np.arange(5), density=True)[0], np.arange(4)),
    ("histogram of rows", lambda a: np.histogram(a, bins=[0, 1, 2, 3])[0], A([[1, 2, 1], [1, 0, 1]])),
    ("bincount", lambda w: np.bincount(A([0, 1, 1, 2, 2, 2]), weights=w), A([0.3, 0.5, 0.2, 0.7, 1.0, -0.6])),
    ("digitize", lambda x: np.digitize(x, [0.0, 1.0, 2.5, 4.0, 10.0]), A([0.2, 6.4, 3.0, 1.6])),
    ("digitize, right", lambda x: np.digitize(x, [0, 5, 10, 15, 20], right=True), A([1.2, 10.0, 12.4, 15.5, 20.0])),
    ("median", lambda a: np.median(a, axis=0), A([[10, 7, 4], [3, 2, 1]])),
    ("percentile", lambda a: np.percentile(a, 50, axis=1, keepdims=True), A([[10, 7, 4], [3, 2, 1]])),
    ("quantile", lambda a: np.quantile(a, 0.5, method="inverted_cdf"), A([[10, 7, 4], [3, 2, 1]])),
    ("nanmedian", lambda a: np.nanmedian(a, axis=0), A([[10.0, np.nan, 4], [3, 2, 1]])),
    ("nanpercentile", lambda a: np.nanpercentile(a, 50, axis=0), A([[10.0, np.nan, 4], [3, 2, 1]])),
    ("nanargmax", lambda a: np.nanargmax(a, axis=1), A([[np.nan, 4], [2, 3]])),
    ("nanstd", lambda a: np.nanstd(a, axis=1), A([[1, np.nan], [3, 4]])),
    ("average", lambda a: np.average(a, axis=1, weights=[1 / 4, 3 / 4]), A([[0, 1], [2, 3], [4, 5]])),
    ("cov", lambda x: np.cov(x), A([[0, 1, 2], [2, 1, 0]])),
    ("convolve", lambda v: np.convolve([1, 2, 3], v, "same"), A([0, 1, 0.5])),
    ("correlate", lambda v: np.correlate([1, 2, 3], v, "full"), A([0, 1, 0.5])),
    ("interp", lambda x: np.interp(x, [1, 2, 3], [3, 2, 0]), A([0, 1, 1.5, 2.72, 3.14])),
    ("interp, period", lambda x: np.interp(x, [190, -190, 350, -350], [5, 10, 3, 4], period=360), A([-180.0, 5, 185])),
    ("trapezoid", lambda y: np.trapezoid(y, dx=2), A([1, 2, 3])),
    ("diff", lambda x: np.diff(x, n=2), A([1, 2, 4, 7, 0])),
    ("ediff1d", lambda x: np.ediff1d(x, to_begin=-99, to_end=A([88, 99])), A([1, 2, 4, 7, 0])),
    ("polyval", lambda p: np.polyval(p, 5), A([3, 0, 1])),
    ("polymul", lambda a, b: np.polymul(a, b), A([1, 2, 3]), A([9, 5, 1])),
    ("polydiv", lambda a, b: np.concatenate(np.polydiv(a, b)), A([3.0, 5.0, 2.0]), A([2.0, 1.0])),
    ("polyder", lambda p: np.polyder(p, 2), A([1, 1, 1, 1])),
    ("polyint", lambda p: np.polyint(p, 3, k=[6, 5, 3]), A([1.0, 1, 1])),
    ("poly", lambda r: np.poly(r), A([-1.0 / 2, 0, 1.0 / 2])),
    ("roots", lambda p: np.roots(p), A([3.2, 2, 1])),
    ("polyfit", lambda y: np.polyfit([0.0, 1, 2, 3, 4, 5], y, 3), A([0, 0.8, 0.9, 0.1, -0.8, -1.0])),
    ("vander", lambda x: np.vander(x, 3), A([1, 2, 3, 5])),
    ("insert", lambda a: np.insert(a, 1, [[7], [8], [9]], axis=0), A([[0, 1], [2, 3], [4, 5]])[:, :1]),
    ("insert, several", lambda a: np.insert(a, [2, 2], [6, 7]), np.arange(6)),
    ("delete", lambda a: np.delete(a, [1, 3, 5], None), np.arange(12).reshape(3, 4)),
    ("append", lambda a: np.append(a, [[7, 8, 9]], axis=0), A([[1, 2, 3], [4, 5, 6]])),
    ("resize", lambda a: np.resize(a, (2, 4)), A([[0, 1], [2, 3]])),
    (
        "choose",
        lambda a: np.choose(a, [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]], mode="wrap"),
        A([2, 4, 1, 0]),
    ),
    ("select", lambda x: np.select([x < 3, x > 3], [x, x**2], 42), np.arange(6)),
    ("piecewise", lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda x: -x, lambda x: x]), np.linspace(-2.5, 2.5, 6)),
    ("take_along_axis", lambda a: np.take_along_axis(a, np.argsort(a, axis=1), 1), A([[10, 30, 20], [60, 40, 50]])),
    ("apply_along_axis", lambda b: np.apply_along_axis(sorted_row, 1, b), A([[8, 1, 7], [4, 3, 9], [5, 2, 6]])),
    ("apply_over_axes", lambda a: np.apply_over_axes(np.sum, a, [0, 2]), np.arange(24).reshape(2, 3, 4)),
    ("packbits", lambda a: np.packbits(a, axis=-1), A([[[1, 0, 1], [0, 1, 0]], [[1, 1, 0], [0, 0, 1]]])),
    ("unpackbits", lambda a: np.unpackbits(a, axis=1, count=-3), A([[2], [7], [23]], np.uint8)),
    ("lexsort", lambda a, b: np.lexsort((b, a)), A([1, 5, 1, 4, 3, 4, 4]), A([9, 4, 0, 4, 0, 2, 1])),
    ("sort_complex", lambda x: np.sort_complex(x), A([5, 3, 6, 2, 1])),
    ("searchsorted", lambda v: np.searchsorted([11, 12, 13, 14, 15], v), A([-10, 20, 12, 13])),
    ("kron", lambda a: np.kron(a, np.ones((2, 2))), np.eye(2)),
    ("cross", lambda x, y: np.cross(x, y), A([1, 2, 3]), A([4, 5, 6])),
    ("sinc", lambda x: np.sinc(x), np.linspace(-4, 4, 9)),
    ("i0", lambda x: np.i0(x), A([0.0, 1.0, 2.0])),
    ("heaviside", lambda x: np.heaviside(x, 0.5), A([-1.5, 0, 2.0])),
    ("nan_to_num", lambda x: np.nan_to_num(x, nan=-9999), A([np.inf, -np.inf, np.nan, -128, 128])),
    ("angle", lambda z: np.angle(z, deg=True), A([1 + 1j, 1j, 1.0])),
    ("logspace", lambda a: np.logspace(a, 3.0, num=4, base=2.0), A(2.0)),
    ("geomspace", lambda a: np.geomspace(a, 1000, num=4), A(1.0)),
    ("einsum", lambda a: np.einsum("...ii->...i", a), np.arange(25).reshape(5, 5)),
    ("einsum, path", lambda a, b: np.einsum("ij,jk,kl", a, b, b, optimize="greedy"), np.ones((2, 3)), np.ones((3, 3))),
    ("reduceat", lambda x: np.add.reduceat(x, [0, 4, 1, 5, 2, 6, 3, 7])[::2], np.arange(8)),
    ("accumulate", lambda x: np.multiply.accumulate(x), A([2, 3, 5])),
    ("modf", lambda x: np.stack(np.modf(x)), A([0, 3.5, -0.5])),
    ("ldexp", lambda x: np.ldexp(*np.frexp(x)), np.arange(9.0)),
    ("windows", lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)), np.arange(12).reshape(3, 4)),
    ("ravel_multi_index", lambda a: np.ravel_multi_index(a, (7, 6)), A([[3, 6, 6], [4, 5, 1]])),
    ("chebval", lambda x: np.polynomial.chebyshev.chebval(x, [1, 2, 3]), A([0.0, 0.5, 1.0])),
]


def sorted_row(row):
    return np.sort(row)


@pytest.mark.parametrize(
    ("name", "function", "arguments"), [(n, f, a) for n, f, *a in CASES], ids=[c[0] for c in CASES]
)
def test_traced_as_plain(name, function, arguments):
    compiled = tracer.compile(function)
    # Again with other numbers of the same types: what was right only for the first ones is found out.
    for change in (0, 1):
        values = [item if change == 0 or item.dtype.kind == "u" else item + item.dtype.type(1) for item in arguments]
        expected = outcome(function, values)
        if isinstance(expected, Exception):
            with pytest.raises(type(expected)):
                quietly(compiled, *values)
        else:
            assert_same(np.asarray(quietly(compiled, *values)), expected, name)
