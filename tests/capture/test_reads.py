"""What a function computes from arrays around it is what they hold at the call, whatever it reads of them and how."""

import datetime
import functools
import gc
import itertools
import logging
import math
import operator
import sys
import time
import types
import weakref
from time import perf_counter

import numpy as np
import pytest

import tracer

RNG = np.random.default_rng(3)
XS = RNG.random((8, 6)) + 0.1


def floats(size=6):
    return lambda rng: rng.random(size) + 0.1


def numbers(size=3, low=0, high=5):
    return lambda rng: rng.integers(low, high, size)


def mask(rng):
    return rng.random(6) > 0.5


def in_a_loop(x, w):
    for value in w:
        x = x * value
    return x


def in_rows(x, w):
    for one, other in w:
        x = x * one + other
    return x


def into_variables(x, w):
    one, *rest = w
    return x * one + rest[1]


def nested_variables(x, w):
    for place, (one, other) in enumerate([w, 2 * w]):
        x = x * one + place * other
    return x


def in_a_match(x, w):
    match int(w[0]):
        case 0:
            return x
        case number:
            return x * number


def into_a_made_array(x, w):
    made = np.empty(6)
    np.multiply(w, 2, out=made)
    made[0] = w[1]
    made[1:] += w[:5]
    return x * made


def under_a_mask(x, w):
    x = x.copy()
    x[w] = 0
    return x


def asserted(x, w):
    try:
        assert w
    except AssertionError:
        return x * 5
    return x


def in_a_generator(x, w):
    def items():
        yield from w

    return sum(x * value for value in items())


READS = {
    "sum": (floats(), lambda x, w: x * (2 * w).sum()),
    "number": (floats(), lambda x, w: x * float(w[0])),
    "element": (floats(), lambda x, w: x * w[0]),
    "part": (floats(), lambda x, w: x * w[1:3].sum()),
    "loop": (floats(), in_a_loop),
    "rows": (floats((3, 2)), in_rows),
    "variables": (floats(), into_variables),
    "nested variables": (floats(2), nested_variables),
    "generator": (floats(), in_a_generator),
    "comprehension": (floats(), lambda x, w: [v * x for v in w][2]),
    "star": (floats(2), lambda x, w: (lambda a, b: x * a + b)(*w)),
    "test of any": (numbers(1, 0, 2), lambda x, w: x * 2 if w.any() else x),
    "test": (numbers(1, 0, 2), lambda x, w: x * 2 if w else x),
    "not": (numbers(1, 0, 2), lambda x, w: x * 2 if not w else x),
    "and": (numbers(1, 0, 2), lambda x, w: x * 2 if (w and True) else x),
    "chain": (floats(1), lambda x, w: x * 2 if 0 < w < 0.6 else x),
    "in": (numbers(1, 0, 2), lambda x, w: x * 2 if 1 in w else x),
    "match": (numbers(1, 0, 3), in_a_match),
    "assert": (numbers(1, 0, 2), asserted),
    "copy": (floats(), lambda x, w: x * w.copy()),
    "cast": (floats(), lambda x, w: x * w.astype(np.float32)),
    "made array": (floats(), into_a_made_array),
    "list of places": (floats(), lambda x, w: x * w[[0, 1, 2, 3, 4, 5]]),
    "own mask": (floats(), lambda x, w: x * w[w > 0.5].sum()),
    "mask": (mask, lambda x, w: x[w]),
    "mask negated": (mask, lambda x, w: x[~w].sum()),
    "write under a mask": (mask, under_a_mask),
    "places": (numbers(), lambda x, w: x[w]),
    "place": (numbers(1), lambda x, w: x[w[0]]),
    "slice": (numbers(1, 1), lambda x, w: x[: w[0]]),
    "repeat": (numbers(6, 0, 3), lambda x, w: np.repeat(x, w)),
    "insert": (numbers(), lambda x, w: np.insert(x, w, 1.0)),
    "pad": (numbers(2, 0, 3), lambda x, w: np.pad(x, w)),
    "tile": (numbers(1, 1, 3), lambda x, w: np.tile(x, w)),
    "bincount": (numbers(6), lambda x, w: np.bincount(w, weights=x)),
    "roll": (numbers(1), lambda x, w: np.roll(x, w)),
    "linspace": (floats(1), lambda x, w: x + np.linspace(0, w[0], 6)),
    "clip": (floats(), lambda x, w: np.clip(x, w.min(), w.max() / 2)),
    "keyword": (floats(), lambda x, w: x * np.sum(a=w)),
    "list": (floats(), lambda x, w: x * w.tolist()[0]),
    "flat": (floats(), lambda x, w: x * next(iter(w.flat))),
    "sorted": (floats(), lambda x, w: x * sorted(w)[0]),
    "zip": (floats(), lambda x, w: sum(a * b for a, b in zip(x, w, strict=True))),
    "iterator": (floats(), lambda x, w: x * next(iter(w))),
    "reduce": (floats(), lambda x, w: x * functools.reduce(operator.add, w)),
    "math": (floats(), lambda x, w: x * math.fsum(w)),
    "range": (numbers(1), lambda x, w: sum([x for _ in range(w[0])], x)),
    "shape": (numbers(1, 1), lambda x, w: np.zeros(w) + x[0]),
    "text": (numbers(1), lambda x, w: x * len(f"{w[0] ** 7}")),
    "key": (numbers(1), lambda x, w: x * {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0}[w[0]]),
    "bytes": (numbers(1), lambda x, w: x * w.tobytes()[0]),
    "memory": (floats(), lambda x, w: x * w.data[0]),
    "view of bytes": (numbers(2), lambda x, w: x * w.view(np.uint8)[0]),
    "method by name": (floats(), lambda x, w: x * getattr(w, "sum")()),  # noqa: B009
    "own operator": (floats(), lambda x, w: x * w.__add__(1.0).sum()),
    "method caller": (floats(), lambda x, w: x * operator.methodcaller("sum")(w)),
    "reversed view": (floats(), lambda x, w: x * w[::-1] + w[::-1].cumsum()),
    "0-d": (lambda rng: np.array(rng.random()), lambda x, w: x * float(w)),
    "key of a list": (lambda rng: np.array(rng.integers(0, 4)), lambda x, w: x * [1.0, 2.0, 3.0, 4.0][w]),
}


