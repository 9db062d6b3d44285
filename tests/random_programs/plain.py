"""What a random program uses of `tracer`, in plain NumPy: it defines what the compiled program must answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def compile(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    return copied((true_fun if pred else false_fun)(*operands))


def copied(value: Any) -> Any:
    return tuple(map(copied, value)) if isinstance(value, tuple) else np.array(value, order="C")[()]


def fori_loop(lower: int, upper: int, body: Callable[..., Any], value: Any) -> Any:
    for number in range(lower, upper):
        value = copied(body(np.int64(number), copied(value)))
    return copied(value)


def scan(function: Callable[..., Any], carry: Any, rows: Any) -> Any:
    outputs = []
    for row in rows:
        carry, output = map(copied, function(copied(carry), copied(row)))
        outputs.append(output)
    return copied(carry), np.stack(outputs)
