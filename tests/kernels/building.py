"""Small programs built by hand: arrays in, one instruction, one fresh output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import cython_blas, cython_lapack

from tracer import _kernels
from tracer.lower.program import Buffer, Call, Program, View
from tracer.types import contiguous_strides

DTYPES = [np.dtype(code) for code in "?bhilBHILfdFD"]
NUMBERS = DTYPES[1:]

_kernels.set_blas(cython_blas.__pyx_capi__, lambda: cython_lapack.__pyx_capi__)


def element_strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides in elements."""
    return tuple(stride // array.itemsize for stride in array.strides)


def argument(array: np.ndarray, index: int) -> Buffer:
    """The buffer of an array of the call."""
    return Buffer("argument", array.dtype, array.shape, element_strides(array), index, 0)


def whole(array: np.ndarray, buffer: int) -> View:
    """The view that walks over an array as its shape says."""
    return View(buffer, 0, element_strides(array))


def build(
    inputs: Sequence[np.ndarray],
    shape: tuple[int, ...],
    dtype: Any,
    instruction: Callable[[list[View], View], Any],
    before: Callable[[View], Sequence[Any]] = lambda out: (),
) -> _kernels.Program:
    """A program of `instruction(views of the inputs, view of the output)`, after the instructions of `before`."""
    buffers = [argument(array, i) for i, array in enumerate(inputs)]
    buffers.append(Buffer("output", np.dtype(dtype), shape, contiguous_strides(shape), 0, 0))
    out = View(len(inputs), 0, contiguous_strides(shape))
    views = [whole(array, i) for i, array in enumerate(inputs)]
    instructions = (*before(out), instruction(views, out))
    program = Program(tuple(buffers), (), instructions, 0, 1, "test")
    program.verify()
    return _kernels.Program(program)


def run(
    inputs: Sequence[np.ndarray],
    shape: tuple[int, ...],
    dtype: Any,
    instruction: Callable[[list[View], View], Any],
    before: Callable[[View], Sequence[Any]] = lambda out: (),
) -> np.ndarray:
    """Builds the program and runs it once."""
    (result,) = build(inputs, shape, dtype, instruction, before).run(list(inputs))
    return result


def random_array(generator: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Values over the whole range of integers, normal floats, random bools."""
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return generator.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    return np.asarray(values).astype(dtype)


def build_call(
    kernel: str, inputs: list[np.ndarray], results: list[np.ndarray], function: Callable[..., Any]
) -> _kernels.Program:
    """A program of one call, whose results are like the given arrays."""
    buffers = [argument(array, i) for i, array in enumerate(inputs)]
    views = [(whole(array, i), array.shape) for i, array in enumerate(inputs)]
    outputs = []
    for i, result in enumerate(results):
        strides = contiguous_strides(result.shape)
        outputs.append((View(len(buffers), 0, strides), result.shape))
        buffers.append(Buffer("output", result.dtype, result.shape, strides, i, 0))
    call = Call(function, tuple(views), tuple(outputs), "user.py:1", kernel)
    program = Program(tuple(buffers), (), (call,), 0, len(results), "test")
    program.verify()
    return _kernels.Program(program)


def refuse(*arrays: np.ndarray) -> None:
    """What a kernel must not leave its work to."""
    raise AssertionError("the kernel gave up")