def check(function, change, *, calls=7):
    """A compiled function gives what the function itself does while what is around it changes; returns it."""
    compiled = tracer.compile(function)
    for place in range(calls):
        got, wanted = compiled(XS[place]), function(XS[place].copy())
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, other)
            assert np.result_type(one) == np.result_type(other)
        if place % 3:
            change()
    return compiled


@pytest.mark.parametrize("is_traced_too", [False, True], ids=["read", "read and traced"])
@pytest.mark.parametrize("name", READS)
def test_numbers_of_an_array_are_those_at_the_call(name, is_traced_too):
    make, read = READS[name]
    rng = np.random.default_rng(5)
    w = make(rng)

    def change():
        w[...] = make(rng)

    if is_traced_too:
        check(lambda x: (read(x, w), x.sum() * w), change)
    else:
        check(lambda x: (read(x, w),), change)


# --- how often it is traced --------------------------------------------------------------------------------------


def test_an_array_that_is_only_traced_may_change_without_a_new_trace():
    weights = np.ones((2, 6))
    views = weights.T, weights.reshape(3, 4), np.transpose(weights)
    compiled = check(
        lambda x: (weights @ x, x @ views[0], x @ weights.T, x[:3] @ views[1]), lambda: weights.__iadd__(1)
    )
    assert compiled.cache_info().traces == 1


def test_numbers_of_an_array_that_goes_on_changing_are_traced():
    weights = np.ones(6)
    compiled = check(
        lambda x: (x @ weights + 0.1 * (weights**2).sum() + float(weights[0]),), lambda: weights.__iadd__(1)
    )
    assert compiled.cache_info().traces == 2
    assert "weights" in compiled.cache_info().reasons[1]


def test_numbers_that_are_needed_as_such_take_a_trace_each():
    sizes = np.array([2, 1])

    def change():
        sizes[0] = sizes[0] % 5 + 1

    compiled = check(lambda x: (x[: len(range(sizes[0]))] + sizes.sum(),), change)
    assert compiled.cache_info().traces == 5


def test_other_elements_of_a_large_array_may_change():
    table = np.ones(1000)
    compiled = check(lambda x: (x * table[7] + table[3:5].sum(),), lambda: table.__setitem__(slice(100, None), 2.0))
    assert compiled.cache_info().traces == 1
    check(lambda x: (x * table[7] + table[3:5].sum(),), lambda: table.__setitem__(4, 9.0))


@pytest.mark.parametrize("as_number", [False, True])
def test_numbers_of_an_array_too_large_to_compare(as_number):
    table = np.ones(200_000)
    read = (lambda x: (x * len(range(int(table.sum()))),)) if as_number else (lambda x: (x * table.sum(),))
    compiled = check(read, lambda: table.__setitem__(150_000, table[150_000] + 1))
    assert compiled.cache_info().traces == (5 if as_number else 1)


def test_an_argument_that_is_written_may_share_memory_with_what_is_read():
    buffer = np.arange(12.0)
    backwards = buffer[::-1]

    def function(x):
        x += backwards[: x.size]
        return backwards.sum() + float(buffer[0])

    compiled = tracer.compile(function)
    for _ in range(3):
        copy = buffer.copy()
        wanted, after = function(buffer[:6]), buffer.copy()
        buffer[:] = copy
        np.testing.assert_allclose(compiled(buffer[:6]), wanted)
        np.testing.assert_allclose(buffer, after)


