"""Random NumPy programs as text: built statement by statement, each of which plain NumPy has accepted."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from random_programs import plain

import tracer

Array = np.ndarray[Any, Any]
LARGEST = 1e4
"""Numbers above make rounding errors large."""
MOST_ELEMENTS = 400

_COUNTER = itertools.count()


@dataclass
class Block:
    """A header with an indented body, then lines that use it."""

    header: str
    body: list[Any]
    end: str = ""
    after: list[str] = field(default_factory=list)

    def lines(self, indent: str) -> Iterator[str]:
        yield indent + self.header
        for item in self.body:
            yield from item.lines(indent + "    ") if isinstance(item, Block) else [indent + "    " + item]
        if self.end:
            yield f"{indent}    {self.end}"
        elif not self.body:
            yield f"{indent}    pass"
        yield from (indent + line for line in self.after)


Statement = str | Block


@dataclass
class Program:
    """A function of `arguments`, given by the expressions that make them from `random`, and of a global table.

    Attributes
    ----------
    arguments : list of (name, expression)
        An expression may use those before it: views of one another share memory.
    statements : list
        Lines and blocks.
    results : list of str
        What is returned.
    """

    arguments: list[tuple[str, str]]
    statements: list[Statement]
    results: list[str]
    decorated: bool = False

    @property
    def text(self) -> str:
        names = ", ".join(name for name, _ in self.arguments)
        values = "".join(f"{name}, " for name in self.results)
        return "\n".join([*Block(f"def program({names}):", self.statements, f"return ({values})").lines("")]) + "\n"

    def make(self, seed: int) -> dict[str, Array]:
        """The arguments and the table, the same for the same seed."""
        random = np.random.default_rng(seed)
        scope: dict[str, Any] = {"np": np, "random": random}
        for name, expression in self.arguments:
            scope[name] = eval(expression, scope)
        values = {name: scope[name] for name, _ in self.arguments}
        return {**values, "table": np.round(random.normal(size=(3, 4)), 3)}

    def function(
        self, library: Any = tracer, table: Array | None = None, with_source: bool = True
    ) -> Callable[..., Any]:
        """The program as a function that closes over a table, with or without source text that can be found."""
        file = f"<random program {next(_COUNTER)}>"
        text = self.text
        if with_source:
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        scope: dict[str, Any] = {"np": np, "tracer": library, "table": table, "__name__": "random_program"}
        exec(compile(text, file, "exec"), scope)
        return scope["program"]


class Rejected(Exception):
    """A statement that plain NumPy does not take, or whose values are not good for comparing."""


class Builder:
    """Builds a program along with the values that it has, statement by statement.

    Attributes
    ----------
    random : numpy.random.Generator
    scope : dict
        Variables and their values after the statements so far.
    """

    def __init__(
        self, random: np.random.Generator, arguments: Sequence[tuple[str, str]], closes_over: bool = True
    ) -> None:
        self.random = random
        self.program = Program(list(arguments), [], [])
        self.initial = self.program.make(0)
        self.hidden: set[str] = set() if closes_over else {"table"}
        self.loop_variable: tuple[str, int] | None = None
        self.counter = itertools.count()
        self.reset()

    def reset(self) -> None:
        """Run the statements so far again, from fresh arguments."""
        self.scope: dict[str, Any] = {"np": np, "tracer": plain, **self.program.make(0)}
        for statement in self.program.statements:
            self._run(statement)

    def _run(self, statement: Statement) -> None:
        text = statement if isinstance(statement, str) else "\n".join(statement.lines(""))
        with np.errstate(all="ignore"):
            exec(text, self.scope)

    def arrays(self, accept: Callable[[Array], bool] = lambda value: True) -> list[str]:
        """Names of variables that hold arrays."""
        found = []
        for name, value in self.scope.items():
            if name not in self.hidden and isinstance(value, np.ndarray | np.generic) and accept(value):
                found.append(name)
        return found

    def pick(self, accept: Callable[[Array], bool] = lambda value: True) -> str:
        """The name of a variable, rather a late one."""
        names = self.arrays(accept)
        if not names:
            raise Rejected
        place = max(self.random.integers(len(names), size=2))
        return names[place]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def choose(self, items: Sequence[Any]) -> Any:
        return items[self.random.integers(len(items))]

    def number(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def fresh(self, prefix: str = "v") -> str:
        return f"{prefix}{next(self.counter)}"

    def value(self, expression: str) -> Any:
        """The value of an expression without side effects."""
        with np.errstate(all="ignore"):
            try:
                return eval(expression, dict(self.scope))
            except Exception as error:
                raise Rejected from error

    def add(self, statement: Statement) -> None:
        """Append a statement, unless plain NumPy or the values that it makes are against it."""
        try:
            self._run(statement)
            self._check()
        except Exception as error:
            self.reset()
            raise Rejected from error
        self.program.statements.append(statement)

    def _check(self) -> None:
        for name, value in self.scope.items():
            for leaf in value if isinstance(value, list | tuple) else [value]:
                if isinstance(leaf, np.ndarray | np.generic):
                    check(name, leaf)

    def build(self, productions: Sequence[tuple[Callable[[Builder], Any], float]], steps: int) -> Program:
        """Add statements, and return the program, whose results are some of its variables."""
        functions = [function for function, _ in productions]
        weights = np.array([weight for _, weight in productions])
        weights /= weights.sum()
        for _ in range(8 * steps):
            if len(self.program.statements) >= steps:
                break
            production = functions[self.random.choice(len(functions), p=weights)]
            try:
                production(self)
            except Rejected:
                pass
        made = [name for name in self.arrays() if name.startswith("v")]
        made += [name for name, value in self.scope.items() if name.startswith("w") and isinstance(value, list | tuple)]
        self.program.results = made[-6:]
        return self.program


def check(name: str, value: Array) -> None:
    """Raise Rejected for values that cannot be compared, or arrays that are too large."""
    if value.dtype.kind not in "biufc" or value.size > MOST_ELEMENTS:
        raise Rejected
    if value.dtype.kind in "iufc" and value.size:
        largest = np.max(np.abs(value))
        if not largest < LARGEST:
            raise Rejected
