"""What holds the value of an input or of a shared variable."""

from __future__ import annotations

from typing import Any


class Container:
    """Holds a value of one type.

    Attributes
    ----------
    type : Type
    name : str or None
    storage : list
        A list of one item, the value.
    strict, allow_downcast
        How values are taken; see `In`.
    """

    def __init__(
        self,
        type: Any,
        value: Any = None,
        name: str | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        storage: list[Any] | None = None,
    ) -> None:
        self.type, self.name, self.strict, self.allow_downcast = type, name, strict, allow_downcast
        self.storage: list[Any] = [None] if storage is None else storage
        if value is not None:
            self.value = value

    def filter(self, value: Any) -> Any:
        """A value in the form in which it is kept. Raises TypeError if it is not of the container's type."""
        return self.type.filter(value, strict=self.strict, allow_downcast=self.allow_downcast)

    @property
    def value(self) -> Any:
        """The value. Setting it casts it to the container's type."""
        return self.storage[0]

    @value.setter
    def value(self, value: Any) -> None:
        self.storage[0] = None if value is None else self.filter(value)

    data = value

    def __repr__(self) -> str:
        return f"<{self.storage[0]!r}>"
