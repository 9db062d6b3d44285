"""Build of the extension module ``tracer._kernels``; all other metadata is in pyproject.toml.

Some kernel sources are compiled several times, once per instruction set, each time with other flags and another
macro. All the objects are linked into one module, which chooses among the instruction sets when it is imported.

An object is kept between builds together with the command that made it and the headers that the compiler read, so
that a change to a header, to ``ops.def`` or to a flag rebuilds what it touches and nothing else.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy
import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, PlatformError

KERNELS = Path("kernels_cpp")

# Integers wrap around as NumPy's do. Nothing that changes the meaning of NaN, infinities or signed zeros.
FLAGS = [
    *("-std=c++17", "-O3", "-g0", "-pthread", "-fvisibility=hidden"),
    *("-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
    *("-Wall", "-Wextra", "-Wno-psabi"),
]


class InstructionSet(NamedTuple):
    """One set of processor instructions that kernels are built for, with the compiler's flags for it."""

    name: str
    flags: tuple[str, ...] = ()


BASELINE = InstructionSet("baseline")
AVX2 = InstructionSet("avx2", ("-mavx2", "-mfma"))
AVX512 = InstructionSet(
    "avx512",
    (
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"),
        "-Wno-uninitialized",  # GCC 12 warns about its own header
    ),
)
NEON = InstructionSet("neon")

# By the first word of the compiler's target triple; other processors have the baseline alone.
INSTRUCTION_SETS = {"x86_64": (BASELINE, AVX2, AVX512), "aarch64": (NEON,), "arm64": (NEON,)}

# The sources compiled for every instruction set, and those among them for which the first one will do.
KERNEL_SOURCES = "kernels_*.cpp"
FIRST_SET_ONLY = ("kernels_scalar.cpp", "kernels_complex.cpp")

# NumPy's distributions of random numbers, which it offers to C. A NumPy that was installed without them draws itself.
# Sums and products are not contracted, so that numbers come out the same to the last bit.
DISTRIBUTIONS = Path(numpy.__file__).parent / "random" / "lib" / "libnpyrandom.a"
OTHER_FLAGS = {
    "draws.cpp": ("-ffp-contract=off", f'-DTRACER_NUMPY_VERSION="{numpy.__version__}"')[: 1 + DISTRIBUTIONS.exists()]
}


class Object(NamedTuple):
    """One object file to build."""

    source: Path
    path: Path
    flags: tuple[str, ...]

    @property
    def dependency_file(self) -> Path:
        """Where the compiler lists the headers that it read."""
        return self.path.with_suffix(".d")

    @property
    def command_file(self) -> Path:
        """Where the command that made the object is kept."""
        return self.path.with_suffix(".command")

    def is_current(self, command: str) -> bool:
        """Whether the object was made by this command from the files as they are now."""
        files = (self.path, self.dependency_file, self.command_file)
        if not all(file.exists() for file in files) or self.command_file.read_text() != command:
            return False
        made = self.path.stat().st_mtime_ns
        _, _, dependencies = self.dependency_file.read_text().replace("\\\n", " ").partition(":")
        read = [Path(name) for name in shlex.split(dependencies)]
        return all(file.exists() and file.stat().st_mtime_ns < made for file in read)


# Older C libraries keep dlopen in a library of its own.
LINK_FLAGS = ["-pthread", "-ldl"] if sys.platform.startswith("linux") else ["-pthread"]


class BuildKernels(build_ext):
    """Compile each kernel source for each instruction set, in parallel, and link one module."""

    def finalize_options(self) -> None:
        """Keep the objects of an editable install, which pip would throw away."""
        super().finalize_options()
        if self.editable_mode:
            self.build_temp = os.path.join("build", f"temp.{self.plat_name}-{sys.implementation.cache_tag}")

    def build_extension(self, ext: Extension) -> None:
        """Compile what changed and link."""
        self.check_compiler()
        objects = self.plan_objects()
        with ThreadPoolExecutor(self.job_count()) as pool:
            list(pool.map(self.compile_object, objects))
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            [*(str(item.path) for item in objects), *(str(DISTRIBUTIONS) for _ in range(DISTRIBUTIONS.exists()))],
            str(library),
            extra_postargs=LINK_FLAGS,
            target_lang="c++",
        )

    def check_compiler(self) -> None:
        """Refuse with a sentence what would fail with a page."""
        if self.compiler.compiler_type == "msvc":
            raise PlatformError("the kernels use GCC's vector extensions: tracer needs GCC or Clang, not MSVC")
        if shutil.which(self.compile_command()[0]) is None:
            raise PlatformError(
                f"tracer needs a C++ compiler, and {self.compile_command()[0]!r} is not installed; install GCC or "
                "Clang, or name one: CC=clang CXX=clang++ pip install ..."
            )

    def compile_command(self) -> list[str]:
        """Return the compiler with the flags that Python itself was built with."""
        return list(getattr(self.compiler, "compiler_so_cxx", None) or self.compiler.compiler_so)

    def plan_objects(self) -> list[Object]:
        """One object per source, or per source and instruction set."""
        build = Path(self.build_temp)
        instruction_sets = self.instruction_sets()
        objects = []
        for source in sorted(KERNELS.glob("*.cpp")):
            if source.match(KERNEL_SOURCES):
                for isa in instruction_sets[:1] if source.name in FIRST_SET_ONLY else instruction_sets:
                    flags = (*isa.flags, f"-DTRACER_ISA={isa.name}")
                    objects.append(Object(source, build / isa.name / f"{source.stem}.o", flags))
            else:
                flags = OTHER_FLAGS.get(source.name, ())
                objects.append(Object(source, build / "common" / f"{source.stem}.o", flags))
        return objects

    def instruction_sets(self) -> tuple[InstructionSet, ...]:
        """The instruction sets of the processor that the compiler builds for."""
        target = subprocess.run([*self.compile_command(), "-dumpmachine"], capture_output=True, text=True)
        return INSTRUCTION_SETS.get(target.stdout.strip().partition("-")[0], (BASELINE,))

    def compile_object(self, item: Object) -> None:
        """Compile one object unless it is current."""
        includes = [f"-I{path}" for path in (pybind11.get_include(), numpy.get_include(), *self.include_dirs)]
        command = [
            *self.compile_command(),
            *FLAGS,
            *item.flags,
            *includes,
            "-c",
            str(item.source),
            "-o",
            str(item.path),
        ]
        command += ["-MMD", "-MF", str(item.dependency_file)]
        record = shlex.join(command)
        if item.is_current(record) and not self.force:
            return
        item.path.parent.mkdir(parents=True, exist_ok=True)
        item.command_file.unlink(missing_ok=True)
        started = time.time_ns()
        print(f"{record if self.verbose > 1 else f'compiling {item.path}'}\n", end="", flush=True)
        if subprocess.run(command).returncode:
            raise CompileError(f"could not compile {item.source}: {record}")
        # A header that is edited while the compiler runs must count as newer than the object.
        os.utime(item.path, ns=(started, started))
        item.command_file.write_text(record)

    def job_count(self) -> int:
        """How many compilers run at once."""
        if self.parallel and self.parallel is not True:
            return int(self.parallel)
        return int(os.environ.get("NPY_NUM_BUILD_JOBS") or os.cpu_count() or 1)


if sys.platform == "darwin":
    # The flags of an instruction set are for one processor: no universal binaries.
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")

setup(
    ext_modules=[Extension("tracer._kernels", [str(path) for path in sorted(KERNELS.glob("*.cpp"))], language="c++")],
    cmdclass={"build_ext": BuildKernels},
)
