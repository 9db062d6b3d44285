"""`np.nditer` on traced values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class TracedIterator:
    """`np.nditer` over traced values: element by element in C order, each a view that can be written into."""

    def __init__(self, op: Any, flags: Sequence[str] = (), op_flags: Any = None, **options: Any) -> None:
        self.operands = tuple(op) if isinstance(op, list | tuple) else (op,)
        self.shape = np.broadcast_shapes(*(np.shape(item) for item in self.operands))
        self._views = [
            item if np.shape(item) == self.shape else np.broadcast_to(item, self.shape) for item in self.operands
        ]
        self._places = list(np.ndindex(*self.shape))
        self._at = 0
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether there is no element left."""
        return self._at >= len(self._places)

    @property
    def multi_index(self) -> tuple[int, ...]:
        """The place of the current element."""
        return self._places[self._at]

    @property
    def value(self) -> Any:
        """The current element, or one of each operand."""
        found = tuple(self._at_place(view) for view in self._views)
        return found if len(found) > 1 else found[0]

    def _at_place(self, view: Any) -> Any:
        return view[(*self.multi_index, ...)]

    def iternext(self) -> bool:
        """Go on to the next element; whether there is one."""
        self._at += 1
        return not self.finished

    def __getitem__(self, number: int) -> Any:
        return self._at_place(self._views[number])

    def __setitem__(self, number: int, value: Any) -> None:
        self._views[number][self.multi_index] = value

    def __len__(self) -> int:
        return len(self._views)

    def __iter__(self) -> Iterator[Any]:
        while not self.finished:
            yield self.value
            self._at += 1

    def __enter__(self) -> TracedIterator:
        return self

    def __exit__(self, *_: Any) -> None:
        return None
