"""Work that tests do: counted, since timings depend on the load of the machine, and on several threads at once."""

import sys
import threading
from collections.abc import Callable
from typing import Any


def count_calls(function: Callable[..., Any], *args: Any) -> int:
    """How many Python functions a call of `function` calls in all."""
    count = 0

    def tally(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(tally)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count


def count_lines(function: Callable[..., Any], *args: Any) -> int:
    """How many lines of Python a call of `function` runs in all, every turn of a loop counted."""
    count = 0

    def tally(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return tally

    before = sys.gettrace()
    sys.settrace(tally)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


def on_threads(function: Callable[[int], Any], count: int = 4) -> None:
    """Call a function with 0, 1, ... on a thread each, and wait for all of them."""
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
