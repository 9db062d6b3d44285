"""Theano's classes of operations, `Cholesky(lower=False)(x)`, on functions that take the options themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class OpClass:
    """Called with the options, positional ones in the order of `options`, it gives the function with them set.

    Examples
    --------
    >>> powers = OpClass(lambda x, base: base**x, "base")
    >>> powers(2)(5), powers(base=3)(2)
    (32, 9)
    """

    def __init__(self, function: Callable[..., Any], *options: str, **values: Any) -> None:
        self.function, self.options, self.values = function, options, values

    def __call__(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """The function with these options. Raises TypeError for options that it does not have."""
        if len(args) > len(self.options) or not kwargs.keys() <= set(self.options):
            raise TypeError(f"the options of {self.function.__name__} are {', '.join(self.options) or 'none'}")
        return partial(self.function, **self.values, **dict(zip(self.options, args, strict=False)), **kwargs)
