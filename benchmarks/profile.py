"""The tables of benchmarks/PROFILE.md: `python -m benchmarks.profile`.

Measures the machine's limits and takes every case apart. What stands between a pair of marks in the page is written
anew; all other words are kept, and a case that has no section yet gets one at the end. What was measured is kept in
build/benchmarks too: a run that ends early goes on with `--resume`.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import anatomy, limits, measure, steady
from benchmarks.anatomy import Anatomy
from benchmarks.cases import CASES, Case, find_case
from benchmarks.limits import Limits
from benchmarks.peers import find_peer
from benchmarks.text import machine, show_bytes, show_seconds, table

PAGE = Path(__file__).resolve().parent / "PROFILE.md"
ROUNDS = 3
STORE = PAGE.parent.parent / "build" / "benchmarks" / "profile.json"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="measure only these again; the others are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--store", type=Path, default=STORE, help="where what was measured is kept")
    parser.add_argument("--resume", action="store_true", help="measure only what is not kept yet")
    options = parser.parse_args(arguments)
    kept: dict[str, Any] = {}
    if options.store.exists() and (options.resume or options.cases):
        kept = json.loads(options.store.read_text(encoding="utf-8"))
    cases = [find_case(name) for name in options.cases or [case.name for case in CASES if case.name not in kept]]
    found_limits = limits.measure()
    for case in cases:
        print(case.title, flush=True)
        with measure.scratch_folder() as scratch:
            try:
                it = anatomy.measured(case, scratch)
                kept[case.name] = {"anatomy": asdict(it), "cores": one_and_all_cores(case, scratch)}
            except measure.Failed as failure:
                print(f"  left out: {failure}", flush=True)
        options.store.parent.mkdir(parents=True, exist_ok=True)
        options.store.write_text(json.dumps(kept), encoding="utf-8")
        text = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
        found = {name: Anatomy(**entry["anatomy"]) for name, entry in kept.items()}
        cores = {name: tuple(entry["cores"]) for name, entry in kept.items()}
        options.page.write_text(page(text, found_limits, found, cores), encoding="utf-8")
    return 0


def one_and_all_cores(case: Case, scratch: str) -> tuple[float, float]:
    """Seconds of a call in a process that has one core, and in one that has them all."""
    ours = [find_peer("tracer")]
    found = []
    for cores in (1, None):
        seconds = steady.measured(case, ours, ROUNDS, scratch, cores).seconds
        if not seconds.get("tracer"):
            raise measure.Failed("no steady calls")
        found.append(min(seconds["tracer"]))
    return found[0], found[1]


def page(
    text: str,
    found_limits: Limits,
    found: Mapping[str, Anatomy],
    cores: Mapping[str, tuple[float, float]],
) -> str:
    """The page with new tables and the words that it had."""
    text = text or "# Where the time goes\n"
    text = put(text, "machine", f"{machine()}\n\n{limits.tables(found_limits)}", "## The machine's limits")
    text = put(text, "cases", distances(found_limits, found), "## Distance to the limit")
    text = put(text, "cores", scaling(cores), "## One core and two")
    for case in CASES:
        if case.name in found:
            text = put(text, case.name, facts(case, found_limits, found[case.name]), f"### {case.name}")
    return text


def put(text: str, name: str, content: str, heading: str) -> str:
    """The text with the content between the marks called `name`; both are added under a heading where missing."""
    start, end = f"<!-- {name}: written by benchmarks.profile -->", f"<!-- end of {name} -->"
    block = f"{start}\n{content}\n{end}"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text, count=1)
    return f"{text.rstrip()}\n\n{heading}\n\n{block}\n"


def distances(found_limits: Limits, found: Mapping[str, Anatomy]) -> str:
    """One line for each case: what it moves and multiplies at least, the time for that, and tracer's."""
    rows = []
    for case in CASES:
        if case.name not in found:
            continue
        it = found[case.name]
        least, what = it.limit(found_limits)
        rows.append(
            [
                f"[{case.title}](#{case.name})",
                show_bytes(it.bytes_read + it.bytes_written),
                f"{it.flops / 1e6:.3g}" if it.flops else "-",
                show_seconds(found_limits.seconds(it.bytes_read, it.bytes_written)),
                show_seconds(it.product_seconds) if it.flops else "-",
                what,
                show_seconds(it.seconds),
                f"{least / it.seconds:.0%}",
            ]
        )
    heads = "case|bytes in and out|MFLOP of products|to move|BLAS alone|limit|`tracer`|of the limit reached".split("|")
    return table(heads, rows)


def scaling(cores: Mapping[str, tuple[float, float]]) -> str:
    rows = [
        [case.title, show_seconds(one), show_seconds(every), f"{one / every:.2f}"]
        for case in CASES
        for one, every in filter(None, [cores.get(case.name)])
    ]
    return table(["case", "one core", "all cores", "times faster"], rows)


def facts(case: Case, found_limits: Limits, it: Anatomy) -> str:
    """A paragraph about a case."""
    least, what = it.limit(found_limits)
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in it.shares.items())
    return (
        f"{case.title}: {show_seconds(it.seconds)}; the limit, {what}, is {show_seconds(least)}. "
        f"{it.instructions} instructions ({shares}), {show_bytes(it.temporary)} of temporaries."
    )


if __name__ == "__main__":
    sys.exit(main())
