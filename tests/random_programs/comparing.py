"""Running a random program in plain NumPy and compiled: results, and what arguments and the table hold afterwards."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
from random_programs import plain
from random_programs.programs import Program, Rejected, check

import tracer

TOLERANCE = {"d": 1e-9, "D": 1e-9, "f": 2e-4, "F": 2e-4}
SEEDS = (0, 1, 0)
"""Values that a program is called with: those that it was built with, others, and the first again."""


class Difference(AssertionError):
    """A compiled program that does something else than the plain one."""


def flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


def outcome(function: Any, values: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """Results, then arguments and the table afterwards."""
    arguments = [value for name, value in values.items() if name != "table"]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = function(*arguments)
    return [*map(np.asarray, flat(results)), *values.values()]


def expected(program: Program, seed: int, change: float = 0.0) -> list[np.ndarray[Any, Any]]:
    """What plain NumPy makes of the values of a seed, perhaps slightly changed.

    Raises Rejected if that is an error, or nothing that can be compared.
    """
    values = program.make(seed)
    if change:
        random = np.random.default_rng(seed)
        for value in values.values():
            if value.dtype.kind in "fc" and value.flags.writeable:
                value *= (1 + change * np.finfo(value.dtype).eps * random.normal(size=value.shape)).astype(value.dtype)
    try:
        found = [np.array(item) for item in outcome(program.function(plain, values["table"]), values)]
    except Exception as error:
        raise Rejected from error
    for item in found:
        check("", item)
    return found


def is_close(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], is_single: bool = False) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fc":
        return bool(np.array_equal(one, other))
    tolerance = TOLERANCE["f" if is_single else one.dtype.char]
    scale = np.max(np.abs(one), initial=1.0)
    return bool(np.allclose(other, one, rtol=tolerance, atol=tolerance * scale))


def is_stable(program: Program, seed: int, wanted: list[np.ndarray[Any, Any]]) -> bool:
    """Whether rounding errors change the results but little."""
    try:
        for change in (1.0, 4.0, 16.0):
            again = expected(program, seed, change)
            if not all(map(is_close, wanted, again)):
                return False
    except Rejected:
        return False
    return True


def compare(program: Program, with_source: bool = True, **options: Any) -> int:
    """Raise Difference if the compiled program differs from the plain one; returns how many calls were compared."""
    compiled, table, count = None, None, 0
    text = f"{program.arguments} {program.text}"
    for seed in SEEDS:
        try:
            wanted = expected(program, seed)
        except Rejected:
            continue
        values = program.make(seed)
        if compiled is None:
            table = values["table"]
            compiled = tracer.compile(program.function(tracer, table, with_source), **options)
        else:
            np.copyto(table, values["table"])
            values["table"] = table
        try:
            found = outcome(compiled, values)
        except Exception as error:
            raise Difference(f"{type(error).__name__}: {error}") from error
        names = [*(f"result {place}" for place in range(len(wanted) - len(values))), *values]
        for name, one, other in zip(names, wanted, found, strict=True):
            if not is_close(one, other, "float32" in text) and is_stable(program, seed, wanted):
                raise Difference(
                    f"seed {seed}: {name}: expected {one.dtype}{list(one.shape)}\n{one}\n"
                    f"found {other.dtype}{list(other.shape)}\n{other}"
                )
        count += 1
    return count


def shrunk(program: Program, fails: Any) -> Program:
    """A smaller program that still fails: without statements, lines of bodies, results and arguments."""
    program = copy.deepcopy(program)
    changed = True
    while changed:
        changed = False
        for smaller in smaller_programs(program):
            if fails(smaller):
                program, changed = smaller, True
                break
    return program


def smaller_programs(program: Program) -> Any:
    for place in reversed(range(len(program.results))):
        if len(program.results) > 1:
            smaller = copy.deepcopy(program)
            smaller.results = [program.results[place]]
            yield smaller
    if program.results:
        smaller = copy.deepcopy(program)
        smaller.results = []
        yield smaller
    for path in paths(program.statements):
        smaller = copy.deepcopy(program)
        body = smaller.statements
        for place in path[:-1]:
            body = body[place].body
        del body[path[-1]]
        yield smaller
    for place in range(len(program.arguments)):
        if len(program.arguments) > 1:
            smaller = copy.deepcopy(program)
            del smaller.arguments[place]
            yield smaller


def paths(statements: list[Any]) -> Any:
    for place in reversed(range(len(statements))):
        yield (place,)
        if not isinstance(statements[place], str):
            for rest in paths(statements[place].body):
                yield (place, *rest)
