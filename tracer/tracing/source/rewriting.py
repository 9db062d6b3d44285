"""Rewriting functions so that their calls, operators, and reads and writes of arrays go through hooks.

The rewritten code keeps the file name and the lines, the names, the closure and the defaults of the original.
"""

from __future__ import annotations

import ast
import copy
import types
import weakref
from collections.abc import Callable, Collection
from typing import Any

from tracer.tracing.source import locate, loop_names

HOOKS: dict[str, Any] = {}
"""What the rewritten code calls, by name without its underscores; `hooks` enters them."""

_FRAME_READERS = frozenset(("super", "locals", "globals", "vars", "dir", "eval", "exec", "__import__"))
_COMPARISONS = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
_OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
}
_COMBINING = frozenset(("zip", "enumerate", "reversed"))
_UNARY = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert"}


def hook_name(name: str) -> str:
    """What a hook is called in rewritten code."""
    return f"__tracer_{name}__"


def _pattern(target: ast.expr) -> ast.expr:
    """How the target of an assignment takes a value apart: a tuple for each tuple in it, None for what it keeps."""
    if not isinstance(target, ast.Tuple | ast.List):
        return ast.Constant(None)
    # What a starred target takes is a list of items as they are; what comes after it is not followed.
    starred = next((place for place, item in enumerate(target.elts) if isinstance(item, ast.Starred)), None)
    return ast.Tuple([_pattern(item) for item in target.elts[:starred]], ast.Load())


