"""The op table: every op and function over dtypes, layouts and executors, and its derivatives in both modes."""

import re
from pathlib import Path

import numpy as np
import pytest
from ops.table import (
    SUPPORTED,
    arrays_for,
    assert_same,
    batches_for,
    check_value,
    elementwise_arity,
    name_of,
    outcome,
    quietly,
    table,
)

import tracer
from tracer.graph.op import FUNCTIONS, METHODS, OPS, UFUNC_NAMES
from tracer.transform.vmap import looped_ops
from tracer.types import DTYPES

ROOT = Path(__file__).resolve().parent.parent

# Functions that answer from the type alone; they have tests of their own.
WITHOUT_EXAMPLES = {
    *(np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj),
    *(np.shares_memory, np.may_share_memory, np.einsum_path, np.empty_like),
    np.min_scalar_type,
}


CASES = table()
IDS = [case[0] for case in CASES]
every_case = pytest.mark.parametrize(("name", "function", "shapes", "domain"), CASES, ids=IDS)


def is_defined(op_name, dtype):
    # Weights that sum to zero raise in NumPy; truth values often do.
    return not (op_name.startswith("np.average") and dtype.kind == "b")


# --- values ------------------------------------------------------------------------------------------------------


@every_case
def test_values_over_dtypes(name, function, shapes, domain):
    for dtype in DTYPES:
        if is_defined(name, dtype):
            check_value(function, arrays_for(name, shapes, domain, dtype), f"{name} of {dtype}")


def layouts(array):
    """The same elements in memory of other layouts."""
    yield "fortran", np.asarray(array, order="F")
    if array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        yield "strided", wide[..., ::2]
        yield "backwards", np.ascontiguousarray(array[::-1])[::-1]
        read_only = np.broadcast_to(array[:1], array.shape)
        yield "broadcast", read_only


@every_case
def test_values_over_layouts(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.float64)
    for variants in zip(*(list(layouts(array)) for array in arrays), strict=False):
        label = f"{name}, {variants[0][0]}"
        check_value(function, [array for _, array in variants], label)


ELEMENTWISE = [case for case in CASES if case[0] in OPS and len(set(case[2])) == 1]


@pytest.mark.parametrize(("name", "function", "shapes", "domain"), ELEMENTWISE, ids=[case[0] for case in ELEMENTWISE])
def test_elementwise_shapes(name, function, shapes, domain):
    arity = len(shapes)
    for given in ([()], [(0, 3)], [(3, 1), (4,)], [(2, 1, 4), (3, 1)]):
        given = [given[place % len(given)] for place in range(arity)]
        check_value(function, arrays_for(name, given, domain, np.float64), f"{name} of {given}")


UFUNCS = [function for function in FUNCTIONS if isinstance(function, np.ufunc) and function.signature is None]


@pytest.mark.parametrize("ufunc", UFUNCS, ids=name_of)
def test_promotion_is_numpys(ufunc):
    """Every pair of dtypes and Python scalars gives the dtype that NumPy gives, without computing."""
    weak = (2, 2.0, 2j, True)
    operands = [np.ones(1, dtype) for dtype in DTYPES]
    pairs = [(a,) for a in operands]
    if ufunc.nin == 2:
        pairs = [(a, b) for a in operands for b in (*operands, *weak)] + [(b, a) for a in operands for b in weak]
    wrong = []
    for pair in pairs:
        expected = outcome(lambda *args: ufunc(*args)[0] if ufunc.nout > 1 else ufunc(*args), pair)
        traced = _traced_dtype(ufunc, pair)
        if isinstance(expected, Exception) or expected.dtype not in SUPPORTED:
            good = isinstance(traced, TypeError | ValueError)
        else:
            good = traced == expected.dtype
        if not good:
            wrong.append(([getattr(item, "dtype", item) for item in pair], traced, expected))
    assert not wrong


def _traced_dtype(ufunc, operands):
    found = []

    def function(*arrays):
        places = iter(arrays)
        args = [next(places) if isinstance(item, np.ndarray) else item for item in operands]
        result = ufunc(*args)
        found.append((result[0] if isinstance(result, tuple) else result).dtype)
        return 0

    try:
        tracer.compile(function, backend="reference")(*(item for item in operands if isinstance(item, np.ndarray)))
    except (TypeError, ValueError) as error:
        return error
    return found[0]


# --- derivatives -------------------------------------------------------------------------------------------------


