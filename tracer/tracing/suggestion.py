"""Code that a traced function may have in the place of a branch or loop that asks for a number, in the user's names."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from tracer.errors import is_own
from tracer.errors.suggestion import REWRITTEN
from tracer.tracing.source.locate import parsed, source_text

_INDENT = "    "
_LEAVING = (ast.Return, ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Raise, ast.Await)
_NOT_NUMBERS = (ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.Lambda, ast.ListComp)
_CHAIN = {ast.And: "logical_and", ast.Or: "logical_or"}


def suggest() -> str | None:
    """A hint with code for the test or loop that runs now in the user's function; None where there is no good one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_own(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return None
    try:
        code = rewritten(source_text(frame.f_code.co_filename), *_position(frame))
    except (SyntaxError, ValueError, RecursionError):
        return None
    if code is None:
        return None
    return REWRITTEN.format(code="\n".join((_INDENT + line).rstrip() for line in code.splitlines()))


def _position(frame: FrameType) -> tuple[int, int]:
    """Line and column of what a frame computes now; column -1 if only the line is known."""
    for number, position in enumerate(frame.f_code.co_positions()):
        if number == frame.f_lasti // 2:
            line, _, column, _ = position
            if line is not None and column is not None:
                return line, column
    return frame.f_lineno, -1


def rewritten(text: str, line: int, column: int = -1) -> str | None:
    """The statement at a place of a text, written for traced values.

    Parameters
    ----------
    text : str
        A module.
    line, column : int
        Where a test is, or the call that needs a number, as Python counts them; column -1 for the first on the line.

    Returns
    -------
    str or None
        Code for the whole statement; None where there is none that means the same.
    """
    tree = parsed(text)
    path = _path_to(tree, line, column)
    for depth in range(len(path) - 1, -1, -1):
        made = _in_place_of(path, depth)
        if made is not None:
            return made or None
    return None


