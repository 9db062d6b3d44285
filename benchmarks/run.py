"""Measure the cases on every peer that is installed and write a Markdown page: `python -m benchmarks.run --help`.

The page is written anew after every case. What was measured is kept in build/benchmarks as well, and `--resume` goes on
from there after a run that has ended early.
"""

import argparse
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import anatomy, limits, measure, steady
from benchmarks.cases import CASES, Case, find_case
from benchmarks.goals import BASE_IMPORT, SHARES, TRACER_IMPORT
from benchmarks.peers import PEERS, Peer, find_peer
from benchmarks.report import markdown, steady_cell
from benchmarks.results import CaseResult, Store
from benchmarks.text import show_seconds

FOLDER = Path(__file__).resolve().parent
STORE = FOLDER.parent / "build" / "benchmarks" / "results.jsonl"
IMPORTS = {"jax": "import jax", "torch": "import torch", "pytensor": "import pytensor", "autograd": "import autograd"}
ROUNDS, QUICK_ROUNDS = 9, 3
FIRST_CALLS = 3
QUICK_PEERS = ("tracer", "numpy", "numba", "jax", "jax_scan", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    # What a peer's compiler has to say about a case does not belong between the results.
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    cases = [find_case(name) for name in options.cases] if options.cases else list(CASES)
    peers, skipped = load_peers([find_peer(name) for name in options.peers])
    store = Store(options.store, settings(options, peers), options.resume)
    page: dict[str, Any] = {"peers": peers, "skipped": skipped, "rounds": options.rounds}

    def write() -> None:
        options.output.write_text(markdown(store.of(cases), **page), encoding="utf-8")

    missing = [case for case in cases if case.name not in store.results]
    with measure.scratch_folder() as folder:
        scratch = measure.Scratch(folder)
        if missing:
            print("preparing", flush=True)
            scratch.prepare(peers, 2 * options.limit)
        for number, case in enumerate(missing, 1):
            elapsed = time.perf_counter() - started
            print(f"{case.title} ({number} of {len(missing)}, {elapsed:.0f} s)", flush=True)
            repeats, fresh = options.first_calls, scratch.fresh()
            store.add(measure_case(case, peers, options.rounds, options.limit, repeats, fresh))
            write()
    names = [peer.name for peer in peers]
    page["imports"] = measure.import_seconds(import_statements(names), repeats=3 if options.quick else 9)
    if "tracer" in names:
        page["shares"] = limit_shares(cases)
        if not options.quick:
            page["compile_speed"] = compile_speed()
    write()
    print(f"\nwritten to {options.output} after {time.perf_counter() - started:.0f} s")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--cases", nargs="+", metavar="CASE", help=", ".join(case.name for case in CASES))
    parser.add_argument("--peers", nargs="+", metavar="PEER", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--rounds", type=int, help=f"rounds of steady calls ({ROUNDS}, or {QUICK_ROUNDS} with --quick)")
    parser.add_argument(
        "--quick", action="store_true", help=f"few rounds, first calls once, and only {', '.join(QUICK_PEERS)}"
    )
    parser.add_argument(
        "--first-calls",
        type=int,
        metavar="N",
        help=f"first calls of {', '.join(measure.REPEATED)}, in turn ({FIRST_CALLS}, or 1 with --quick)",
    )
    parser.add_argument("--limit", type=float, default=25, help="seconds after which a first call is given up (25)")
    parser.add_argument("--output", type=Path, default=FOLDER / "RESULTS.md", help="the Markdown page to write")
    parser.add_argument("--store", type=Path, default=STORE, help="where what was measured is kept")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.first_calls = options.first_calls or (1 if options.quick else FIRST_CALLS)
    options.peers = options.peers or (QUICK_PEERS if options.quick else [peer.name for peer in PEERS])
    return options


def settings(options: argparse.Namespace, peers: Sequence[Peer]) -> dict[str, Any]:
    """What two results must have in common to stand in one table."""
    return {
        "versions": {peer.name: peer.version for peer in peers},
        "python": platform.python_version(),
        "rounds": options.rounds,
        "limit": options.limit,
        "first_calls": options.first_calls,
    }


def load_peers(wanted: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers that are installed, and the names of those that are not; importing them is left to the children."""
    loaded = [peer for peer in wanted if all(find_spec(module) for module in peer.modules[:1])]
    skipped = [peer.name for peer in wanted if peer not in loaded]
    return loaded, skipped


def measure_case(
    case: Case, peers: Sequence[Peer], rounds: int, limit: float, repeats: int, scratch: str
) -> CaseResult:
    """First calls in fresh processes, then every peer that got through one in turn within one process."""
    result = CaseResult(case)
    peers = [peer for peer in peers if case.runs_on(peer.name)]
    compiling = [peer for peer in peers if peer.first_as is None]
    result.first = measure.first_calls(case, compiling, limit, repeats, scratch)
    failed = {name: reason for name, reason in result.first.items() if isinstance(reason, str)}
    running = [peer for peer in peers if peer.name not in failed and peer.first_as not in failed]
    found = steady.measured(case, running, rounds, scratch)
    result.control = found.seconds.pop(steady.CONTROL, [])
    result.steady, result.notes = found.seconds, found.notes
    for name, reason in (failed | found.failures).items():
        print(f"  {name:14s} left out: {reason}", flush=True)
        if not reason.startswith("> "):
            result.notes.append(f"without {name}: {reason}"[:160])
    for name in result.steady:
        first = show_seconds(result.first_seconds(name))
        print(f"  {name:14s} {steady_cell(result, name):22s} first {first}", flush=True)
    for note in found.notes:
        print(f"  {note}", flush=True)
    return result


def import_statements(names: Sequence[str]) -> tuple[str, ...]:
    ours = (TRACER_IMPORT,) if "tracer" in names else ()
    return BASE_IMPORT, *ours, *(statement for name, statement in IMPORTS.items() if name in names)


def limit_shares(cases: Sequence[Case]) -> dict[str, float]:
    """How near tracer comes to the machine's limit on the cases that promise it."""
    wanted = [case for case in cases if case.name in SHARES]
    if not wanted:
        return {}
    try:
        machine, shares = limits.measure(), {}
        for case in wanted:
            with measure.scratch_folder() as scratch:
                found = anatomy.measured(case, scratch)
            shares[case.name] = found.limit(machine)[0] / found.seconds
    except (ImportError, measure.Failed) as error:
        print(f"without shares of the limit: {error}")
        return {}
    return shares


def compile_speed() -> str:
    """The table of `benchmarks.compile_speed` for ten thousand operations, as it prints it."""
    command = [sys.executable, "-m", "benchmarks.compile_speed", "10000"]
    found = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    return f"```\n{found.stdout.strip()}\n```" if found.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
