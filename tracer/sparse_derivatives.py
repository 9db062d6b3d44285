"""Sparse Jacobians and Hessians: their zeros are found in the graph, and few products give all other elements.

Gebremedhin, Manne and Pothen, "What color is your Jacobian?", SIAM Review 47 (2005), describe the method.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from tracer import errors
from tracer.batching import vmap
from tracer.compiled import Compiled
from tracer.derivatives.forward import jvp
from tracer.derivatives.linear import vjp
from tracer.derivatives.reverse import grad_of_function
from tracer.errors import custom as texts
from tracer.graph.evaluation import Evaluation
from tracer.graph.graph import Graph, depends_on
from tracer.graph.node import Node
from tracer.rewrite.passes import forget_derivatives
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy
from tracer.transform.sparsity import colour_columns, dependence
from tracer.tree import flatten, map_leaves, unflatten

Function = Callable[..., Any]


def sparse_jacobian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that computes the Jacobian of another one as a sparse matrix.

    Which elements can differ from zero is found once for each signature, from what the function does: elementwise
    work, slices, indices, sums, products with matrices. Columns that no row has in common are then computed together,
    in forward mode, or rows that no column has in common in reverse mode, whichever takes fewer products.

    Parameters
    ----------
    function : callable
        A NumPy function of real arrays. Arguments and result may be nests of arrays, whose elements are then counted
        one array after the other.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        (*args) -> scipy.sparse.csr_array with a row for each element of the result and a column for each element of
        the argument; a tuple of such if `argnums` is a sequence. All elements of the pattern are stored, zeros too.

    Raises
    ------
    TypeError
        For an argument that is not real floating point, or in a traced function, where there are no sparse matrices.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> second_difference = tracer.sparse_jacobian(lambda x: x[:-2] - 2 * x[1:-1] + x[2:])
    >>> second_difference(np.zeros(5)).toarray()
    array([[ 1., -2.,  1.,  0.,  0.],
           [ 0.,  1., -2.,  1.,  0.],
           [ 0.,  0.,  1., -2.,  1.]])
    """
    return _Sparse(function, argnums, "sparse_jacobian")


def sparse_hessian(function: Function, argnums: int = 0) -> Function:
    """Return a function that computes the Hessian of a scalar function as a sparse matrix.

    Parameters
    ----------
    function : callable
        A NumPy function that returns a real scalar.
    argnums : int
        The positional argument to differentiate with respect to; it may be a nest of arrays.

    Returns
    -------
    callable
        (*args) -> scipy.sparse.csr_array with a row and a column for each element of the argument. See
        `sparse_jacobian`.

    Raises
    ------
    NotDifferentiableError
        If the function's value is not a real scalar.
    TypeError
        As `sparse_jacobian`.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> hessian = tracer.sparse_hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2))
    >>> hessian(np.array([1.0, 2.0, 3.0])).toarray()
    array([[ 4., -4.,  0.],
           [-4., 38., -8.],
           [ 0., -8.,  2.]])
    """
    if not isinstance(argnums, int):
        raise TypeError("sparse_hessian takes one argument number; an argument may be a nest of arrays")
    return _Sparse(grad_of_function(function, argnums), argnums, "sparse_hessian", label_of(function))


