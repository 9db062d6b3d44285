"""Numbers as people read them: seconds, bytes, operations, shares."""

from __future__ import annotations


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    place = 0
    while place < len(units) - 1 and value >= base * 0.9995:
        value /= base
        place += 1
    digits = 0 if value >= 99.95 or (place == 0 and value == int(value)) else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {units[place]}".rstrip()


def seconds(value: float | None) -> str:
    """A time: '12.3 us'; '?' if there is none."""
    return "?" if value is None else _scaled(value * 1e9, 1000, ("ns", "us", "ms", "s"))


def amount(value: float | None) -> str:
    """A number of bytes: '1.60 MB', of 1000 kB."""
    return "?" if value is None else _scaled(value, 1000, ("B", "kB", "MB", "GB", "TB"))


def count(value: float | None) -> str:
    """A number of operations: '3.20 M'."""
    return "?" if value is None else _scaled(value, 1000, ("", "k", "M", "G", "T", "P"))


def percent(value: float | None) -> str:
    """A share: '12.3 %'."""
    return "?" if value is None else f"{100 * value:.1f} %"


def code(native: bool | None) -> str:
    """What runs a loop."""
    return "" if native is None else "native" if native else "blocks"
