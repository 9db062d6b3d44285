"""The simpler forms of `scan`: `map`, `reduce`, `foldl` and `foldr`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer.scan_module.scan import scan


def map(
    fn: Callable[..., Any],
    sequences: Any,
    non_sequences: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Any]:
    """Compute a function at each row of sequences.

    Parameters
    ----------
    fn : callable
        (rows of the sequences, non-sequences) -> what the function of a `scan` returns.
    sequences, non_sequences, truncate_gradient, go_backwards, mode, name
        As of `scan`.

    Returns
    -------
    outputs, updates
        As of `scan`.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> lines = T.dmatrix("lines")
    >>> lengths, _ = theano.map(lambda line: T.sqrt(T.sum(line**2)), lines)
    >>> theano.function([lines], lengths)([[3, 4], [0, 2]])
    array([5., 2.])
    """
    return scan(
        fn,
        sequences,
        [],
        non_sequences,
        truncate_gradient=truncate_gradient,
        go_backwards=go_backwards,
        mode=mode,
        name=name,
    )


def reduce(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Any]:
    """Combine the rows of sequences, one after another, with what has been computed so far.

    Parameters
    ----------
    fn : callable
        (rows of the sequences, outputs so far, non-sequences) -> new outputs.
    sequences, outputs_info, non_sequences, go_backwards, mode, name
        As of `scan`.

    Returns
    -------
    outputs : variable or list of variables
        Those of the last step only.
    updates : OrderedUpdates
        As of `scan`.

    Examples
    --------
    >>> import numpy as np, tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> total, _ = theano.reduce(lambda item, so_far: so_far + item, x, np.float64(0))
    >>> theano.function([x], total)([1, 2, 3])
    array(6.)
    """
    outputs, updates = scan(fn, sequences, outputs_info, non_sequences, go_backwards=go_backwards, mode=mode, name=name)
    return [item[-1] for item in outputs] if isinstance(outputs, list) else outputs[-1], updates


def foldl(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Any]:
    """`reduce` from the first row to the last.

    Examples
    --------
    >>> import numpy as np, tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> number, _ = theano.foldl(lambda digit, so_far: 10 * so_far + digit, x, np.float64(0))
    >>> theano.function([x], number)([1, 2, 3])
    array(123.)
    """
    return reduce(fn, sequences, outputs_info, non_sequences, False, mode, name)


def foldr(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Any]:
    """`reduce` from the last row to the first.

    Examples
    --------
    >>> import numpy as np, tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> number, _ = theano.foldr(lambda digit, so_far: 10 * so_far + digit, x, np.float64(0))
    >>> theano.function([x], number)([1, 2, 3])
    array(321.)
    """
    return reduce(fn, sequences, outputs_info, non_sequences, True, mode, name)
