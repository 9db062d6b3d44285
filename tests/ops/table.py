"""The examples of the op table, arrays to run them on, and the comparison with NumPy."""

import inspect
import warnings

import numpy as np
import pytest

import tracer
from tracer.graph.op import FUNCTIONS, OPS
from tracer.types import DTYPES

BACKENDS = ("reference", "cpu")
SUPPORTED = frozenset(DTYPES)


def name_of(function):
    return getattr(function, "__name__", str(function))


def elementwise_arity(op):
    if isinstance(op.evaluate, np.ufunc):
        return op.evaluate.nin
    return len(inspect.signature(op.evaluate).parameters) if op.name != "where" else 3


def table():
    """(id, callable, shapes, domain) of every example."""
    cases = []
    for op in OPS.values():
        if op.family in ("elementwise", "call") and op.dtypes is not None and not op.examples:
            call = op.evaluate if isinstance(op.evaluate, np.ufunc) else op
            arity = elementwise_arity(op)
            cases.append((op.name, call, ((3, 4),) * arity, op.domain or ((-2.0, 2.0),) * arity))
        elif op.dtypes is not None and op.family in ("elementwise", "call"):
            cases += [(f"{op.name}-{n}", call, shapes, ()) for n, (call, shapes) in enumerate(op.examples)]
    seen = set()
    for function, entry in FUNCTIONS.items():
        if entry.examples and id(entry) not in seen:
            seen.add(id(entry))
            name = name_of(function)
            cases += [(f"np.{name}-{n}", call, shapes, ()) for n, (call, shapes) in enumerate(entry.examples)]
    return cases


def draw(rng, shape, dtype, domain=(-2.0, 2.0)):
    """Random elements of a dtype within a domain."""
    low, high = domain
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low = low if dtype.kind == "i" and domain == (-2.0, 2.0) else max(0, low)
        first, last = int(np.ceil(low)), int(np.floor(high))
        return np.asarray(rng.integers(first, max(first, last), shape, endpoint=True), dtype)
    real = rng.uniform(low, high, shape)
    return np.asarray(real + 1j * rng.uniform(-1, 1, shape) if dtype.kind == "c" else real, dtype)


def arrays_for(name, shapes, domain, dtype):
    rng = np.random.default_rng(sum(map(ord, name)))
    return [draw(rng, shape, dtype, domain[place] if domain else (-2.0, 2.0)) for place, shape in enumerate(shapes)]


def batches_for(name, shapes, domain, dtype, size=3):
    """Batches with all inputs mapped, and with each alone: the examples one by one, the batch, and its axes."""
    draws = [arrays_for(name + "b" * number, shapes, domain, dtype) for number in range(size)]
    places = range(len(shapes))
    for which in sorted({(True,) * len(shapes), *(tuple(place == one for place in places) for one in places)}):
        examples = [[draw[place] if which[place] else draws[0][place] for place in places] for draw in draws]
        columns = [[example[place] for example in examples] for place in places]
        batch = [np.stack(columns[place]) if which[place] else columns[place][0] for place in places]
        yield examples, batch, tuple(0 if mapped else None for mapped in which)


def quietly(function, *args):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def outcome(function, arrays):
    """What NumPy gives: an array or the class of the error."""
    try:
        return np.asarray(quietly(function, *arrays))
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        return error


def assert_same(actual, expected, label):
    assert isinstance(actual, np.ndarray | np.generic | bool | int), (label, type(actual))
    actual = np.asarray(actual)
    assert actual.dtype == expected.dtype, f"{label}: dtype {actual.dtype}, NumPy's {expected.dtype}"
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, NumPy's {expected.shape}"
    tolerance = {"f": 2e-6, "F": 4e-6, "d": 1e-13, "D": 2e-13}.get(expected.dtype.char, 0)
    scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1) if tolerance else 0
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale, err_msg=label)


def builtin(error):
    """The builtin class of an error: NumPy's own are private."""
    return next(kind for kind in type(error).__mro__ if kind in (IndexError, ValueError, TypeError, AttributeError))


def check_value(function, arrays, label):
    expected = outcome(function, arrays)
    for backend in BACKENDS:
        traced = tracer.compile(function, backend=backend)
        if isinstance(expected, Exception):
            with pytest.raises(builtin(expected)):
                quietly(traced, *arrays)
        elif expected.dtype not in SUPPORTED:
            with pytest.raises(TypeError, match="cannot be traced"):
                traced(*arrays)
        else:
            assert_same(traced(*arrays), expected, f"{label} on {backend}")
