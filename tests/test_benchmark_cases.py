"""The benchmark cases compute what they say: against NumPy and finite differences, at small sizes."""

import importlib.util
from typing import Any

import numpy as np
import pytest

import tracer
from benchmarks import measure
from benchmarks.cases import CASES, Case, find_case
from benchmarks.peers import PEERS, find_peer
from benchmarks.report import CaseResult, goals, markdown

# The peers that are installed; `make bench` installs them all.
STEPPERS = [name for name in ("tracer", "autograd", "jax", "torch") if importlib.util.find_spec(name)]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def in_float64(case: Case) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in case.arguments(small=True)]


def value_and_gradients(case: Case, arguments: Any, backend: str | None = None) -> tuple[Any, tuple[Any, ...]]:
    derived = tracer.value_and_grad(lambda *given: case.cost(np, *given), argnums=tuple(range(case.parameters)))
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
    moved = [p - case.learning_rate * g for p, g in zip(arguments, gradients, strict=False)]
    step = adapter.build(case, adapter.place(case.arguments(small=True)))
    values = [adapter.to_numpy(step())[0] for _ in range(2)]
    expected = [case.cost(np, *arguments), case.cost(np, *moved, *arguments[case.parameters :])]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    for before, after in zip(case.arguments(small=True), arguments, strict=True):
        np.testing.assert_array_equal(before, after)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(KeyError, match="rosenbrock"):
        find_case("rosenbruck")
    with pytest.raises(KeyError, match="tracer"):
        find_peer("tracr")


def test_round_robin_gives_every_entry_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(measure, "TURN_SECONDS", 0.0)
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = measure.round_robin(calls, rounds=2)
    assert order[-12:] == list("aaabbbaaabbb")
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())


def test_first_call_and_page() -> None:
    case = find_case("rosenbrock")
    first = measure.measure_first_call("rosenbrock", "numpy", small=True)
    assert first.seconds > 0 and first.memory >= 0
    result = CaseResult(
        case,
        steady={"tracer": [1e-6, 2e-6], "numpy": [2e-6, 6e-6], "jax_numpy": [1e-6, 2e-6]},
        first={"numpy": first, "jax_numpy": "> 60 s"},
        control=[1e-3],
    )
    page = markdown([result], [peer for peer in PEERS if peer.name in ("numpy",)], ["torch"], {}, rounds=2)
    assert "Not measured: torch." in page and "4 µs (2.50)" in page
    reached = {goal.promise: goal.holds for goal in goals({"rosenbrock": result}, {})}
    assert list(reached.values()) == [True, False]
