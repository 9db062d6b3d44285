"""Machine code put where the processor can run it, without LLVM: a small linker for what its code generator emits.

It knows the one kind of file that loops become on Linux with an x86-64 processor (ELF relocatable objects: System V
Application Binary Interface, AMD64 supplement, chapter 4): position-independent code, its constants, and calls of the
C library. Whatever is beyond that is left to LLVM's own linker.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from functools import cache
from typing import NamedTuple

USABLE = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32

_SYMBOLS, _RELOCATIONS = 2, 4
"""Kinds of sections."""
_NOTHING, _UNDEFINED = 8, 0
_IN_MEMORY = 0x2
"""Flag of the sections that are needed at run time."""
_WRITABLE = 0x1
_RELATIVE, _CALL = 2, 4
_THROUGH_TABLE = (9, 41, 42)
"""Kinds of places that hold the distance to an address, to a function, and to a table entry with an address."""


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class Linked:
    """Code in executable memory, which goes with this object.

    Attributes
    ----------
    address : int
        Where its function is.
    """

    def __init__(self, image: bytearray, entry: int) -> None:
        self._memory = mmap.mmap(
            -1, len(image), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self._memory.write(bytes(image))
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        # Memory is never open to both writing and running.
        executable = mmap.PROT_READ | mmap.PROT_EXEC
        if _process().mprotect(ctypes.c_void_p(start), ctypes.c_size_t(len(image)), executable) != 0:
            raise OSError(ctypes.get_errno(), "memory cannot be made executable")
        self.address = start + entry


@cache
def _process() -> ctypes.CDLL:
    """The functions that the process has already."""
    return ctypes.CDLL(None, use_errno=True)


def link(code: bytes, function: str) -> Linked | None:
    """Make a function of an object file callable; None if the file has something that is not known here.

    Raises OSError if there is no executable memory to be had.
    """
    if not USABLE:
        return None
    try:
        return _Link(code).link(function)
    except (struct.error, LookupError, ValueError, OverflowError):
        return None


class _Link:
    def __init__(self, code: bytes) -> None:
        if code[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", code, 16) != (1, 62):
            raise ValueError("this is no object file for this processor")
        self.code = code
        (table,) = struct.unpack_from("<Q", code, 40)
        (count,) = struct.unpack_from("<H", code, 60)
        self.sections = [_Section(*struct.unpack_from("<IIQQQQIIQQ", code, table + 64 * i)) for i in range(count)]
        self.places: dict[int, int] = {}
        self.entries: dict[str, int] = {}
        self.image = bytearray()

    def link(self, function: str) -> Linked:
        for number, section in enumerate(self.sections):
            if section.flags & _IN_MEMORY:
                if section.kind == _NOTHING or section.flags & _WRITABLE:
                    raise ValueError("it has variables")
                self.places[number] = self.append(self.text(section), section.alignment)
        (symbols,) = (section for section in self.sections if section.kind == _SYMBOLS)
        names = self.sections[symbols.link].offset
        found = [struct.unpack_from("<IBBHQQ", self.code, symbols.offset + 24 * i) for i in range(symbols.size // 24)]
        self.symbols = [(self.name(names + name), section, value) for name, _, _, section, value, _ in found]
        (entry,) = (self.places[section] + value for name, section, value in self.symbols if name == function)
        for section in self.sections:
            if section.kind == _RELOCATIONS and section.info in self.places:
                for i in range(section.size // 24):
                    self.relocate(
                        self.places[section.info], *struct.unpack_from("<QIIq", self.code, section.offset + 24 * i)
                    )
        return Linked(self.image, entry)

    def text(self, section: _Section) -> bytes:
        text = self.code[section.offset : section.offset + section.size]
        if len(text) != section.size:
            raise ValueError("the file is cut off")
        return text

    def name(self, start: int) -> str:
        return self.code[start : self.code.index(b"\0", start)].decode()

    def append(self, text: bytes, alignment: int) -> int:
        self.image += bytes(-len(self.image) % max(alignment, 1))
        self.image += text
        return len(self.image) - len(text)

    def entry(self, name: str, text: bytes) -> int:
        """The place of something made once for every name."""
        if name not in self.entries:
            self.entries[name] = self.append(text, 8)
        return self.entries[name]

    def outside(self, name: str) -> int:
        """The place of the address of a function of the process."""
        function = getattr(_process(), name, None)
        if function is None:
            raise LookupError(name)
        address = ctypes.cast(function, ctypes.c_void_p).value
        return self.entry(name, struct.pack("<Q", address))

    def relocate(self, base: int, offset: int, kind: int, symbol: int, addend: int) -> None:
        name, section, value = self.symbols[symbol]
        if section != _UNDEFINED and kind in (_RELATIVE, _CALL):
            target = self.places[section] + value
        elif section == _UNDEFINED and kind in _THROUGH_TABLE:
            target = self.outside(name)
        elif section == _UNDEFINED and kind == _CALL:
            # The C library may be too far away: jump by way of the table.
            table = self.outside(name)
            place = len(self.image) + -len(self.image) % 8
            target = self.entry("call " + name, b"\xff\x25" + struct.pack("<i", table - (place + 6)))
        else:
            raise ValueError(f"relocation {kind} is not known")
        struct.pack_into("<i", self.image, base + offset, target + addend - (base + offset))
