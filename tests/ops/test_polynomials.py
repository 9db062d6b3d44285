"""np.poly* beyond the examples of the table, and the series of numpy.polynomial."""

import numpy as np
import pytest
from numpy import polynomial
from ops.table import check_value

import tracer

RNG = np.random.default_rng(8)
X, P, GRID, CUBE = RNG.normal(size=(2, 3)), RNG.normal(size=4), RNG.normal(size=(3, 4)), RNG.normal(size=(2, 3, 2))
BASES = {
    "poly": (polynomial.polynomial, polynomial.Polynomial),
    "cheb": (polynomial.chebyshev, polynomial.Chebyshev),
    "leg": (polynomial.legendre, polynomial.Legendre),
    "lag": (polynomial.laguerre, polynomial.Laguerre),
    "herm": (polynomial.hermite, polynomial.Hermite),
    "herme": (polynomial.hermite_e, polynomial.HermiteE),
}


@pytest.mark.parametrize("prefix", BASES)
def test_series(prefix):
    module, cls = BASES[prefix]

    def call(name, *args, **options):
        return getattr(module, prefix + name)(*args, **options)

    for size in (1, 2, 4):
        check_value(lambda x, c: call("val", x, c), [X, P[:size]], "val")
    check_value(lambda x, c: call("val", x, c), [X, GRID], "val of columns")
    check_value(lambda x, c: call("val", x, c, tensor=False), [X, RNG.normal(size=(4, 3))], "val of each")
    check_value(lambda x: call("val", x, [1, 2, 3]), [X], "val of real coefficients")
    check_value(lambda x, c: call("val2d", x, x, c), [X, GRID], "val2d")
    check_value(lambda x, c: call("grid2d", x, x[0], c), [X, GRID], "grid2d")
    check_value(lambda x, c: call("val3d", x, x, x, c), [X, CUBE], "val3d")
    check_value(lambda x, c: call("grid3d", x, x[0], x[0], c), [X, CUBE], "grid3d")
    check_value(lambda x: call("vander", x, 3), [X], "vander")
    check_value(lambda x: call("vander2d", x, x, [1, 2]), [X], "vander2d")
    check_value(lambda x: call("vander3d", x, x, x, [1, 2, 1]), [X], "vander3d")
    check_value(lambda x: cls([1, 2, 3.0], domain=[-2, 3])(x), [X], "class")
    tracer.testing.check_grads(lambda x, c: call("val", x, c), (X, P), order=2)


def test_from_roots():
    check_value(lambda x, r: polynomial.polynomial.polyvalfromroots(x, r), [X, P], "polyvalfromroots")


def test_fits():
    x, y = RNG.normal(size=6), RNG.normal(size=(6, 2))
    for place in (0, 1, 3):
        check_value(lambda x, y, place=place: np.polyfit(x, y, 2, full=True)[place], [x, y], "full")
    check_value(lambda x, y: np.polyfit(x, y, 1, cov=True)[1], [x, y], "cov")
    check_value(lambda x, y: np.polyfit(x, y, 1, cov="unscaled", w=np.arange(1, 7))[1], [x, y[:, 0]], "unscaled")
    tracer.testing.check_grads(lambda x, y: np.polyfit(x, y, 2), (x, y), rtol=1e-4)


def test_division_and_roots():
    for place in (0, 1):
        check_value(lambda p, q, place=place: np.polydiv(p, q)[place], [P, P[:2]], "polydiv")
        check_value(lambda p, q, place=place: np.polydiv(q, p)[place], [P, P[:2]], "polydiv of a shorter one")
    check_value(lambda p: np.sort_complex(np.roots(p) + 0j), [P], "roots")
    check_value(lambda p: np.poly1d([1, 2, 3])(p), [P], "poly1d")


@pytest.mark.parametrize(
    "function",
    [
        lambda p: np.polyder(p, -1),
        lambda p: np.polyint(p, -1),
        lambda p: np.roots(p[None]),
        lambda p: np.poly(p[None]),
        lambda p: np.polyfit(p, p, -1),
        lambda p: np.polyfit(p, p[:2], 1),
        lambda p: np.polyfit(p[:0], p[:0], 1),
    ],
)
def test_errors_are_numpys(function):
    with pytest.raises((ValueError, TypeError)) as expected:
        function(P)
    with pytest.raises(type(expected.value)):
        tracer.compile(function)(P)
