"""Functions of scipy.special beyond the table: counting, results that come together, and edges of formulas."""

import numpy as np
import pytest
import scipy.special
from scipy.special import comb, factorial

import tracer
from tracer import errors

X = np.linspace(0.4, 2.8, 7)
CASES = {
    "factorial": (lambda x: factorial(x), (X,)),
    "comb": (lambda n, k: comb(n, k), (X + 4, X)),
    "comb-repetition": (lambda n, k: comb(n, k, repetition=True), (X + 4, X)),
    "perm": (lambda n, k: scipy.special.perm(n, k), (X + 4, X)),
    "multigammaln": (lambda a: scipy.special.multigammaln(a + 2, 3), (X,)),
    "airy": (lambda x: sum((n + 1) * part for n, part in enumerate(scipy.special.airy(x))), (X,)),
    "sici": (lambda x: scipy.special.sici(x)[0] * scipy.special.sici(x)[1], (X,)),
    "shichi": (lambda x: scipy.special.shichi(x)[0] - scipy.special.shichi(x)[1], (X,)),
    "fresnel": (lambda x: np.hypot(*scipy.special.fresnel(x)), (X,)),
    "sinc": (lambda x: scipy.special.sinc(x), (X,)),
    "gdtr": (lambda a, x: scipy.special.gdtr(a, 2.5, x) + scipy.special.gdtrc(a, 2.5, 2 * x), (X, X)),
    "legendre": (lambda x: sum(scipy.special.eval_legendre(n, x) for n in range(5)), (np.linspace(-1, 1, 5),)),
    "hermite": (lambda x: sum(scipy.special.eval_hermite(n, x) for n in range(4)), (X,)),
    "chebyt": (lambda x: scipy.special.eval_chebyt(np.arange(4)[:, None], x), (X / 3,)),
    "boxcox-0": (lambda x, m: scipy.special.boxcox(x, m), (X, 1e-6 * X)),
    "inv_boxcox-0": (lambda x, m: scipy.special.inv_boxcox(x, m), (X / 9, 1e-6 * X)),
    "ellipk-0": (lambda m: scipy.special.ellipk(m) + scipy.special.ellipe(m), (np.array([0.0, 1e-8]),)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_derivatives(name):
    function, arrays = CASES[name]
    compiled = tracer.compile(function)
    for scale in (1.0, 0.9):
        given = [array * scale for array in arrays]
        expected, found = function(*given), compiled(*given)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    if name != "boxcox-0":  # differences of such exponents show nothing
        tracer.testing.check_grads(function, arrays, order=1, modes=("reverse", "forward"), rtol=2e-5, atol=2e-5)


def test_the_exponent_of_a_power_transform_near_zero():
    slope = tracer.grad(lambda m, x: np.sum(scipy.special.boxcox(x, m)))
    for m in (0.0, 5e-5, 2e-4):
        np.testing.assert_allclose(slope(np.full(7, m), X), np.log(X) ** 2 / 2, rtol=2e-4)


def test_integers_as_scipy_counts():
    n, k = np.arange(-2, 6), np.array([0, 1, 2, 3, 1, 2, 7, 2])
    for function, arrays in (
        (lambda n: factorial(n), (n,)),
        (lambda n, k: comb(n, k), (n, k)),
        (lambda n, k: scipy.special.perm(n, k), (n, k)),
    ):
        np.testing.assert_allclose(tracer.compile(function)(*arrays), function(*arrays), rtol=1e-12)


def test_errors():
    with pytest.raises(errors.UnsupportedFunctionError, match="exact"):
        tracer.compile(lambda n: factorial(n, exact=True))(np.arange(3))
    with pytest.raises(errors.NotDifferentiableError, match="hyp2f1"):
        tracer.grad(lambda a: np.sum(scipy.special.hyp2f1(a, 1.0, 2.0, 0.3)))(X)
