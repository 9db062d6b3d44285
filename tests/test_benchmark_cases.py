"""The benchmark cases compute what they say: against NumPy and finite differences, at small sizes."""

import importlib.util
from typing import Any

import numpy as np
import pytest

import tracer
from benchmarks import measure, profile, steady
from benchmarks.anatomy import Anatomy, products
from benchmarks.cases import CASES, SUBJECTS, Case, find_case
from benchmarks.goals import goals
from benchmarks.limits import Limits
from benchmarks.peers import find_peer
from benchmarks.report import markdown
from benchmarks.results import CaseResult, Store

# The peers that are installed; `make bench` installs them all.
STEPPERS = [name for name in ("tracer", "autograd", "jax", "torch") if importlib.util.find_spec(name)]

EPSILON = 1e-8

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def in_float64(case: Case) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in case.arguments(small=True)]


def value_and_gradients(case: Case, arguments: Any, backend: str | None = None) -> tuple[Any, tuple[Any, ...]]:
    def cost(*given: Any) -> Any:
        return case.cost(np, *given)

    if case.forward_only:
        return tracer.compile(cost, backend=backend)(*arguments), ()
    derived = tracer.value_and_grad(cost, argnums=tuple(range(case.parameters)))
    value, gradients = tracer.compile(derived, backend=backend)(*arguments)
    return value, gradients


@each_case
def test_value_and_directional_derivative(case: Case) -> None:
    arguments = in_float64(case)
    value, gradients = value_and_gradients(case, arguments)
    np.testing.assert_allclose(value, case.cost(np, *arguments), rtol=1e-12)
    rng = np.random.default_rng(5)
    parameters, data = arguments[: case.parameters], arguments[case.parameters :]
    direction = [rng.normal(size=parameter.shape) for parameter in parameters]

    def along(step: float) -> float:
        return case.cost(np, *(p + step * d for p, d in zip(parameters, direction, strict=True)), *data)

    wanted = (along(1e-6) - along(-1e-6)) / 2e-6
    seen = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-6)


@each_case
def test_own_dtype_and_reference_executor(case: Case) -> None:
    arguments = case.arguments(small=True)
    value, gradients = value_and_gradients(case, arguments)
    wanted, wanted_gradients = value_and_gradients(case, arguments, backend="reference")
    tolerance = 1e-4 if arguments[0].dtype == np.float32 else 1e-11
    assert value.dtype == arguments[0].dtype
    np.testing.assert_allclose(value, wanted, rtol=tolerance)
    for seen, expected, parameter in zip(gradients, wanted_gradients, arguments, strict=False):
        assert seen.dtype == parameter.dtype and seen.shape == parameter.shape
        np.testing.assert_allclose(seen, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", [case for case in CASES if case.learning_rate is not None], ids=lambda case: case.name)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("peer", STEPPERS)
def test_training_step_moves_against_the_gradient(case: Case, peer: str) -> None:
    adapter = find_peer(peer)
    adapter.load()
    arguments = case.arguments(small=True)
    assert case.learning_rate is not None
    _, gradients = value_and_gradients(case, arguments)
    # The first step of Adam has the length of the learning rate.
    sizes = [np.abs(g) + EPSILON if case.rule == "adam" else 1.0 for g in gradients]
    moved = [p - case.learning_rate * g / size for p, g, size in zip(arguments, gradients, sizes, strict=False)]
    step = adapter.build(case, adapter.place(case.arguments(small=True)))
    values = [adapter.to_numpy(step())[0] for _ in range(2)]
    expected = [case.cost(np, *arguments), case.cost(np, *moved, *arguments[case.parameters :])]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    for before, after in zip(case.arguments(small=True), arguments, strict=True):
        np.testing.assert_array_equal(before, after)


def test_names_are_unique_and_unknown_ones_list_the_known() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == sum(map(len, SUBJECTS.values()))
    with pytest.raises(KeyError, match="rosenbrock"):
        find_case("rosenbruck")
    with pytest.raises(KeyError, match="tracer"):
        find_peer("tracr")


def test_round_robin_gives_every_entry_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(steady, "TURN_SECONDS", 0.0)
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = steady.round_robin(calls, rounds=2)
    assert order[-12:] == list("aaabbbaaabbb")
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())


