"""The floors of the package, its freedom from import cycles, and the size of its files and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module imports only from its own floor and the floors above it in this list. What is not in it is the surface,
# which may import all of them.
FLOORS = (
    ("errors", "config", "types", "tree", "phases", "records", "device"),
    ("graph",),
    ("ops",),
    ("tracing",),
    ("transform",),
    ("rewrite",),
    ("lower",),
    ("run",),
)
FILE_LINES = 600
FUNCTION_LINES = 60  # without its docstring

EXTENSION = "tracer._kernels"

# What is over budget, as "path" or "path::function". This list may only shrink: a waiver that is no longer needed
# fails the tests too.
WAIVERS: frozenset[str] = frozenset()

SOURCES = {path: path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tracer").rglob("*.py"))}


def module_name(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def imported_names(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Absolute dotted names that a module imports, wherever the import stands, with their lines.

    ``from a import b`` gives ``a.b``, which is a module or a name in one.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, node.module] if node.module else parents)
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), node.lineno


def parse(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dependencies(path: Path) -> dict[str, int]:
    """Modules of the package that a file imports, with the line of the first such import."""
    name = module_name(path)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found: dict[str, int] = {}
    for target, line in imported_names(parse(path), package):
        module = target if target in MODULES or target == EXTENSION else target.rpartition(".")[0]
        if module in MODULES and module != name:
            found.setdefault(module, line)
    return found


GRAPH = {name: dependencies(path) for name, path in MODULES.items()}


def floor(module: str) -> int:
    """Number of the floor that a module stands on; 0 is the ground."""
    top = module.split(".")[1] if "." in module else "__init__"
    return next((number for number, names in enumerate(FLOORS) if top in names), len(FLOORS))


def find_cycle(graph: dict[str, dict[str, int]]) -> list[str]:
    """Names along one import cycle; empty if there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for target in graph[name]:
            if cycle := visit(target):
                return cycle
        path.pop()
        done.add(name)
        return []

    for name in graph:
        if cycle := visit(name):
            return cycle
    return []


def python_files() -> list[Path]:
    """Every Python file of the repository."""
    folders = ("tracer", "tests", "benchmarks", "examples")
    return [ROOT / "setup.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less those of the docstring."""
    docstring = function.body[0] if ast.get_docstring(function, clean=False) is not None else None
    less = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - less


def over_budget() -> set[str]:
    """Files and functions over their budget, as they are named in WAIVERS."""
    found = set()
    kernels = [path for path in sorted((ROOT / "kernels_cpp").iterdir()) if path.suffix in (".cpp", ".hpp", ".def")]
    for path in [*python_files(), *kernels, *sorted((ROOT / "tracer").rglob("*.cuh"))]:
        name = path.relative_to(ROOT).as_posix()
        if len(path.read_text(encoding="utf-8").splitlines()) > FILE_LINES:
            found.add(name)
        if path.suffix == ".py":
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > FUNCTION_LINES:
                    found.add(f"{name}::{node.name}")
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_only_from_floors_above(module):
    wrong = [
        f"line {line}: {target} (floor {floor(target)})"
        for target, line in GRAPH[module].items()
        if floor(target) > floor(module)
    ]
    assert not wrong, f"{SOURCES[MODULES[module]]} (floor {floor(module)}) imports from below it: {wrong}"


def test_ops_do_not_import_each_other():
    wrong = [
        (name, target)
        for name in MODULES
        for target in GRAPH[name]
        if name.startswith("tracer.ops.") and target.startswith("tracer.ops")
    ]
    assert not wrong


def test_no_import_cycle():
    cycle = find_cycle(GRAPH)
    assert not cycle, " -> ".join(cycle)


def test_cycle_finder_finds_cycles():
    assert find_cycle({"a": {"b": 1}, "b": {"c": 1}, "c": {"b": 1}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b": 1, "c": 1}, "b": {"c": 1}, "c": {}}) == []


def test_import_reader_sees_every_form():
    code = "import x.a\nfrom x import b\ndef f():\n    from . import c\n    from ..d import e\nimport_module('x.f')"
    names = {name for name, _ in imported_names(ast.parse(code), "x.y")}
    assert names == {"x.a", "x.b", "x.y.c", "x.d.e", "x.f"}


def test_only_the_cpu_executor_imports_the_kernels():
    importers = set()
    for path in python_files():
        package = ".".join(path.relative_to(ROOT).parts[:-1])
        if not path.is_relative_to(ROOT / "tests"):
            names = [name for name, _ in imported_names(parse(path), package)]
            if any(name == EXTENSION or name.startswith(EXTENSION + ".") for name in names):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"tracer/run/cpu.py"}


def test_sizes_are_within_budget():
    found = over_budget()
    assert not found - WAIVERS, f"over {FILE_LINES} lines a file or {FUNCTION_LINES} a function: {found - WAIVERS}"
    assert not WAIVERS - found, f"no longer needed in WAIVERS: {WAIVERS - found}"
