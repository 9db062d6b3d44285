"""`np.vectorize` on traced values: a loop over the elements, whose body is traced once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.rules import lift_arrays
from tracer.tracing.control import scan
from tracer.tracing.source import nests


def run(call: Callable[..., Any], function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an `np.vectorize`d function: in a loop over the elements, whose body is traced once."""
    names, excluded = list(kwargs), function.excluded
    if isinstance(function.pyfunc, str) or any(name not in excluded for name in names):
        return NotImplemented
    positions = [place for place in range(len(args)) if place not in excluded]
    arrays = lift_arrays(*(nests.as_one(args[place]) for place in positions))
    cores = _core_ranks(function.signature, len(arrays))
    outer = np.broadcast_shapes(*(item.shape[: item.ndim - rank] for item, rank in zip(arrays, cores, strict=True)))
    count = math.prod(outer)
    rows = [
        np.reshape(
            np.broadcast_to(item, outer + item.shape[item.ndim - rank :]), (count, *item.shape[item.ndim - rank :])
        )
        for item, rank in zip(arrays, cores, strict=True)
    ]
    kinds: list[type] = []

    def body(*items: Any) -> Any:
        given = list(args)
        for place, item in zip(positions, items, strict=True):
            given[place] = item
        made = call(function.pyfunc, tuple(given), kwargs)
        kinds.append(type(made))
        results = made if isinstance(made, tuple) else (made,)
        return (), (), lift_arrays(*(nests.as_one(item) for item in results), items[0])[:-1]

    if not outer:
        outputs = body(*(row[0] for row in rows))[2]
    else:
        outputs = tuple(np.reshape(item, outer + item.shape[1:]) for item in scan(body, rows).outputs)
    if function.otypes:
        outputs = tuple(item.astype(kind) for item, kind in zip(outputs, function.otypes, strict=True))
    return tuple(outputs) if kinds[0] is tuple else outputs[0]


def _core_ranks(signature: str | None, count: int) -> list[int]:
    """How many axes of each argument a function takes, as its signature `(n),(m)->()` says."""
    if signature is None:
        return [0] * count
    parts = signature.split("->")[0].replace(" ", "").strip("()").split("),(")
    return [len(part.split(",")) if part else 0 for part in parts]
