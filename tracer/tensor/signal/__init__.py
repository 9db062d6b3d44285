"""Convolution without channels, and pooling."""

from tracer.tensor.signal import conv, downsample, pool

__all__ = ["conv", "downsample", "pool"]
