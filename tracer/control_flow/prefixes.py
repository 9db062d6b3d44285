"""`associative_scan`: combinations of all first elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.control_flow.carries import like, reject_symbolic, text_of
from tracer.errors import loops as texts
from tracer.tracing.proxy import Proxy
from tracer.tree import flatten, leaf_paths, unflatten

Function = Callable[..., Any]


def associative_scan(fn: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Combine the elements along an axis with all those before: e0, fn(e0, e1), fn(fn(e0, e1), e2), ...

    It takes about 2 log2(n) calls of `fn` on many elements at once, where `scan` takes n on one.

    Parameters
    ----------
    fn : callable
        (nest, nest) -> nest. It combines the elements of two nests of arrays place by place along the axis, and must be
        associative; it need not be commutative. The first argument has what comes earlier along the axis.
    elems : nest of arrays
        All of one length along the axis.
    reverse : bool
        Whether to start from the last element; the first argument of `fn` then has what comes later.
    axis : int
        The axis.

    Returns
    -------
    nest of arrays
        As `elems`.

    Raises
    ------
    ValueError
        If the lengths along the axis differ, or `fn` returns another nest.

    Notes
    -----
    Blelloch, "Prefix Sums and Their Applications" (1990), describes the method.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.associative_scan(np.maximum, np.array([3, 1, 4, 1, 5]))
    array([3, 3, 4, 4, 5])
    >>> turns = np.array([[[0, 1], [1, 1]]] * 4)
    >>> tracer.associative_scan(np.matmul, turns)[:, 0, 1]
    array([1, 1, 2, 3])
    """
    reject_symbolic("associative_scan", elems)
    leaves, structure = flatten(elems)
    arrays: list[Any] = [leaf if isinstance(leaf, Proxy) else np.asarray(leaf) for leaf in leaves]
    if not arrays:
        return elems
    arrays = [np.moveaxis(array, axis, 0) for array in arrays]
    if len({len(array) for array in arrays}) > 1:
        paths = leaf_paths(structure, "elems")
        text = ", ".join(f"{len(array)} in {path}" for path, array in zip(paths, arrays, strict=True))
        raise ValueError(errors.message(texts.ROWS_DIFFER, loop="associative_scan", sizes=text))

    def combined(one: Sequence[Any], two: Sequence[Any]) -> list[Any]:
        pair = [unflatten(structure, [np.moveaxis(part, 0, axis) for part in parts]) for parts in (one, two)]
        found = like(structure, fn(*pair))
        if found is None:
            names: Any = {"wanted": text_of(structure), "found": "another one", "name": "elems", "more": ""}
            raise ValueError(errors.message(texts.CARRY_STRUCTURE, loop="associative_scan", **names))
        return [np.moveaxis(part, axis, 0) for part in found]

    if reverse:
        arrays = [array[::-1] for array in arrays]
    made = _prefixes(combined, arrays)
    if reverse:
        made = [array[::-1] for array in made]
    return unflatten(structure, [np.moveaxis(array, 0, axis) for array in made])


def _prefixes(combined: Function, arrays: Sequence[Any]) -> list[Any]:
    """All combinations of the first rows: those of pairs of rows first, then what is between."""
    count = len(arrays[0])
    if count < 2:
        return list(arrays)
    odd = _prefixes(combined, combined([a[:-1:2] for a in arrays], [a[1::2] for a in arrays]))
    heads = [a[: (count - 1) // 2] for a in odd]
    tails = [a[2::2] for a in arrays]
    between = combined(heads, tails) if count > 2 else tails
    result = []
    for array, one, two in zip(arrays, between, odd, strict=True):
        even = np.concatenate([array[:1].astype(two.dtype), one.astype(two.dtype)])
        pairs = np.stack([even[: count // 2], two], axis=1)
        whole = np.reshape(pairs, (count // 2 * 2, *two.shape[1:]))
        result.append(whole if count % 2 == 0 else np.concatenate([whole, even[-1:]]))
    return result
