"""Loops and conditions over Python functions: each function is run once, on traced values, and becomes a body.

What a function uses of its surroundings, traced values and arrays alike, is found and handed to the body as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import loops as texts
from tracer.graph.body import Frame, close, free_values, inline
from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.node import Node, input_node, make_node
from tracer.graph.op import OPS
from tracer.graph.sweeps import SweepFrame, body_name
from tracer.ops.control import COND
from tracer.ops.gradient_control import MARK
from tracer.ops.scan import SCAN
from tracer.ops.while_loop import WHILE
from tracer.records import NamedTuple
from tracer.tracing import trace
from tracer.tracing.bodies import nodes_around, record, run_body, threaded, within
from tracer.tracing.proxy import Proxy, operand_type, unwrap, wrap
from tracer.types import ArrayType, promote

Function = Callable[..., Any]


class Scanned(NamedTuple):
    """What a scan gives.

    Attributes
    ----------
    histories : tuple of arrays
        For each state its initial rows and below them one row a step.
    carries : tuple of arrays
        Their last values.
    outputs : tuple of arrays
        One row a step.
    count : array or None
        How many steps were done, if the body decides; rows of other steps are zero.
    """

    histories: tuple[Any, ...]
    carries: tuple[Any, ...]
    outputs: tuple[Any, ...]
    count: Any


def scan(
    body: Function,
    sequences: Sequence[Any] = (),
    initials: Sequence[Any] = (),
    carries: Sequence[Any] = (),
    non_sequences: Sequence[Any] = (),
    n_steps: int | None = None,
    *,
    lags: Sequence[Sequence[int]] | None = None,
    reverse: bool = False,
    until: bool = False,
    truncate: int = -1,
) -> Scanned:
    """Run a body once a step, as one loop.

    Parameters
    ----------
    body : callable
        (*rows of the sequences, *states at their lags, *carries, *non_sequences) -> (states, carries, outputs), three
        sequences of arrays; with `until` a fourth item is true after the last step. It is run once, on traced values.
    sequences : sequence of arrays
        Step t reads row t.
    initials : sequence of arrays
        The rows of each state before the first step, oldest first.
    carries : sequence of arrays
        First values of what is handed on from step to step and not kept.
    non_sequences : sequence of arrays
        Handed to every step; so is what the body uses of its surroundings.
    n_steps : int, optional
        As many as the shortest sequence has rows if not given.
    lags : sequence of sequences of int, optional
        For each state how many steps back the body reads it, (1,) if not given: (1, 3) hands it the last value and the
        one two steps before that.
    reverse : bool
        Whether steps take the rows of sequences, and write the rows of outputs, from the last to the first.
    until : bool
        Whether the body decides when to stop; `n_steps` is then the most it can do.
    truncate : int
        Over how many steps, counted from the end, derivatives of reverse mode go back; -1: over all.

    Returns
    -------
    Scanned
        Histories, carries, outputs and the number of steps.

    Raises
    ------
    TraceError
        If the body's results do not fit what it is given.

    Examples
    --------
    >>> rows = np.array([1.0, 2.0, 3.0])
    >>> scan(lambda x, total: ([], [total + x], [total]), [rows], carries=[0.0]).carries
    (array(6.),)
    >>> fibonacci = scan(lambda one, two: ([one + two], [], []), initials=[np.array([0, 1])], n_steps=5, lags=[(1, 2)])
    >>> fibonacci.histories[0]
    array([0, 1, 1, 2, 3, 5, 8])
    """
    steps = _steps(sequences, n_steps)
    groups = [[_value(item) for item in group] for group in (sequences, initials, carries, non_sequences)]
    groups[0] = [item if item.shape[0] == steps else item[:steps] for item in groups[0]]
    if until and reverse:  # What is stopped early counts its rows from the first one.
        groups[0] = [item[::-1] for item in groups[0]]
    chosen = tuple(tuple(item) for item in lags) if lags is not None else ((1,),) * len(groups[1])
    _check_lags(chosen, groups[1])
    sizes = (len(groups[0]), chosen, len(groups[2]))
    frame = Frame(steps, *sizes, 0, until=until, reverse=reverse and not until, truncate=truncate)
    graph, free, frame, changed = _scan_body(body, groups, frame)
    own = len(groups[2])
    groups[2] += changed.values()
    made = frame.results(SCAN(*(item for group in groups for item in group), *free, body=graph, frame=frame))
    record(dict(zip(changed, made.carries[own:], strict=True)))
    outputs = tuple(item[::-1] for item in made.outputs) if until and reverse else tuple(made.outputs)
    return Scanned(tuple(made.states), tuple(made.carries[:own]), outputs, made.last)


def while_loop(condition: Function, body: Function, carries: Sequence[Any]) -> tuple[Any, ...]:
    """Run a body on carries while a condition on them holds, as one loop.

    Parameters
    ----------
    condition : callable
        (*carries) -> truth value. It is run once, on traced values.
    body : callable
        (*carries) -> sequence of their new values, of the same types. It is run once, on traced values.
    carries : sequence of arrays
        Their first values.

    Returns
    -------
    tuple of arrays
        Their values when the condition no longer holds.

    Raises
    ------
    TraceError
        If a new value has another type than the old one, or the condition is not one truth value.

    Examples
    --------
    >>> while_loop(lambda n: n % 5 != 0, lambda n: [n + 1], [np.array(7)])
    (array(10),)
    """
    values = [_value(item) for item in carries]
    parameters = [input_node(ArrayType(item.dtype, item.shape)) for item in values]
    active = trace.current()
    found, changes = run_body(body, [Proxy(node, active) for node in parameters])
    with within(changes):
        goes_on, forbidden = run_body(condition, [Proxy(node, active) for node in parameters])
    if forbidden:
        raise errors.TraceError(errors.message(texts.CHANGE_IN_CONDITION))
    pairs = zip(found, parameters, strict=True)
    nodes = [_fit(value, own.type, f"carry {place}", "while_loop") for place, (value, own) in enumerate(pairs)]
    whole = threaded([unwrap(_predicate(goes_on)), *nodes], changes)
    parameters += whole.parameters
    free = free_values(whole.nodes, parameters, nodes_around((condition, body)))
    made = WHILE(
        *values,
        *whole.initials,
        *(wrap(node, active) for node in free),
        frame=SweepFrame((len(parameters),), (0,), (False,)),
        condition=_closed(parameters, free, whole.nodes[:1]),
        **{body_name(0): _closed(parameters, free, whole.nodes[1:])},
    )
    record(dict(zip(changes, made[len(values) :], strict=True)))
    return tuple(made[: len(values)])


def cond(predicate: Any, then: Function, otherwise: Function, operands: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Run one of two functions; the other one's work is not done.

    Parameters
    ----------
    predicate : array
        One truth value.
    then, otherwise : callable
        (*operands) -> array or tuple of arrays, both of the same types. Each is run once, on traced values.
    operands : sequence of arrays
        Handed to the function that runs; so is what it uses of its surroundings. What the functions compute from them
        is computed only if needed.

    Returns
    -------
    tuple of arrays
        What the function returned.

    Raises
    ------
    TraceError
        If the functions give different shapes, or the predicate is not one truth value.

    Examples
    --------
    >>> cond(np.array(2.0) > 1, np.sin, np.cos, [np.zeros(2)])
    (array([0., 0.]),)
    """
    if isinstance(predicate, bool | np.bool_):
        return _as_tuple((then if predicate else otherwise)(*operands))
    return _branches(_predicate(predicate), (then, otherwise), operands)


