"""What `import tracer` offers: compile, grad and the ways to look inside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tracer import errors
from tracer.compiled import Compiled
from tracer.derivatives.functions import Transform
from tracer.derivatives.reverse import check_cost, grad_of_function
from tracer.derivatives.values import grad_of_value
from tracer.errors.branches import BRANCHES as BRANCHES_CHOICE
from tracer.errors.device import DEVICE_CHOICE
from tracer.graph.graph import toposort
from tracer.graph.node import INPUT, Node
from tracer.pipeline import Finish
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import Apply
from tracer.tracing.replay import is_computing
from tracer.tracing.shared import Shared, owner
from tracer.tracing.symbolic import Symbolic
from tracer.tree import flatten
from tracer.types import is_inexact

if TYPE_CHECKING:
    from tracer.optim import UpdateRule

    Updates = UpdateRule | Mapping[Shared, Any] | Iterable[tuple[Shared, Any]]
BACKENDS = ("cpu", "reference")
DEVICES = (None, "cpu", "gpu")
MODES = ("fast", "check")
BRANCHES = ("raise", "guard")


def compile(
    function: Callable[..., Any] | None = None,
    /,
    *,
    updates: Updates | None = None,
    params: Sequence[Shared] | None = None,
    backend: str | None = None,
    device: str | None = None,
    mode: str = "fast",
    name: str | None = None,
    branches: str = "raise",
) -> Any:
    """Compile a plain NumPy function: it is traced at its first call with each signature, and then runs natively.

    Parameters
    ----------
    function : callable
        Any function, method or lambda of arrays, written with NumPy. Arrays and NumPy scalars (also inside tuples,
        lists, dicts, named tuples and dataclasses) are traced; Python numbers, strings and other hashables are static.
    updates : UpdateRule, mapping or pairs, optional
        What every call does to shared variables: a rule such as `tracer.optim.sgd(0.1)` for the gradient of the
        returned cost, or (variable, new value) pairs. All new values see the old ones.
    params : list of Shared, optional
        What an update rule trains; every float shared variable that the cost depends on if None.
    backend : {"cpu", "reference"}, optional
        The executor; `tracer.config.backend` if None. "reference" runs the graph with NumPy, op by op.
    device : {"cpu", "gpu"}, optional
        Where it runs. If None, on the GPU when an argument is an array there (CuPy's, or of a library that lends its
        memory), and else where `tracer.config.device` says. Results are arrays on the GPU if an argument is one, and
        NumPy's if not; shared variables move to where they are used.
    mode : {"fast", "check"}
        "check" runs the plain function, the reference and the kernels at every call and compares them.
    name : str, optional
        A name for messages; the function's own if None.
    branches : {"raise", "guard"}
        What `if`, `while`, `bool()`, `int()`, `float()` and `range()` do with a traced value: raise an error that shows
        how to do without, or compile the function for each path that calls take. `f.explain()` lists the paths.

    Returns
    -------
    Compiled
        The function, which takes and returns what the plain function does, with `cache_info`, `cache_clear`, `plan`,
        `explain`.

    Raises
    ------
    TraceError
        At the first call, if the function does something that a trace cannot follow.
    UpdateError
        If an update does not fit its variable.
    MismatchError
        In mode "check", if the results differ.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.compile
    ... def norm(x):
    ...     return np.sqrt(np.sum(x * x))
    >>> norm(np.array([3.0, 4.0]))
    np.float64(5.0)

    A loop whose length depends on the data is compiled for each length:

    >>> @tracer.compile(branches="guard")
    ... def root(x):
    ...     guess = x
    ...     while abs(guess * guess - x) > 1e-9 * x:
    ...         guess = (guess + x / guess) / 2
    ...     return guess
    >>> root(np.float64(9.0)).round(6), root(np.float64(2.0)).round(6)
    (np.float64(3.0), np.float64(1.414214))
    """
    if branches not in BRANCHES:
        raise ValueError(BRANCHES_CHOICE.format(branches=branches))
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}, not {backend!r}")
    if device not in DEVICES:
        raise ValueError(DEVICE_CHOICE.format(device=device))
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, not {mode!r}")
    if params is not None and _rule(updates) is None:
        raise TypeError("params= needs updates= to be a rule such as tracer.optim.sgd(0.1)")

    def wrap_function(inner: Callable[..., Any]) -> Compiled:
        if not callable(inner):
            raise TypeError(f"tracer.compile needs a function, not {inner!r}")
        label = name or label_of(inner)
        floats = inner.argnums if isinstance(inner, Transform) else ()
        finish = None if updates is None else _finish(updates, params, label)
        where = {"backend": backend, "device": device}
        return _kind(mode)(inner, **where, name=label, finish=finish, traced_floats=floats, branches=branches)

    return wrap_function if function is None else wrap_function(function)


def _kind(mode: str) -> type[Compiled]:
    if mode == "fast":
        return Compiled
    from tracer.checking import Checked

    return Checked


def _rule(updates: Any) -> UpdateRule | None:
    from tracer.optim import UpdateRule

    return updates if isinstance(updates, UpdateRule) else None


def _finish(updates: Any, params: Sequence[Shared] | None, name: str) -> Finish:
    """What to do at the end of a trace so that a call updates shared variables."""
    rule = _rule(updates)
    if rule is not None:
        return lambda result, active: _train(rule, params if params is not None else rule.params, result, name)
    pairs = list(updates.items()) if isinstance(updates, Mapping) else list(updates)
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], Shared)):
            target = pair[0] if isinstance(pair, tuple | list) and pair else pair
            raise errors.UpdateError(errors.message(errors.UPDATE_TARGET, target=target))
    return lambda result, active: _set_all(pairs)


def _set_all(pairs: Iterable[tuple[Shared, Any]]) -> None:
    for variable, value in pairs:
        variable.set(value)


def _train(rule: UpdateRule, params: Sequence[Shared] | None, result: Any, name: str) -> None:
    leaves = flatten(result)[0]
    cost = leaves[0] if leaves else None
    if not isinstance(cost, Proxy):
        raise errors.UpdateError(
            errors.message(errors.UPDATES_NEED_COST, rule=rule, function=name, type=type(result).__name__)
        )
    check_cost(cost.__tracer_node__)
    if params is None:
        params = _reached_parameters(cost.__tracer_node__)
        if not params:
            raise errors.UpdateError(errors.message(errors.NO_PARAMETERS, rule=rule, function=name))
    gradients = grad_of_value(cost, list(params))
    _set_all(rule.pairs(params, gradients))


def _reached_parameters(cost: Node) -> list[Shared]:
    """Float shared variables that a cost depends on, in the order of their first use."""
    found = [owner(node) for node in toposort([cost]) if node.op is INPUT]
    return [variable for variable in found if variable is not None and is_inexact(variable.dtype)]


def grad(
    cost: Any,
    wrt: Any = None,
    consider_constant: Iterable[Any] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Any:
    """The gradient of a function, or of a traced or symbolic cost with respect to values it is computed from.

    Parameters
    ----------
    cost : callable, traced scalar or symbolic scalar
        A NumPy function that returns a scalar; inside a trace, the cost itself; or a symbolic expression.
    wrt : int, sequence of int, value, or list or tuple of values
        For a function the same as `argnums`; for a cost, the values to differentiate with respect to: arguments,
        intermediate values or shared variables. An integer value gets the gradient of its float counterpart.
    disconnected_inputs : {"raise", "warn", "ignore"}
        What to do if the cost does not depend on a `wrt` value; with the latter two it gets zeros.
    consider_constant, add_names, known_grads, return_disconnected, null_gradients
        For symbolic costs: see `tracer.gradient.grad`.
    argnums : int or sequence of int
        The positional arguments of the function to differentiate with respect to; each may be a nest.
    has_aux : bool
        The function returns (cost, auxiliary); the gradient comes back with the auxiliary.
    holomorphic, allow_int : bool
        For functions: see `value_and_grad`.

    Returns
    -------
    callable or values
        A function (*args) -> gradient; or gradients in the structure of `wrt`, of the shapes and dtypes of its values.

    Raises
    ------
    NotDifferentiableError
        If the cost is not a real scalar, an argument is not floating point, or an op has no derivative.
    DisconnectedInputError
        If the cost does not depend on a `wrt` value.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.grad(lambda x: np.sum(np.sin(x)))(np.array([0.0, np.pi]))
    array([ 1., -1.])
    >>> @tracer.compile
    ... def slope(x):
    ...     return tracer.grad(x**3, x)
    >>> slope(np.float64(2.0))
    np.float64(12.0)
    """
    if isinstance(cost, Symbolic | Proxy) or cost is None:
        if wrt is None:
            raise TypeError("grad(cost, wrt) needs the values to differentiate with respect to")
        if isinstance(cost, Proxy) and not isinstance(cost, Shared):
            return grad_of_value(cost, wrt, disconnected_inputs)
        options = (add_names, known_grads, return_disconnected, null_gradients)
        from tracer.symbolic import gradient

        return gradient.grad(cost, wrt, consider_constant, disconnected_inputs, *options)
    if not callable(cost):
        raise TypeError(errors.message(errors.GRAD_TARGET, type=type(cost).__name__))
    return grad_of_function(cost, argnums if wrt is None else wrt, has_aux, holomorphic, allow_int)


# --- looking inside ----------------------------------------------------------------------------------------------


def _is_symbolic(value: Any) -> bool:
    """Whether a value is a symbolic expression, or a function compiled of some."""
    return (isinstance(value, Symbolic) and not is_computing()) or hasattr(value, "maker")


def _nodes_of(value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Node]:
    """The nodes of a traced value, a nest of them, or a function at some arguments (before rewriting)."""
    if isinstance(value, Compiled):
        return list(value.plan(*args, **kwargs).traced.graph.outputs)
    if callable(value) and not isinstance(value, Proxy):
        return list(compile(value).plan(*args, **kwargs).traced.graph.outputs)
    leaves = flatten(value)[0]
    if not leaves or not all(isinstance(leaf, Proxy) for leaf in leaves):
        raise TypeError(errors.message(errors.NOT_A_GRAPH, type=type(value).__name__))
    return [leaf.__tracer_node__ for leaf in leaves]


def _printing() -> Any:
    """The module that shows symbolic expressions; imported when it is needed."""
    return import_module("tracer.printing")


def pp(value: Any, *args: Any, **kwargs: Any) -> str:
    """Return the one-line infix text of a traced value, a symbolic expression, or a function at these arguments.

    See `tracer.printing.pp` for symbolic expressions.

    Raises
    ------
    TypeError
        If the value is neither traced nor a function.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.pp(lambda x, y: (x + y) * np.exp(-x), np.float64(1), np.float64(2))
    '(x + y) * exp(-x)'
    """
    if _is_symbolic(value):
        return _printing().pp(value)
    from tracer.graph import text

    return text.pp(_nodes_of(value, args, kwargs))


def debugprint(value: Any, *args: Any, file: Any = None, **kwargs: Any) -> Any:
    """Return (and print to `file`, if given) the tree of a traced value, or of a function at these arguments.

    Shared parts are shown once, with marks; every line has the type and the user's source line. For symbolic
    expressions and their functions see `tracer.printing.debugprint`, which prints.

    Raises
    ------
    TypeError
        If the value is neither traced nor a function.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> print(tracer.debugprint(lambda x: np.exp(-x), np.float64(1)))  # doctest: +ELLIPSIS
    exp [id A] float64[]  ...
     └─ negative [id B] float64[]  ...
         └─ x [id C] float64[]  ...
    """
    if _is_symbolic(value) or isinstance(value, Apply) or (isinstance(value, list) and any(map(_is_symbolic, value))):
        return _printing().debugprint(value, *args, file=file, **kwargs)
    from tracer.graph import text

    return text.debugprint(_nodes_of(value, args, kwargs), file=file)


def draw(value: Any, file: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
    """Draw the graph of a traced value, or of a function at these arguments, to an SVG, PNG, PDF or DOT file.

    Graphviz draws it if its program `dot` is installed, otherwise matplotlib does; .dot and .gv files need neither.

    Raises
    ------
    RuntimeError
        If neither is installed; the text says how to install one.
    ValueError
        If the file's ending is unknown, or the graph is too large to draw without Graphviz.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, tracer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "f.dot")
    ...     tracer.draw(lambda x: np.exp(-x), file, np.float64(1))
    ...     print(file.read_text()[:9])
    digraph {
    """
    if _is_symbolic(value):
        _printing().pydotprint(value, file, *args, print_output_file=False, **kwargs)
    else:
        import_module("tracer.graph.drawing").draw(_nodes_of(value, args, kwargs), os.fspath(file))
