"""Holding back Python's collector of cyclic garbage while much is made that stays."""

import gc
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

_rounds = itertools.count(1)
_MOST_ROUNDS = 512


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a growing heap of objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # What is young counts as old from here on: looking through a large graph for cycles would cost more than
            # a pass over it, and there are hardly any. Python does not see what has become old, hence the last case.
            if gc.get_freeze_count():
                gc.collect(0)
            elif next(_rounds) % _MOST_ROUNDS == 0:
                gc.collect()
            else:
                gc.freeze()
                gc.unfreeze()
            gc.enable()
