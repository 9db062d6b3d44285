"""Which names the body of a `for` statement assigns, and which of them hand something on to the next iteration."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from tracer.records import NamedTuple

_FRAME_READERS = frozenset(("locals", "globals", "vars", "dir", "eval", "exec", "__import__"))
_LEAVING = (ast.Break, ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.Delete, ast.Import, ast.ImportFrom)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class LoopNames(NamedTuple):
    """What the body of a loop assigns.

    Attributes
    ----------
    assigned : tuple of str
    handed_on : tuple of str
        Those that an iteration may read before it assigns them, or may not assign at all.
    """

    assigned: tuple[str, ...]
    handed_on: tuple[str, ...]


def names_of(loop: ast.For, shared: Iterable[str] = ()) -> LoopNames | None:
    """The names that a loop's body assigns; None if it may be left early, or does what only Python itself can.

    `shared` are names that functions within the function use too: they may be read wherever something is called.
    """
    if any(isinstance(node, _LEAVING) and not _is_of_inner(node, loop) for node in ast.walk(loop)):
        return None
    for node in ast.walk(loop):
        if isinstance(node, ast.Name) and node.id in _FRAME_READERS:
            return None
    if not all(isinstance(node, ast.Name | ast.Tuple | ast.List) for node in _targets(loop.target)):
        return None
    reader = _Reader()
    own = reader.store(loop.target, set())
    definite = reader.block(loop.body, set(own))
    if any(isinstance(node, ast.Continue) for node in ast.walk(loop)):
        definite = set()
    handed_on = (reader.early | (reader.assigned - definite) | set(shared)) & reader.assigned - own
    return LoopNames(tuple(sorted(reader.assigned)), tuple(sorted(handed_on)))


def _is_of_inner(node: ast.AST, loop: ast.For) -> bool:
    """Whether a statement belongs to a function, or a `break` to another loop, within a loop."""
    for inner in ast.walk(loop):
        if inner is loop:
            continue
        leaves = isinstance(inner, _SCOPES) and not isinstance(node, ast.Import | ast.ImportFrom)
        leaves |= isinstance(inner, ast.For | ast.While) and isinstance(node, ast.Break)
        if leaves and any(item is node for item in ast.walk(inner)):
            return True
    return False


def _targets(target: ast.AST) -> Iterable[ast.AST]:
    yield target
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _targets(item)


class _Reader:
    """Goes through statements in the order in which they run.

    Attributes
    ----------
    assigned : set of str
    early : set of str
        Names that are read where they may not have been assigned yet.
    """

    def __init__(self) -> None:
        self.assigned: set[str] = set()
        self.early: set[str] = set()

    def block(self, statements: Sequence[ast.stmt], definite: set[str]) -> set[str]:
        """Go through statements, with names that are assigned for certain before them; gives those after them."""
        for statement in statements:
            definite = self._statement(statement, definite)
        return definite

    def store(self, target: ast.AST, definite: set[str]) -> set[str]:
        """The target of an assignment."""
        found = set(definite)
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.assigned.add(node.id)
                found.add(node.id)
        self._load(target, definite)
        return found

    def _load(self, node: ast.AST | None, definite: set[str]) -> None:
        for item in () if node is None else ast.walk(node):
            if isinstance(item, ast.NamedExpr):
                self.assigned.add(item.target.id)
            elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load) and item.id not in definite:
                self.early.add(item.id)

    def _statement(self, node: ast.stmt, definite: set[str]) -> set[str]:
        match node:
            case ast.Assign():
                self._load(node.value, definite)
                for target in node.targets:
                    definite = self.store(target, definite)
            case ast.AnnAssign():
                self._load(node.value, definite)
                return definite if node.value is None else self.store(node.target, definite)
            case ast.AugAssign():
                self._load(node.value, definite)
                if isinstance(node.target, ast.Name) and node.target.id not in definite:
                    self.early.add(node.target.id)
                definite = self.store(node.target, definite)
            case ast.If():
                self._load(node.test, definite)
                definite = self.block(node.body, set(definite)) & self.block(node.orelse, set(definite))
            case ast.While():
                self._load(node.test, definite)
                self.block(node.body, set(definite))
                self.block(node.orelse, set(definite))
            case ast.For():
                self._load(node.iter, definite)
                self.block(node.body, self.store(node.target, definite))
                self.block(node.orelse, set(definite))
            case ast.With():
                for item in node.items:
                    self._load(item.context_expr, definite)
                    if item.optional_vars is not None:
                        definite = self.store(item.optional_vars, definite)
                definite = self.block(node.body, definite)
            case ast.Expr() | ast.Assert() | ast.Pass() | ast.Continue() | ast.Raise():
                self._load(node, definite)
            case _:
                self._other(node, definite)
        return definite

    def _other(self, node: ast.AST, definite: set[str]) -> None:
        """A statement of which any part may run or not."""
        for item in ast.walk(node):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.assigned.add(item.name)
            elif isinstance(item, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and item.name is not None:
                self.assigned.add(item.name)
            elif isinstance(item, ast.MatchMapping) and item.rest is not None:
                self.assigned.add(item.rest)
            elif isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load):
                self.assigned.add(item.id)
        self._load(node, definite)