def differentiable(function, arrays):
    # Differences of float32 values show nothing.
    expected = outcome(function, arrays)
    return not isinstance(expected, Exception) and expected.dtype.char in "dD"


# Differences do not show steps of one unit in the last place.
REAL = [case for case in CASES if case[0] not in ("spacing", "nextafter")]
# Choosing the larger of two complex numbers, or rounding one, is not differentiable in the sense of differences.
COMPLEX = [case for case in REAL if not re.search("max|min|clip|sort|nan_to_num|round|rint|ptp", case[0])]


@pytest.mark.parametrize(("name", "function", "shapes", "domain"), REAL, ids=[case[0] for case in REAL])
def test_derivatives(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.float64)
    if differentiable(function, arrays):
        tracer.testing.check_grads(function, arrays, order=2, modes=("reverse", "forward"), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "function", "shapes", "domain"), COMPLEX, ids=[case[0] for case in COMPLEX])
def test_complex_derivatives(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.complex128)
    if differentiable(function, arrays):
        tracer.testing.check_grads(function, arrays, order=1, rtol=2e-5, atol=2e-6)


def test_a_wrong_rule_is_caught(monkeypatch):
    point = (np.array([0.3, -0.7]),)
    tracer.testing.check_grads(np.tanh, point)
    monkeypatch.setattr(OPS["tanh"], "deriv", (lambda y, x: 1 - y,))
    with pytest.raises(AssertionError, match="derivative"):
        tracer.testing.check_grads(np.tanh, point)
    with pytest.raises(AssertionError, match="forward"):
        tracer.testing.check_grads(np.tanh, point, modes=("forward",))


def test_a_wrong_transpose_is_caught(monkeypatch):
    monkeypatch.setattr(OPS["transpose"], "vjp", (lambda g, y, x, axes: g,))
    with pytest.raises(AssertionError, match="reverse"):
        tracer.testing.check_grads(lambda x: np.transpose(x), (np.arange(9.0).reshape(3, 3),))


# --- batches -----------------------------------------------------------------------------------------------------

# The data tell the size of what these give, which may then differ from example to example.
SIZED_BY_DATA = {
    f"np.{name_of(function)}"
    for function, entry in FUNCTIONS.items()
    if entry.apply.__module__ == "tracer.ops.run_time_sizes"
}


def is_sized_by_data(name):
    return name.rpartition("-")[0] in SIZED_BY_DATA


@pytest.mark.parametrize(
    ("name", "function", "shapes", "domain"), [case for case in CASES if is_sized_by_data(case[0])]
)
def test_sizes_of_the_data_are_refused_in_a_batch(name, function, shapes, domain):
    batches = batches_for(name, shapes, domain, np.dtype(np.float64))
    batch = next(batch for _, batch, axes in batches if all(axis == 0 for axis in axes))
    with pytest.raises(tracer.errors.ConcretizationError, match=r"HINT: choose with np\.where"):
        tracer.vmap(function)(*batch)


@pytest.mark.parametrize(
    ("name", "function", "shapes", "domain"),
    [case for case in CASES if not is_sized_by_data(case[0])],
    ids=[case[0] for case in CASES if not is_sized_by_data(case[0])],
)
def test_batched_values(name, function, shapes, domain):
    for dtype in map(np.dtype, (np.float64, np.complex128, np.int64)):
        if name.startswith("np.average") and dtype.kind == "i":
            continue  # weights that sum to zero
        batches = list(batches_for(name, shapes, domain, dtype))
        for examples, batch, axes in batches if dtype.kind == "f" else batches[-1:]:
            expected = [outcome(function, example) for example in examples]
            if any(isinstance(item, Exception) or item.dtype not in SUPPORTED for item in expected):
                continue
            if len({item.shape for item in expected}) > 1:
                continue  # the values decide the shape
            mapped = tracer.vmap(function, in_axes=axes)
            assert_same(quietly(mapped, *batch), np.stack(expected), f"{name} of {dtype}, mapped {axes}")


BATCHED = [case for case in REAL if not is_sized_by_data(case[0])]


