"""Tools for tests of one's own ops."""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.config import config
from tracer.function import function
from tracer.symbolic.gradient_checks import verify_grad as _verify_grad
from tracer.tracing.recording import shape_of

_TOLERANCE = {"float32": 1e-5, "complex64": 1e-5}


def fetch_seed(pseed: int | None = None) -> int:
    """The seed of tests: what is given, or the setting `unittests.rseed`; a random one if this is "random"."""
    text = config.unittests.rseed if pseed is None else pseed
    return int(np.random.SeedSequence().generate_state(1)[0]) if text == "random" else int(text)


def seed_rng(pseed: int | None = None) -> int:
    """Seed NumPy's global random numbers; returns the seed."""
    seed = fetch_seed(pseed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that tests of ops draw from
    return seed


def verify_grad(op: Any, pt: Sequence[Any], n_tests: int = 2, rng: Any = None, *args: Any, **kwargs: Any) -> None:
    """As `gradient.verify_grad`, with a generator that is seeded if none is given."""
    generator = np.random.RandomState(fetch_seed()) if rng is None else rng
    _verify_grad(op, pt, n_tests, generator, *args, **kwargs)


def assert_allclose(expected: Any, value: Any, rtol: float | None = None, atol: float | None = None) -> None:
    """Raise AssertionError unless two arrays are close, as their dtypes allow."""
    dtypes = [np.asarray(item).dtype.name for item in (expected, value)]
    loosest = max(_TOLERANCE.get(name, 1e-8) for name in dtypes)
    np.testing.assert_allclose(
        value, expected, rtol=loosest if rtol is None else rtol, atol=loosest if atol is None else atol
    )


class InferShapeTester(unittest.TestCase):
    """A test case that can check the `infer_shape` of ops.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> from tracer.tests import unittest_tools
    >>> class TestExp(unittest_tools.InferShapeTester):
    ...     def test_shape(self):
    ...         x = T.dmatrix()
    ...         self._compile_and_check([x], [T.exp(x)], [np.ones((2, 3))], None)
    >>> TestExp("test_shape").debug()
    """

    def setUp(self) -> None:
        """Seed random numbers."""
        seed_rng()

    def _compile_and_check(
        self, inputs: Sequence[Any], outputs: Sequence[Any], numeric_inputs: Sequence[Any], cls: Any, **_: Any
    ) -> None:
        """Compare the shapes that are foretold for outputs with those that they have."""
        count = len(outputs)
        shapes = [shape_of(item) for item in outputs]
        both = function(list(inputs), [*outputs, *shapes], on_unused_input="ignore")(*numeric_inputs)
        for value, shape in zip(both[:count], both[count:], strict=True):
            self.assertEqual(value.shape, tuple(shape))
