"""Names and modules by Theano's paths."""

import ast
import importlib
import inspect
import subprocess
import sys
import types

import pytest

import tracer
from tracer import theano_paths


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sorted(theano_paths.NAMES))
def test_names_of_the_package(name):
    found = getattr(tracer, name)
    assert name in dir(tracer) and (name in tracer.__all__ or name.startswith("_"))
    assert getattr(tracer, name) is found


@pytest.mark.parametrize("path", sorted(theano_paths.PATHS))
def test_modules_of_the_table(path):
    module = importlib.import_module(f"tracer.{path}")
    for source in theano_paths.PATHS[path]:
        importlib.import_module(f"tracer.{source}")
    assert module.__name__ == f"tracer.{path}" or callable(module)
    with pytest.raises(AttributeError):
        _ = module.no_such_name
    dir(module)


WHERE = {
    "compile.nanguardmode": ["NanGuardMode"],
    "compile.debugmode": ["DebugMode", "BadThunkOutput", "InvalidValueError"],
    "compile.monitormode": ["MonitorMode", "detect_nan"],
    "compile.mode": ["Mode", "get_mode", "get_default_mode", "register_mode", "FAST_RUN", "predefined_modes"],
    "compile.io": ["In", "Out", "SymbolicInput", "SymbolicOutput"],
    "compile.function_module": ["Function", "FunctionMaker", "UnusedInputError"],
    "compile.sharedvalue": ["SharedVariable", "shared", "shared_constructor"],
    "compile.profiling": ["ProfileStats"],
    "compile.builders": ["OpFromGraph"],
    "compile.ops": ["as_op"],
    "compile": ["SharedVariable", "In", "Mode", "function", "OpFromGraph", "ProfileStats", "as_op"],
    "configparser": ["change_flags"],
    "updates": ["OrderedUpdates"],
    "misc.pkl_utils": ["dump", "load", "StripPickler", "CompatUnpickler"],
    "breakpoint": ["PdbBreakpoint"],
    "raise_op": ["Assert", "CheckAndRaise", "assert_op"],
    "scan_module.scan_utils": ["clone", "map_variables", "until"],
    "tensor.opt": ["Assert", "assert_op"],
    "misc.safe_asarray": ["_asarray"],
    "tests.unittest_tools": ["InferShapeTester", "assert_allclose", "fetch_seed", "seed_rng", "verify_grad"],
    "gof.fg": ["FunctionGraph"],
    "gof": ["Variable", "Apply", "Op", "Constant", "Type", "Container"],
    "gof.graph": ["Variable", "Apply", "Constant", "inputs", "ancestors"],
    "tensor.sharedvar": ["SharedVariable"],
    "tensor.shared_randomstreams": ["RandomStreams"],
    "tensor.signal.pool": ["pool_2d"],
    "tensor.nnet": ["sigmoid", "conv2d"],
    "sandbox.rng_mrg": ["MRG_RandomStreams"],
    "gradient": ["grad", "Rop", "Lop", "verify_grad", "DisconnectedInputError"],
    "printing": ["pp", "debugprint", "pydotprint", "Print"],
    "ifelse": ["ifelse"],
    "scan_module": ["scan", "map", "until"],
}


@pytest.mark.parametrize("path", sorted(WHERE))
def test_where_names_are(path):
    module = importlib.import_module(f"tracer.{path}")
    for name in WHERE[path]:
        assert not isinstance(getattr(module, name), types.ModuleType)


def test_names_are_the_same_objects_everywhere():
    from tracer.compile.io import In
    from tracer.compile.mode import Mode

    from tracer.updates import OrderedUpdates

    assert In is tracer.In is tracer.compile.In is tracer.compile.io.In
    assert Mode is tracer.Mode is tracer.compile.Mode is tracer.compile.mode.Mode
    assert OrderedUpdates is tracer.OrderedUpdates is tracer.updates.OrderedUpdates
    assert tracer.configparser.change_flags is tracer.change_flags


def test_functions_keep_their_names_although_modules_are_called_the_same():
    code = """
import tracer.function, tracer.compile.nanguardmode, tracer.scan_module
import tracer
f = tracer.compile(lambda x: x + 1)
assert tracer.function is tracer.function and callable(tracer.function) and callable(tracer.scan)
assert tracer.compile.nanguardmode.NanGuardMode is tracer.compile.NanGuardMode
print(tracer.function.__name__, f(1.0))
"""
    assert run(code).stdout.split() == ["function", "2.0"], run(code).stderr


def test_star_import():
    code = "from tracer import *\nprint(function.__name__, shared.__name__, pp.__name__, config.floatX, scan.__name__)"
    assert run(code).stdout.split() == ["function", "shared", "pp", "float64", "scan"], run(code).stderr


def test_importing_the_package_does_not_import_what_few_programs_use():
    names = ["tensor", "function", "scan_module", "gradient", "sparse", "modes", "printing", "symbolic", "checking"]
    names += ["optim", "testing", "random", "batching", "derivatives.jacobians", "transform.jvp", "graph.text"]
    code = f"import sys, tracer; print([name for name in {names} if 'tracer.' + name in sys.modules])"
    assert run(code).stdout.strip() == "[]", run(code).stderr


def test_tensors_come_with_the_package():
    code = "import tracer as t\nx = t.tensor.vector()\nf = t.function([x], x + x ** 10)\nprint(f([0, 1, 2]))"
    assert run(code).stdout.strip() == "[   0.    2. 1026.]", run(code).stderr
    code = "import tracer\nw = tracer.shared([1.0])\nprint(tracer.compile.SharedVariable.__name__, w.mean().eval())"
    assert run(code).stdout.split()[0] == "SharedVariable", run(code).stderr


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'no_such_thing'"):
        _ = tracer.no_such_thing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tracer.compile.no_such_module")


def test_type_checkers_see_the_same_names():
    source = inspect.getsource(tracer)
    (block,) = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    found = {}
    for node in block.body:
        for alias in node.names:
            place = node.module.removeprefix("tracer").removeprefix(".")
            found[alias.asname] = place
            assert alias.name == alias.asname
    files = {name: place for name, place in theano_paths.NAMES.items() if place or name not in theano_paths.PATHS}
    assert found == files
