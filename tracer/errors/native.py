"""The texts of errors about native code; `tracer.errors` says what a text consists of."""

NO_LLVMLITE = (
    'tracer.config.jit is "always", but native code is made by llvmlite, and that is not installed.\n'
    'HINT: pip install llvmlite, or tracer.config.jit = "auto": without it, loops stay in block kernels.'
)
