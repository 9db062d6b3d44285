"""The texts of errors about GPUs; `tracer.errors` says what a text consists of."""

NO_CUPY = (
    "this needs a GPU, and CuPy, through which GPUs are reached, cannot be imported: {reason}\n"
    "HINT: pip install cupy-cuda12x (or cupy-cuda13x for CUDA 13), or run on the CPU: tracer.compile(f, device='cpu'). "
    "tracer.doctor() tells what is missing."
)
NO_GPU = (
    "this needs a GPU, and CuPy finds none that works: {reason}\n"
    "HINT: check that nvidia-smi lists one and that its driver is as new as CuPy's CUDA, or run on the CPU: "
    "tracer.compile(f, device='cpu'). tracer.doctor() tells more."
)
OUT_OF_MEMORY = (
    "the GPU has no memory left for {function!r}: {reason}\n"
    "Nothing was updated, and what CuPy kept for later was given back.\n"
    "HINT: use smaller batches or float32, wrap the dearest part in tracer.checkpoint, or drop arrays that are no "
    "longer needed."
)
ON_HOST = (
    "{op} runs on the CPU, since the GPU has no form of it: its arguments and results are copied there and back at\n"
    "every call of {function!r}.\n  at {line}\n"
    "HINT: tracer.config.gpu_fallback = 'raise' makes this an error, 'silent' hides it."
)
NOT_ON_GPU = (
    "{op} has no form for the GPU, and tracer.config.gpu_fallback is 'raise'.\n  at {line}\n"
    "HINT: tracer.config.gpu_fallback = 'warn' runs it on the CPU, at the cost of copies there and back."
)
DEVICE_CHOICE = "device must be 'cpu', 'gpu' or None, not {device!r}"
"""Asked for by `tracer.compile(device=...)`."""
