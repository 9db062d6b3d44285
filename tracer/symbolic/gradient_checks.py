"""Checks of symbolic derivatives against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tracer import errors
from tracer.errors import gradient as texts
from tracer.function import function
from tracer.symbolic.gradient import grad
from tracer.tracing.shared import shared
from tracer.tracing.symbolic import as_variable
from tracer.tracing.symbolic_type import type_of_value

Array = np.ndarray[Any, Any]

TOLERANCES = {"float32": 1e-2, "float64": 1e-4}
"""By which analytic and numeric gradients may differ, absolutely or relative to their size."""


class GradientError(Exception):
    """A gradient that finite differences do not confirm; its attributes are the constructor's arguments."""

    def __init__(
        self,
        arg: int,
        err_pos: int,
        shape: tuple[int, ...],
        val1: float,
        val2: float,
        abs_err: float,
        rel_err: float,
        abs_tol: float,
        rel_tol: float,
    ) -> None:
        self.arg, self.err_pos, self.shape, self.val1, self.val2 = arg, err_pos, shape, val1, val2
        self.abs_err, self.rel_err, self.abs_tol, self.rel_tol = abs_err, rel_err, abs_tol, rel_tol
        place = tuple(int(item) for item in np.unravel_index(err_pos, shape)) if shape else ()
        super().__init__(
            errors.message(
                texts.GRADIENT_DIFFERS,
                arg=arg,
                place=place,
                shape=shape,
                val1=val1,
                val2=val2,
                abs_err=abs_err,
                rel_err=rel_err,
                abs_tol=abs_tol,
                rel_tol=rel_tol,
            )
        )


class numeric_grad:
    """The gradient of a scalar function by central differences.

    Parameters
    ----------
    f : callable
        Takes arrays and returns a number.
    pt : array or list of arrays
        Where; floating point.
    eps : float, optional
        The step; `type_eps` of the least precise array if None.
    out_type : str, optional
        The dtype whose precision the function has, if lower than that of `pt`.

    Attributes
    ----------
    gf : array or list of arrays
        The gradient, as `pt`.

    Examples
    --------
    >>> numeric_grad(lambda x: np.sum(x**2), np.array([1.0, 2.0])).gf.round(5)
    array([2., 4.])
    """

    type_eps: ClassVar = {"float32": 3e-4, "float64": 1e-7}

    def __init__(self, f: Callable[..., Any], pt: Any, eps: float | None = None, out_type: str | None = None) -> None:
        arrays = [np.array(item) for item in (pt if isinstance(pt, list | tuple) else [pt])]
        for item in arrays:
            if item.dtype.name not in self.type_eps:
                raise TypeError(errors.message(texts.NUMERIC_GRADIENT_DTYPE, dtype=item.dtype))
        precisions = [self.type_eps[item.dtype.name] for item in arrays]
        step = eps or max([*precisions, self.type_eps.get(str(out_type), 0)])
        slopes = [np.zeros_like(item) for item in arrays]
        for array, slope in zip(arrays, slopes, strict=True):
            for place in np.ndindex(array.shape):
                before = array[place]
                array[place] = before + step
                ahead, above = float(f(*arrays)), float(array[place])
                array[place] = before - step
                behind, below = float(f(*arrays)), float(array[place])
                slope[place] = (ahead - behind) / (above - below)
                array[place] = before
        self.gf: Any = slopes if isinstance(pt, list | tuple) else slopes[0]

    @staticmethod
    def abs_rel_err(a: Any, b: Any) -> tuple[Any, Any]:
        """The absolute error between two gradients, and the relative one."""
        difference = np.abs(a - b)
        return difference, difference / np.maximum(np.abs(a) + np.abs(b), 1e-8)

    def max_err(self, g_pt: Any, abs_tol: float, rel_tol: float) -> tuple[int, int, float, float]:
        """The worst disagreement with another gradient: argument, flat position, absolute and relative error."""
        mine = self.gf if isinstance(self.gf, list) else [self.gf]
        others = g_pt if isinstance(g_pt, list | tuple) else [g_pt]
        worst = (0, 0, 0.0, 0.0)
        found = -1.0
        for argument, (one, other) in enumerate(zip(mine, others, strict=True)):
            if np.shape(one) != np.shape(other):
                raise ValueError(f"argument {argument}: gradients of shapes {np.shape(one)} and {np.shape(other)}")
            if np.size(one):
                absolute, relative = self.abs_rel_err(one, other)
                scores = np.minimum(absolute / abs_tol, relative / rel_tol)
                place = int(np.argmax(np.where(np.isnan(scores), np.inf, scores)))
                score = scores.flat[place]
                if np.isnan(score) or score > found:
                    found = np.inf if np.isnan(score) else float(score)
                    worst = (argument, place, float(absolute.flat[place]), float(relative.flat[place]))
        return worst


