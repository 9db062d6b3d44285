"""Modes that look at a computation while it runs: DebugMode, NanGuardMode and MonitorMode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.checking import difference
from tracer.config import config
from tracer.errors import function as texts
from tracer.graph.graph import Graph
from tracer.graph.node import INPUT, ITEM, Node, input_node, make_node
from tracer.lower.build import Layout
from tracer.rewrite import passes
from tracer.run import backend, cpu, reference
from tracer.symbolic.mode import Mode

Array = np.ndarray[Any, Any]
BIG = 1e10
"""Values beyond this are big; see NanGuardMode."""


class DebugModeError(Exception):
    """Base of what DebugMode finds."""


class BadThunkOutput(DebugModeError):
    """The kernels and the reference executor do not agree on an operation."""


class BadOptimization(DebugModeError):
    """A rewrite changed the result."""


class BadDestroyMap(DebugModeError):
    """A program changed one of its arguments."""


class BadViewMap(DebugModeError):
    """An output shares memory with an argument or with another output."""


class StochasticOrder(DebugModeError):
    """Rewriting the same graph twice gave different graphs."""


class InvalidValueError(DebugModeError):
    """An operation gave a value of another type than its own, or one that is not finite."""


class NanGuardError(AssertionError):
    """NanGuardMode met a value that is an error."""


# --- one operation after another ---------------------------------------------------------------------------------


class Thunk:
    """One operation while it runs in MonitorMode.

    Attributes
    ----------
    inputs, outputs : list of list
        The arrays, each in a list of one item; those of outputs are None before it has run.
    """

    def __init__(self, inputs: Sequence[Array], count: int) -> None:
        self.inputs = [[item] for item in inputs]
        self.outputs: list[list[Any]] = [[None] for _ in range(count)]


Monitor = Callable[[int, Node, Thunk], Any]


class Steps:
    """A graph that runs one operation at a time, with NumPy."""

    def __init__(self, graph: Graph) -> None:
        nodes = graph.nodes()
        self.graph = graph
        self._constants = {node: node.value for node in nodes if node.is_constant}
        self._nodes = [node for node in nodes if node.op is not INPUT and not node.is_constant]

    def run(self, arrays: Sequence[Array], before: Monitor | None, after: Monitor | None) -> list[Array]:
        """Run on arrays, with calls of functions before and after each operation, which may change its results."""
        values: dict[Node, Any] = {**self._constants, **dict(zip(self.graph.inputs, arrays, strict=True))}
        number = 0
        for node in self._nodes:
            inputs = [values[item] for item in node.inputs]
            if node.op is ITEM:
                values[node] = inputs[0][node.params["index"]]
                continue
            thunk = Thunk(inputs, len(node.types))
            if before is not None:
                before(number, node, thunk)
            _compute(node, thunk)
            if after is not None:
                after(number, node, thunk)
            results = tuple(item[0] for item in thunk.outputs)
            values[node] = results if node.has_items else results[0]
            number += 1
        return [np.array(values[node], order="C") for node in self.graph.outputs]


def _compute(node: Node, thunk: Thunk) -> None:
    try:
        with np.errstate(all="ignore"):
            result = node.op.evaluate(*[item[0] for item in thunk.inputs], **node.params)
    except Exception as error:
        error.tracer_line = str(node.line or "")  # type: ignore[attr-defined]
        raise
    results = result if node.has_items else (result,)
    for item, value, kind in zip(thunk.outputs, results, node.types, strict=True):
        item[0] = np.asarray(value, kind.dtype)


# --- DebugMode ---------------------------------------------------------------------------------------------------


class DebugMode(Mode):
    """Computes everything in several ways at each call, and compares. Slow; for finding faults.

    Every operation is run by the reference executor and by the kernels, the graph is run before and after each pass
    of rewriting, and the whole program is run and its arguments are looked at again. What differs is an error that
    names the operation and the user's line.

    Parameters
    ----------
    optimizer : str
        Which rewrites are made, as of `Mode`.
    stability_patience : int, optional
        How many times a graph is rewritten to see that the result is always the same; 2 if None.
    check_c_code, check_py_code : bool, optional
        Whether operations are run by the kernels, and by the reference executor; both are by default.
    check_isfinite : bool, optional
        Whether NaN and infinity are errors; `config.DebugMode.check_finite` if None.
    require_matching_strides : optional
        Accepted for compatibility: results are always C-contiguous.

    Raises
    ------
    BadThunkOutput, BadOptimization, BadDestroyMap, BadViewMap, StochasticOrder, InvalidValueError
        From calls of a function that is compiled in this mode.
    """

    def __init__(
        self,
        optimizer: Any = "fast_run",
        stability_patience: int | None = None,
        check_c_code: bool | None = None,
        check_py_code: bool | None = None,
        check_isfinite: bool | None = None,
        require_matching_strides: Any = None,
        linker: Any = None,
    ) -> None:
        super().__init__(linker, optimizer)
        self.stability_patience = 2 if stability_patience is None else stability_patience
        self.check_c_code = True if check_c_code is None else check_c_code
        self.check_py_code = True if check_py_code is None else check_py_code
        self.check_isfinite = config.DebugMode.check_finite if check_isfinite is None else check_isfinite

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """As of `Mode`. Raises StochasticOrder."""
        stages = [("as written", graph)]
        for label, run in self.passes:
            stages.append((label, passes.optimise(stages[-1][1], True, [(label, run)])))
        final = stages[-1][1]
        for _ in range(self.stability_patience - 1):
            again = self.optimise(graph)
            different = [old for old, new in zip(final.outputs, again.outputs, strict=True) if old is not new]
            if different:
                text = errors.message(texts.STOCHASTIC_ORDER, different[0].line, function=name)
                raise StochasticOrder(text)
        return final, _Debugger(self, stages, layouts, name)


class _Debugger:
    """Runs a program in every way that there is."""

    native = None

    def __init__(self, mode: DebugMode, stages: list[tuple[str, Graph]], layouts: Sequence[Layout], name: str) -> None:
        self.mode, self.stages, self.name = mode, stages, name
        self.graph = stages[-1][1]
        self.program = cpu.Executable(self.graph, layouts)
        self._alone: dict[Node, cpu.Executable] = {}

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run and compare; the results are those of the kernels."""
        before = [np.array(array) for array in arrays]
        if self.mode.check_py_code:
            self._compare_stages(before)
        if self.mode.check_c_code:
            Steps(self.graph).run(before, None, self._check_kernels)
        outputs = self.program.run(arrays)
        for number, (array, kept) in enumerate(zip(arrays, before, strict=True)):
            if difference(kept, array) is not None:
                node = self.graph.inputs[number]
                raise BadDestroyMap(errors.message(texts.DESTROYED, value=node.name or node, function=self.name))
        self._check_memory(arrays, outputs)
        return outputs

    def _compare_stages(self, arrays: Sequence[Array]) -> None:
        expected = reference.run(self.stages[0][1], arrays, self._check_value)
        for label, graph in self.stages[1:]:
            found = reference.run(graph, arrays)
            for number, (one, other) in enumerate(zip(expected, found, strict=True)):
                detail = difference(one, other)
                if detail is not None:
                    raise BadOptimization(
                        errors.message(
                            texts.BAD_OPTIMIZATION,
                            graph.outputs[number].line,
                            label=label,
                            output=number,
                            function=self.name,
                            detail=detail,
                        )
                    )
            expected = found
        self._compare_program(arrays, expected)

    def _compare_program(self, arrays: Sequence[Array], expected: Sequence[Array]) -> None:
        for node, one, other in zip(self.graph.outputs, expected, self.program.run(arrays), strict=True):
            detail = difference(one, other)
            if detail is not None:
                raise BadThunkOutput(
                    errors.message(
                        texts.BAD_THUNK, node.line, what="the whole program", function=self.name, detail=detail
                    )
                )

    def _check_value(self, node: Node, inputs: tuple[Array, ...], result: Array) -> None:
        own = [item for item in node.types if (item.dtype, item.shape) == (result.dtype, result.shape)]
        if not own:
            raise InvalidValueError(
                errors.message(
                    texts.INVALID_TYPE,
                    node.line,
                    op=node.op.name,
                    type=node.type,
                    dtype=result.dtype,
                    shape=result.shape,
                )
            )
        if self.mode.check_isfinite and result.dtype.kind in "fc" and not np.isfinite(result).all():
            raise InvalidValueError(
                errors.message(texts.NOT_FINITE, node.line, op=node.op.name, function=self.name, value=result)
            )

    def _check_kernels(self, number: int, node: Node, thunk: Thunk) -> None:
        """Run one operation alone with the kernels."""
        alone = self._alone.get(node)
        if alone is None:
            leaves = tuple(input_node(item.type) for item in node.inputs)
            made = make_node(node.op, leaves, node.params)
            parts = [made]
            if node.has_items:
                parts = [make_node(ITEM, (made,), {"index": place}) for place in range(len(node.types))]
            alone = self._alone[node] = cpu.Executable(Graph(leaves, tuple(parts)))
        found = alone.run([np.array(item[0], order="C") for item in thunk.inputs])
        for expected, actual in zip(thunk.outputs, found, strict=True):
            detail = difference(expected[0], actual)
            if detail is not None:
                raise BadThunkOutput(
                    errors.message(texts.BAD_THUNK, node.line, what=node.op.name, function=self.name, detail=detail)
                )

    def _check_memory(self, arrays: Sequence[Array], outputs: Sequence[Array]) -> None:
        for number, output in enumerate(outputs):
            if any(np.may_share_memory(output, other) for other in (*arrays, *outputs[:number])):
                node = self.graph.outputs[number]
                raise BadViewMap(errors.message(texts.VIEWED, node.line, output=number, function=self.name))


