"""Random generators with NumPy's own numbers, whose draws in compiled functions are new at every call."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.tracing import trace
from tracer.tracing.generators import Generator as Generator
from tracer.tracing.generators import default_rng as _in_trace

__all__ = ["Generator", "default_rng"]

Generator.__doc__ = """A `numpy.random.Generator` that compiled functions may draw from, wherever they find it.

Outside of compiled functions it is NumPy's generator, with all its methods, and draws NumPy's numbers. While a function
is traced its state is a traced value: each call of the compiled function goes on where the last one stopped, and a call
that fails leaves the generator as it was. NumPy's own generators are followed likewise where the function finds them in
a variable, an attribute, an item of a dictionary or an argument.

Derivatives flow to the parameters of normal, uniform, exponential, laplace, logistic, gumbel, lognormal, weibull,
rayleigh, pareto, power, triangular and multivariate_normal, to the scale of gamma and to the mu of vonmises, for the
noise that was drawn. Others raise NotDifferentiableError, and integers have none.

Parameters
----------
bit_generator : numpy.random.BitGenerator
    What makes the bits, such as `numpy.random.PCG64(seed)`.

Examples
--------
>>> import numpy as np, tracer
>>> rng = tracer.random.Generator(np.random.Philox(7))
>>> @tracer.compile
... def noisy(x):
...     return x + rng.normal(scale=0.1, size=x.shape)
>>> plain = np.random.Generator(np.random.Philox(7))
>>> x = np.zeros(2)
>>> all(np.array_equal(noisy(x), plain.normal(scale=0.1, size=2)) for _ in range(3))
True
"""


def default_rng(seed: Any = None) -> Any:
    """Make a generator, as `numpy.random.default_rng` does, that compiled functions may draw from.

    Parameters
    ----------
    seed : int, sequence of int, SeedSequence, BitGenerator or Generator, optional
        As of `numpy.random.default_rng`: the numbers are the same ones. A generator is returned itself, or wrapped if
        it is NumPy's: both then draw from one stream.

    Returns
    -------
    Generator
        Of type `tracer.random.Generator`, which is also a `numpy.random.Generator`.

    Raises
    ------
    TraceError
        In a traced function, if there is no seed.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> rng = tracer.random.default_rng(0)
    >>> @tracer.compile
    ... def dropout(x):
    ...     return np.where(rng.random(x.shape) < 0.5, 0.0, 2.0 * x)
    >>> dropout(np.ones(4)), dropout(np.ones(4))
    (array([2., 0., 0., 0.]), array([2., 2., 2., 2.]))
    """
    if trace.current() is not None:
        return _in_trace(seed)
    if isinstance(seed, Generator):
        return seed
    bits = np.random.default_rng(seed).bit_generator
    return Generator(bits)
