"""Symbolic sparse matrices over scipy.sparse, under the names of `theano.sparse`.

A function of sparse variables takes and returns matrices of scipy.sparse. What is computed with one depends on how
many elements it stores: a function keeps a program for each number of them that it meets.

Examples
--------
>>> import numpy as np, scipy.sparse, tracer, tracer.tensor as T
>>> from tracer import sparse
>>> x, w = sparse.csr_matrix("x"), T.dvector("w")
>>> cost = (sparse.dot(x, w) ** 2).sum()
>>> slope = tracer.function([x, w], tracer.grad(cost, w))
>>> slope(scipy.sparse.csr_matrix([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0]))
array([ 6., 32.])
"""

from tracer.sparse import methods as methods
from tracer.sparse.arithmetic import *  # noqa: F403
from tracer.sparse.constructors import *  # noqa: F403
from tracer.sparse.conversion import *  # noqa: F403
from tracer.sparse.products import *  # noqa: F403
from tracer.sparse.selection import *  # noqa: F403
from tracer.sparse.shared import *  # noqa: F403
from tracer.sparse.structured import *  # noqa: F403
from tracer.sparse.types import *  # noqa: F403
