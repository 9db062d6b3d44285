"""Settings that hold for the whole process, read from the environment when the package is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ContextDecorator, contextmanager
from typing import Any

from tracer.records import NamedTuple


class Flag(NamedTuple):
    """What a setting may be.

    Attributes
    ----------
    default : bool, int, float or str
        Its value if nothing sets it. Texts of the environment are read as its type.
    choices : tuple of str
        The values that a text may have; any if there are none.
    """

    default: Any
    choices: tuple[str, ...] = ()


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")
_CPUS = len(os.sched_getaffinity(0)) if _HAS_AFFINITY else (os.cpu_count() or 1)
_MODES = ("FAST_RUN", "FAST_COMPILE", "Mode", "DebugMode", "DEBUG_MODE", "NanGuardMode", "MonitorMode")

FLAGS: dict[str, Flag] = {
    "threads": Flag(_CPUS),
    "check_nan": Flag(False),
    "backend": Flag("cpu", ("cpu", "reference")),
    "verify": Flag(False),
    "jit": Flag("auto", ("auto", "off", "always")),
    "jit_cache": Flag("auto"),
    "roll_loops": Flag("auto", ("auto", "off")),
    "device": Flag("cpu", ("cpu", "gpu", "gpu0", "cuda", "cuda0")),
    "gpu_fallback": Flag("warn", ("warn", "raise", "silent")),
    "gpu_scatter": Flag("ordered", ("ordered", "atomic")),
    "gpu_storage": Flag("float32", ("float32", "float16", "bfloat16")),
    "gpu_tf32": Flag(False),
    "floatX": Flag("float64", ("float64", "float32")),
    # functions of symbolic variables
    "mode": Flag("Mode", _MODES),
    "optimizer": Flag("fast_run", ("fast_run", "fast_compile", "None", "merge", "o1", "o2", "o3", "o4", "unsafe")),
    "linker": Flag("native", ("native", "cvm", "c", "c|py", "vm", "py", "cvm_nogc", "vm_nogc", "c|py_nogc")),
    "optimizer_including": Flag(""),
    "optimizer_excluding": Flag(""),
    "optimizer_requiring": Flag(""),
    "on_unused_input": Flag("raise", ("raise", "warn", "ignore")),
    "exception_verbosity": Flag("low", ("low", "high")),
    "profile": Flag(False),
    "profile_memory": Flag(False),
    "unpickle_function": Flag(True),
    # variables of symbolic expressions
    "warn_float64": Flag("ignore", ("ignore", "warn", "raise", "pdb")),
    "compute_test_value": Flag("off", ("off", "ignore", "warn", "raise", "pdb")),
    "print_test_value": Flag(False),
    # modes
    "NanGuardMode.nan_is_error": Flag(True),
    "NanGuardMode.inf_is_error": Flag(True),
    "NanGuardMode.big_is_error": Flag(True),
    "DebugMode.check_finite": Flag(True),
    # profiles
    "profiling.n_apply": Flag(20),
    "profiling.n_ops": Flag(20),
    "profiling.destination": Flag("stderr"),
    # Accepted so that programs and environments keep working; nothing here depends on them.
    "cast_policy": Flag("custom", ("custom", "numpy+floatX")),
    "int_division": Flag("int", ("int", "raise", "floatX")),
    "profile_optimizer": Flag(False),
    "profiling.ignore_first_call": Flag(False),
    "profiling.min_memory_size": Flag(1024),
    "reoptimize_unpickled_function": Flag(False),
    "allow_gc": Flag(True),
    "openmp": Flag(False),
    "openmp_elemwise_minsize": Flag(200000),
    "base_compiledir": Flag(""),
    "compiledir": Flag(""),
    "cxx": Flag(""),
    "nocleanup": Flag(False),
    "deterministic": Flag("default", ("default", "more")),
    "on_opt_error": Flag("raise", ("warn", "raise", "ignore", "pdb")),
    "on_shape_error": Flag("raise", ("warn", "raise")),
    "optimizer_verbose": Flag(False),
    "compute_test_value_opt": Flag("off", ("off", "ignore", "warn", "raise", "pdb")),
    "print_active_device": Flag(False),
    "pickle_test_value": Flag(True),
    "gcc.cxxflags": Flag(""),
    "blas.ldflags": Flag(""),
    "lib.amdlibm": Flag(False),
    "lib.cnmem": Flag(0.0),
    "gpuarray.preallocate": Flag(0.0),
    "dnn.enabled": Flag("False", ("auto", "True", "False", "no_check")),
    "scan.allow_gc": Flag(False),
    "scan.allow_output_prealloc": Flag(True),
    "traceback.limit": Flag(8),
    "numpy.seterr_all": Flag("ignore", ("ignore", "warn", "raise", "call", "print", "log", "None")),
    "unittests.rseed": Flag("666"),
}
"""Every setting by name; a dot leads to a group of settings."""


class _Settings:
    """Settings as attributes; those of a group are one level deeper, `config.profiling.n_ops`."""

    def __init__(self, group: str = "") -> None:
        self._group = group
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}
        for name, flag in FLAGS.items():
            first, _, rest = name.removeprefix(group).partition(".")
            if name.startswith(group) and not rest:
                self.__dict__[first] = flag.default
            elif not group:
                self.__dict__.setdefault(first, None)
        for name in [name for name, value in self.__dict__.items() if value is None]:
            self.__dict__[name] = _Settings(name + ".")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_unknown(self._group + name), name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
            return
        flag = FLAGS.get(self._group + name)
        if flag is None:
            raise AttributeError(_unknown(self._group + name), name=name, obj=self)
        self.__dict__[name] = _checked(self._group + name, flag, value)
        for listener in self._listeners.get(name, ()):
            listener(self.__dict__[name])


class Config(_Settings):
    """Process-wide settings.

    The environment variable ``TRACER_FLAGS`` sets any of them, e.g. ``TRACER_FLAGS="floatX=float32,profile=True"``;
    some have a variable of their own. Groups of settings have dotted names, such as ``profiling.n_ops``.

    Attributes
    ----------
    threads : int
        Threads that kernels may use (environment: ``TRACER_THREADS``; default: the CPUs of this process).
    check_nan : bool
        Raise FloatingPointError, naming the user's line, when a compiled function makes a NaN
        (environment: ``TRACER_CHECK_NAN=1``).
    backend : str
        Default executor of compiled functions: "cpu" or "reference" (environment: ``TRACER_BACKEND``).
    verify : bool
        Verify the graph after every pass (environment: ``TRACER_VERIFY=1``; the tests set it).
    jit : str
        Whether loops become native code, which needs llvmlite: "auto", those of functions that have run for a while, on
        a thread of its own; "always", all of them, before the first run; or "off" (environment: ``TRACER_JIT``).
    jit_cache : str
        The directory where native code is kept for later processes: "auto", ``tracer/jit`` in the user's directory for
        caches; a path; or "off" (environment: ``TRACER_JIT_CACHE``). It takes 64 MiB at most.
    roll_loops : str
        "auto": a long Python `for` in a compiled function becomes one loop of its program where the iterations are
        alike; "off": every iteration is recorded (environment: ``TRACER_ROLL_LOOPS``).
    device : str
        Where compiled functions run that do not say and whose arguments do not tell: "cpu" or "gpu" (environment:
        ``TRACER_DEVICE``). Functions that get arrays on a GPU run there in any case. Theano's names "gpu0", "cuda" and
        "cuda0" mean "gpu".
    gpu_fallback : str
        What happens to an operation that has no form for the GPU: "warn" runs it on the CPU and says so once, "silent"
        says nothing, "raise" is an error (environment: ``TRACER_GPU_FALLBACK``).
    gpu_scatter : str
        How a GPU adds floats to elements that come repeatedly, as in `np.add.at` and derivatives of indexing:
        "ordered", one after the other as NumPy does, the same in every run; "atomic" in whatever order they come,
        which is faster where there are very many. Integers are the same either way.
    gpu_storage : str
        How a GPU keeps float32 values between its kernels, and the factors of matrix products: "float32" as they are;
        "float16" or "bfloat16" in half the memory, so that less is moved and products run on tensor cores (environment:
        ``TRACER_GPU_STORAGE``). Products and sums are still added up in float32, and arguments, results, shared
        variables and sums stay float32; float64 is never touched. Numbers keep 11 bits of precision with float16,
        which ends at 65504 and loses what is below 6e-8, and 8 bits with bfloat16, which reaches as far as float32.
    gpu_tf32 : bool
        Let a GPU round the factors of float32 products to 11 bits (TF32), which is faster (environment:
        ``TRACER_GPU_TF32``).
    floatX : str
        dtype of symbolic variables that name none: "float64" or "float32".
    mode, optimizer, linker : str
        How functions of symbolic variables are compiled and run, if they do not say: "FAST_RUN", "FAST_COMPILE",
        "DebugMode", "NanGuardMode", or "Mode" for these rewrites ("fast_run", "fast_compile", ...) and this executor
        ("py" for NumPy, any other for the kernels).
    on_unused_input : str
        What `function` does about an input that is not used: "raise", "warn" or "ignore".
    exception_verbosity : str
        "high": errors of symbolic functions also show the types, shapes and values of arguments.
    profile, profile_memory : bool
        Whether functions keep a profile, and whether it is printed at exit.
    compute_test_value : str
        "warn" or "raise": compute expressions while they are built, from the `tag.test_value` of their inputs.
    warn_float64 : str
        What to do about a symbolic variable of dtype float64.
    unpickle_function : bool
        Whether unpickling gives functions; None in their place if not. They are compiled when they are called.

    Examples
    --------
    >>> import tracer
    >>> with tracer.config.changed(check_nan=True):
    ...     tracer.config.check_nan
    True
    """

    def __init__(self) -> None:
        super().__init__()
        for name in (
            "threads",
            "check_nan",
            "backend",
            "verify",
            "jit",
            "jit_cache",
            "roll_loops",
            "device",
            "gpu_fallback",
            "gpu_storage",
            "gpu_tf32",
        ):
            text = os.environ.get(f"TRACER_{name.upper()}")
            if text is not None:
                self.set(name, _read(f"environment variable TRACER_{name.upper()}", FLAGS[name], text))
        for item in os.environ.get("TRACER_FLAGS", "").split(","):
            name, equals, text = item.partition("=")
            if item.strip():
                if not equals:
                    raise ValueError(f"TRACER_FLAGS must be name=value pairs with commas between, not {item!r}")
                self.set(name.strip(), text.strip())

    def listen(self, name: str, listener: Callable[[Any], None]) -> None:
        """Call a function with the value of a setting, now and whenever it changes."""
        self._listeners.setdefault(name, []).append(listener)
        listener(getattr(self, name))

    def of_programs(self) -> tuple[Any, ...]:
        """The values of those settings that what is compiled depends on."""
        return self.check_nan, self.gpu_storage, self.gpu_tf32, self.gpu_scatter

    def get(self, name: str) -> Any:
        """The value of a setting by its full name. Raises AttributeError for an unknown one."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def set(self, name: str, value: Any) -> None:
        """Change a setting by its full name; a text is read as what the setting is.

        Raises AttributeError for an unknown setting and ValueError for a bad value.
        """
        flag = FLAGS.get(name)
        if flag is not None and isinstance(value, str):
            value = _read(f"tracer.config.{name}", flag, value)
        group, _, last = name.rpartition(".")
        setattr(self.get(group) if group and group in self.__dict__ else self, last if flag else name, value)

    @contextmanager
    def changed(self, **settings: Any) -> Iterator[Config]:
        """Change settings for the length of a `with` block.

        Raises AttributeError for an unknown setting and ValueError for a bad value.
        """
        with change_flags(settings):
            yield self

    def change_flags(self, settings: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **more: Any) -> change_flags:
        """Change settings for the length of a `with` block or of a decorated function, as `tracer.change_flags`."""
        return change_flags(settings, **more)

    def __str__(self) -> str:
        return "\n".join(f"{name} = {self.get(name)!r}" for name in FLAGS)