def _path_to(tree: ast.AST, line: int, column: int) -> list[ast.AST]:
    """The nodes around a place, outermost first."""
    path: list[ast.AST] = []
    node: ast.AST | None = tree
    while node is not None:
        path.append(node)
        inside = [child for child in _children(node) if _holds(child, line, column)]
        node = inside[0] if inside else None
    return path


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes within one that have a place, each once."""
    for child in ast.iter_child_nodes(node):
        if hasattr(child, "lineno"):
            yield child
        else:
            yield from _children(child)


def _holds(node: Any, line: int, column: int) -> bool:
    if not node.lineno <= line <= node.end_lineno:
        return False
    if column < 0:
        return True
    after_start = line > node.lineno or column >= node.col_offset
    return after_start and (line < node.end_lineno or column < node.end_col_offset)


def _in_place_of(path: list[ast.AST], depth: int) -> str | None:
    """Code for a node of a path; "" if there is none and what is around it is no better."""
    node: Any = path[depth]
    below = path[depth + 1] if depth + 1 < len(path) else None
    is_test = below is None or below is getattr(node, "test", None)
    match node:
        case ast.If() if is_test:
            return _if_statement(node, path) or ""
        case ast.While() if is_test:
            return _while_statement(node, path) or ""
        case ast.For() if below is node.iter:
            return _for_statement(node, path) or ""
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Assert():
            return ""
        case ast.Lambda():
            return ast.unparse(_Tests().visit(copy.deepcopy(node))) if below is not None else ""
        case ast.stmt():
            made = _Tests().visit(copy.deepcopy(node))
            text = ast.unparse(ast.fix_missing_locations(made))
            return text if text != ast.unparse(node) else ""
    return None


class _Tests(ast.NodeTransformer):
    """Writes `a if test else b`, `and`, `or`, `not` and chains of comparisons with NumPy's functions."""

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        test, one, other = (self.visit(item) for item in (node.test, node.body, node.orelse))
        return _where(test, one, other)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        values = [self.visit(item) for item in node.values]
        made = values[0]
        for value in values[1:]:
            made = _call(f"np.{_CHAIN[type(node.op)]}", made, value)
        return made

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        return _call("np.logical_not", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        if len(node.ops) == 1:
            return node
        sides = [node.left, *node.comparators]
        made: ast.expr | None = None
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
            part = ast.Compare(left, [operator], [right])
            made = part if made is None else _call("np.logical_and", made, part)
        return made


def _array_test(test: ast.expr) -> ast.expr:
    made: ast.expr = _Tests().visit(copy.deepcopy(test))
    return made


def _call(name: str, *args: ast.expr) -> ast.Call:
    function: Any = ast.parse(name, mode="eval").body
    return ast.Call(function, list(args), [])


def _where(test: ast.expr, one: ast.expr, other: ast.expr) -> ast.Call:
    return _call("np.where", test, one, other)


# --- if ----------------------------------------------------------------------------------------------------------


def _if_statement(node: ast.If, path: Sequence[ast.AST]) -> str | None:
    test = _array_test(node.test)
    one, other = _returned(node.body), _returned(node.orelse or _returned_after(node, path))
    if one is not None and other is not None:
        return ast.unparse(ast.Return(_choice(test, one, other)))
    before = _names_before(node, path)
    chosen = _assignments(test, node, before)
    if chosen is not None:
        return chosen
    return _cond(test, node, before, path)


def _choice(test: ast.expr, one: ast.expr, other: ast.expr) -> ast.expr:
    """`np.where` of two values, or a tuple of those of the items of two tuples."""
    if isinstance(one, ast.Tuple) and isinstance(other, ast.Tuple) and len(one.elts) == len(other.elts):
        return ast.Tuple([_choice(test, a, b) for a, b in zip(one.elts, other.elts, strict=True)], ast.Load())
    return _where(test, _Tests().visit(copy.deepcopy(one)), _Tests().visit(copy.deepcopy(other)))


def _returned(body: Sequence[ast.stmt]) -> ast.expr | None:
    """What a body returns, if it does nothing else than to choose that."""
    if len(body) != 1:
        return None
    only = body[0]
    if isinstance(only, ast.If):
        one, other = _returned(only.body), _returned(only.orelse)
        return None if one is None or other is None else _choice(_array_test(only.test), one, other)
    is_value = isinstance(only, ast.Return) and only.value is not None
    if not is_value or _is_constant(only.value, str | bytes | type(None)):  # type: ignore[attr-defined]
        return None
    return only.value  # type: ignore[attr-defined]


def _is_constant(node: Any, kinds: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, kinds)


def _returned_after(node: ast.stmt, path: Sequence[ast.AST]) -> list[ast.stmt]:
    """The `return` that follows a statement, if it is the next one."""
    for holder in path:
        for field in ("body", "orelse"):
            statements = getattr(holder, field, None)
            if isinstance(statements, list) and node in statements:
                return statements[statements.index(node) + 1 :][:1]
    return []


def _assignments(test: ast.expr, node: ast.If, before: set[str]) -> str | None:
    """Branches that only assign to names and items, each as a choice; None if that would not mean the same."""
    one, other = _assigned(node.body), _assigned(node.orelse)
    if one is None or other is None:
        return None
    targets = list(dict.fromkeys([*one, *other]))
    if any(
        target.isidentifier() and target not in before
        for target in targets
        for side in (one, other)
        if target not in side
    ):
        return None
    used = {name for target in targets for side in (one, other) if target in side for name in _names(side[target])}
    if len(targets) > 1 and not all(target.isidentifier() for target in targets):
        return None
    values = []
    for target in targets:
        sides = [side.get(target, _read(target)) for side in (one, other)]
        if any(isinstance(side, _NOT_NUMBERS) or _is_constant(side, str | bytes | type(None)) for side in sides):
            return None
        values.append(_choice(test, *sides))
    independent = used.isdisjoint(targets) and _names(test).isdisjoint(targets)
    if len(targets) == 1 or independent:
        return "\n".join(f"{target} = {ast.unparse(value)}" for target, value in zip(targets, values, strict=True))
    return f"{', '.join(targets)} = {', '.join(map(ast.unparse, values))}"


def _assigned(body: Sequence[ast.stmt]) -> dict[str, ast.expr] | None:
    """The targets that a body assigns to and their values, where no value depends on another; None for other bodies."""
    found: dict[str, ast.expr] = {}
    for statement in body:
        made = _assigned_by(statement)
        if made is None or not found.keys().isdisjoint(made):
            return None
        if any(not _names(value).isdisjoint(found) for value in made.values()):
            return None
        found |= made
    return found


def _assigned_by(statement: ast.stmt) -> dict[str, ast.expr] | None:
    pairs: list[tuple[ast.expr, ast.expr]]
    match statement:
        case ast.Pass():
            return {}
        case ast.If():
            one, other = _assigned(statement.body), _assigned(statement.orelse)
            if one is None or other is None:
                return None
            test = _array_test(statement.test)
            return {
                target: _choice(test, one.get(target, _read(target)), other.get(target, _read(target)))
                for target in dict.fromkeys([*one, *other])
            }
        case ast.AugAssign():
            pairs = [(statement.target, ast.BinOp(_read(ast.unparse(statement.target)), statement.op, statement.value))]
        case ast.Assign(targets=[ast.Tuple() as target], value=ast.Tuple() as value):
            pairs = list(zip(target.elts, value.elts, strict=False))
            if len(target.elts) != len(value.elts):
                return None
        case ast.Assign():
            pairs = [(target, statement.value) for target in statement.targets]
        case _:
            return None
    if not all(isinstance(target, ast.Name | ast.Subscript) for target, _ in pairs):
        return None
    return {ast.unparse(target): value for target, value in pairs}


def _read(target: str) -> ast.expr:
    """What is in a target before the assignment."""
    return ast.parse(target, mode="eval").body


def _cond(test: ast.expr, node: ast.If, before: set[str], path: Sequence[ast.AST]) -> str | None:
    """Longer branches as functions for `tracer.cond`."""
    if any(_leaves(body) or _writes_into(body) or _makes_others(body) for body in (node.body, node.orelse)):
        return None
    sides = [list(_stored(body)) for body in (node.body, node.orelse)]
    results = [
        name for name in dict.fromkeys(sides[0] + sides[1]) if name in before or (name in sides[0] and name in sides[1])
    ]
    lasting = [name for name in dict.fromkeys(sides[0] + sides[1]) if name not in results]
    if not results or any(name in _names_after(node, path) for name in lasting):
        return None
    lines = []
    for name, body, stored in zip(("then", "otherwise"), (node.body, node.orelse), sides, strict=True):
        needed = [item for item in results if item in stored and item in before]
        parameters = ", ".join(f"{item}={item}" for item in needed)
        lines += [f"def {name}({parameters}):", *_indented(body, path), f"{_INDENT}return {_packed(results)}", ""]
    return "\n".join([*lines, f"{_targets(results)} = tracer.cond({ast.unparse(test)}, then, otherwise)"])


def _targets(names: Sequence[str]) -> str:
    return ", ".join(names)


def _packed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _indented(body: Sequence[ast.stmt], path: Sequence[ast.AST]) -> list[str]:
    """The lines of a body, with the branches in it written for traced values too."""
    lines = []
    for statement in body:
        made = _if_statement(statement, path) if isinstance(statement, ast.If) else None
        lines += (ast.unparse(statement) if made is None else made).splitlines()
    return [(_INDENT + line).rstrip() for line in lines]


# --- loops -------------------------------------------------------------------------------------------------------


def _while_statement(node: ast.While, path: Sequence[ast.AST]) -> str | None:
    carried = _carried(node.body, node, path)
    if node.orelse or carried is None:
        return None
    test = ast.unparse(_array_test(node.test))
    body = _indented(node.body, path)
    carry, opened = _carry(carried)
    lines = [f"def keep_going({carry}):", *opened, f"{_INDENT}return {test}", ""]
    lines += [f"def step({carry}):", *opened, *body, f"{_INDENT}return {_packed(carried)}", ""]
    return "\n".join([*lines, f"{_targets(carried)} = tracer.while_loop(keep_going, step, {_packed(carried)})"])


def _for_statement(node: ast.For, path: Sequence[ast.AST]) -> str | None:
    """`for i in range(...)` with a traced number of steps."""
    steps: Any = node.iter
    is_range = isinstance(steps, ast.Call) and isinstance(steps.func, ast.Name) and steps.func.id == "range"
    carried = _carried(node.body, node, path)
    if not is_range or not isinstance(node.target, ast.Name) or len(steps.args) > 2 or node.orelse or not carried:
        return None
    start = ast.unparse(steps.args[0]) if len(steps.args) == 2 else "0"
    end = ast.unparse(steps.args[-1])
    carry, opened = _carry(carried)
    lines = [f"def step({node.target.id}, {carry}):", *opened, *_indented(node.body, path)]
    lines += [f"{_INDENT}return {_packed(carried)}", ""]
    return "\n".join([*lines, f"{_targets(carried)} = tracer.fori_loop({start}, {end}, step, {_packed(carried)})"])


def _carry(names: Sequence[str]) -> tuple[str, list[str]]:
    """The parameter of a step of a loop that has these names, and the line that takes it apart."""
    return (names[0], []) if len(names) == 1 else ("carry", [f"{_INDENT}{_targets(names)} = carry"])


def _carried(body: Sequence[ast.stmt], node: ast.stmt, path: Sequence[ast.AST]) -> list[str] | None:
    """The names that go from one step of a loop to the next; None where its body cannot be a function."""
    if _leaves(body):
        return None
    before = _names_before(node, path)
    carried = [name for name in _stored(body) if name in before]
    carried += [name for name in _written_into(body) if name in before and name not in carried]
    lost = [name for name in _stored(body) if name not in before and name in _names_after(node, path)]
    return carried if carried and not lost else None


# --- names -------------------------------------------------------------------------------------------------------


def _names(node: ast.AST) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}


