"""The clocks: first calls and memory in fresh processes, steady calls in turn within one, imports."""

import ctypes
import gc
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy

from benchmarks.cases import find_case
from benchmarks.peers import find_peer

ROOT = Path(__file__).resolve().parent.parent
TURN_SECONDS = 0.05
SETTLE_SECONDS = 0.02
MOST_SETTLE_STEPS = 100
WARM_UP_SECONDS = 0.2
SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class FirstCall:
    """What one fresh process saw: building and calling for the first time, and memory on top of the arguments."""

    seconds: float
    memory: int


def measure_first_call(case: str, peer: str, small: bool = False) -> FirstCall:
    """Build and call once in this process, which has to be a fresh one."""
    adapter = find_peer(peer)
    adapter.load()
    arrays = find_case(case).arguments(small)
    arguments = adapter.place(arrays)
    before = _peak_memory(restart=True)
    start = time.perf_counter()
    call = adapter.build(find_case(case), arguments)
    call()
    seconds = time.perf_counter() - start
    for _ in range(3):
        call()
    return FirstCall(seconds, _peak_memory() - before)


def spawn_first_call(case: str, peer: str, limit: float, repeats: int) -> FirstCall | str:
    """Medians over fresh processes, or the reason why there are none; slow ones are measured once."""
    seen: list[FirstCall] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as scratch:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.measure", case, peer],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": scratch},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            try:
                output, errors = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                # A peer may have started compilers of its own: they share the new session's process group.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return f"> {limit:g} s"
        if process.returncode:
            return (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        seen.append(FirstCall(**json.loads(output.splitlines()[-1])))
        if seen[-1].seconds > SLOW_SECONDS:
            break
    return FirstCall(statistics.median(run.seconds for run in seen), max(run.memory for run in seen))


def round_robin(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each entry in each round; in a round every entry has one turn, after the others."""
    numbers = {name: _calls_per_turn(call) for name, call in calls.items()}
    gc.collect()
    # What the libraries keep alive is not the business of a collection that falls into somebody's turn.
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            _settle()
            # What ran before has taken the caches and the freed memory; a turn measures calls that follow one another.
            for _ in range(max(2, numbers[name] // 4)):
                call()
            seconds[name].append(_time_calls(call, numbers[name]))
    gc.unfreeze()
    return seconds


def _settle() -> None:
    """Wait until no thread of this process works: OpenBLAS's spin on after a product and take a core from the next."""
    for _ in range(MOST_SETTLE_STEPS):
        before = time.process_time()
        time.sleep(SETTLE_SECONDS)
        if time.process_time() - before < SETTLE_SECONDS / 20:
            return


def control() -> Callable[[], Any]:
    """Work that does not involve any peer: if its time moves between cases, the machine did."""
    rng = numpy.random.default_rng(0)
    matrix, vector = rng.normal(size=(160, 160)), rng.normal(size=50_000)
    return lambda: (matrix @ matrix, numpy.exp(vector))


def import_seconds(statements: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Median time of each statement in fresh interpreters, in turn."""
    program = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"
    seen: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(repeats):
        for statement, seconds in seen.items():
            command = [sys.executable, "-W", "ignore", "-c", program.format(statement)]
            output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            seconds.append(float(output))
    return {statement: statistics.median(seconds) for statement, seconds in seen.items()}


def _calls_per_turn(call: Callable[[], Any]) -> int:
    """How many calls fill a turn; warms the call up on the way."""
    deadline, fastest = time.perf_counter() + WARM_UP_SECONDS, float("inf")
    while True:
        fastest = min(fastest, _time_calls(call, 1))
        if time.perf_counter() > deadline:
            return max(1, round(TURN_SECONDS / fastest))


def _time_calls(call: Callable[[], Any], number: int) -> float:
    repeats = range(number)
    start = time.perf_counter()
    for _ in repeats:
        call()
    return (time.perf_counter() - start) / number


def _peak_memory(restart: bool = False) -> int:
    """Largest resident size so far in bytes; `restart` forgets what came before where the system can do so."""
    try:
        if restart:
            # Freed memory that the allocator keeps would be used again without being seen.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        # Not ru_maxrss: on Linux a child starts with the peak of the process that started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    print(json.dumps(asdict(measure_first_call(*sys.argv[1:3]))))
