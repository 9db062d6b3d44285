"""Mode: how a function of symbolic variables is rewritten and run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracer import errors
from tracer.config import config
from tracer.errors import function as texts
from tracer.graph.graph import Graph
from tracer.lower.build import Layout
from tracer.rewrite import passes
from tracer.run import backend

_NUMERICAL = frozenset({"stabilise", "simplify"})
_LEFT_OUT: dict[str, frozenset[str]] = {
    **dict.fromkeys(("None", "merge", "o1", "fast_compile"), _NUMERICAL),
    **dict.fromkeys(("o2", "stabilize"), frozenset({"simplify"})),
    **dict.fromkeys(("default", "fast_run", "o3", "o4", "unsafe"), frozenset()),
}
"""Which passes each level of optimisation leaves out."""
_TAGS: dict[str, str] = {
    **dict.fromkeys(("stabilize", "stabilise"), "stabilise"),
    **dict.fromkeys(("canonicalize", "specialize", "simplify"), "simplify"),
}
"""Tags by which programs name passes."""
LINKERS = ("native", "cvm", "c", "c|py", "vm", "py", "cvm_nogc", "vm_nogc", "c|py_nogc")


def _tagged(tags: str) -> frozenset[str]:
    """The passes of tags with colons between."""
    return frozenset(_TAGS.get(tag, tag) for tag in tags.split(":") if tag)


class Mode:
    """How a function is compiled and run.

    Parameters
    ----------
    linker : str, optional
        What runs the program: "py" runs one op at a time with NumPy, all others the native kernels. That of
        `config.linker` if None.
    optimizer : str, optional
        Which rewrites are made: "fast_run" all, "fast_compile" or "None" none that changes how numbers are computed,
        "stabilize" only those against overflow and cancellation. That of `config.optimizer` if "default".

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], T.exp(x), mode=theano.Mode(linker="py", optimizer="fast_compile"))
    >>> f([0.0])
    array([1.])
    """

    def __init__(self, linker: Any = None, optimizer: Any = "default") -> None:
        self.provided_linker, self.provided_optimizer = linker, optimizer
        self.linker: str = config.linker if linker is None else str(linker)
        self.optimizer: str = config.optimizer if optimizer == "default" else str(optimizer)
        if self.linker not in LINKERS:
            raise ValueError(errors.message(texts.UNKNOWN_CHOICE, what="linker", value=linker, known=LINKERS))
        if self.optimizer not in _LEFT_OUT:
            known = tuple(_LEFT_OUT)
            raise ValueError(errors.message(texts.UNKNOWN_CHOICE, what="optimizer", value=optimizer, known=known))
        left_out = _LEFT_OUT[self.optimizer] - _tagged(config.optimizer_including)
        if config.optimizer_requiring:
            left_out = _NUMERICAL - _tagged(config.optimizer_requiring)
        self._left_out: frozenset[str] = left_out | _tagged(config.optimizer_excluding)

    def including(self, *tags: str) -> Mode:
        """The mode with the passes of some tags too, such as "stabilize"; tags that name no pass change nothing."""
        return self._changed(self._left_out - {_TAGS.get(tag, tag) for tag in tags})

    def excluding(self, *tags: str) -> Mode:
        """The mode without the passes of some tags; tags that name no pass change nothing."""
        return self._changed(self._left_out | {_TAGS.get(tag, tag) for tag in tags})

    def requiring(self, *tags: str) -> Mode:
        """The mode with only those rewrites of numbers that have one of the tags."""
        return self._changed(_NUMERICAL - {_TAGS.get(tag, tag) for tag in tags})

    def clone(self, **changes: Any) -> Mode:
        """Another mode like this one; `linker` and `optimizer` may be changed."""
        arguments = {"linker": self.provided_linker, "optimizer": self.provided_optimizer, **changes}
        return type(self)(**arguments)

    def _changed(self, left_out: Iterable[str]) -> Mode:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin._left_out = frozenset(left_out)
        return twin

    @property
    def passes(self) -> list[tuple[str, passes.Pass]]:
        """The passes that it runs, by name, in order."""
        return [(name, run) for name, run in passes.PASSES if name not in self._left_out]

    def optimise(self, graph: Graph) -> Graph:
        """Rewrite a graph."""
        return passes.optimise(graph, verify=config.verify, passes=self.passes)

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """Rewrite a graph and make it ready to run.

        Parameters
        ----------
        graph : Graph
            With known shapes.
        layouts : sequence of (shape, strides)
            Of its inputs.
        name : str
            Of the function, for messages.
        updates : sequence of (int, int)
            Outputs that will replace an input.
        """
        graph = self.optimise(graph)
        name_of_backend = "reference" if self.linker == "py" else backend.chosen()
        return graph, backend.load(name_of_backend, graph, layouts, name, updates)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(linker={self.linker!r}, optimizer={self.optimizer!r})"
