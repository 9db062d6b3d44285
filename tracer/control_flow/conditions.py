"""`cond` and `switch`: one of several functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tracer import errors
from tracer.control_flow.carries import is_traced, like, reject_symbolic, text_of
from tracer.errors import loops as texts
from tracer.tracing import control
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.replay import is_computing
from tracer.tree import Structure, flatten, leaf_paths, unflatten
from tracer.types import ArrayType

Function = Callable[..., Any]


def cond(pred: Any, true_fun: Function, false_fun: Function, *operands: Any) -> Any:
    """Call one of two functions; the work of the other one is not done.

    Parameters
    ----------
    pred : array of one element, or bool
        Anything but zero is true.
    true_fun, false_fun : callable
        (*operands) -> nest of arrays. Where `pred` is traced both must return the same nest with the same shapes; the
        dtypes are promoted to common ones.
    *operands : nests of arrays
        Handed to the function, which may write into traced ones. What it closes over need not be listed.

    Returns
    -------
    nest of arrays
        What the chosen function returned.

    Raises
    ------
    TraceError
        If the functions return different nests or shapes, or `pred` is not one truth value.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.compile
    ... def f(x):
    ...     return tracer.cond(np.sum(x) > 0, np.sqrt, np.zeros_like, x)
    >>> f(np.array([1.0, 4.0])), f(np.array([-1.0, -4.0]))
    (array([1., 2.]), array([0., 0.]))
    """
    reject_symbolic("cond", (pred, operands))
    if not is_traced(pred):
        array = np.asarray(pred)
        if array.size != 1:
            kind = ArrayType(array.dtype, array.shape)
            raise errors.TraceError(errors.message(errors.PREDICATE, type=kind))
        if not (is_computing() and isinstance(pred, np.ndarray)):  # there it may change from call to call
            return (true_fun if array.reshape(()) else false_fun)(*operands)
    branches = _Branches("cond", operands)
    made = control.cond(pred, branches.flat(true_fun), branches.flat(false_fun), branches.leaves)
    return branches.result(made)


def switch(index: Any, branches: Sequence[Function], *operands: Any) -> Any:
    """Call the function with a number; the work of the others is not done.

    Parameters
    ----------
    index : integer, or integer array of one element
        0 for the first function. What is too small counts as the first, what is too large as the last.
    branches : sequence of callables
        (*operands) -> nest of arrays, as those of `cond`.
    *operands : nests of arrays
        Handed to the function.

    Returns
    -------
    nest of arrays
        What the chosen function returned.

    Raises
    ------
    TraceError
        If the functions return different nests or shapes.
    TypeError
        If `index` is not one integer.
    ValueError
        If there are no functions.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> f = tracer.compile(lambda i, x: tracer.switch(i, [np.sin, np.cos, np.exp], x))
    >>> f(np.int64(1), np.zeros(2)), f(np.int64(7), np.zeros(2))
    (array([1., 1.]), array([1., 1.]))
    """
    reject_symbolic("switch", (index, operands))
    functions = list(branches)
    if not functions:
        raise ValueError(errors.message(texts.NO_BRANCHES))
    is_fixed = not isinstance(index, Proxy | np.ndarray)
    index = np.asarray(index) if is_fixed else index
    if index.dtype.kind not in "iu" or index.size != 1:
        raise TypeError(errors.message(texts.INDEX, found=ArrayType(index.dtype, index.shape)))
    if len(functions) == 1:
        return functions[0](*operands)
    if is_fixed or not is_traced(index):
        return functions[min(max(int(index.reshape(())), 0), len(functions) - 1)](*operands)
    nest = _Branches("switch", operands)
    flat = [nest.flat(function) for function in functions]
    return nest.result(control.switch(np.reshape(index, ()), flat, nest.leaves))


class _Branches:
    """The functions of a condition, on leaves in place of nests; their results are nested as that of the first."""

    def __init__(self, name: str, operands: Any) -> None:
        self.name = name
        self.values, self.structure = flatten(operands)
        self.real = [place for place, leaf in enumerate(self.values) if isinstance(leaf, np.ndarray | np.generic)]
        self.leaves = [self.values[place] for place in self.real]
        self.results: Structure | None = None
        self.shapes: list[Any] = []

    def flat(self, function: Function) -> Function:
        """A function of leaves that returns leaves: of real arrays; it closes over traced ones, to write too."""
        operands = self.values

        @wraps(function, updated=())
        def call(*leaves: Any) -> tuple[Any, ...]:
            values = list(operands)
            for place, leaf in zip(self.real, leaves, strict=True):
                values[place] = leaf
            return tuple(self.fitted(function(*unflatten(self.structure, values))))

        return call

    def fitted(self, result: Any) -> list[Any]:
        """The leaves of a result. Raises TraceError unless it is nested and shaped as that of the first function."""
        leaves, structure = flatten(result)
        shapes = [unwrap(leaf).shape for leaf in leaves]
        if self.results is None:
            self.results, self.shapes = structure, shapes
            return leaves
        found = like(self.results, result)
        if found is None:
            pair: Any = {"one": text_of(self.results), "two": text_of(structure)}
            raise errors.TraceError(errors.message(texts.BRANCH_STRUCTURE, loop=self.name, **pair))
        paths = leaf_paths(self.results, "result")
        for path, leaf, shape in zip(paths, found, self.shapes, strict=True):
            own = unwrap(leaf).shape
            if own != shape:
                text = errors.message(texts.BRANCH_SHAPE, loop=self.name, path=path, one=shape, two=own)
                raise errors.TraceError(text)
        return found

    def result(self, leaves: Sequence[Any]) -> Any:
        """The nest that the functions return."""
        assert self.results is not None
        return unflatten(self.results, leaves)