def jacobian_sparsity(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that finds which elements of a Jacobian can differ from zero; see `sparse_jacobian`.

    Returns
    -------
    callable
        (*args) -> scipy.sparse.csr_array of bools; a tuple of such if `argnums` is a sequence.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jacobian_sparsity(lambda x: x[::2] * np.sum(x[2:]))(np.zeros(4)).toarray().astype(int)
    array([[1, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    return _Sparse(function, argnums, "jacobian_sparsity")


class _Sparse:
    """A function that gives the sparse derivative of another one."""

    def __init__(self, function: Function, argnums: int | Sequence[int], kind: str, label: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"tracer.{kind} needs a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function, self.kind, self.label = function, kind, label or label_of(function)
        self.__qualname__ = self.__name__ = f"{kind}({self.label})"
        self.single = isinstance(argnums, int)
        self.numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        self.probe = Compiled(self._pushed, name=self.__name__)
        self.known: weakref.WeakKeyDictionary[Any, _Pattern] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<{self.__name__}>"

    def __call__(self, *args: Any) -> Any:
        """Compute the matrix at these arguments."""
        args, widths = self._checked(args)
        pattern = self._pattern(args)
        if self.kind == "jacobian_sparsity":
            return self._split(pattern.matrix, widths)
        data = pattern.evaluate(args)
        whole = sparse.csr_array((data, pattern.matrix.indices, pattern.matrix.indptr), shape=pattern.matrix.shape)
        return self._split(whole, widths)

    def _checked(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[int]]:
        """The arguments with arrays where they are differentiated, and how many elements each of these has."""
        if trace.current() is not None or any(isinstance(leaf, Proxy) for leaf in flatten(args)[0]):
            raise TypeError(errors.message(texts.SPARSE_IN_TRACE, function=self.label, kind=self.kind))
        new, widths = list(args), []
        for number in self.numbers:
            if not -1 < number < len(args):
                raise TypeError(
                    errors.message(errors.ARGNUM_MISSING, function=self.label, number=number, count=len(args))
                )
            leaves, structure = flatten(args[number])
            arrays = [np.asarray(leaf) for leaf in leaves]
            for array in arrays:
                if array.dtype.kind != "f":
                    text = errors.message(
                        errors.INTEGER_ARGUMENT, function=self.label, name=f"argument {number}", type=array.dtype
                    )
                    raise errors.NotDifferentiableError(text)
            new[number] = unflatten(structure, arrays)
            widths.append(sum(array.size for array in arrays))
        return tuple(new), widths

    def _split(self, whole: Any, widths: Sequence[int]) -> Any:
        if self.single:
            return whole.copy() if self.kind == "jacobian_sparsity" else whole
        ends = np.cumsum(widths)
        return tuple(whole[:, end - width : end] for width, end in zip(widths, ends, strict=True))

    # --- what is traced ---

    def _of_differentiated(self, args: Sequence[Any]) -> tuple[Function, list[Any]]:
        """The function of the differentiated arguments alone, and these."""

        def function(*changed: Any) -> Any:
            new = list(args)
            for number, value in zip(self.numbers, changed, strict=True):
                new[number] = value
            return self.function(*new)

        return function, [args[number] for number in self.numbers]

    def _pushed(self, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> list[Any]:
        function, primals = self._of_differentiated(args)
        return flatten(jvp(function, primals, tangents)[1])[0]

    def _pattern(self, args: tuple[Any, ...]) -> _Pattern:
        """The pattern for these arguments; a new one if the integers that select elements have changed."""
        tangents = tuple(map_leaves(np.zeros_like, args[number]) for number in self.numbers)
        plan = self.probe.plan(args, tangents)
        arrays = [leaf for leaf in flatten((args, tangents))[0] if isinstance(leaf, np.ndarray | np.generic)]
        held = [*plan.traced.captured, *(item.cell[0] for item in plan.traced.shared)]
        inputs = [*map(np.asarray, arrays), *held]
        found = self.known.get(plan)
        if found is None or not found.holds(inputs):
            graph = forget_derivatives(plan.traced.graph)
            varying = {id(leaf) for number in self.numbers for leaf in flatten(args[number])[0]}
            primals = [node for node, array in zip(graph.inputs, arrays, strict=False) if id(array) in varying]
            sources = graph.inputs[len(arrays) - len(flatten(tangents)[0]) : len(arrays)]
            found = self.known[plan] = _Pattern(self, graph, sources, primals, inputs)
        return found


class _Pattern:
    """Where the elements of a derivative are that can differ from zero, and how they are computed.

    Attributes
    ----------
    matrix : csr_array of bools
    selecting : list of (Evaluation, array)
        Values that the pattern depends on: how to compute them, and what they were.
    """

    def __init__(
        self, owner: _Sparse, graph: Graph, sources: Sequence[Node], primals: Sequence[Node], inputs: Sequence[Any]
    ) -> None:
        self.owner = owner
        varying = depends_on(graph.outputs, [*sources, *primals])
        self.selecting: list[tuple[Evaluation, np.ndarray[Any, Any]]] = []
        values: dict[Node, np.ndarray[Any, Any]] = {}

        def known(node: Node) -> np.ndarray[Any, Any] | None:
            if node in varying:
                return None
            if node.is_constant:
                return node.value
            if node not in values:
                evaluation = Evaluation(Graph(graph.inputs, (node,)))
                values[node] = np.array(evaluation.compute(inputs)[0])
                self.selecting.append((evaluation, values[node]))
            return values[node]

        blocks = dependence(graph.outputs, sources, known)
        self.matrix = sparse.csr_array(sparse.vstack(blocks, format="csr")) if blocks else sparse.csr_array((0, 0))
        self.matrix.sort_indices()
        self._evaluate: Compiled | None = None

    def holds(self, inputs: Sequence[Any]) -> bool:
        """Whether the values that the pattern depends on are what they were."""
        return all(np.array_equal(one.compute(inputs)[0], value) for one, value in self.selecting)

    def evaluate(self, args: tuple[Any, ...]) -> Any:
        """The elements of the matrix."""
        if self._evaluate is None:
            self._evaluate = Compiled(self._plan(), name=self.owner.__name__)
        return self._evaluate(*args)

    def _plan(self) -> Function:
        """The cheaper of both modes, as a function to be compiled."""
        matrix = self.matrix
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        if self.owner.kind == "sparse_hessian":
            return self._forward(colour_columns(matrix), rows)
        turned = sparse.csr_array(matrix.T)
        most = [int(np.diff(item.indptr).max(initial=0)) for item in (matrix, turned)]
        if most[0] <= most[1]:  # at least so many colours are needed: the way that may need fewer goes first
            colours = colour_columns(matrix)
            better = colour_columns(turned, _count(colours) - 1)
            return self._forward(colours, rows) if better is None else self._backward(better, rows)
        colours = colour_columns(turned)
        better = colour_columns(matrix, _count(colours))
        return self._backward(colours, rows) if better is None else self._forward(better, rows)

    def _forward(self, colours: Any, rows: Any) -> Function:
        seeds, places = _seeds(colours), colours[self.matrix.indices]

        def run(*args: Any) -> Any:
            function, primals = self.owner._of_differentiated(args)

            def push(direction: Any) -> Any:
                tangents = _shaped(direction, primals)
                return _joined(jvp(function, primals, tangents)[1])

            return vmap(push)(seeds)[places, rows]

        return run

    def _backward(self, colours: Any, rows: Any) -> Function:
        seeds, places = _seeds(colours), colours[rows]
        columns = self.matrix.indices.astype(np.int64)

        def run(*args: Any) -> Any:
            function, primals = self.owner._of_differentiated(args)
            value, pull = vjp(function, *primals)
            return vmap(lambda direction: _joined(pull(_shaped(direction, value))))(seeds)[places, columns]

        return run


def _count(colours: Any) -> int:
    return int(colours.max(initial=-1)) + 1


def _seeds(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One row for each colour: the sum of the directions that have it."""
    seeds = np.zeros((_count(colours), len(colours)))
    seeds[colours, np.arange(len(colours))] = 1
    return seeds


def _shaped(direction: Any, like: Any) -> Any:
    """A vector as a nest of arrays."""
    leaves, structure = flatten(tuple(like) if isinstance(like, list) else like)
    parts = []
    start = 0
    for leaf in leaves:
        size = int(np.size(leaf))
        part = direction[start : start + size]
        parts.append(np.reshape(part, np.shape(leaf)).astype(leaf.dtype))
        start += size
    return unflatten(structure, parts)


def _joined(nest: Any) -> Any:
    """A nest of arrays as a vector."""
    leaves = flatten(nest)[0]
    return np.concatenate([np.ravel(leaf) for leaf in leaves])