# --- NanGuardMode ------------------------------------------------------------------------------------------------


class NanGuardMode(Mode):
    """Raises an error when a NaN, an infinity or a big value appears anywhere in a computation.

    Parameters
    ----------
    nan_is_error, inf_is_error, big_is_error : bool, optional
        What is an error; big are values beyond 1e10. The settings in `config.NanGuardMode` if None.
    optimizer, linker
        As of `Mode`; the computation runs one operation at a time.

    Raises
    ------
    NanGuardError
        From calls of a function that is compiled in this mode; it names the operation and the user's line.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> from tracer.compile.nanguardmode import NanGuardMode
    >>> x = T.dscalar("x")
    >>> f = theano.function([x], T.log(x) * 2, mode=NanGuardMode(nan_is_error=True), name="guarded")
    >>> try:
    ...     f(-1.0)
    ... except AssertionError as error:
    ...     print(str(error).splitlines()[0])
    NaN detected in the result of log in the function 'guarded': 1 of 1 values.
    """

    def __init__(
        self,
        nan_is_error: bool | None = None,
        inf_is_error: bool | None = None,
        big_is_error: bool | None = None,
        optimizer: Any = "default",
        linker: Any = None,
    ) -> None:
        super().__init__(linker, optimizer)
        defaults = config.NanGuardMode
        self.nan_is_error = defaults.nan_is_error if nan_is_error is None else nan_is_error
        self.inf_is_error = defaults.inf_is_error if inf_is_error is None else inf_is_error
        self.big_is_error = defaults.big_is_error if big_is_error is None else big_is_error

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """As of `Mode`."""
        graph = self.optimise(graph)
        return graph, _Guard(self, graph, name)


