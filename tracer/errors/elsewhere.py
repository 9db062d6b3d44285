"""Names of other libraries, and what to write instead; `tracer.errors` says what a text consists of."""

from __future__ import annotations

FUNCTIONS = {
    "jit": "tracer.compile(f)",
    "remat": "tracer.checkpoint(f)",
    "numpy": "import numpy as np: traced functions are plain NumPy",
    "np": "import numpy as np: traced functions are plain NumPy",
    "scipy": "import scipy: traced functions are plain NumPy and SciPy",
    "lax": "tracer.scan, tracer.while_loop, tracer.fori_loop, tracer.cond, tracer.switch, tracer.map",
    "make_jaxpr": "tracer.debugprint(f, x)",
    "make_vjp": "value, pull = tracer.vjp(f, x)",
    "make_jvp": "value, tangent = tracer.jvp(f, (x,), (v,))",
    "hessian_vector_product": "tracer.hvp(f)(x, v)",
    "primitive": "tracer.custom_op(f, vjp=...)",
    "block_until_ready": "nothing: results are NumPy arrays",
    "device_put": "nothing: arguments and results are NumPy arrays",
    "no_grad": "nothing: only tracer.grad and its relatives record what derivatives need",
    "func": "tracer.grad, tracer.vmap, tracer.vjp, tracer.jvp, tracer.jacrev, tracer.hessian",
    "nn": "parameters are tracer.shared(value), layers plain functions of them",
}
"""Functions and modules -> what has their place in this package."""

ATTRIBUTES = {
    "at": "write into the array: x[i] = v, x[i] += v, or np.add.at(x, i, v) where indices repeat",
    "detach": "tracer.stop_gradient(x)",
    "backward": "tracer.grad(cost, [w, b]), or @tracer.compile(updates=tracer.optim.sgd(0.1))",
    "requires_grad": "tracer.grad(f)(x) differentiates with respect to any argument",
    "block_until_ready": "return the value; results are NumPy arrays",
    "numpy": "return the value; results are NumPy arrays",
    "cpu": "return the value; results are NumPy arrays",
    "clone": "x.copy()",
    "unsqueeze": "np.expand_dims(x, axis)",
    "permute": "x.transpose(axes)",
    "tanh": "np.tanh(x)",
    "exp": "np.exp(x)",
    "log": "np.log(x)",
    "sqrt": "np.sqrt(x)",
    "abs": "np.abs(x)",
}
"""Attributes of arrays -> what to write in their place."""
