"""Programs of symbolic variables: `tracer.function` and `tracer.scan` beside PyTensor's and JAX's, in one process.

Run `python -m benchmarks.symbolic`; it writes a Markdown page.
"""

import argparse
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from benchmarks import steady
from benchmarks.text import machine, table

OUTPUT = Path(__file__).resolve().parent / "SYMBOLIC.md"
STEPS = 10_000
ROWS, FEATURES = 400, 784
LENGTH, WIDTH = 1_000, 64

Call = Callable[[], Any]


class Program(NamedTuple):
    """A program: what it is called, how each library builds it, and how many of its steps one call makes."""

    title: str
    builders: dict[str, Callable[[], Call]]
    steps: int


def regression(library: str, tensor: str) -> Call:
    """Logistic regression with updates, the same source for both libraries; a call makes 100 training steps."""
    theano, T = import_module(library), import_module(tensor)
    random = numpy.random.default_rng(0)
    data, labels = random.standard_normal((ROWS, FEATURES)), random.integers(0, 2, ROWS).astype(float)
    x, y = T.matrix("x"), T.vector("y")
    w, b = theano.shared(random.standard_normal(FEATURES), name="w"), theano.shared(0.0, name="b")
    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
    prediction = p_1 > 0.5
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
    cost = xent.mean() + 0.01 * (w**2).sum()
    gw, gb = theano.grad(cost, [w, b])
    train = theano.function([x, y], [prediction, xent], updates=[(w, w - 0.1 * gw), (b, b - 0.1 * gb)])

    def steps() -> Any:
        for _ in range(100):
            result = train(data, labels)
        return result[1]

    return steps


def recurrent_arrays(batch: tuple[int, ...]) -> list[numpy.ndarray]:
    """Inputs over time, the initial state, and the two weight matrices."""
    random = numpy.random.default_rng(1)
    shapes = [(LENGTH, *batch, WIDTH), (*batch, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH)]
    return [random.standard_normal(shape) * 0.1 for shape in shapes]


def recurrent(library: str, tensor: str, batch: tuple[int, ...]) -> Call:
    """A recurrent network by `scan`, with gradients of the weights, the same source for both libraries."""
    theano, T = import_module(library), import_module(tensor)
    arrays = recurrent_arrays(batch)
    x, h0 = (T.matrix("x"), T.vector("h0")) if not batch else (T.tensor3("x"), T.matrix("h0"))
    w, u = T.matrix("w"), T.matrix("u")
    states, _ = theano.scan(
        lambda x_t, h, w, u: T.tanh(T.dot(h, w) + T.dot(x_t, u)),
        sequences=x,
        outputs_info=h0,
        non_sequences=[w, u],
    )
    cost = (states**2).sum()
    function = theano.function([x, h0, w, u], [cost, *theano.grad(cost, [w, u])])
    return lambda: function(*arrays)


def recurrent_jax(batch: tuple[int, ...]) -> Call:
    """The same with `jax.lax.scan`."""
    import jax
    import jax.numpy as jnp

    def cost(w: Any, u: Any, x: Any, h0: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            h = jnp.tanh(h @ w + x_t @ u)
            return h, h

        return (jax.lax.scan(step, h0, x)[1] ** 2).sum()

    arrays = [jnp.asarray(array) for array in recurrent_arrays(batch)]
    function = jax.jit(jax.value_and_grad(cost, (0, 1)))
    x, h0, w, u = arrays
    return lambda: jax.block_until_ready(function(w, u, x, h0))


PROGRAMS = (
    Program(
        f"logistic regression, {ROWS} x {FEATURES}, by `function` with updates: one step",
        {
            "tracer": lambda: regression("tracer", "tracer.tensor"),
            "pytensor": lambda: regression("pytensor", "pytensor.tensor"),
        },
        100,
    ),
    *(
        Program(
            f"recurrent network of width {WIDTH}{label}, {LENGTH} steps by `scan`, with gradient",
            {
                "tracer": lambda batch=batch: recurrent("tracer", "tracer.tensor", batch),
                "pytensor": lambda batch=batch: recurrent("pytensor", "pytensor.tensor", batch),
                "jax": lambda batch=batch: recurrent_jax(batch),
            },
            1,
        )
        for batch, label in (((), ""), ((16,), ", batches of 16"))
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.symbolic", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", nargs="+", default=["tracer", "pytensor", "jax"])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    configure_peers(options.peers)
    rows = [row for program in PROGRAMS for row in measure_program(program, options.peers, options.rounds)]
    heads = ["program", "library", "build and first call", "steady", "of tracer's time"]
    lines = ["# Symbolic programs", __doc__.splitlines()[0], versions(options.peers), table(heads, rows)]
    page = "\n\n".join(lines) + "\n"
    options.output.write_text(page, encoding="utf-8")
    print(page)
    return 0


def versions(peers: Sequence[str]) -> str:
    """A line that names the machine and the libraries."""
    libraries = ", ".join(f"{name} {import_module(name).__version__}" for name in ("numpy", *peers))
    return f"{machine()} Python {platform.python_version()}, {libraries}."


def configure_peers(peers: Sequence[str]) -> None:
    """Import the libraries, which is not part of what is measured; double precision everywhere."""
    for name in ("tracer.tensor", "pytensor.tensor"):
        if name.split(".")[0] in peers:
            import_module(name)
    if "jax" in peers:
        import jax

        jax.config.update("jax_enable_x64", True)


def measure_program(program: Program, peers: Sequence[str], rounds: int) -> list[list[str]]:
    """Rows of the table: first calls, and medians of calls made in turn."""
    calls: dict[str, Call] = {}
    first: dict[str, float] = {}
    answers: dict[str, float] = {}
    for name in peers:
        if name not in program.builders:
            continue
        start = time.perf_counter()
        calls[name] = program.builders[name]()
        answer = calls[name]()
        first[name] = time.perf_counter() - start
        answers[name] = float(numpy.sum(answer[0] if isinstance(answer, list | tuple) else answer))
    for name, answer in answers.items():
        numpy.testing.assert_allclose(answer, answers[peers[0]], rtol=1e-6, err_msg=name)
    seconds = steady.round_robin(calls, rounds)
    medians = {name: float(numpy.median(times)) / program.steps for name, times in seconds.items()}
    return [
        [
            program.title,
            name,
            f"{first[name] * 1e3:.0f} ms",
            f"{median * 1e6:.1f} µs",
            f"{median / medians[peers[0]]:.2f}",
        ]
        for name, median in medians.items()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
