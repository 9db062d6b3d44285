"""Measure cases on a GPU beside JAX and PyTorch, and write a Markdown page: `python -m benchmarks.gpu --help`.

Small cases tell what a launch costs, large ones how near the kernels come to the bandwidth of a copy. All libraries
run in one process, in turn within each round.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy

from benchmarks import steady
from benchmarks.cases import Case, find_case
from benchmarks.peers import Peer
from benchmarks.peers.gpu_peers import GPU_PEERS
from benchmarks.text import show_ratio, show_seconds, table

PAGE = Path(__file__).resolve().parent / "GPU.md"
ROUNDS = 7
COPIED = 1 << 30
"""Bytes that are copied to find the bandwidth: many times the cache."""


@dataclass(frozen=True)
class Variant:
    """A case at a size of its own.

    Attributes
    ----------
    case : Case
    passes : float
        How often all arguments are read and all gradients written at least; 0 where bandwidth is not the limit.
    """

    case: Case
    passes: float = 0.0


def sized(name: str, title: str, passes: float = 0.0, **size: Any) -> Variant:
    """A case of `benchmarks.cases` at another size."""
    case = find_case(name)
    return Variant(replace(case, title=title, size={**case.size, **size}), passes)


VARIANTS = (
    sized("three_arrays", "three arrays of 16, f64"),
    sized("logistic_step", "logistic regression step, 400x784, f64"),
    sized("mlp_step_8", "MLP step, batch 8, f32"),
    sized("mlp_step_128", "MLP step, batch 128, f32"),
    sized("mlp_step_128", "MLP 4096-4096-4096-1000 step, batch 4096, f32", batch=4096, widths=(4096, 4096, 4096, 1000)),
    sized("mlp_adam_32", "MLP step by Adam, batch 32, f32"),
    sized("transformer_block", "transformer block, 4x64x128, f32"),
    sized("transformer_block", "transformer block, 16x512x1024, f32", batch=16, length=512, width=1024),
    sized("polynomial_1e7", "cheap polynomial, 2 x 1e8, f32", 1.0, n=10**8),
    sized("chain_f32", "tanh/exp/log1p/sqrt chain, 2 x 1e8, f32", 1.0, n=10**8),
    sized("huber", "Huber loss, 1e8, f64", 1.0, n=10**8),
    sized("log_sum_exp", "log-sum-exp of rows, 100000x1000, f64", 1.0, rows=100_000, columns=1000),
    sized("softmax_cross_entropy", "softmax cross-entropy, 65536x1000, f32", 1.0, n=65536),
    sized("layer_norm_gelu", "layer norm and GELU, 65536x1024, f32", 1.0, n=65536, width=1024),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--match", default="", help="only cases whose title has this in it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--small", action="store_true", help="the sizes of the tests, to see that everything runs")
    parser.add_argument("--output", type=Path, default=PAGE, help="the Markdown page to write")
    options = parser.parse_args(arguments)
    # Else JAX takes most of the memory for itself at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    peers = loaded(GPU_PEERS)
    if not peers or peers[0].name != "tracer":
        print("no GPU: `python -c 'import tracer; tracer.doctor()'` tells what is missing")
        return 1
    bandwidth = copy_bandwidth()
    rows = []
    for variant in VARIANTS:
        if options.match in variant.case.title:
            print(variant.case.title, flush=True)
            rows.append(measured(variant, peers, options, bandwidth))
            options.output.write_text(page(peers, rows, bandwidth), encoding="utf-8")
    print(f"written to {options.output}")
    return 0


def loaded(peers: Sequence[Peer]) -> list[Peer]:
    """Those that are installed and find a GPU."""
    found = []
    for peer in peers:
        try:
            peer.load()
        except Exception as error:
            print(f"without {peer.name}: {error}".splitlines()[0])
        else:
            found.append(peer)
    return found


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a copy on the GPU."""
    import cupy

    source, target = cupy.empty(COPIED, numpy.uint8), cupy.empty(COPIED, numpy.uint8)
    stream = cupy.cuda.get_current_stream()
    times = []
    for _ in range(5):
        stream.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            cupy.copyto(target, source)
        stream.synchronize()
        times.append((time.perf_counter() - start) / 10)
    return 2 * COPIED / min(times)


def measured(variant: Variant, peers: Sequence[Peer], options: argparse.Namespace, bandwidth: float) -> list[str]:
    """A row of the table: each library's first and later calls, and the share of the bandwidth that is reached."""
    case = variant.case
    first, calls, answers = {}, {}, {}
    for peer in peers:
        arguments = peer.place(case.arguments(options.small))
        start = time.perf_counter()
        try:
            call = peer.build(case, arguments)
            answers[peer.name] = peer.to_numpy(call())
        except Exception as error:
            print(f"  {peer.name}: {type(error).__name__}: {error}".splitlines()[0])
            continue
        first[peer.name] = time.perf_counter() - start
        peer.warm_up(call)
        calls[peer.name] = call
    if not options.small:
        print("\n".join(steady.disagreements(answers, case)), end="", flush=True)
    told = steady.round_robin(calls, options.rounds)
    medians = {name: statistics.median(found) for name, found in told.items()}
    own = medians.get("tracer")
    others = [value for name, value in medians.items() if name != "tracer"]
    cells = [case.title, show_ratio(min(others) / own if own and others else None)]
    cells += [f"{show_seconds(medians.get(peer.name))} ({show_seconds(first.get(peer.name))})" for peer in peers]
    share = variant.passes * bytes_moved(case, options.small) / own / bandwidth if own and variant.passes else None
    return [*cells, "-" if share is None else f"{share:.0%}"]


def bytes_moved(case: Case, small: bool) -> int:
    """Those of the arguments, and of a gradient for each parameter."""
    arguments = case.arguments(small)
    return sum(array.nbytes for array in (*arguments, *arguments[: case.parameters]))


def page(peers: Sequence[Peer], rows: Sequence[Sequence[str]], bandwidth: float) -> str:
    """The Markdown page."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers)
    header = ["case", "best peer", *(f"{peer.name} (first call)" for peer in peers), "of the copy's bandwidth"]
    return (
        "# On a GPU\n\n"
        f"Value and gradient of each case, or one training step, made by `python -m benchmarks.gpu` on {name}; "
        f"{versions}.\nA copy on the GPU moves {bandwidth / 1e12:.2f} TB/s. Every call waits until the GPU is done.\n\n"
        f"{table(header, rows)}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
