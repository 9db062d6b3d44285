"""The table of cases under pytest-benchmark: `python -m pytest benchmarks`, one test for each case and peer.

With `--benchmark-disable` every case runs once, at the size of a test.
"""

from typing import Any

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.peers import PEERS, Peer

pytest.importorskip("pytest_benchmark")

# Minutes of compilation for one number; `python -m benchmarks.run --limit 600` measures them.
SLOW = {("pytensor", name) for name in ("transformer_block", "rnn", "lstm", "nbody", "stencil")}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(benchmark: Any, case: Case, peer: Peer) -> None:
    if (peer.name, case.name) in SLOW:
        pytest.skip(f"{peer.name} compiles {case.name} for minutes")
    if not case.runs_on(peer.name):
        pytest.skip(f"{peer.name} is not measured on {case.name}")
    try:
        peer.load()
    except ImportError as error:
        pytest.skip(f"{peer.name}: {error}")
    benchmark.group = case.title
    call = peer.build(case, peer.place(case.arguments(small=benchmark.disabled)))
    call()
    peer.warm_up(call)
    benchmark(call)
