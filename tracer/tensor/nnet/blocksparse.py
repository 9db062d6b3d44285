"""Products of some blocks of vectors with some blocks of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import OPS
from tracer.graph.rules import lift
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import promote


def _product_type(o: Any, W: Any, h: Any, inputIdx: Any, outputIdx: Any) -> TensorType:
    dtype = promote(item.type.numpy_dtype for item in (o, W, h))
    return tensor_type(dtype, (False, False, False))


@deferred(infer=_product_type)
def sparse_block_gemv(o: Any, W: Any, h: Any, inputIdx: Any, outputIdx: Any) -> Any:
    """Add to each block of `o` the products of all blocks of `h` with the blocks of `W` that lie between them.

    Parameters
    ----------
    o : array
        (samples, output blocks in use, output size).
    W : array
        (input blocks, output blocks, input size, output size).
    h : array
        (samples, input blocks in use, input size).
    inputIdx, outputIdx : array of int
        (samples, blocks in use): which blocks these are.

    Returns
    -------
    array
        Of the shape of `o`.

    Examples
    --------
    >>> import numpy as np
    >>> index = np.array([[1]])
    >>> sparse_block_gemv(np.zeros((1, 1, 2)), np.ones((2, 2, 3, 2)), np.ones((1, 1, 3)), index, index).eval()
    array([[[3., 3.]]])
    """
    o, W, h, inputIdx, outputIdx = lift(o, W, h, inputIdx, outputIdx)
    blocks = W[inputIdx[:, None, :], outputIdx[:, :, None]]
    samples, outputs, inputs, size, width = blocks.shape
    matrices = np.reshape(blocks, (samples, outputs, inputs * size, width))
    return o + np.matmul(np.reshape(h, (samples, 1, 1, inputs * size)), matrices)[:, :, 0, :]


def _outer_type(o: Any, x: Any, y: Any, xIdx: Any, yIdx: Any, alpha: Any = None) -> TensorType:
    return tensor_type(promote(item.type.numpy_dtype for item in (o, x, y)), o.type.broadcastable)


@deferred(infer=_outer_type)
def sparse_block_outer(o: Any, x: Any, y: Any, xIdx: Any, yIdx: Any, alpha: Any = None) -> Any:
    """Add to blocks of a matrix the outer products of blocks of two vectors.

    Parameters
    ----------
    o : array
        (x blocks, y blocks, x size, y size).
    x, y : array
        (samples, blocks in use, size).
    xIdx, yIdx : array of int
        (samples, blocks in use): which blocks these are.
    alpha : scalar, optional
        A factor of the products.

    Returns
    -------
    array
        Of the shape of `o`.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((1, 1, 1))
    >>> sparse_block_outer(np.zeros((2, 1, 1, 1)), one, 3 * one, np.array([[1]]), np.array([[0]])).eval().ravel()
    array([0., 3.])
    """
    o, x, y, xIdx, yIdx = lift(o, x, y, xIdx, yIdx)
    products = x[:, :, None, :, None] * y[:, None, :, None, :]
    if alpha is not None:
        products = products * alpha
    return OPS["scatter_add"](o, products, xIdx[:, :, None].astype(np.int64), yIdx[:, None, :].astype(np.int64))


@deferred(infer=lambda W, h, inputIdx, b, outputIdx: _product_type(W, W, h, inputIdx, outputIdx))
def sparse_block_dot(W: Any, h: Any, inputIdx: Any, b: Any, outputIdx: Any) -> Any:
    """Return for each output block in use its bias and the products of all input blocks in use with its weights.

    Parameters
    ----------
    W : array
        (input blocks, output blocks, input size, output size).
    h : array
        (samples, input blocks in use, input size), or without the first axis for one sample.
    inputIdx : array of int
        (samples, input blocks in use), or without the first axis.
    b : array
        (output blocks, output size).
    outputIdx : array of int
        (samples, output blocks in use), or without the first axis.

    Returns
    -------
    array
        (samples, output blocks in use, output size).

    Examples
    --------
    >>> import numpy as np
    >>> index = np.array([[1]])
    >>> sparse_block_dot(np.ones((2, 2, 3, 2)), np.ones((1, 1, 3)), index, np.ones((2, 2)), index).eval()
    array([[[4., 4.]]])
    """
    W, h, inputIdx, b, outputIdx = lift(W, h, inputIdx, b, outputIdx)
    if inputIdx.ndim != h.ndim - 1 or outputIdx.ndim != inputIdx.ndim:
        raise ValueError("the indices need one dimension less than h")
    if h.ndim == 2:
        h, inputIdx, outputIdx = h[None], inputIdx[None], outputIdx[None]
    return sparse_block_gemv(np.take(b, outputIdx, axis=0), W, h, inputIdx, outputIdx)