def _stored(body: Sequence[ast.stmt]) -> dict[str, None]:
    """The names that statements assign to, in order."""
    return dict.fromkeys(
        item.id
        for statement in body
        for item in ast.walk(statement)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    )


def _written_into(body: Sequence[ast.stmt]) -> list[str]:
    """The names of what statements write items or attributes of."""
    found = []
    for statement in body:
        for item in ast.walk(statement):
            if isinstance(item, ast.Subscript | ast.Attribute) and isinstance(item.ctx, ast.Store):
                inner: Any = item.value
                while isinstance(inner, ast.Subscript | ast.Attribute):
                    inner = inner.value
                if isinstance(inner, ast.Name):
                    found.append(inner.id)
    return found


def _writes_into(body: Sequence[ast.stmt]) -> bool:
    is_call = any(isinstance(statement, ast.Expr) for statement in body)
    return is_call or bool(_written_into(body))


def _makes_others(body: Sequence[ast.stmt]) -> bool:
    """Whether statements assign what is no number, such as a string."""
    values = [item.value for statement in body for item in ast.walk(statement) if isinstance(item, ast.Assign)]
    parts = [part for value in values for part in (value.elts if isinstance(value, ast.Tuple) else [value])]
    return any(isinstance(part, _NOT_NUMBERS) or _is_constant(part, str | bytes | type(None)) for part in parts)


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return any(isinstance(item, _LEAVING) for statement in body for item in ast.walk(statement))


def _function_of(path: Sequence[ast.AST]) -> Any:
    return next((item for item in reversed(path) if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)), None)


def _names_before(node: ast.stmt, path: Sequence[ast.AST]) -> set[str]:
    """The parameters and the names that are assigned to before a statement."""
    function = _function_of(path)
    if function is None:
        return set()
    args = function.args
    found = {item.arg for item in (*args.posonlyargs, *args.args, *args.kwonlyargs)}
    for item in ast.walk(function):
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store) and item.lineno < node.lineno:
            found.add(item.id)
    return found


def _names_after(node: ast.stmt, path: Sequence[ast.AST]) -> set[str]:
    """The names that are read after a statement."""
    function = _function_of(path)
    if function is None:
        return set()
    last = node.end_lineno or node.lineno
    return {
        item.id
        for item in ast.walk(function)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load) and item.lineno > last
    }
