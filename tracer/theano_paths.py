"""Where the names of Theano are found here: those of the package itself, and modules by Theano's paths.

Nothing of it is imported before it is used.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from tracer.errors.elsewhere import FUNCTIONS
from tracer.tracing import shared, symbolic

PACKAGE = __package__
"""The name under which programs import this package's modules."""

NAMES: dict[str, str] = {
    **dict.fromkeys(("In", "Param", "Out", "SymbolicInput", "SymbolicOutput", "Container"), "symbolic.inputs"),
    "function": "function",
    "doctor": "doctor",
    "OrderedUpdates": "updates",
    "function_dump": "symbolic.pickling",
    "Mode": "symbolic.mode",
    "ProfileStats": "symbolic.profiling",
    **dict.fromkeys(("Function", "FunctionMaker", "FunctionGraph"), "symbolic.function"),
    **dict.fromkeys(("UnusedInputError", "MissingInputError"), "symbolic.inputs"),
    **dict.fromkeys(("predefined_modes", "FAST_RUN", "FAST_COMPILE"), "symbolic.modes"),
    **dict.fromkeys(("Variable", "Constant"), "tracing.symbolic"),
    "Apply": "tracing.recording",
    "Op": "symbolic.custom_op",
    **dict.fromkeys(("clone", "clone_replace", "graph_replace", "map_variables"), "symbolic.graph"),
    "OpFromGraph": "symbolic.op_from_graph",
    **dict.fromkeys(("Type", "TensorType"), "tracing.symbolic_type"),
    **dict.fromkeys(("scan", "map", "cond", "switch", "while_loop", "fori_loop", "associative_scan"), "control_flow"),
    "scan_checkpoints": "scan_module.scan_checkpoints",
    **dict.fromkeys(("reduce", "foldl", "foldr"), "scan_module.scan_views"),
    **dict.fromkeys(("Rop", "Lop", "subgraph_grad", "sparse_grad"), "gradient"),
    "dot": "tensor",
    "pprint": "printing",
    "_asarray": "symbolic.safe_asarray",
    "get_scalar_constant_value": "tensor.variables",
    **dict.fromkeys(
        ("tensor", "gradient", "printing", "ifelse", "sparse", "sandbox", "gof", "misc", "d3viz", "typed_list"), ""
    ),
    **dict.fromkeys(("scan_module", "updates", "optim", "random", "testing"), ""),
    **dict.fromkeys(("jacobian", "jacfwd", "jacrev", "hessian", "hvp"), "derivatives.jacobians"),
    **dict.fromkeys(("vjp", "linearize", "linear_transpose"), "derivatives.linear"),
    "jvp": "derivatives.forward",
    "elementwise_grad": "derivatives.reverse",
    "vmap": "batching",
    **dict.fromkeys(("stop_gradient", "custom_vjp", "custom_jvp"), "custom_derivatives"),
    "checkpoint": "checkpointing",
    **dict.fromkeys(("custom_root", "fixed_point"), "implicit"),
    **dict.fromkeys(("custom_op", "pure_callback"), "custom_ops"),
    **dict.fromkeys(("sparse_jacobian", "sparse_hessian", "jacobian_sparsity"), "sparse_derivatives"),
}
"""Names of the package that are imported when they are first used -> the module that has them ("": they are one)."""

_SYMBOLIC = ("tracing.symbolic", "tracing.recording", "tracing.symbolic_type", "tracing.shared")
_FUNCTIONS = ("function", "symbolic.inputs", "symbolic.function", "updates", "symbolic.pickling")
_MODES = ("symbolic.mode", "symbolic.modes", "symbolic.checking_modes")

PATHS: dict[str, tuple[str, ...]] = {
    "breakpoint": ("symbolic.effects",),
    "compile": (*_FUNCTIONS, *_SYMBOLIC, *_MODES, "symbolic.profiling", "symbolic.op_from_graph", "symbolic.custom_op"),
    "compile.builders": ("symbolic.op_from_graph",),
    "compile.debugmode": _MODES,
    "compile.function": ("function",),
    "compile.function_module": _FUNCTIONS,
    "compile.io": ("symbolic.inputs",),
    "compile.mode": _MODES,
    "compile.monitormode": _MODES,
    "compile.nanguardmode": _MODES,
    "compile.ops": ("symbolic.custom_op",),
    "compile.pfunc": _FUNCTIONS,
    "compile.profiling": ("symbolic.profiling",),
    "compile.sharedvalue": ("tracing.shared",),
    "configparser": ("config",),
    "configdefaults": ("config",),
    "d3viz": ("symbolic.pictures",),
    "gof": (*_SYMBOLIC, "symbolic.inputs", "symbolic.function", "symbolic.custom_op", "symbolic.graph"),
    "gof.fg": ("symbolic.function",),
    "gof.graph": ("symbolic.graph", *_SYMBOLIC, "tracing.replay"),
    "gof.op": ("symbolic.custom_op",),
    "gof.type": _SYMBOLIC,
    "misc": (),
    "misc.pkl_utils": ("symbolic.pickling",),
    "misc.safe_asarray": ("symbolic.safe_asarray",),
    "sandbox.linalg": ("tensor.nlinalg", "tensor.slinalg"),
    "sandbox.linalg.ops": ("tensor.nlinalg", "tensor.slinalg"),
    "raise_op": ("symbolic.effects",),
    "scan_utils": ("scan_module.scan_utils",),
    "sparse.basic": ("sparse",),
    "sparse.type": ("sparse.types",),
    "tensor.opt": ("symbolic.effects",),
    "tensor.sharedvar": ("tracing.shared",),
    "tests": (),
    "tests.breakpoint": ("symbolic.effects",),
    "tests.unittest_tools": ("symbolic.unittest_tools", "gradient"),
}
"""Theano's paths of modules -> the modules that have their names."""


