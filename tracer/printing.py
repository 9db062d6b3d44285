"""Looking inside of symbolic expressions and compiled functions: texts, pictures, and values as they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, signature
from typing import Any

import numpy as np

from tracer.graph.text import ATOM, Piece, within
from tracer.symbolic.effects import PdbBreakpoint, Print
from tracer.symbolic.function import Function
from tracer.symbolic.pictures import d3viz, d3write, pydotprint
from tracer.symbolic.text import Printer, function_text
from tracer.symbolic.tree import debugprint, min_informative_str, var_descriptor
from tracer.tracing.recording import Operation, operation_of
from tracer.tracing.symbolic_type import TensorType

__all__ = [
    "FunctionPrinter",
    "IgnorePrinter",
    "OperatorPrinter",
    "PPrinter",
    "PatternPrinter",
    "PdbBreakpoint",
    "Print",
    "d3viz",
    "d3write",
    "debugprint",
    "min_informative_str",
    "pp",
    "pprint",
    "pydotprint",
    "var_descriptor",
]


class State:
    """What a printer of a user's own is handed: the text of the inputs of the call, by variable."""

    def __init__(self, pprinter: PPrinter, pieces: dict[Any, Piece]) -> None:
        self.pprinter, self.pieces = pprinter, pieces

    def process(self, variable: Any, state: Any = None) -> str:
        """The text of an input."""
        return self.pieces[variable][0]


class PPrinter(Printer):
    """Writes expressions as formulas on one line.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> printer = PPrinter()
    >>> printer((x + y) * 2)
    '(x + y) * 2'
    >>> printer.assign(T.exp(x).owner.op, PatternPrinter("e^{%(0)s}"))
    >>> printer(T.exp(x + y))
    'e^{x + y}'
    """

    def assign(self, condition: Any, printer: Any) -> None:
        """Say how calls are written; the newest rule that applies counts.

        Parameters
        ----------
        condition : op or callable
            Whose calls; or (state, variable) -> whether the rule applies.
        printer : printer or callable
            Has a method `process(variable, state)`, or is such a function: returns the text. `state.process(input)` is
            the text of an input.
        """
        process = getattr(printer, "process", printer)
        operation = _operation(condition)

        def applies(variable: Any) -> bool:
            if operation is None:
                return bool(condition(State(self, {}), variable))
            return variable.owner is not None and variable.owner.op == operation

        def write(variable: Any, inputs: Sequence[Piece]) -> Piece | None:
            given = [] if variable.owner is None else variable.owner.inputs
            found = process(variable, State(self, dict(zip(given, inputs, strict=True))))
            return found if found is None or isinstance(found, tuple) else (found, ATOM)

        self.writers.insert(0, (applies, write))

    def clone(self) -> PPrinter:
        """A printer with the same rules."""
        other = PPrinter()
        other.writers = list(self.writers)
        return other

    def process(self, variable: Any, state: State | None = None) -> str:
        """The text of a variable."""
        return self(variable) if state is None else state.process(variable)

    def process_graph(self, inputs: Any, outputs: Any, updates: Any = None) -> str:
        """The text of several expressions."""
        return self(*(outputs if isinstance(outputs, list | tuple) else [outputs]))


def _operation(condition: Any) -> Any:
    """The operation that a condition is, or that a function of tensors or of NumPy records; None if it is neither."""
    if isinstance(condition, Operation):
        return condition
    if isinstance(condition, np.ufunc):
        return operation_of(condition)
    found = getattr(condition, "operation", None)
    if found is None and getattr(condition, "__module__", "").startswith(f"{__package__}."):
        names = signature(condition).parameters.values()
        scalars = [TensorType("float64", ())() for item in names if item.default is Parameter.empty]
        found = condition(*scalars).owner.op
    return found


class OperatorPrinter:
    """Writes a call with an operator between its inputs.

    Parameters
    ----------
    operator : str
    precedence : int
        How tightly it binds: 12 as + and -, 13 as * and /, 15 as **.
    associativity : {"left", "right", "either"}
        How several of it in a row are grouped.
    """

    def __init__(self, operator: str, precedence: int, associativity: str = "left") -> None:
        self.operator, self.precedence, self.associativity = operator, precedence, associativity

    def process(self, variable: Any, state: State) -> Piece:
        """The text of a call."""
        inputs = [state.pieces[item] for item in variable.owner.inputs]
        if len(inputs) == 1:
            return f"{self.operator}{within(inputs[0], self.precedence)}", self.precedence
        first = self.precedence + (self.associativity == "right")
        last = self.precedence + (self.associativity == "left")
        texts = [within(inputs[0], first), *(within(item, last) for item in inputs[1:])]
        return f" {self.operator} ".join(texts), self.precedence


class PatternPrinter:
    """Writes a call by a pattern, in which %(0)s is its first input; one pattern for each output."""

    def __init__(self, *patterns: str | tuple[str, Any]) -> None:
        self.patterns = [pattern if isinstance(pattern, str) else pattern[0] for pattern in patterns]

    def process(self, variable: Any, state: State) -> str:
        """The text of a call."""
        texts = {str(place): state.process(item) for place, item in enumerate(variable.owner.inputs)}
        return self.patterns[variable.index] % texts


class FunctionPrinter:
    """Writes a call as that of a function; one name for each output."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def process(self, variable: Any, state: State) -> str:
        """The text of a call."""
        return f"{self.names[variable.index]}({', '.join(map(state.process, variable.owner.inputs))})"


class IgnorePrinter:
    """Writes only the first input of a call."""

    def process(self, variable: Any, state: State) -> Piece:
        """The text of the input."""
        return state.pieces[variable.owner.inputs[0]]


pprint = PPrinter()
"""What `pp` uses; `pprint.assign` changes how it writes calls of an op."""


def pp(*values: Any) -> str:
    """The formula of expressions on one line, or of a function's outputs as it computes them.

    Derivatives are written out. A size that is not known is written by the variable that has it.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> pp(1 / (1 + T.exp(-x)))
    '1 / (1 + exp(-x))'
    >>> pp(theano.grad((x**2).mean(), x))
    '2 / x.shape[0] * x'
    """
    return ", ".join(function_text(item) if isinstance(item, Function) else pprint(item) for item in values)
