"""Functions are found in their source from their own lines; the whole file is parsed where these do not do."""

import ast
import linecache
import textwrap
from types import CodeType

import pytest

from tracer.tracing.source import locate

ODD = textwrap.dedent('''\
    import math, os.path as path
    from os import (sep,
        linesep)
    def plain(x): return math.sin(x)
    class Outer:
        """import nothing"""
        def method(self, __private=1):
            # comment at another place
      # and one to the left
            text = """
    at the left edge
    def plain(x): return 2
    """
            total = (1 +
    2)
            other = 1 + \\
    3

            def inner():
                return __class__, self.__hidden, text
            class Local:
                at = lambda self: self.__x
                async def later(self):
                    await inner()
            return inner, Local, total, other
        @staticmethod
        @property
        def decorated():
            pass
    several = [
      lambda x: x + 1, lambda y: (y +
       2), lambda: lambda: 3,
    ]
    if several:
        def conditional(): yield path.sep
    else:
        def conditional(): return [lambda: i for i in several]
    for first in (lambda: 1, lambda: 2): pass
    \tTABBED = 1
    def last(): """A text."""''').replace("\tTABBED", "TABBED")


def _codes(code: CodeType):
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 2 and (not inner.co_name.startswith("<") or inner.co_name == "<lambda>"):
                yield inner
            yield from _codes(inner)


def _hold(name: str, text: str) -> None:
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def _source(name: str, text: str) -> list[CodeType]:
    _hold(name, text)
    return list(_codes(compile(text, name, "exec")))


@pytest.mark.parametrize("trailing", ["", "\n", "\n\n# the end\n"])
def test_every_function_of_odd_source_is_found_with_its_class(trailing):
    name = f"<odd{len(trailing)}>"
    found = {}
    for code in _source(name, ODD + trailing):
        place = locate.find(code)
        assert place is not None, code
        assert locate.build(place, place.node, code, ()).co_code == code.co_code
        whole = locate._matching(locate._places(ODD + trailing)[code.co_name, code.co_firstlineno], code)
        assert (place.owner, ast.dump(place.node, include_attributes=True)) == (
            whole.owner,
            ast.dump(whole.node, include_attributes=True),
        )
        found[code.co_qualname] = place
    assert found["Outer.method"].owner == found["Outer.method.<locals>.inner"].owner == "Outer"
    assert found["Outer.method.<locals>.Local.later"].owner == "Local"
    assert not found["last"].is_shared and not found["Outer.decorated"].is_shared


def test_only_the_lines_of_a_function_are_parsed(monkeypatch):
    text = "def wanted():\n    return 1\n" + "def other():\n    return 2\n" * 1000
    wanted = _source("<long>", text)[0]
    monkeypatch.setattr(locate, "_places", None)
    assert locate.find(wanted).node.name == "wanted"


def test_source_that_has_changed_is_not_taken():
    before = _source("<changed>", "def function(x):\n    return x + 1\n")[0]
    for after in ("def function(x):\n    return x + 2\n", "\n\nthis is no Python\n", ""):
        _hold("<changed>", after)
        assert locate.find(before) is None
