"""The old place of max pooling; `tensor.signal.pool` is the new one."""

from __future__ import annotations

import warnings
from typing import Any

from tracer.tensor.signal import pool
from tracer.tensor.signal.pool import max_pool_2d_same_size

__all__ = ["max_pool_2d", "max_pool_2d_same_size"]


def max_pool_2d(
    input: Any,
    ds: Any = None,
    ignore_border: bool | None = None,
    st: Any = None,
    padding: Any = (0, 0),
    mode: str = "max",
    ws: Any = None,
    stride: Any = None,
    pad: Any = None,
) -> Any:
    """Pool as `tensor.signal.pool.pool_2d` does, with its arguments under their old names.

    Parameters
    ----------
    input, ds, ignore_border, st, padding, mode, ws, stride, pad :
        As for `pool_2d`; `ds` is `ws`, `st` is `stride`, `padding` is `pad`.

    Returns
    -------
    array
        As `pool_2d`.

    Examples
    --------
    >>> import numpy as np, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     max_pool_2d(np.arange(4.0).reshape(2, 2), (2, 2), ignore_border=True).eval()
    array([[3.]])
    """
    warnings.warn("tensor.signal.downsample has moved: use tensor.signal.pool.pool_2d", stacklevel=2)
    given = (ds if ws is None else ws, ignore_border, st if stride is None else stride, padding if pad is None else pad)
    return pool.pool_2d(input, *given, mode)
