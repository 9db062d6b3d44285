"""The clocks: first calls and memory in fresh processes, imports, and how such processes are started."""

import compileall
import ctypes
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cases import CASES, Case, find_case
from benchmarks.peers import Peer, find_peer

ROOT = Path(__file__).resolve().parent.parent
SLOW_SECONDS = 2.0
REPEATED = ("tracer", "jax", "jax_scan")
"""Whose first calls are promised about; once has to do for the others."""


@dataclass(frozen=True)
class FirstCall:
    """What one fresh process saw: building and calling for the first time, and memory on top of the arguments."""

    seconds: float
    memory: int


class Failed(Exception):
    """A process that did not get through, with the reason in a line and what it printed until then."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


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


class Child:
    """A Python process of its own, with temporary files and caches in a folder of its own.

    Parameters
    ----------
    arguments : sequence of str
        What follows the interpreter.
    scratch : path
        Temporary files, and with them what the libraries keep of their compiled code.
    cores : int, optional
        Restricts it to so many processors, where the system can do so.
    """

    def __init__(self, arguments: Sequence[str], scratch: str, cores: int | None = None) -> None:
        places = {"TMPDIR": scratch, "XDG_CACHE_HOME": scratch}
        # An installed package has its bytecode, whatever the shell says about writing more of it.
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *arguments],
            cwd=ROOT,
            env=environment | places,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=None if cores is None else lambda: _keep_to(cores),
        )

    def output(self, limit: float) -> str:
        """What it prints until it ends; `Failed` when it crashes or is not done in `limit` seconds."""
        try:
            output, errors = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            # A peer may have started compilers of its own: they share the new session's process group.
            os.killpg(self.process.pid, signal.SIGKILL)
            output, _ = self.process.communicate()
            raise Failed(f"> {limit:g} s", output) from None
        if self.process.returncode:
            reason = (errors.strip().splitlines() or [f"exit status {self.process.returncode}"])[-1]
            raise Failed(reason, output)
        return output


def _keep_to(cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        yield folder


def first_calls(
    case: Case, peers: Sequence[Peer], limit: float, repeats: int, scratch: str
) -> dict[str, FirstCall | str]:
    """The first call of each peer, or the reason why there is none.

    Peers about which something is promised are measured several times in turn, so that the machine's moods meet all of
    them. Those that compile for long are measured once and at the same time, one for each processor, and leave what
    they have compiled in `scratch`.
    """
    quick = [peer.name for peer in peers if not peer.slow]
    found = _in_turn(case.name, [name for name in quick if name in REPEATED], limit, repeats)
    found |= _in_turn(case.name, [name for name in quick if name not in REPEATED], limit, 1)
    slow = {peer.name: _start(case.name, peer.name, scratch) for peer in peers if peer.slow}
    start = time.perf_counter()
    for name, child in slow.items():
        try:
            found[name] = _read(child, max(limit - (time.perf_counter() - start), 0.1))
        except Failed as failure:
            found[name] = f"> {limit:g} s" if str(failure).startswith("> ") else str(failure)
    return found


def _in_turn(case: str, peers: Sequence[str], limit: float, repeats: int) -> dict[str, FirstCall | str]:
    """Medians over fresh processes, the peers one after another in each round; slow ones are measured once."""
    seen: dict[str, list[FirstCall]] = {peer: [] for peer in peers}
    failed: dict[str, FirstCall | str] = {}
    for _ in range(repeats):
        for peer, runs in seen.items():
            if peer in failed or (runs and runs[-1].seconds > SLOW_SECONDS):
                continue
            with scratch_folder() as scratch:
                try:
                    runs.append(_read(_start(case, peer, scratch), limit))
                except Failed as failure:
                    failed[peer] = str(failure)
    return {peer: failed[peer] if peer in failed else _middle(runs) for peer, runs in seen.items()}


def _middle(runs: Sequence[FirstCall]) -> FirstCall:
    return FirstCall(statistics.median(run.seconds for run in runs), max(run.memory for run in runs))


def _start(case: str, peer: str, scratch: str) -> Child:
    return Child(["-m", "benchmarks.measure", case, peer], scratch)


def _read(child: Child, limit: float) -> FirstCall:
    return FirstCall(**json.loads(child.output(limit).splitlines()[-1]))


class Scratch:
    """Folders for temporary files that every case finds as they were after the first calls that nobody measures.

    These write everybody's bytecode, as an installed package has it, and what a peer's compiler keeps of finding out
    about the machine. The path is always the same, since that is kept with it.
    """

    def __init__(self, folder: str) -> None:
        self.path, self._prepared = Path(folder, "work"), Path(folder, "prepared")
        self.path.mkdir()
        self._prepared.mkdir()

    def prepare(self, peers: Sequence[Peer], limit: float) -> None:
        """Make the first calls that nobody measures."""
        compileall.compile_dir(str(ROOT / "tracer"), quiet=2)
        for peer in peers:
            with suppress(Failed):
                scratch = str(self.path) if peer.prepares else tempfile.mkdtemp(dir=self._prepared.parent)
                case = next(case.name for case in CASES if case.runs_on(peer.name))
                Child(["-m", "benchmarks.measure", case, peer.name, "--small"], scratch).output(limit)
        self._prepared.rmdir()
        self.path.rename(self._prepared)

    def fresh(self) -> str:
        """The folder as it was prepared."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self._prepared, self.path, symlinks=True)
        return str(self.path)


def import_seconds(statements: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Median time of each statement in fresh interpreters, in turn."""
    program = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"
    seen: dict[str, list[float]] = {statement: [] for statement in statements}
    with scratch_folder() as scratch:
        for _ in range(repeats):
            for statement, seconds in seen.items():
                seconds.append(float(Child(["-c", program.format(statement)], scratch).output(60)))
    return {statement: statistics.median(seconds) for statement, seconds in seen.items()}


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
    print(json.dumps(asdict(measure_first_call(*sys.argv[1:3], small="--small" in sys.argv))))
