"""Native code kept on disk, and the linker that makes it callable."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

import llvmlite.binding as llvm

import tracer
from tracer.run.native import cache, compiler
from tracer.run.native.cache import Store
from tracer.run.native.linker import USABLE, link

KEY = "ab" * 32
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
linked_here = pytest.mark.skipif(not USABLE, reason="LLVM's linker is used here")


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def run_python(directory: Path | str, code: str) -> str:
    prelude = "import sys, numpy as np, tracer\n"
    env = {**os.environ, "TRACER_JIT_CACHE": str(directory), "TRACER_JIT": "always"}
    result = subprocess.run(
        [sys.executable, "-c", prelude + code], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


PROGRAM = """
x = np.linspace(-3.0, 3.0, 1001)
f = tracer.compile(lambda x: (np.floor(x) * 2.5 + x, np.sum(np.exp(x) - 0.25)))
a, b = f(x)
np.testing.assert_array_equal(a, np.floor(x) * 2.5 + x)
assert "native" in repr(f.plan(x).executable.native)
print('llvmlite' in sys.modules)
"""


@linked_here
def test_the_next_process_has_the_code_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "jit"
    assert run_python(directory, PROGRAM) == "True"
    made = files(directory)
    assert made and directory.stat().st_mode & 0o077 == 0
    assert run_python(directory, PROGRAM) == "False"
    damaged = directory / made[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert run_python(directory, PROGRAM) == "True"
    assert files(directory) == made
    assert run_python(directory, PROGRAM) == "False"


def test_without_a_place_to_keep_it_code_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert run_python(tmp_path / "file" / "jit", PROGRAM) == "True"
    assert run_python("off", PROGRAM) == "True"
    assert files(tmp_path) == ["file"]


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    cache._store.cache_clear()
    with tracer.config.changed(jit_cache="off"):
        assert cache.store() is None
    with tracer.config.changed(jit_cache=str(tmp_path / "mine")):
        store = cache.store()
        assert store is not None and store.directory == (tmp_path / "mine").resolve()
    if sys.platform == "linux":
        with tracer.config.changed(jit_cache="auto"):
            store = cache.store()
            assert store is not None and store.directory == (tmp_path / "caches/tracer/jit").resolve()
    cache._store.cache_clear()


def test_what_was_not_stored_as_it_is_is_not_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    code = bytes(range(256)) * 20
    store.put(KEY, code)
    assert store.get(KEY) == code and store.get("cd" * 32) is None
    whole = (tmp_path / KEY).read_bytes()
    for broken in (b"", whole[:-7], whole + b"\0", whole[:50] + b"x" + whole[51:], whole[1:]):
        (tmp_path / KEY).write_bytes(broken)
        assert store.get(KEY) is None
        assert files(tmp_path) == []
    (tmp_path / ("cd" * 32)).write_bytes(whole)
    assert store.get("cd" * 32) is None


@posix_only
def test_what_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    store = Store(tmp_path / "own")
    store.put(KEY, b"code")
    (store.directory / KEY).chmod(0o666)
    assert store.get(KEY) is None
    (tmp_path / "elsewhere").write_bytes((store.directory / KEY).read_bytes())
    (store.directory / KEY).unlink()
    (store.directory / KEY).symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    store.directory.chmod(0o777)
    with pytest.raises(PermissionError, match="alone to write"):
        Store(store.directory)
    with tracer.config.changed(jit_cache=str(store.directory)):
        assert cache.store() is None


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    store = Store(tmp_path)
    for number in range(8):
        store.put(f"{number}", bytes(1000))
        os.utime(tmp_path / f"{number}", (1000 + number, 1000 + number))
    (tmp_path / "x.1.new").write_bytes(b"")
    os.utime(tmp_path / "x.1.new", (1000, 1000))
    assert store.get("0") is not None
    for number in range(8, 12):
        store.put(f"{number}", bytes(1000))
    left = files(tmp_path)
    assert sum((tmp_path / name).stat().st_size for name in left) <= 10_000
    assert "0" in left and "11" in left and "1" not in left and "x.1.new" not in left


def test_many_at_once(tmp_path: Path) -> None:
    codes = {f"{number:064}": bytes([number]) * 50_000 for number in range(4)}
    wrong = []

    def work() -> None:
        store = Store(tmp_path)
        for _ in range(20):
            for key, code in codes.items():
                store.put(key, code)
                if store.get(key) != code:
                    wrong.append(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and files(tmp_path) == sorted(codes)


# --- the linker --------------------------------------------------------------------------------------------------

MODULE = """
@table = private constant [4 x double] [double 1.5, double -2.0, double 7.0, double 0.25]
declare double @cbrt(double)
declare double @fmod(double, double)
define double @loop(double %x, i64 %i) {
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %factor = load double, ptr %place
  %a = call double @cbrt(double %x)
  %b = call double @fmod(double %a, double 3.0)
  %c = fmul double %b, %factor
  ret double %c
}
"""


def assemble(text: str) -> bytes:
    machine = compiler._machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    return machine.emit_object(module)


def test_code_with_constants_and_calls() -> None:
    code = compiler.Code(assemble(MODULE))
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)(code.address)
    for i, factor in enumerate((1.5, -2.0, 7.0, 0.25)):
        assert function(1000.0, i) == pytest.approx(factor * (10.0 % 3.0))


@linked_here
def test_what_is_not_known_is_left_to_llvm() -> None:
    whole = assemble(MODULE)
    assert link(whole, "loop") is not None
    assert link(whole, "another") is None
    assert link(assemble(MODULE.replace("cbrt", "no_such_function")), "loop") is None
    assert link(assemble(MODULE.replace("private constant", "global")), "loop") is None
    for end in range(0, len(whole), 37):
        assert link(whole[:end], "loop") is None