def verify_grad(
    fun: Callable[..., Any],
    pt: Sequence[Any],
    n_tests: int = 2,
    rng: np.random.RandomState | None = None,
    eps: float | None = None,
    out_type: str | None = None,
    abs_tol: float | None = None,
    rel_tol: float | None = None,
    mode: Any = None,
    cast_to_output_type: bool = False,
    no_debug_ref: bool = True,
) -> None:
    """Compare the gradient of a function of symbolic variables with finite differences.

    Parameters
    ----------
    fun : callable
        Takes symbolic variables and returns one; an op, for example.
    pt : list of arrays
        Where to compare.
    n_tests : int
        How many random projections of the output to try.
    rng : RandomState, optional
        Draws them.
    eps, abs_tol, rel_tol : float, optional
        The step and the tolerances; by dtype if None. An error must exceed both tolerances to count.
    out_type : str, optional
        The dtype of the output, if it is less precise than the arguments.
    mode : str or Mode, optional
        How the functions are compiled.
    cast_to_output_type : bool
        Whether to cast the arguments to the output's dtype for the analytic gradient.
    no_debug_ref : bool
        Do not use a slow mode for the finite differences, which call the function many times.

    Raises
    ------
    GradientError
        If they differ.
    NotImplementedError
        If the function returns several variables.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> verify_grad(T.tanh, [np.array([0.5, -1.0])])
    """
    points = [np.array(item) for item in pt]
    rng = rng or np.random.RandomState(2147)
    variables = [type_of_value(item)(f"input {place}") for place, item in enumerate(points)]
    cast = out_type if cast_to_output_type and out_type else None
    output = fun(*(item.astype(cast) if cast else item for item in variables))
    if isinstance(output, list | tuple):
        raise NotImplementedError("verify_grad checks functions that return one variable")
    output = as_variable(output)
    shape = np.shape(function(variables, output, mode=mode, on_unused_input="ignore")(*points))
    dtype = output.type.numpy_dtype if output.type.numpy_dtype.kind == "f" else np.dtype(np.float64)

    def projection() -> Array:
        return np.asarray(rng.random_sample(shape) + 0.5, dtype)

    weights = shared(projection(), name="projection", broadcastable=output.broadcastable)
    cost = np.sum(weights * output)
    quick = mode_not_slow(mode) if no_debug_ref else mode
    cost_function = function(variables, cost, mode=quick, on_unused_input="ignore")
    slopes = grad(cost, variables, disconnected_inputs="ignore")
    slope_function = function(variables, slopes, mode=mode, on_unused_input="ignore")
    names = [item.dtype.name for item in points] + ([out_type] if out_type else [])
    tolerance = max(TOLERANCES.get(name, 0.0) for name in names)
    abs_tol, rel_tol = (tolerance if item is None else item for item in (abs_tol, rel_tol))
    for number in range(n_tests):
        if number:
            weights.set_value(projection())
        numeric = numeric_grad(cost_function, points, eps, out_type)
        analytic = slope_function(*points)
        argument, place, absolute, relative = numeric.max_err(analytic, abs_tol, rel_tol)
        if not (absolute <= abs_tol or relative <= rel_tol):
            pair = numeric.gf[argument].flat[place], analytic[argument].flat[place]
            shape = points[argument].shape
            raise GradientError(
                argument, place, shape, float(pair[0]), float(pair[1]), absolute, relative, abs_tol, rel_tol
            )


def mode_not_slow(mode: Any) -> Any:
    """A mode, or FAST_RUN instead of one that is slow."""
    slow = ("FAST_COMPILE", "DebugMode", "DEBUG_MODE")
    return "FAST_RUN" if mode in slow or type(mode).__name__ in slow else mode
