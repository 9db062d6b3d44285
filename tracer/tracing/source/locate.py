"""Finding the syntax tree of a function from its code object, and making a code object from a tree."""

from __future__ import annotations
import __future__

import ast
import itertools
import linecache
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

from tracer.records import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_FUTURE_FLAGS = 0
for _feature in __future__.all_feature_names:
    _FUTURE_FLAGS |= getattr(__future__, _feature).compiler_flag
_MOST_ENDS = 8
"""Lines that may be the first after a function, of which are tried before the whole file is parsed."""
_IMPORT = re.compile(r"^(?:from +[\w.]+ +)?import(?: *\([^)]*\)| (?:[^\n\\]|\\\n)*)", re.MULTILINE)


class Place(NamedTuple):
    """A function in a syntax tree.

    Attributes
    ----------
    node : ast node
    owner : str or None
        The class around it, whose name its private names carry.
    imports : list of ast nodes
        What the module imports: calls of what is in a module are compiled in another way than calls of methods.
    is_shared : bool
        Whether the tree is kept, so that only a copy of the node may be changed.
    """

    node: FunctionNode
    owner: str | None
    imports: list[ast.stmt]
    is_shared: bool = False


@lru_cache(maxsize=16)
def parsed(text: str) -> ast.Module:
    """The syntax tree of a text; not to be changed."""
    return ast.parse(text)


@lru_cache(maxsize=64)
def _places(text: str) -> dict[tuple[str, int], list[Place]]:
    """Every function of a text, by its name and first line."""
    found: dict[tuple[str, int], list[Place]] = {}
    imports: list[ast.stmt] = []
    todo: list[tuple[ast.AST, str | None, bool]] = [(parsed(text), None, True)]
    while todo:
        node, owner, is_outside = todo.pop()
        if is_outside and isinstance(node, ast.Import | ast.ImportFrom):
            if getattr(node, "module", None) != "__future__":
                imports.append(node)
        if isinstance(node, FunctionNode):
            found.setdefault(_key(node), []).append(Place(node, owner, imports, is_shared=True))
        inner = node.name if isinstance(node, ast.ClassDef) else owner
        is_outside = is_outside and not isinstance(node, ast.ClassDef | FunctionNode)
        todo.extend((child, inner, is_outside) for child in ast.iter_child_nodes(node))
    return found


def _key(node: FunctionNode) -> tuple[str, int]:
    """The name and the first line that the code object of a function has."""
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    return node.name, min([node.lineno, *(item.lineno for item in node.decorator_list)])


@lru_cache(maxsize=64)
def _imports(text: str) -> list[ast.stmt]:
    """What a module imports, as far as that is written without indentation."""
    try:
        found = ast.parse("\n".join(match[0] for match in _IMPORT.finditer(text))).body
    except SyntaxError:  # an example in a text, say
        return []
    return [node for node in found if getattr(node, "module", None) != "__future__"]


def _nearby(lines: list[str], code: CodeType) -> list[Place]:
    """The functions where a code object says that it begins, from these lines alone: most of a file is not needed."""
    owner, imports = _owner(code), _imports("".join(lines))
    statement = _statement(lines, code.co_firstlineno - 1)
    if statement is None:
        return []
    nodes = ast.walk(statement) if code.co_name == "<lambda>" else iter((statement,))
    key = (code.co_name, code.co_firstlineno)
    return [Place(node, owner, imports) for node in nodes if isinstance(node, FunctionNode) and _key(node) == key]


def _owner(code: CodeType) -> str | None:
    """The innermost class around a function."""
    names = code.co_qualname.split(".")
    inside = [name for name, after in itertools.pairwise(names) if after != "<locals>"]
    return next((name for name in reversed(inside) if not name.startswith("<")), None)


