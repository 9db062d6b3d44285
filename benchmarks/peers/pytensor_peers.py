"""PyTensor."""

import os
import sys
import tempfile
import warnings
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.cases import Case
from benchmarks.peers.peer import Call, Peer, adam


class PyTensor(Peer):
    name, distribution, modules = "pytensor", "pytensor", ("pytensor", "pytensor.tensor")
    note = "its default linker, NumPy arrays in and out"
    slow = True

    def load(self) -> None:
        if "pytensor" in sys.modules:
            return
        # Compiled code kept from an earlier run would make the first call look short: it stays with temporary files.
        kept = os.path.join(tempfile.gettempdir(), "pytensor")
        flags = os.environ.get("PYTENSOR_FLAGS")
        os.environ["PYTENSOR_FLAGS"] = f"{flags + ',' if flags else ''}base_compiledir={kept}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().load()

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import pytensor

        namespace = pytensor_namespace(pytensor.tensor)
        variables = [pytensor.tensor.tensor(dtype=array.dtype, shape=array.shape) for array in arguments]
        stepping = case.learning_rate is not None
        if stepping:
            variables[: case.parameters] = map(pytensor.shared, arguments[: case.parameters])
        parameters, data = variables[: case.parameters], variables[case.parameters :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without this, a Python float that float32 cannot hold exactly would make the whole case float64.
            with pytensor.config.change_flags(floatX=str(arguments[0].dtype)):
                value = case.cost(namespace, *variables)
                gradients = pytensor.grad(value, parameters) if parameters else []
                if stepping:
                    updates = training(pytensor, case, parameters, gradients)
                    function = pytensor.function(data, [value], updates=updates)
                else:
                    function = pytensor.function(variables, [value, *gradients])
        function.trust_input = True
        return partial(function, *arguments[case.parameters if stepping else 0 :])


def training(pytensor: ModuleType, case: Case, parameters: list[Any], gradients: list[Any]) -> list[tuple[Any, Any]]:
    """The pairs that a training step updates."""
    rate = case.learning_rate
    assert rate is not None
    if case.rule == "sgd":
        return [(p, p - rate * g) for p, g in zip(parameters, gradients, strict=True)]
    steps = pytensor.shared(parameters[0].get_value().dtype.type(0))
    pairs = [(steps, steps + 1)]
    for p, g in zip(parameters, gradients, strict=True):
        mean, square = pytensor.shared(0 * p.get_value()), pytensor.shared(0 * p.get_value())
        pairs += zip((p, mean, square), adam(rate, p, g, mean, square, steps + 1), strict=True)
    return pairs


def pytensor_namespace(tensor: ModuleType) -> SimpleNamespace:
    """NumPy's spelling of the functions that the cases use, on pytensor; shapes are the static ones."""
    names = "abs arange clip cumsum diagonal exp log log1p max maximum mean min sin sort sqrt sum tanh tensordot"
    return SimpleNamespace(
        **{name: getattr(tensor, name) for name in (*names.split(), "transpose", "where", "zeros_like")},
        concatenate=tensor.concatenate,
        linalg=SimpleNamespace(
            **{name: getattr(tensor.linalg, name) for name in ("cholesky", "det", "eigh", "slogdet", "solve")}
        ),
        shape=lambda x: x.type.shape,
    )
