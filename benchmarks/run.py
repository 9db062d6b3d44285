"""Measure the cases on every peer that is installed and write a Markdown page: `python -m benchmarks.run --help`."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy

from benchmarks import measure
from benchmarks.cases import CASES, Case, find_case
from benchmarks.peers import PEERS, Call, Peer, find_peer
from benchmarks.report import BASE_IMPORT, TRACER_IMPORT, CaseResult, markdown, show_seconds, steady_cell

OUTPUT = Path(__file__).resolve().parent / "RESULTS.md"
IMPORTS = {"jax": "import jax", "torch": "import torch", "pytensor": "import pytensor", "autograd": "import autograd"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    # What a peer's compiler has to say about a case does not belong between the results.
    warnings.simplefilter("ignore")
    cases = [find_case(name) for name in options.cases] if options.cases else list(CASES)
    peers, skipped = load_peers([find_peer(name) for name in options.peers] if options.peers else list(PEERS))
    names = [peer.name for peer in peers]
    statements = (BASE_IMPORT, *([TRACER_IMPORT] if "tracer" in names else []))
    statements += tuple(statement for name, statement in IMPORTS.items() if name in names)
    imports = measure.import_seconds(statements, repeats=3 if options.quick else 9)
    results = []
    for case in cases:
        print(f"{case.title}", flush=True)
        results.append(measure_case(case, peers, options.rounds, options.limit, repeats=1 if options.quick else 3))
    page = markdown(results, peers, skipped, imports, options.rounds)
    options.output.write_text(page, encoding="utf-8")
    print(f"\n{page}\nwritten to {options.output}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--cases", nargs="+", metavar="CASE", help=", ".join(case.name for case in CASES))
    parser.add_argument("--peers", nargs="+", metavar="PEER", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--rounds", type=int, help="rounds of the steady measurement (15, or 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="few rounds, every first call measured once")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a first call is given up (60)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the Markdown page to write")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 15)
    return options


def load_peers(wanted: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers that can be imported, and the names of those that cannot."""
    loaded, skipped = [], []
    for peer in wanted:
        try:
            peer.load()
        except ImportError as error:
            print(f"skipped: {peer.name} ({error})")
            skipped.append(peer.name)
        else:
            loaded.append(peer)
    return loaded, skipped


def measure_case(case: Case, peers: Sequence[Peer], rounds: int, limit: float, repeats: int) -> CaseResult:
    """First calls in fresh processes, then every peer that got through one in turn within this process."""
    result = CaseResult(case)
    calls: dict[str, Call] = {}
    answers: dict[str, list[numpy.ndarray]] = {}
    for peer in peers:
        if not case.runs_on(peer.name):
            continue
        first = result.first[peer.name] = measure.spawn_first_call(case.name, peer.name, limit, repeats)
        if isinstance(first, str):
            print(f"  {peer.name:10s} left out: {first}", flush=True)
            continue
        calls[peer.name] = peer.build(case, peer.place(case.arguments()))
        answers[peer.name] = peer.to_numpy(calls[peer.name]())
        peer.warm_up(calls[peer.name])
    for line in disagreements(answers, case):
        print(f"  {line}", file=sys.stderr)
    seconds = measure.round_robin({"control": measure.control(), **calls}, rounds)
    result.control = seconds.pop("control")
    result.steady = seconds
    for name in calls:
        print(
            f"  {name:10s} {steady_cell(result, name):20s} first {show_seconds(result.first_seconds(name))}", flush=True
        )
    return result


def disagreements(answers: dict[str, list[numpy.ndarray]], case: Case) -> list[str]:
    """One line for each peer that computes something else than the first one: such a time would mean nothing."""
    tolerance = 1e-3 if case.arguments(small=True)[0].dtype == numpy.float32 else 1e-8
    lines = []
    base, *others = answers or [""]
    for name in others:
        # NumPy gives the value alone.
        for index, (seen, wanted) in enumerate(zip(answers[name], answers[base], strict=False)):
            error = numpy.max(numpy.abs(seen - wanted)) / (numpy.max(numpy.abs(wanted)) + 1e-30)
            if not error <= tolerance:
                lines.append(f"WARNING: {name} and {base} differ by {error:.1e} in result {index}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