def _statement(lines: list[str], first: int) -> ast.stmt | None:
    """The statement that begins in a line; None if none does.

    It ends before a line that is not further to the right, unless that is within a string or brackets.
    """
    if not 0 <= first < len(lines):
        return None
    indent = len(lines[first]) - len(lines[first].lstrip())
    if indent and not first:
        return None
    # The lines and columns stay what they are.
    start = "\n" * first if not indent else "\n" * (first - 1) + "if 1:\n"
    tried = 0
    for end in range(first + 1, len(lines) + 1):
        if end < len(lines):
            line = lines[end].lstrip()
            if not line or line.startswith("#") or len(lines[end]) - len(line) > indent:
                continue
        try:
            made: Any = ast.parse(start + "".join(lines[first:end])).body[0]
        except SyntaxError:
            tried += 1
            if tried == _MOST_ENDS:
                return None
            continue
        statement: ast.stmt = made.body[0] if indent else made
        return statement
    return None


def source_text(filename: str) -> str:
    """The text of a file, or of what an interactive session keeps of it; empty if there is none."""
    linecache.checkcache(filename)
    return "".join(linecache.getlines(filename))


def find(code: CodeType) -> Place | None:
    """The syntax tree that a code object was compiled from; None if there is none, or the file has changed since."""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)
    try:
        found = _matching(_nearby(lines, code), code)
        if found is None and lines:
            found = _matching(_places("".join(lines)).get((code.co_name, code.co_firstlineno), []), code)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found


def _matching(candidates: list[Place], code: CodeType) -> Place | None:
    """The function among these that a code object was compiled from."""
    for place in candidates:
        for alone in (place, place._replace(imports=[])):  # notebooks compile a cell's statements one by one
            made = build(alone, place.node, code, ())
            if made is not None and _is_same(made, code):
                return place
    return None


def computes_names(code: CodeType) -> bool:
    """Whether code, as far as can be known, calls `getattr` with a name that is not written there."""
    place = find(code)
    if place is None:
        return "getattr" in code.co_names
    calls = [node for node in ast.walk(place.node) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return any(
        node.func.id == "getattr" and not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant))  # type: ignore[attr-defined]
        for node in calls
    )


def build(place: Place, node: FunctionNode, code: CodeType, extra: Sequence[str]) -> CodeType | None:
    """Compile a function with the free variables that `code` has, and `extra` ones; None if it cannot be found."""
    names = dict.fromkeys([*code.co_freevars, *extra])
    if place.owner is not None:
        names.pop("__class__", None)  # the class around it provides it
    # The class gives private names their prefix, and `__class__`.
    indent = " " if place.owner is None else "  "
    text = f"def around({', '.join(names)}):\n"
    if place.owner is not None:
        text += "" if place.owner in names else f" global {place.owner}\n"
        text += f" class {place.owner}:\n"
    tree = ast.parse(text + f"{indent}pass")
    holder: Any = tree.body[0] if place.owner is None else tree.body[0].body[-1]  # type: ignore[attr-defined]
    tree.body[:0] = place.imports
    holder.body = [ast.copy_location(ast.Expr(node), node) if isinstance(node, ast.Lambda) else node]
    flags = code.co_flags & _FUTURE_FLAGS
    try:
        compiled = compile(tree, code.co_filename, "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    positions = list(code.co_positions())[:1] if isinstance(node, ast.Lambda) else None
    for made in _codes(compiled):
        if made.co_name == code.co_name and made.co_firstlineno == code.co_firstlineno:
            if positions is None or extra or list(made.co_positions())[:1] == positions:
                return made
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code objects within one, outermost first."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    yield from inner
    for item in inner:
        yield from _codes(item)


def _is_same(one: CodeType, other: CodeType) -> bool:
    if isinstance(one, CodeType) != isinstance(other, CodeType):
        return False
    fields = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_firstlineno")
    if any(getattr(one, name) != getattr(other, name) for name in fields):
        return False
    if list(one.co_positions()) != list(other.co_positions()) or len(one.co_consts) != len(other.co_consts):
        return False
    pairs = zip(one.co_consts, other.co_consts, strict=True)
    return all(
        _is_same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b) for a, b in pairs
    )
