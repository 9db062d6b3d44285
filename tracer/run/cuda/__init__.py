"""CUDA source for the instructions of programs."""