def test_functions_without_source():
    space = {"np": np, "w": np.ones(6)}
    exec("def function(x):\n    return x * (2 * w).sum(), x * w", space)
    check(space["function"], lambda: space["w"].__iadd__(1))


# --- where arrays are found --------------------------------------------------------------------------------------


class Model:
    def __init__(self):
        self.w = np.arange(1.0, 7.0)
        self._table = None

    def __len__(self):
        return int(self.w[0])

    def __iter__(self):
        for value in self.w[:2]:
            yield float(value)

    def __contains__(self, item):
        return bool(item == self.w[0])

    def __bool__(self):
        return bool(self.w[0] > 2)

    def __float__(self):
        return float(self.w[1])

    def __enter__(self):
        return self.w.sum()

    def __exit__(self, *error):
        return None

    def __getattr__(self, name):
        if name == "total":
            return self.w.sum()
        raise AttributeError(name)

    @functools.cached_property
    def cached(self):
        return self.w.sum()

    @property
    def table(self):
        if self._table is None:
            self._table = 2 * self.w
        return self._table

    def forget(self):
        self._table = None
        vars(self).pop("cached", None)
        return 1.0


def entered(model, x):
    with model as total:
        return x * total


def summed(array, x):
    return x * array.sum()


METHODS = {
    "len": lambda model, x: x * len(model),
    "iter": lambda model, x: sum(x * value for value in model),
    "in": lambda model, x: x * 2 if 1.0 in model else x,
    "bool": lambda model, x: x * 2 if model else x,
    "or": lambda model, x: x * ((model.w[0] > 9 and model) or model).w,
    "float": lambda model, x: x * float(model),
    "with": entered,
    "getattr": lambda model, x: x * model.total,
    "cached property": lambda model, x: x * model.cached,
    "kept at the first call": lambda model, x: x * model.table,
    "sorted by": lambda model, x: x * sorted([0, 1, 2], key=lambda place: -model.w[place])[0],
    "partial": lambda model, x: functools.partial(summed, model.w)(x),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_python_calls(name):
    method, model, rng = METHODS[name], Model(), np.random.default_rng(2)

    def change():
        model.w[...] = rng.integers(1, 4, 6)
        model.forget()

    check(lambda x: (method(model, x), x * model.w), change)


def test_a_partial_of_an_array():
    w = np.ones(6)
    check(functools.partial(lambda a, x: (summed(a, x), a), w), lambda: w.__iadd__(1))


def test_functions_chosen_by_type():
    w = np.ones(6)

    @functools.singledispatch
    def scale(kind, x):
        return x * w.sum()

    @scale.register
    def _(kind: int, x):
        return x * w[0]

    check(lambda x: (scale(1, x) + scale("", x) + w,), lambda: w.__iadd__(1))


def test_results_that_a_cache_keeps():
    w = np.ones(6)

    @functools.lru_cache
    def total(place):
        return w[place] * 2

    def change():
        w[...] += 1
        total.cache_clear()

    check(lambda x: (x * total(1) + w,), change)


def test_memory_that_is_mapped(tmp_path):
    mapped = np.memmap(tmp_path / "array", dtype=float, mode="w+", shape=6)
    check(lambda x: (x * mapped + mapped.sum(),), lambda: mapped.__iadd__(1))


def test_arrays_with_operators_of_their_own_are_not_taken_for_arrays():
    class Doubling(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            return NotImplemented

    own = np.ones(3).view(Doubling)
    for call in (lambda: tracer.compile(lambda x: x * own)(XS[0][:3]), lambda: tracer.compile(lambda x: x)(own)):
        with pytest.raises(TypeError, match="a Doubling computes by other rules"):
            call()


def test_a_shape_may_be_assigned():
    w = np.ones((2, 3))

    def change():
        w.shape = w.shape[::-1]

    check(lambda x: (x[: w.shape[0]] * len(w),), change)


# --- other things that are read ----------------------------------------------------------------------------------


def test_attributes_by_computed_names():
    holder = types.SimpleNamespace(w0=1.0, w1=2.0)

    def change():
        holder.w1 += 1

    check(lambda x: (sum(x * getattr(holder, f"w{place}") for place in range(2)),), change)
    check(lambda x: (sum(x * value for value in vars(holder).values()),), change)
    compiled = check(lambda x: (x * getattr(holder, "w0", 3.0),), change)
    assert compiled.cache_info().traces == 1


def test_attributes_that_need_not_exist():
    holder = types.SimpleNamespace()

    def change():
        if hasattr(holder, "extra"):
            del holder.extra
        else:
            holder.extra = 2.0

    check(lambda x: (x * 2 if hasattr(holder, "extra") else x, x * getattr(holder, "extra", 5.0)), change)


def test_the_environment(monkeypatch):
    import os

    monkeypatch.setenv("TRACER_TEST_SCALE", "2")
    values = iter("3456789")
    check(
        lambda x: (x * float(os.environ["TRACER_TEST_SCALE"]),),
        lambda: monkeypatch.setenv("TRACER_TEST_SCALE", next(values)),
    )


@pytest.mark.parametrize("kind", ["UserDict", "ChainMap", "mappingproxy"])
def test_mappings(kind):
    import collections

    made = {"a": 1.0}
    holder = types.MappingProxyType(made) if kind == "mappingproxy" else getattr(collections, kind)(made)
    inner = made if kind == "mappingproxy" else holder

    def change():
        inner["a"] = inner["a"] + 1

    check(lambda x: (x * holder["a"],), change)


def test_what_a_function_keeps_is_guarded_and_what_it_counts_is_not():
    kept = {}

    def function(x):
        if x.size not in kept:
            kept[x.size] = np.arange(float(x.size))
        return (x * kept[x.size],)

    def change():
        kept[6] = kept[6] + 1

    check(function, change)
    check(function, kept.clear)

    calls = []

    def counting(x):
        calls.append(len(x))
        return x + 1

    compiled = tracer.compile(counting)
    for _ in range(5):
        for size in (2, 3, 4):
            compiled(np.ones(size))
    assert compiled.cache_info().traces <= 6


# --- memory ------------------------------------------------------------------------------------------------------


def test_arguments_do_not_outlive_the_call():
    def held(x):
        return x * w + w.sum()

    def failing(x):
        raise ValueError

    w = np.ones(3)
    gc.collect()
    gc.disable()
    try:
        for function in (held, failing, lambda x: x[x > 0], lambda x: x.__iadd__(1)):
            argument = np.ones(3)
            alive = weakref.ref(argument)
            compiled = tracer.compile(function)
            for _ in range(2):
                try:
                    compiled(argument)
                except ValueError:
                    pass
            assert sys.getrefcount(argument) == 2
            del argument
            assert alive() is None
    finally:
        gc.enable()


def test_errors_of_the_function_stay_its_own():
    w = np.ones(3)

    def function(x):
        y = x * w
        raise ZeroDivisionError("mine", y.shape)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as info:
            tracer.compile(function)(np.ones(3))
        assert info.value.args == ("mine", (3,)) and info.value.__context__ is None
        assert any(entry.name == "function" and "raise" in str(entry.statement) for entry in info.traceback)


def test_the_clock_is_told(caplog):
    compiled = tracer.compile(lambda x: x + 0 * time.time() + 0 * perf_counter() + 0 * datetime.datetime.now().year)
    with caplog.at_level(logging.WARNING, "tracer"):
        for size in (1, 2, 3):
            compiled(np.ones(size))
    for place in ("time.time", "perf_counter", "datetime.now"):
        assert len([text for text in caplog.messages if f"asks {place}" in text and "HINT" in text]) == 1


def test_state_that_a_trace_moves_on_is_told(caplog):
    calls, name = [0], itertools.count()
    batches = iter(np.ones((3, 2)))
    endless = (i * 1.0 for i in itertools.count())
    pairs = zip(itertools.count(), [1.0, 2.0], strict=False)
    untouched = enumerate([1.0, 2.0])

    def function(x):
        calls[0] += 1
        return x + next(name) + next(batches)[0] + next(endless) + next(pairs)[1] + (0 if calls else next(untouched))

    with caplog.at_level(logging.WARNING, "tracer"):
        tracer.compile(function)(1.0)
    assert "changed calls[0] from 0 to 1" in caplog.messages[0]
    told = [text.split("the iterator ")[1].split()[0] for text in caplog.messages[1:]]
    assert sorted(told) == ["batches", "endless", "name", "pairs"]


def test_what_is_put_into_nests_of_arguments_is_told(caplog):
    def step(params, *rest, more):
        params["w"] = params["w"] - 1.0
        params["b"] -= 1.0
        rest[0].append(params["b"])
        more["own"][0] = 2.0
        return params["w"].sum()

    def returns(params):
        params["w"] = params["w"] * 2
        return {"params": params}

    with caplog.at_level(logging.WARNING, "tracer"):
        for size in (2, 3):
            params = {"w": np.ones(size), "b": np.zeros(size)}
            assert tracer.compile(returns)(params)["params"]["w"][0] == 2
            tracer.compile(step)(params, [params["w"]], more={"own": [1.0]})
            assert params["w"][0] == 1 and params["b"][0] == -1
    told = [text.split("puts a new value into ")[1].split(";")[0] for text in caplog.messages]
    assert told == ["params['w']", "argument 1[1]", "more['own'][0]"] * 2
    assert "HINT: write into the array, params['w'][...] = value" in caplog.messages[0]
