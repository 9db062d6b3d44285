"""What a function reads from around it: a change there is seen by the next call, whatever holds the value."""

import collections
import copy
import dataclasses
import functools
import pickle
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

import tracer

X = np.arange(1.0, 4.0)


class Slotted:
    __slots__ = ("value",)


class Layer:
    scale = 2.0
    table: ClassVar = {"factor": 1.0}

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        return x * self.weight

    def __mul__(self, other):
        return other * self.weight

    def __getitem__(self, position):
        return self.weight * position

    @property
    def doubled(self):
        return self.weight * 2

    @classmethod
    def by_class(cls, x):
        return x * cls.scale

    def by_method(self, x):
        return x * self.weight

    @tracer.compile
    def compiled(self, x):
        return x * self.weight


class Child(Layer):
    def by_method(self, x):
        return super().by_method(x) + 1


class Sequential:
    def __init__(self, *layers):
        self.layers = list(layers)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@dataclasses.dataclass
class Options:
    rate: float = 1.0
    steps: list = dataclasses.field(default_factory=lambda: [1.0])


def assert_follows(function, change, *args):
    """One trace while nothing changes, and NumPy's answer before and after the change."""
    compiled = tracer.compile(function)
    for _ in range(2):
        np.testing.assert_allclose(compiled(*args), function(*args))
    assert compiled.cache_info().traces == 1
    change()
    for _ in range(2):
        np.testing.assert_allclose(compiled(*args), function(*args))
    assert compiled.cache_info().traces == 2
    assert "changed" in compiled.cache_info().reasons[-1]