@pytest.mark.parametrize(("name", "function", "shapes", "domain"), BATCHED, ids=[case[0] for case in BATCHED])
def test_batched_derivatives(name, function, shapes, domain):
    """Derivatives of the batch are those of the examples: in reverse mode summed over what the examples share."""
    for examples, batch, axes in batches_for(name, shapes, domain, np.float64):
        if not all(differentiable(function, example) for example in examples):
            continue
        places = tuple(range(len(shapes)))
        mapped = tracer.vmap(function, in_axes=axes)
        single = tracer.grad(lambda *args: cost(function(*args)), argnums=places)
        ones = [quietly(single, *example) for example in examples]
        columns = list(zip(*ones, strict=True))
        reverse = [np.stack(part) if axis == 0 else sum(part) for axis, part in zip(axes, columns, strict=True)]
        whole = tracer.grad(lambda *args, mapped=mapped: cost(mapped(*args)), argnums=places)
        label = f"{name}, mapped {axes}"
        for found, wanted in zip(quietly(whole, *batch), reverse, strict=True):
            close(found, wanted, label)
        if None not in axes:
            for found, wanted in zip(quietly(tracer.vmap(single), *batch), columns, strict=True):
                close(found, np.stack(wanted), label)
        moved = [tracer.jvp(function, example, [np.cos(item) for item in example])[1] for example in examples]
        close(tracer.jvp(mapped, batch, [np.cos(item) for item in batch])[1], np.stack(moved), f"{label}, forward")


def cost(value):
    return np.sum(np.sin(np.real(value)) + np.cos(np.imag(value)))


def close(found, wanted, label):
    scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11 * scale, err_msg=label)


def test_a_wrong_batching_rule_is_caught(monkeypatch):
    monkeypatch.setattr(
        OPS["cumsum"], "batch", lambda inputs, is_batched, size, axis: OPS["cumsum"](*inputs, axis=axis)
    )
    with pytest.raises(AssertionError):
        test_batched_values("np.cumsum-1", lambda x: np.cumsum(x, axis=1), ((2, 3),), ())


def test_ops_without_a_batching_rule():
    """They are computed example by example: the list may only shrink."""
    sparse = {"compressed_rows", "compressed_times", "compressed_count", "compressed_pattern", "compressed_sampled"}
    assert set(looped_ops()) == sparse | {"flat_nonzero", "lstsq", "python_call"}


# --- the table itself --------------------------------------------------------------------------------------------


def test_every_ufunc_is_in_the_table():
    ufuncs = {getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    assert {name_of(ufunc) for ufunc in ufuncs if ufunc not in FUNCTIONS} == {"isnat"}


def test_every_function_has_examples_and_text():
    bare = {name_of(f) for f, entry in FUNCTIONS.items() if not entry.examples and entry.op is None}
    assert bare == {name_of(function) for function in WITHOUT_EXAMPLES}
    assert not [name_of(f) for f, entry in FUNCTIONS.items() if not entry.doc]
    assert not [op.name for op in OPS.values() if not op.doc]


def test_methods_exist_on_arrays():
    assert all(hasattr(np.ndarray, name) for name in METHODS)


def test_table_and_kernels_agree():
    text = (ROOT / "kernels_cpp" / "ops.def").read_text(encoding="utf-8")
    listed = {(name, int(arity)) for name, arity in re.findall(r"^OP_\w+\((\w+), (\d),", text, re.MULTILINE)}
    assert listed
    used = {
        (op.kernel, 1 if op.kernel == "cast" else elementwise_arity(op))
        for op in OPS.values()
        if op.family == "elementwise"
    }
    assert used == listed


def test_kinds_are_those_of_programs():
    from tracer.lower.program import ARG_REDUCE_KINDS, CUMULATIVE_KINDS, REDUCE_KINDS, SCATTER_MODES

    kinds = {}
    for op in OPS.values():
        kinds.setdefault(op.family, set()).add(op.kernel)
    assert kinds["reduction"] == set(REDUCE_KINDS)
    assert kinds["cumulative"] == set(CUMULATIVE_KINDS)
    assert kinds["argreduce"] == set(ARG_REDUCE_KINDS)
    assert kinds["scatter"] == set(SCATTER_MODES)


def test_scipy_functions_are_found_by_name():
    special = pytest.importorskip("scipy.special")
    for name, entry in UFUNC_NAMES.items():
        function = getattr(special, name)
        if not getattr(entry, "examples", ()) and function.nout == 1:
            domain = getattr(entry, "domain", ()) or ((0.3, 2.0),) * function.nin
            for dtype in (np.float64, np.float32):
                arrays = arrays_for(name, ((3, 4),) * function.nin, domain, dtype)
                if name in ("yn", "kn"):
                    arrays[0] = np.arange(4)
                check_value(function, arrays, name)
