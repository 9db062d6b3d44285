"""Where what is made of a function, such as its derivative, is kept as long as the function is."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

_CACHE = "__tracer_made__"
_of_ufuncs: dict[np.ufunc, dict[Any, Any]] = {}
_MOST_UFUNCS = 256
_MOST_OBJECTS = 8
"""For how many objects what is made of one of their methods is kept, which keeps the objects too."""


def kept_with(function: Callable[..., Any], holders: tuple[type, ...] = ()) -> dict[Any, Any] | None:
    """A dict for what is made of a function; None where there is no place for it.

    It is an attribute of the function, so that both are freed together; the same goes for objects of the classes
    `holders`. A decorator may copy the attributes of a function to another one, so that what is found there is to be
    checked. What is made of methods is with the functions in their class, for the last few objects.

    Examples
    --------
    >>> def f(x):
    ...     return x
    >>> kept_with(f) is kept_with(f), kept_with("f") is None
    (True, True)
    """
    if isinstance(function, (types.FunctionType, *holders)):
        found: dict[Any, Any] = function.__dict__.setdefault(_CACHE, {})
        return found
    if isinstance(function, types.MethodType):
        known = kept_with(function.__func__, holders)
        if known is None:
            return None
        of_objects = known.setdefault(types.MethodType, {})
        found = of_objects.setdefault(function, {})
        if len(of_objects) > _MOST_OBJECTS:
            del of_objects[next(iter(of_objects))]
        return found
    if isinstance(function, np.ufunc) and (function in _of_ufuncs or len(_of_ufuncs) < _MOST_UFUNCS):
        return _of_ufuncs.setdefault(function, {})
    return None
