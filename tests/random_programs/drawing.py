"""What random programs are drawn from: statements with their weights, and arguments."""

from __future__ import annotations

import numpy as np
from random_programs.statements import (
    SHAPES,
    arrangement,
    assignment,
    augmented,
    chained_assignment,
    container,
    control,
    elementwise,
    filled,
    fresh_array,
    gather,
    helper,
    in_place_function,
    loop,
    out_argument,
    product,
    rebinding,
    reduction,
    swap,
    view,
)

EVERYTHING = [
    (view, 3.0),
    (fresh_array, 0.7),
    (elementwise, 1.0),
    (reduction, 0.8),
    (gather, 0.8),
    (arrangement, 0.8),
    (product, 0.5),
    (assignment, 3.0),
    (chained_assignment, 1.0),
    (augmented, 1.5),
    (out_argument, 1.0),
    (in_place_function, 1.2),
    (swap, 0.7),
    (loop, 0.5),
    (filled, 0.3),
    (helper, 0.5),
    (control, 0.3),
    (container, 0.4),
    (rebinding, 0.3),
]

ARGUMENTS = (
    "np.round(random.normal(size={shape}), 3)",
    "np.round(random.normal(size={shape}), 3)",
    "np.round(random.normal(size={shape}), 3)",
    "random.normal(size={shape}).astype(np.float32)",
    "np.round(random.normal(size={shape}) + 1j * random.normal(size={shape}), 3)",
    "random.integers(-3, 4, size={shape})",
    "random.integers(0, 3, size={shape}).astype(np.int32)",
    "random.integers(0, 9, size={shape}).astype(np.uint8)",
    "(random.normal(size={shape}) > 0)",
)
LAYOUTS = ("{}", "{}", "np.asfortranarray({})", "np.repeat({}, 2, axis=-1)[..., ::2]", "({})[::-1]")
ALIASES = ("{0}", "{0}[1:]", "{0}[::-1]", "{0}.T", "{0}[..., :-1]", "{0}.reshape(-1)")


def drawn_arguments(random: np.random.Generator, kinds: tuple[str, ...] = ARGUMENTS) -> list[tuple[str, str]]:
    """Arguments of several dtypes, shapes and layouts, some of which share memory."""
    found: list[tuple[str, str]] = []
    for number in range(random.integers(1, 5)):
        shape = SHAPES[random.integers(len(SHAPES))]
        expression = kinds[random.integers(len(kinds))].format(shape=shape)
        if shape and shape[0] and random.random() < 0.5:
            expression = LAYOUTS[random.integers(len(LAYOUTS))].format(expression)
        if found and random.random() < 0.15:
            expression = ALIASES[random.integers(len(ALIASES))].format(found[-1][0])
        found.append((f"x{number}", f"np.asarray({expression})"))
    return found
