"""Every example runs, prints what it promises, and stays short."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NUMBERED = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))


def run(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> str:
    """What an example prints when it is called with these arguments."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(arguments)
    return capsys.readouterr().out


def number(pattern: str, text: str) -> float:
    """The number in the first group of the pattern."""
    found = re.search(pattern, text)
    assert found is not None, f"{pattern!r} is not in:\n{text}"
    return float(found.group(1))


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 100


def test_every_numbered_example_has_a_test() -> None:
    tested = {name[len("test_") :] for name in globals() if name.startswith("test_")}
    assert {path.stem[len("00_") :] for path in NUMBERED} <= tested


def test_logistic_regression(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "01_logistic_regression.py", "2000")
    assert text.startswith("Initial model:\n[") and "Final model:\n[" in text
    target = re.search(r"target values for D:\n(\[[^]]*\])", text)
    prediction = re.search(r"prediction on D:\n(\[[^]]*\])", text)
    assert target is not None and prediction is not None and target.group(1) == prediction.group(1)
    assert number(r"right: ([0-9.]+)%", text) == 100
    assert number(r"cost: ([0-9.]+) ->", text) > 10 > 1 > number(r"-> ([0-9.]+)", text)


def test_rosenbrock_scipy(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "02_rosenbrock_scipy.py", "20")
    assert number(r"distance from the minimum at \(1, ..., 1\): (\S+)", text) < 1e-3
    exact, differences = (int(count) for count in re.findall(r"and (\d+) evaluations", text))
    assert 10 * exact < differences


def test_polynomial_regression_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "03_polynomial_regression_by_hand.py")
    costs = [float(cost) for cost in re.findall(r"cost ([0-9.]+)", text)]
    assert len(costs) == 6 and costs[-1] < costs[0] / 10
    assert number(r"difference between the two curves: (\S+)", text) < 1e-3


def test_demo_digits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    picture = tmp_path / "curve.png"
    text = run(capsys, "demo_digits.py", "--output", str(picture))
    assert number(r"test accuracy: ([0-9.]+)%", text) >= 97
    assert number(r"tracer ([0-9]+) µs", text) > 0 and "with the same numbers" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert np.unique(np.frombuffer(picture.read_bytes(), np.uint8)).size > 100


def test_recurrent_network_by_scan(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "04_recurrent_network_by_scan.py", "300")
    assert number(r"new sequences: ([0-9.]+)", text) < number(r"mean alone: ([0-9.]+)", text) / 5


def test_heat_equation_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "05_heat_equation_in_place.py", "24")
    assert number(r"after \d+ iterations: (\S+)", text) < number(r"as it is: (\S+)", text) / 3


def test_gradients_per_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "06_gradients_per_example.py")
    assert number(r"step 1000  mean loss (\S+)", text) < 0.25
    assert number(r"wrong labels; (\d+) of them", text) >= number(r"(\d+) wrong labels", text) / 2


@pytest.mark.parametrize("mu", [1.5, 0.8])
def test_loops_and_branches(capsys: pytest.CaptureFixture[str], mu: float) -> None:
    text = run(capsys, "07_loops_and_branches.py", str(mu))
    pairs = re.findall(r"dE/de = (\S+), implicit function theorem (\S+)", text)
    assert len(pairs) == 3 and all(derivative == exact for derivative, exact in pairs)
    vectors = re.search(r"by mu \[(.*)\], by differences \[(.*)\]", text)
    assert vectors is not None
    derivative, differences = ([float(part) for part in vector.split()] for vector in vectors.groups())
    assert derivative == pytest.approx(differences, rel=1e-5)


def test_variational_autoencoder(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "08_variational_autoencoder.py", "500")
    costs = [float(cost) for cost in re.findall(r"cost (\S+)", text)]
    assert costs[-1] < costs[0] / 1.5 and "traced 1 time" in text
    assert set(text.splitlines()[-1]) <= {".", "#", " "}


def test_custom_op(capsys: pytest.CaptureFixture[str]) -> None:
    assert number(r"largest error: (\S+)", run(capsys, "09_custom_op.py")) < 0.1


def test_profile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = run(capsys, "10_profile.py", "60", str(tmp_path / "density"))
    assert "matmul" in text and "10_profile.py:" in text and "limit" in text
    assert number(r"numbers: (\S+) ->", text) > number(r"-> (\S+)", text)
    assert {path.name for path in tmp_path.iterdir()} == {"density.html", "density.json"}
