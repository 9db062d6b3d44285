"""`NamedTuple` as `typing` has it, made in less than half the time: an import of the package makes dozens of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from collections import namedtuple

    class _Maker(type):
        def __new__(cls, name, bases, namespace):
            if not bases:
                return type.__new__(cls, name, bases, namespace)
            # Names of types as they are written: `typing` compiles each of them, and does nothing with what it gets.
            types = namespace.pop("__annotations__")
            defaults = [namespace.pop(field) for field in types if field in namespace]
            made = namedtuple(name, types, defaults=defaults, module=namespace.pop("__module__"))
            made.__annotations__ = types
            for key, value in namespace.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Maker):
        """Base of classes of tuples with names: see `typing.NamedTuple`."""