def switch(index: Any, functions: Sequence[Function], operands: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Run the function with this number; the work of the others is not done.

    Parameters
    ----------
    index : integer array
        One number; what is out of range counts as the first or the last.
    functions : sequence of callables
        As those of `cond`.
    operands : sequence of arrays
        As those of `cond`.

    Returns
    -------
    tuple of arrays
        What the function returned.

    Raises
    ------
    TraceError
        If the functions give different shapes.

    Examples
    --------
    >>> switch(np.array(1), [np.sin, np.cos, np.exp], [np.zeros(2)])
    (array([1., 1.]),)
    """
    return _branches(_value(index), functions, operands)


def _branches(selector: Any, functions: Sequence[Function], operands: Sequence[Any]) -> tuple[Any, ...]:
    """Run one of several functions, chosen by a number, or one of two, chosen by a truth value."""
    values = [_value(item) for item in operands]
    active = trace.current()
    traced, changes = [], []
    for function in functions:
        parameters = [input_node(ArrayType(item.dtype, item.shape)) for item in values]
        result, changed = run_body(function, [Proxy(node, active) for node in parameters])
        traced.append((parameters, _as_tuple(result)))
        changes.append(changed)
    outputs = _fit_branches([results for _, results in traced])
    before = {target: change.before for changed in changes for target, change in changed.items()}
    for place, changed in enumerate(changes):
        after = [changed[target].after if target in changed else node for target, node in before.items()]
        given = {change.slot: change.before for change in changed.values()}
        outputs[place] = list(substitute([*outputs[place], *after], given))
    free: dict[Node, None] = {}
    for function, (parameters, _), nodes in zip(functions, traced, outputs, strict=True):
        around = set(nodes_around(function))
        inside = depends_on(nodes, parameters)
        marks = [node for node in toposort(nodes, stop=around) if node.op is MARK and node not in inside]
        free.update(dict.fromkeys(free_values(nodes, parameters, around.union(marks), whole=False)))
    bodies = []
    for (parameters, _), nodes in zip(traced, outputs, strict=True):
        bodies.append(_closed(parameters, list(free), nodes))
    made = _chosen(selector, bodies, [*values, *(wrap(node, active) for node in free)])
    own = len(made) - len(before)
    record(dict(zip(before, made[own:], strict=True)))
    return made[:own]


def _chosen(selector: Any, bodies: Sequence[Graph], operands: Sequence[Any]) -> tuple[Any, ...]:
    """Compute one of several bodies, by way of choices between two halves of them."""
    if selector.dtype == np.dtype(bool):
        return tuple(COND(selector, *operands, then=bodies[0], otherwise=bodies[1]))
    if len(bodies) == 1:
        return tuple(wrap(node, trace.current()) for node in inline(bodies[0], [unwrap(item) for item in operands]))
    middle = len(bodies) // 2
    halves = []
    for start, half in ((0, bodies[:middle]), (middle, bodies[middle:])):
        index = input_node(ArrayType(selector.dtype, ()))
        slots = [input_node(node.type) for node in bodies[0].inputs]
        made = _chosen(wrap(index) - start, half, [wrap(node) for node in slots])
        halves.append(close([index, *slots], [unwrap(item) for item in made]))
    return tuple(COND(selector < middle, selector, *operands, then=halves[0], otherwise=halves[1]))


# --- arguments ---------------------------------------------------------------------------------------------------


def _value(item: Any) -> Any:
    """An array or traced value; numbers are constants of the trace and not captured by it."""
    if isinstance(item, Proxy | np.ndarray):
        return item
    if hasattr(item, "__tracer_node__") or (trace.current() is not None and np.ndim(item) == 0):
        return wrap(unwrap(item), trace.current())
    return np.asarray(item)


def _steps(sequences: Sequence[Any], n_steps: int | None) -> int:
    rows = [np.shape(item)[0] for item in sequences]
    if n_steps is None and not rows:
        raise errors.TraceError(errors.message(errors.LOOP_LENGTH))
    steps = min(rows) if n_steps is None else int(n_steps.__index__())
    for number, length in enumerate(rows):
        if not 0 <= steps <= length:
            raise errors.TraceError(errors.message(errors.LOOP_ROWS, steps=steps, number=number, rows=length))
    return steps


def _check_lags(lags: Sequence[Sequence[int]], initials: Sequence[Any]) -> None:
    for number, (own, initial) in enumerate(zip(lags, initials, strict=True)):
        rows = initial.shape[0] if initial.ndim else 0
        if any(not 1 <= lag <= rows for lag in own) or not rows:
            text = ", ".join(map(str, own))
            raise errors.TraceError(errors.message(errors.LOOP_LAGS, number=number, lags=text, rows=rows))


def _predicate(value: Any) -> Any:
    condition = _value(value)
    if condition.size != 1:
        kind = ArrayType(condition.dtype, condition.shape)
        raise errors.TraceError(errors.message(errors.PREDICATE, type=kind))
    condition = condition if condition.dtype == np.dtype(bool) else condition != 0
    return condition if condition.shape == () else np.reshape(condition, ())


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


# --- bodies ------------------------------------------------------------------------------------------------------


def _closed(parameters: Sequence[Node], free: Sequence[Node], outputs: Sequence[Node]) -> Graph:
    """A body over parameters and, after them, the values that it uses of its surroundings."""
    inner = [input_node(node.type) for node in free]
    return close([*parameters, *inner], substitute(outputs, dict(zip(free, inner, strict=True))))


def _scan_body(
    body: Function, groups: Sequence[Sequence[Any]], frame: Frame
) -> tuple[Graph, list[Proxy], Frame, dict[Any, Proxy]]:
    """Run the body on traced values.

    Gives its graph, what else it needs, the frame with the outputs it has, and what it changes around it, with the
    values before: carries behind the others.
    """
    sequences, initials, carries, fixed = groups
    rows = [ArrayType(item.dtype, item.shape[1:]) for item in sequences]
    states = [ArrayType(item.dtype, item.shape[1:]) for item in initials]
    taps = [own for own, lags in zip(states, frame.lags, strict=True) for _ in lags]
    carried = [ArrayType(item.dtype, item.shape) for item in carries]
    constants = [ArrayType(item.dtype, item.shape) for item in fixed]
    parameters = [input_node(own) for own in (*rows, *taps, *carried, *constants)]
    active = trace.current()
    found, changes = run_body(body, [Proxy(node, active) for node in parameters])
    wanted = "(states, carries, outputs" + (", stop)" if frame.until else ")")
    sizes = [len(item) if isinstance(item, tuple | list) else None for item in found] if type(found) is tuple else []
    if len(sizes) != 3 + frame.until or sizes[:2] != [len(states), len(carried)] or sizes[2] is None:
        text = f"{wanted} with {len(states)} states and {len(carried)} carries"
        returned = f"a tuple of {sizes}" if sizes else f"a {type(found).__name__}"
        raise errors.TraceError(errors.message(errors.LOOP_RESULT, wanted=text, found=returned))
    pairs = [(f"state {place}", *pair) for place, pair in enumerate(zip(found[0], states, strict=True))]
    pairs += [(f"carry {place}", *pair) for place, pair in enumerate(zip(found[1], carried, strict=True))]
    nodes = [_fit(value, own, what) for what, value, own in pairs]
    nodes += [unwrap(value) for value in found[2]]
    if frame.until:
        nodes.append(unwrap(_predicate(found[3])))
    made = threaded(nodes, changes)
    first, last = len(rows) + len(taps) + len(carried), len(states) + len(carried)
    parameters[first:first] = made.parameters
    results = [*made.nodes[:last], *made.nodes[len(nodes) :], *made.nodes[last : len(nodes)]]
    free = free_values(results, parameters, nodes_around(body))
    frame = frame._replace(carries=frame.carries + len(changes), outputs=len(found[2]))
    changed = dict(zip(changes, made.initials, strict=True))
    return _closed(parameters, free, results), [wrap(node, active) for node in free], frame, changed


def _fit(value: Any, wanted: ArrayType, what: str, loop: str = "scan") -> Node:
    """The node of a result, cast and broadcast to the type that it starts with."""
    node = unwrap(value)
    if node.type == wanted:
        return node
    try:
        fits = np.broadcast_shapes(node.type.known_shape, wanted.known_shape) == wanted.shape
    except ValueError:
        fits = False
    if not fits or not np.can_cast(operand_type(value), wanted.dtype, "same_kind"):
        what = f"{what} of a {loop}"
        raise errors.TraceError(errors.message(errors.LOOP_TYPE, what=what, wanted=wanted, found=node.type))
    node = unwrap(value, wanted.dtype)
    if node.shape == wanted.shape:
        return node
    return make_node(OPS["broadcast_to"], (node,), {"shape": wanted.shape})


def _fit_branches(branches: Sequence[Sequence[Any]]) -> list[list[Node]]:
    """The nodes of all branches' results, cast to common dtypes."""
    columns = list(zip(*branches, strict=False))
    dtypes = [promote([operand_type(item) for item in column]) for column in columns]
    found = [[unwrap(item, dtype) for item, dtype in zip(branch, dtypes, strict=False)] for branch in branches]
    shapes = [[node.shape for node in nodes] for nodes in found]
    for number, branch in enumerate(branches):
        if len(branch) != len(branches[0]) or shapes[number] != shapes[0]:
            pair = (branches[0], branch)
            texts_ = [", ".join(str(unwrap(value).type) for value in results) or "nothing" for results in pair]
            raise errors.TraceError(errors.message(errors.BRANCH_TYPES, one=texts_[0], two=texts_[1]))
    return found
