"""Comparisons of tracer with NumPy, autograd, JAX, PyTorch and PyTensor on one table of cases."""
