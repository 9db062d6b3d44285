"""The cost of connectionist temporal classification.

Graves, Fernandez, Gomez and Schmidhuber, "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data
with Recurrent Neural Networks" (2006).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import nnet as messages
from tracer.graph.rules import lift
from tracer.tensor.nnet.activation import logsoftmax, picked
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import TensorType, tensor_type


def _ctc_type(activations: Any, labels: Any, input_lengths: Any) -> TensorType:
    if activations.ndim != 3 or labels.ndim != 2 or input_lengths.ndim != 1:
        types = (activations.type, labels.type, input_lengths.type)
        raise TypeError(message(messages.CTC_NDIM, types=", ".join(map(str, types))))
    return tensor_type(activations.type.numpy_dtype, (activations.type.broadcastable[1],))


def _later(alpha: Any, places: int) -> Any:
    """Move along the last axis; what comes in is impossible."""
    return np.concatenate([np.full_like(alpha[:, :places], -np.inf), alpha[:, :-places]], axis=1)


@deferred(infer=_ctc_type)
def ctc(activations: Any, labels: Any, input_lengths: Any) -> Any:
    """Minus the logarithm of the probability that a sequence of predictions reads as a label.

    A reading merges equal neighbours, then drops blanks, which are symbol 0. All of it is computed with logarithms.

    Parameters
    ----------
    activations : array
        (time, samples, symbols): predictions before the softmax.
    labels : array of int
        (samples, length): the labels; negative numbers fill up shorter ones.
    input_lengths : array of int
        (samples,): time steps of each sample.

    Returns
    -------
    array
        (samples,): the cost of each; inf where the label is too long for the time steps.

    Raises
    ------
    TypeError
        If numbers of dimensions do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> ctc(np.zeros((2, 1, 3)), np.array([[1]]), np.array([2])).eval()  # 1-, -1 and 11 out of 9 readings
    array([1.09861229])
    """
    activations, labels, input_lengths = lift(activations, labels, input_lengths)
    steps, samples = activations.shape[:2]
    length = labels.shape[1]
    counts = np.sum(labels >= 0, axis=1)
    symbols = np.maximum(labels, 0)
    # A blank between all symbols and at both ends.
    spread = np.stack([np.zeros_like(symbols), symbols], axis=2)
    extended = np.concatenate([np.reshape(spread, (samples, 2 * length)), np.zeros_like(spread[:, :1, 0])], axis=1)
    emissions = np.take_along_axis(logsoftmax(activations), np.broadcast_to(extended, (steps, *extended.shape)), axis=2)
    # From one symbol straight to the next, unless they are equal and would merge.
    skips = np.concatenate([extended[:, :1] != extended[:, :1], extended[:, 1:] != 0], axis=1)
    if length > 1:
        different = extended[:, 2:] != extended[:, :-2]
        skips = np.concatenate([skips[:, :2], skips[:, 2:] & different], axis=1)
    alpha = np.concatenate([emissions[0][:, :2], np.full_like(emissions[0][:, 2:], -np.inf)], axis=1)
    for step in range(1, steps):
        total = np.logaddexp(alpha, _later(alpha, 1))
        if length > 1:
            total = np.where(skips, np.logaddexp(total, _later(alpha, 2)), total)
        alpha = np.where(step < input_lengths[:, None], emissions[step] + total, alpha)
    last = 2 * counts
    ends = picked(alpha, np.maximum(last - 1, 0))
    return -np.logaddexp(picked(alpha, last), np.where(counts > 0, ends, -np.inf))