class _Guard:
    native = None

    def __init__(self, mode: NanGuardMode, graph: Graph, name: str) -> None:
        self.mode, self.graph, self.name = mode, graph, name
        self._reference = reference.Executable(graph)

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run op by op, and look at each array."""
        for node, array in zip(self.graph.inputs, arrays, strict=True):
            self._check(node, array, f"the input {node.name or node.type}")
        return self._reference.run(arrays, self._after)

    def _after(self, node: Node, inputs: tuple[Array, ...], result: Array) -> None:
        self._check(node, result, f"the result of {node.op.name}")

    def _check(self, node: Node, array: Array, what: str) -> None:
        if array.dtype.kind not in "fc":
            return
        mode = self.mode
        with np.errstate(all="ignore"):
            for kind, is_error, found in (
                ("NaN", mode.nan_is_error, np.isnan),
                ("Inf", mode.inf_is_error, np.isinf),
                ("Big value", mode.big_is_error, _is_big),
            ):
                wrong = found(array) if is_error else None
                if wrong is not None and wrong.any():
                    text = errors.message(
                        texts.NAN_GUARD,
                        node.line,
                        kind=kind,
                        what=what,
                        function=self.name,
                        count=int(wrong.sum()),
                        size=array.size,
                    )
                    raise NanGuardError(text)


def _is_big(array: Array) -> Array:
    return np.isfinite(array) & (np.abs(array) > BIG)


# --- MonitorMode -------------------------------------------------------------------------------------------------


class MonitorMode(Mode):
    """Calls functions of the user before and after each operation.

    Parameters
    ----------
    pre_func, post_func : callable, optional
        Called with the number of the operation, its node, and a `Thunk` that holds its arrays.
    optimizer, linker
        As of `Mode`; the computation runs one operation at a time.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> from tracer.compile.monitormode import MonitorMode
    >>> def show(i, node, fn):
    ...     print(i, node.op.name, [item[0] for item in fn.inputs], [item[0] for item in fn.outputs])
    >>> x = T.dscalar("x")
    >>> f = theano.function([x], T.exp(x) * x, mode=MonitorMode(post_func=show))
    >>> f(0.0)
    0 exp [array(0.)] [array(1.)]
    1 multiply [array(1.), array(0.)] [array(0.)]
    array(0.)
    """

    def __init__(
        self,
        pre_func: Monitor | None = None,
        post_func: Monitor | None = None,
        optimizer: Any = "default",
        linker: Any = None,
    ) -> None:
        super().__init__(linker, optimizer)
        self.pre_func, self.post_func = pre_func, post_func

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """As of `Mode`."""
        graph = self.optimise(graph)
        return graph, _Monitored(self, graph)


class _Monitored:
    native = None

    def __init__(self, mode: MonitorMode, graph: Graph) -> None:
        self.mode, self._steps = mode, Steps(graph)

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run op by op; what `post_func` puts in the place of an output is taken."""
        return self._steps.run(arrays, self.mode.pre_func, self.mode.post_func)


def detect_nan(i: int, node: Node, fn: Thunk) -> None:
    """Print an operation and its inputs if it gives a NaN: a `post_func` of MonitorMode."""
    for output in fn.outputs:
        if np.asarray(output[0]).dtype.kind in "fc" and np.isnan(output[0]).any():
            print(f"*** NaN detected ***\n{node.op.name} at {node.line}")
            print(f"Inputs : {[item[0] for item in fn.inputs]}")
            print(f"Outputs: {[item[0] for item in fn.outputs]}")
            return