_LOADED = {
    **dict.fromkeys(("function", "UnusedInputError", "MissingInputError"), "function"),
    **dict.fromkeys(("In", "Out", "SymbolicInput", "SymbolicOutput"), "symbolic.inputs"),
    **dict.fromkeys(("Function", "FunctionMaker"), "symbolic.function"),
    **dict.fromkeys(("SharedVariable", "shared", "shared_constructor"), "tracing.shared"),
    "Mode": "symbolic.mode",
    **dict.fromkeys(
        ("get_mode", "get_default_mode", "register_mode", "predefined_modes", "FAST_RUN", "FAST_COMPILE"),
        "symbolic.modes",
    ),
    **dict.fromkeys(("DebugMode", "NanGuardMode", "MonitorMode"), "symbolic.checking_modes"),
    "ProfileStats": "symbolic.profiling",
}
"""Names that the function `compile` has as attributes once the modules of symbolic variables are imported."""


class _Alias(ModuleType):
    """A module that has the names of others."""

    def __init__(self, name: str, sources: Iterable[str]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._sources = tuple(sources)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for source in self._sources:
                module = importlib.import_module(f"{PACKAGE}.{source}")
                if hasattr(module, name):
                    self.__dict__[name] = getattr(module, name)
                    return self.__dict__[name]
        path = f"{self.__name__}.{name}".removeprefix(f"{PACKAGE}.")
        if path in PATHS:
            return importlib.import_module(f"{PACKAGE}.{path}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and callable(getattr(self, name, None))):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        modules = [importlib.import_module(f"{PACKAGE}.{source}") for source in self._sources]
        return sorted({name for module in modules for name in dir(module) if not name.startswith("_")})


class _Finder:
    """Finds the modules of the table; asked last, after those that are files."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != PACKAGE or name not in PATHS:
            return None
        loader: Any = self  # importlib.abc has its base, and takes long to import
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        name = spec.name.partition(".")[2]
        return _Alias(spec.name, PATHS[name])

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__.startswith(f"{PACKAGE}.compile"):
            _complete(sys.modules[PACKAGE].compile)


class _Package(ModuleType):
    """The package itself: a function keeps its name although the module that holds it is called the same."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            if name in ("function", "tensor"):
                _complete(self.__dict__["compile"])
            if NAMES.get(name) or callable(self.__dict__.get(name)):
                return
            _attach(name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        place = NAMES.get(name, "" if name in PATHS else None)
        if place is None:
            hint = f"\nHINT: {FUNCTIONS[name]}" if name in FUNCTIONS else ""
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}{hint}", name=name, obj=self)
        module = importlib.import_module(f"{PACKAGE}.{place or name}")
        self.__dict__[name] = value = getattr(module, name) if place else module
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *NAMES})


def _attach(path: str, module: Any) -> None:
    """Make the modules below a path attributes of it, as if they had been imported."""
    for name, sources in PATHS.items():
        parent, _, last = name.rpartition(".")
        if parent == path and not hasattr(module, last):
            setattr(module, last, _Alias(f"{PACKAGE}.{name}", sources))


def _complete(compile: Any) -> None:
    """Give `tracer.compile` the names that programs look for there."""
    for name, source in _LOADED.items():
        setattr(compile, name, getattr(importlib.import_module(f"{PACKAGE}.{source}"), name))


def _shared_sparse(value: Any, **options: Any) -> Any:
    """Make a shared variable of a matrix of scipy.sparse, once there is one. Raises TypeError for other values."""
    if not type(value).__module__.startswith("scipy.sparse"):
        raise TypeError("not a sparse matrix")
    return importlib.import_module(f"{PACKAGE}.sparse.shared").shared_sparse_matrix(value, **options)


def install(package: Mapping[str, Any]) -> None:
    """Let this package find the names and modules of the tables."""
    shared.shared_constructor(_shared_sparse)
    sys.modules[PACKAGE].__class__ = _Package
    sys.meta_path.append(_Finder())
    for module in ("tensor", "symbolic.graph"):
        symbolic.load_methods_with(partial(importlib.import_module, f"{PACKAGE}.{module}"))
    compile = package["compile"]
    _attach("compile", compile)
    compile.SharedVariable, compile.shared_constructor = shared.SharedVariable, shared.shared_constructor