class _Rewriter(ast.NodeTransformer):
    """Puts calls of hooks into a function."""

    def __init__(self, shared: Collection[str] = ()) -> None:
        self.temporaries = 0
        self.shared = shared

    def hook(self, place: ast.AST, name: str, *args: ast.expr) -> ast.Call:
        """A call of a hook that counts as standing where `place` stands."""
        function = ast.Name(hook_name(name), ast.Load())
        return self._at(ast.Call(function, list(args), []), place)

    def _at(self, made: Any, place: ast.AST) -> Any:
        for node in ast.walk(made):
            if "lineno" in node._attributes and not hasattr(node, "lineno"):
                ast.copy_location(node, place)
        return made

    # --- reading -------------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> Any:
        return self.hook(node, "read", node) if isinstance(node.ctx, ast.Load) else node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        # Python's own access, so that private names are mangled and errors are its own; the hook sees what was asked.
        if node.attr.startswith("__") and not node.attr.endswith("__"):
            return self.hook(node, "read", node)
        return self.hook(node, "attribute", node.value, ast.Constant(node.attr))

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        return self.hook(node, "item", node.value, self._key(node)) if isinstance(node.ctx, ast.Load) else node

    def _key(self, node: ast.Subscript) -> Any:
        """The key of a subscript as a value, slices included."""
        if not any(
            isinstance(part, ast.Slice | ast.Starred) for part in [node.slice, *getattr(node.slice, "elts", ())]
        ):
            return node.slice
        return self._at(ast.Subscript(ast.Name(hook_name("key"), ast.Load()), node.slice, ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        return self.hook(node, "binary", ast.Constant(_OPERATORS[type(node.op)]), node.left, node.right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        is_number = isinstance(node.operand, ast.Constant)
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            node.operand = self._truth(node.operand)
        if is_number or isinstance(node.op, ast.Not):
            return node
        return self.hook(node, "unary", ast.Constant(_UNARY[type(node.op)]), node.operand)

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        name = _COMPARISONS.get(type(node.ops[0]))
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
            is_in = ast.Constant(isinstance(node.ops[0], ast.In))
            return self.hook(node, "contains", node.left, node.comparators[0], is_in)
        if len(node.ops) > 1 or name is None:
            if not all(isinstance(item, ast.Is | ast.IsNot) for item in node.ops):
                node.left = self.hook(node.left, "number", node.left)
                node.comparators[:] = [self.hook(item, "number", item) for item in node.comparators]
            return node
        return self.hook(node, "binary", ast.Constant(name), node.left, node.comparators[0])

    def visit_Call(self, node: ast.Call) -> Any:
        callee = node.func
        if isinstance(callee, ast.Name):
            if callee.id in _FRAME_READERS:
                return self.generic_visit(node)
            node.func = ast.Constant(None)
            self.generic_visit(node)
            node.func = callee
        else:
            self.generic_visit(node)
        function = self._at(ast.Name(hook_name("call"), ast.Load()), node)
        return ast.copy_location(ast.Call(function, [node.func, *node.args], node.keywords), node)

    def visit_Starred(self, node: ast.Starred) -> Any:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self.hook(node.value, "iterated", node.value)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        node.values[:-1] = [self.hook(item, "number", item) for item in node.values[:-1]]
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> Any:
        self.generic_visit(node)
        node.value = self.hook(node.value, "text", node.value)
        return node

    def _truth(self, test: ast.expr) -> Any:
        """A value that Python asks whether it is true."""
        is_known = isinstance(test, ast.Constant | ast.BoolOp) or (isinstance(test, ast.Compare) and len(test.ops) > 1)
        return test if is_known else self.hook(test, "truth", test)

    def _visit_test(self, node: Any) -> Any:
        self.generic_visit(node)
        node.test = self._truth(node.test)
        return node

    visit_If = visit_While = visit_IfExp = visit_Assert = _visit_test

    # --- going through items -------------------------------------------------------------------------------------

    def _items(self, node: ast.expr) -> ast.expr:
        """What a loop goes through, by itself or as calls of functions such as `zip`, which a loop sees through."""
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _COMBINING
        call: Any = node
        if (
            not is_call
            or any(isinstance(item, ast.Starred) for item in call.args)
            or any(item.arg != "strict" for item in call.keywords)
        ):
            return self.hook(node, "iterated", self.visit(node))
        made = self.hook(node, "items", call.func, *map(self._items, call.args))
        made.keywords = [self._at(ast.keyword(item.arg, self.visit(item.value)), node) for item in call.keywords]
        return made

    def visit_For(self, node: ast.For) -> Any:
        names = loop_names.names_of(node, self.shared)
        if names is None:
            return self._visit_loop(node)
        iterated = self._items(node.iter)
        node.iter = ast.Constant(None)
        self.generic_visit(node)
        store, load = self._temporary(node)
        is_taken_apart = isinstance(node.target, ast.Tuple | ast.List)
        constants: list[Any] = [ast.Tuple([ast.Constant(name) for name in part], ast.Load()) for part in names]
        constants.append(_pattern(node.target) if is_taken_apart else ast.Constant(None))
        loop = self.hook(node.iter, "loop", iterated, *constants)
        node.iter = self._at(ast.NamedExpr(store, loop), node)
        if names.handed_on:
            targets: Any = ast.Tuple([ast.Name(name, ast.Store()) for name in names.handed_on], ast.Store())
            taken = ast.Assign([targets], ast.Attribute(copy.copy(load), "values", ast.Load()))
            test = ast.Attribute(copy.copy(load), "entering", ast.Load())
            node.body.insert(0, self._at(ast.If(test, [taken], []), node))
        return node

    def _visit_loop(self, node: Any) -> Any:
        iterated = self._items(node.iter)
        node.iter = ast.Constant(None)
        self.generic_visit(node)
        node.iter = iterated
        if isinstance(node.target, ast.Tuple | ast.List):
            node.iter = self.hook(node.iter, "each_taken_apart", node.iter, _pattern(node.target))
        if isinstance(node, ast.comprehension):
            node.ifs = list(map(self._truth, node.ifs))
        return node

    visit_comprehension = _visit_loop

    def visit_YieldFrom(self, node: ast.YieldFrom) -> Any:
        self.generic_visit(node)
        node.value = self.hook(node.value, "iterated", node.value)
        return node

    def visit_With(self, node: ast.With) -> Any:
        self.generic_visit(node)
        for item in node.items:
            item.context_expr = self.hook(item.context_expr, "context", item.context_expr)
        return node

    # --- writing -------------------------------------------------------------------------------------------------

    def _temporary(self, place: ast.AST) -> tuple[ast.Name, ast.Name]:
        self.temporaries += 1
        name = hook_name(str(self.temporaries))
        return self._at(ast.Name(name, ast.Store()), place), self._at(ast.Name(name, ast.Load()), place)

    def _target(self, target: ast.expr, later: list[ast.stmt]) -> Any:
        """A target of an assignment with names in the place of what a hook writes, which is done `later`."""
        if isinstance(target, ast.Tuple | ast.List):
            target.elts = [self._target(item, later) for item in target.elts]
            return target
        if isinstance(target, ast.Starred):
            target.value = self._target(target.value, later)
            return target
        if isinstance(target, ast.Name):
            return target
        store, load = self._temporary(target)
        later.append(self._store(target, load))
        return store

    def _store(self, target: Any, value: ast.expr) -> Any:
        """The statement that writes a value into a subscript or an attribute."""
        self.generic_visit(target)
        if isinstance(target, ast.Subscript):
            call = self.hook(target, "set_item", value, target.value, self._key(target))
        elif target.attr.startswith("__") and not target.attr.endswith("__"):
            return self._at(ast.Assign([target], value), target)
        else:
            call = self.hook(target, "set_attribute", value, target.value, ast.Constant(target.attr))
        return ast.copy_location(ast.Expr(call), target)

    def visit_Assign(self, node: ast.Assign) -> Any:
        node.value = self.visit(node.value)
        if all(isinstance(target, ast.Name) for target in node.targets):
            return node
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript | ast.Attribute):
            return ast.copy_location(self._store(node.targets[0], node.value), node)
        later: list[ast.stmt] = []
        store, load = self._temporary(node)
        for target in node.targets:
            if isinstance(target, ast.Tuple | ast.List):
                node.value = self.hook(node.value, "taken_apart", node.value, _pattern(target))
        statements: list[ast.stmt] = [ast.copy_location(ast.Assign([store], node.value), node)]
        for target in node.targets:
            later = []
            made = self._target(target, later)
            statements.append(ast.copy_location(ast.Assign([made], copy.copy(load)), node))
            statements += later
        return statements

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return node
        node.value = self.visit(node.value)
        if isinstance(node.target, ast.Name):
            return node
        return ast.copy_location(self._store(node.target, node.value), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        value = self.visit(node.value)
        operator, target = ast.Constant(_OPERATORS[type(node.op)]), node.target
        if isinstance(target, ast.Name):
            old = self._at(ast.Name(target.id, ast.Load()), target)
            return ast.copy_location(ast.Assign([target], self.hook(node, "in_place", operator, old, value)), node)
        self.generic_visit(target)
        if isinstance(target, ast.Subscript):
            call = self.hook(node, "in_place_item", operator, target.value, self._key(target), value)
        elif target.attr.startswith("__") and not target.attr.endswith("__"):
            return ast.copy_location(ast.AugAssign(target, node.op, value), node)
        else:
            call = self.hook(node, "in_place_attribute", operator, target.value, ast.Constant(target.attr), value)
        return ast.copy_location(ast.Expr(call), node)

    # --- what stays as it is -------------------------------------------------------------------------------------

    def visit_Match(self, node: ast.Match) -> Any:
        self.generic_visit(node)
        node.subject = self.hook(node.subject, "number", node.subject)
        return node

    def visit_match_case(self, node: ast.match_case) -> Any:
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = [item for statement in node.body for item in _as_list(self.visit(statement))]
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        return node  # its annotation

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node


def _as_list(made: Any) -> list[Any]:
    return made if isinstance(made, list) else [made]


_CODES: dict[tuple[types.CodeType, str], types.CodeType] = {}
_MOST_CODES = 4096
_NEEDED: weakref.WeakSet[Any] = weakref.WeakSet()
"""Functions, by their code, whose trace could not do without rewriting: later traces begin with it."""
_ROLLS: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
"""Functions, by their code, with long loops, and whether these are rolled."""


def _rewritten_code(code: types.CodeType) -> types.CodeType | None:
    key = (code, code.co_filename)
    known = _CODES.get(key)
    if known is None:
        known = _rewrite(code)
        if known is not None:  # what has no source now may have it later
            if len(_CODES) >= _MOST_CODES:
                _CODES.clear()
            _CODES[key] = known
    return known


def is_rewritten(code: types.CodeType) -> bool:
    """Whether code calls hooks: that of a function within a rewritten one, say."""
    return any(name.startswith("__tracer_") for name in code.co_freevars)


def _rewrite(code: types.CodeType) -> types.CodeType | None:
    place = locate.find(code)
    if place is None:
        return None
    node: Any = copy.deepcopy(place.node) if place.is_shared else place.node
    node.args.defaults = [ast.copy_location(ast.Constant(None), node) for _ in node.args.defaults]
    node.args.kw_defaults = [item and ast.copy_location(ast.Constant(None), node) for item in node.args.kw_defaults]
    rewriter = _Rewriter(_shared_names(code))
    if isinstance(node, ast.Lambda):
        node.body = rewriter.visit(node.body)
    else:
        node.body = [item for statement in node.body for item in _as_list(rewriter.visit(statement))]
    return locate.build(place, node, code, [hook_name(name) for name in HOOKS])


def _shared_names(code: types.CodeType) -> set[str]:
    """The names that functions within a function share with it or with each other."""
    found = {*code.co_cellvars, *code.co_freevars}
    return found.union(*(_shared_names(item) for item in code.co_consts if isinstance(item, types.CodeType)))


def rewrite(function: types.FunctionType) -> types.FunctionType | None:
    """The rewritten twin of a function, which shares its globals, closure and defaults; None if it has no source."""
    code = _rewritten_code(function.__code__)
    if code is None:
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells |= {hook_name(name): types.CellType(hook) for name, hook in HOOKS.items()}
    closure = tuple(cells[name] for name in code.co_freevars)
    twin = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__qualname__, twin.__module__, twin.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return twin


def _mark(function: Any) -> Any:
    while not isinstance(function, types.FunctionType):
        inner = (
            getattr(function, "__func__", None)
            or getattr(function, "function", None)
            or getattr(function, "func", None)
        )
        if inner is None or inner is function:
            return type(function) if not isinstance(function, Callable) else function  # type: ignore[arg-type]
        function = inner
    return function.__code__


def is_needed(function: Any) -> bool:
    """Whether an earlier trace of this function could not do without rewriting."""
    try:
        return _mark(function) in _NEEDED
    except TypeError:  # cannot be hashed or referred to weakly
        return False


def note_needed(function: Any) -> None:
    """Remember that a function is to be rewritten."""
    try:
        _NEEDED.add(_mark(function))
    except TypeError:
        return


def rolls(function: Any) -> bool | None:
    """Whether an earlier trace of this function had long loops that are rolled; None if it had no long ones."""
    try:
        return _ROLLS.get(_mark(function))
    except TypeError:  # cannot be hashed or referred to weakly
        return False


def note_rolls(function: Any, is_rolled: bool) -> None:
    """Remember whether the long loops of a function are rolled."""
    try:
        _ROLLS[_mark(function)] = is_rolled
    except TypeError:
        return