COLLECTIONS = {
    "list": ([1.0, 2.0], lambda c, x: x * c[0], lambda c: c.__setitem__(0, 9.0)),
    "list grows": ([1.0, 2.0], lambda c, x: x * sum(c), lambda c: c.append(9.0)),
    "list of arrays": ([np.ones(3), X], lambda c, x: x * c[0] + c[1], lambda c: c.__setitem__(0, X * 3)),
    "long list": ([1.0] * 5000, lambda c, x: x * sum(c), lambda c: c.__setitem__(4999, 3.0)),
    "set": ({1.0, 2.0}, lambda c, x: x * sum(c), lambda c: c.add(4.0)),
    "deque": (collections.deque([1.0]), lambda c, x: x * c[0], lambda c: c.appendleft(4.0)),
    "dict": ({"a": 1.0}, lambda c, x: x * c["a"], lambda c: c.update(a=4.0)),
    "dict grows": ({"a": 1.0}, lambda c, x: x * sum(c.values()), lambda c: c.update(b=4.0)),
    "defaultdict": (
        collections.defaultdict(float, a=1.0),
        lambda c, x: x * c["a"],
        lambda c: c.__setitem__("a", 2.0),
    ),
    "nested": (
        {"o": ({"rate": [1.0]},)},
        lambda c, x: x * c["o"][0]["rate"][0],
        lambda c: c["o"][0]["rate"].append(2.0),
    ),
    "namespace": (types.SimpleNamespace(a=1.0), lambda c, x: x * c.a, lambda c: setattr(c, "a", 2.0)),
    "getattr": (types.SimpleNamespace(a=1.0), lambda c, x: x * getattr(c, "a"), lambda c: setattr(c, "a", 2.0)),  # noqa: B009
    "dataclass": (Options(), lambda c, x: x * c.rate * c.steps[0], lambda c: setattr(c, "rate", 2.0)),
    "dataclass list": (Options(), lambda c, x: x * c.rate * c.steps[0], lambda c: c.steps.__setitem__(0, 2.0)),
    "property": (Layer(1.0), lambda c, x: x * c.doubled, lambda c: setattr(c, "weight", 2.0)),
    "operator": (Layer(1.0), lambda c, x: c * x, lambda c: setattr(c, "weight", 2.0)),
    "subscript": (Layer(1.0), lambda c, x: x * c[3], lambda c: setattr(c, "weight", 2.0)),
    "call": (Layer(1.0), lambda c, x: c(x), lambda c: setattr(c, "weight", 2.0)),
    "super": (Child(1.0), lambda c, x: c.by_method(x), lambda c: setattr(c, "weight", 2.0)),
    "compiled method": (Layer(1.0), lambda c, x: c.compiled(x), lambda c: setattr(c, "weight", 2.0)),
    "method replaced": (Layer(1.0), lambda c, x: c.by_method(x), lambda c: setattr(c, "by_method", lambda x: x * 5)),
    "class value shadowed": (Layer(1.0), lambda c, x: x * c.scale, lambda c: setattr(c, "scale", 7.0)),
    "layers": (
        Sequential(Layer(1.0), Layer(2.0)),
        lambda c, x: c(x),
        lambda c: setattr(c.layers[1], "weight", 7.0),
    ),
    "layers grow": (Sequential(Layer(1.0)), lambda c, x: c(x), lambda c: c.layers.append(Layer(3.0))),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_what_a_closure_holds(name):
    holder, function, change = COLLECTIONS[name]
    closed, passed = copy.deepcopy(holder), copy.deepcopy(holder)
    assert_follows(lambda x: function(closed, x), lambda: change(closed), X)
    assert_follows(functools.partial(function, passed), lambda: change(passed), X)


@pytest.mark.parametrize("name", [name for name in COLLECTIONS if isinstance(COLLECTIONS[name][0], Layer | Sequential)])
def test_what_a_static_argument_holds(name):
    holder, function, change = COLLECTIONS[name]
    holder = copy.deepcopy(holder)
    assert_follows(function, lambda: change(holder), holder, X)


def test_slots():
    holder = Slotted()
    holder.value = 2.0
    assert_follows(lambda x: x * holder.value, lambda: setattr(holder, "value", 3.0), X)


@pytest.mark.parametrize(
    "function",
    [lambda x: Layer.by_class(x), lambda x: Layer(1.0).by_class(x), lambda x: x * Layer.scale],
    ids=["class method", "by instance", "attribute"],
)
def test_class_values(function, monkeypatch):
    assert_follows(function, lambda: monkeypatch.setattr(Layer, "scale", 9.0), X)


def test_dicts_of_classes(monkeypatch):
    assert_follows(lambda x: x * Layer.table["factor"], lambda: monkeypatch.setitem(Layer.table, "factor", 9.0), X)


def test_values_of_modules_without_a_file(monkeypatch):
    module = types.ModuleType("made_here")
    module.rate, module.rates = 2.0, [1.0]
    monkeypatch.setitem(sys.modules, "made_here", module)
    assert_follows(lambda x: x * module.rate, lambda: setattr(module, "rate", 3.0), X)
    assert_follows(lambda x: x * module.rates[0], lambda: module.rates.append(3.0), X)


def test_defaults_and_functions_in_lists():
    options, factor = Options(), 2.0

    def with_default(x, settings=options):
        return x * settings.rate

    def change():
        nonlocal factor
        factor = 4.0

    assert_follows(with_default, lambda: setattr(options, "rate", 9.0), X)
    functions = [lambda x: x * factor, np.sin]
    assert_follows(lambda x: functions[1](functions[0](x)), change, X)


def test_attributes_that_only_a_helper_reads():
    holder = types.SimpleNamespace(first=1.0, second=2.0)

    def helper(thing, x):
        return x * thing.second

    assert_follows(lambda x: helper(holder, x) * holder.first, lambda: setattr(holder, "second", 5.0), X)


def test_arrays_that_meet_no_traced_value_are_followed_by_content():
    mask, table = np.ones(3), {"scale": np.array([2.0])}
    assert_follows(lambda x: np.where(mask > 0, x, 0), lambda: mask.__setitem__(1, -1.0), X)
    assert_follows(lambda x: x * float(table["scale"][0]), lambda: table["scale"].__setitem__(0, 3.0), X)


def test_arrays_that_meet_traced_values_are_read_at_every_call():
    offset = np.ones(3)
    compiled = tracer.compile(lambda x: x + offset[1:].sum() + offset)
    compiled(X)
    compiled = tracer.compile(lambda x: x[1:] + offset[1:])
    for value in (1.0, 2.0, 3.0):
        offset[:] = value
        np.testing.assert_array_equal(compiled(X), X[1:] + value)
    assert compiled.cache_info().traces == 1


def test_scratch_attributes_do_not_make_new_traces():
    class Dense:
        def __init__(self):
            self.weight, self.seen = np.full((3, 2), 0.5), None

        def forward(self, x):
            self.seen = x
            return np.tanh(x @ self.weight)

        def backward(self, g):
            return np.outer(self.seen, g)

        @tracer.compile
        def step(self, x):
            return self.backward(self.forward(x))

    dense = Dense()
    for x in (X, 2 * X, X[::-1].copy()):
        np.testing.assert_allclose(dense.step(x), np.outer(x, np.tanh(x @ dense.weight)))
    assert Dense.step.cache_info().traces == 1


def test_state_replaced_by_a_traced_value_is_an_error_and_put_back():
    class Model:
        def __init__(self):
            self.weight = np.ones(3)

        @tracer.compile
        def train(self, x):
            self.weight = self.weight - x
            return self.weight.sum()

    model = Model()
    before = model.weight
    with pytest.raises(tracer.errors.TraceError, match=r"Model\.weight.*\n.*HINT.*\n.*test_captures"):
        model.train(X)
    assert model.weight is before


def test_a_number_changed_during_the_trace_is_told(caplog):
    model = types.SimpleNamespace(step=1)

    def function(x):
        model.step += 1
        return x * model.step

    with caplog.at_level("WARNING", "tracer"):
        tracer.compile(function)(X)
    assert "step from 1 to 2" in caplog.text and "HINT" in caplog.text


def test_what_the_function_removes_is_no_error():
    model, table = types.SimpleNamespace(step=1), {"rate": 2.0}

    def function(x):
        total = x * model.step * table.pop("rate")
        del model.step
        return total

    np.testing.assert_array_equal(tracer.compile(function)(X), 2 * X)


def test_compiled_functions_are_copied_and_pickled_as_functions_are():
    assert copy.deepcopy({"step": Layer.compiled})["step"] is Layer.compiled
    assert pickle.loads(pickle.dumps(Layer.compiled)) is Layer.compiled


def energy(x):
    return np.sum(np.sin(x) ** 3)


@pytest.mark.parametrize(
    "make",
    [
        tracer.compile,
        tracer.grad,
        tracer.value_and_grad,
        tracer.elementwise_grad,
        tracer.hessian,
        tracer.jacobian,
        tracer.jacfwd,
        lambda f: tracer.compile(tracer.grad(tracer.compile(f))),
        lambda f: tracer.vmap(tracer.grad(f)),
        lambda f: tracer.compile(f, branches="guard", name="g", backend="reference"),
    ],
)
def test_transforms_of_functions_in_modules_are_pickled(make):
    function, x = make(energy), np.array([[0.3, 1.2], [2.5, 0.1]])
    again = pickle.loads(pickle.dumps(function))
    assert repr(again) == repr(function) and type(again) is type(function)
    for one, other in zip(leaves(again(x)), leaves(function(x)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_products_with_hessians_are_pickled():
    product = pickle.loads(pickle.dumps(tracer.hvp(energy)))
    np.testing.assert_array_equal(product(X, X), tracer.hvp(energy)(X, X))


def test_what_has_no_name_is_not_pickled():
    for function in (tracer.grad(lambda x: x), tracer.compile(lambda x: x)):
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(function)


def leaves(nest):
    return nest if isinstance(nest, tuple) else (nest,)


class Named:
    """Equal by its name alone."""

    def __init__(self, name, scale):
        self.name, self.scale = name, scale

    def __eq__(self, other):
        return isinstance(other, Named) and other.name == self.name

    def __hash__(self):
        return hash(self.name)


@dataclasses.dataclass(frozen=True)
class Frozen:
    rate: float
    sizes: tuple
    note: list = dataclasses.field(default_factory=list, compare=False, hash=False)


def test_static_arguments_that_compare_equal_may_hold_something_else():
    compiled = tracer.compile(lambda x, named: x * named.scale)
    for scale in (1.0, 2.0, 1.0, 3.0):
        np.testing.assert_array_equal(compiled(X, Named("a", scale)), X * scale)
    kept = []
    compiled = tracer.compile(lambda x, options: x * options.rate + len(options.sizes))
    for rate in (1.0, 1.0, 2.0):
        np.testing.assert_array_equal(compiled(X, Frozen(rate, (1, 2), kept)), X * rate + 2)


def test_sets_and_slices_are_static():
    compiled, chosen = tracer.compile(lambda x, key, weights: x[key] * sum(weights)), {1.0, 2.0}
    for key in (slice(1), slice(0, 2), slice(1)):
        np.testing.assert_array_equal(compiled(X, key, chosen), X[key] * sum(chosen))
        chosen.add(len(chosen) + 5.0)