def test_who_fails_is_left_out_and_who_disagrees_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(steady, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(steady, "TURN_SECONDS", 0.0)

    class Failing(type(find_peer("numpy"))):  # type: ignore[misc]
        name = "failing"

        def build(self, case: Case, arguments: Any) -> Any:
            raise ValueError("no")

    class Wrong(type(find_peer("numpy"))):  # type: ignore[misc]
        name = "wrong"

        def build(self, case: Case, arguments: Any) -> Any:
            return lambda: np.float64(0.0)

    found = steady.measure(find_case("rosenbrock"), [find_peer("numpy"), Failing(), Wrong()], rounds=1, small=True)
    assert found.failures == {"failing": "ValueError: no"}
    assert set(found.seconds) == {"control", "numpy", "wrong"}
    assert [note for note in found.notes if "wrong and numpy differ" in note] == found.notes
    # The last name that a process prints is that of the peer that ends it.
    assert capsys.readouterr().out.splitlines()[0] == "@numpy"


def test_a_process_that_ends_costs_the_one_who_was_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Crashing:
        def __init__(self, arguments: Any, *_: Any) -> None:
            self.names = arguments[3:-2]

        def output(self, limit: float) -> str:
            if "torch" in self.names:
                raise measure.Failed("exit status -11", "@numpy\n@torch\n")
            return '@numpy\n{"seconds": {"numpy": [1.0]}, "failures": {}, "notes": []}'

    monkeypatch.setattr(steady, "Child", Crashing)
    found = steady.measured(find_case("rosenbrock"), [find_peer("numpy"), find_peer("torch")], 1, "")
    assert found.seconds == {"numpy": [1.0]} and found.failures == {"torch": "exit status -11"}


def results_of_rosenbrock() -> CaseResult:
    first = measure.measure_first_call("rosenbrock", "numpy", small=True)
    assert first.seconds > 0 and first.memory >= 0
    return CaseResult(
        find_case("rosenbrock"),
        steady={"tracer": [1e-6, 2e-6], "numpy": [2e-6, 6e-6], "jax_numpy": [1e-6, 1e-6]},
        first={"numpy": first, "tracer": first, "jax": measure.FirstCall(30 * first.seconds, first.memory)},
        control=[1e-3],
    )


def test_page_and_goals() -> None:
    result = results_of_rosenbrock()
    page = markdown([result], [find_peer("numpy")], ["torch"], rounds=2)
    assert "Not installed: torch." in page and "4 µs (2.50)" in page and "0.75 (jax_numpy)" in page
    reached = {goal.promise: goal.holds for goal in goals([result], {}, {"huber": 0.6})}
    # NumPy computes no gradient, so that it is no rival.
    assert reached == {
        "every case faster than the best peer": False,
        "geometric mean over the best peer ≥ 2x": False,
        "`huber` ≥ 70% of one pass over memory": False,
        "Rosenbrock from NumPy arrays ≤ 3 µs": True,
        "first call ≥ 20x sooner than JAX's on every case": True,
        "memory no more than JAX's on every case": True,
    }


def test_results_are_kept_for_the_same_settings(tmp_path: Any) -> None:
    path, result = tmp_path / "build" / "results.jsonl", results_of_rosenbrock()
    Store(path, {"rounds": 2}, resume=False).add(result)
    with path.open("a") as file:
        file.write('{"settings": {"rou')
    again = Store(path, {"rounds": 2}, resume=True)
    assert again.of(CASES) == [result]
    assert Store(path, {"rounds": 2}, resume=True).of(CASES) == [result]
    assert Store(path, {"rounds": 3}, resume=True).of(CASES) == []


def test_profile_keeps_its_words_and_has_a_section_for_every_case() -> None:
    text = profile.put("# Page\n\n### a\n\nwords\n", "a", "first", "### A")
    assert profile.put(text, "a", "second \\1", "### A") == text.replace("first", "second \\1")
    assert text.startswith("# Page\n\n### a\n\nwords\n\n### A\n\n<!-- a:")
    page = profile.PAGE.read_text(encoding="utf-8")
    for case in CASES:
        section = page.partition(f"### {case.name}\n")[2].partition("\n### ")[0]
        _, _, words = section.partition(f"<!-- end of {case.name} -->")
        assert len(words.split()) > 5, case.name


def test_limits_of_a_program_of_products() -> None:
    machine = Limits({("copy", 1000, 1): 2e9, ("read", 1000, 1): 4e9, ("write", 1000, 1): 1e9}, {}, 1e-7)
    assert machine.seconds(400, 0) == pytest.approx(1e-7)
    assert machine.seconds(400, 400) == pytest.approx(4e-7)
    found = Anatomy(1e-3, 400, 400, 1e6, 5e-4, 3, 0, {})
    assert found.limit(machine) == (5e-4, "products")
    plan = tracer.compile(lambda x, y: np.tanh(x @ y)).plan(np.ones((40, 30)), np.ones((30, 20)))
    assert sorted(next(iter(products(plan.executable.program)))[0][1:]) == [20, 30, 40]


def test_first_calls_of_promised_peers_are_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(peer: str, limit: float) -> measure.FirstCall:
        asked.append(peer)
        if peer == "autograd":
            raise measure.Failed("missing")
        seconds = {"tracer": (3.0e-3, 9.0e-3, 4.0e-3), "numpy": (1.0e-3,), "jax": (9.0,)}[peer]
        return measure.FirstCall(seconds[asked.count(peer) - 1], 10 * asked.count(peer))

    monkeypatch.setattr(measure, "_start", lambda case, peer, scratch: peer)
    monkeypatch.setattr(measure, "_read", read)
    peers = [find_peer(name) for name in ("tracer", "numpy", "autograd", "jax")]
    found = measure.first_calls(CASES[0], peers, 25.0, 3, "")
    assert asked == ["tracer", "jax", "tracer", "tracer", "numpy", "autograd"]
    assert found["tracer"] == measure.FirstCall(4.0e-3, 30)
    assert (found["jax"], found["autograd"]) == (measure.FirstCall(9.0, 10), "missing")