class change_flags(ContextDecorator):
    """Change settings for the length of a `with` block, or while a decorated function runs.

    Parameters
    ----------
    settings : mapping or pairs
        Full name -> value; names without a dot may also be passed as keywords.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> with theano.change_flags(floatX="float32"):
    ...     T.vector("x").dtype
    'float32'
    """

    def __init__(self, settings: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **more: Any) -> None:
        self._settings = {**dict(settings), **more}
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> Config:
        self._before.append({name: config.get(name) for name in self._settings})
        try:
            for name, value in self._settings.items():
                config.set(name, value)
        except (AttributeError, ValueError):
            self.__exit__()
            raise
        return config

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.pop().items():
            config.set(name, value)


def _unknown(name: str) -> str:
    import difflib  # here: only mistakes need it

    near = difflib.get_close_matches(name, FLAGS, n=4, cutoff=0.5)
    known = (
        f"the settings with similar names are: {', '.join(near)}" if near else f"the settings are: {', '.join(FLAGS)}"
    )
    return f"tracer.config has no setting {name!r}; {known}"


def _checked(name: str, flag: Flag, value: Any) -> Any:
    if isinstance(flag.default, bool):
        good = isinstance(value, bool)
        wanted = "True or False"
    elif isinstance(flag.default, int):
        good = isinstance(value, int) and value >= 1
        wanted = "a positive int"
    elif isinstance(flag.default, float):
        good = isinstance(value, int | float)
        wanted = "a number"
    else:
        value = str(value)
        good = not flag.choices or value in flag.choices
        wanted = f"one of {flag.choices}"
    if not good:
        raise ValueError(f"tracer.config.{name} must be {wanted}, not {value!r}")
    return value


def _read(name: str, flag: Flag, text: str) -> Any:
    """The value that a text of the environment stands for. Raises ValueError."""
    kind = type(flag.default)
    try:
        if kind is bool:
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "True or False", int: "a positive int", float: "a number"}[kind]
        raise ValueError(f"{name} must be {wanted}, not {text!r}") from None


config = Config()
