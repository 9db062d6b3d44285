"""A stand-in for CuPy on machines without a GPU: arrays in host memory that behave as if they were out of reach.

It has what the package uses. As with CuPy, its arrays do not turn into NumPy's by themselves, NumPy's functions work on
them where CuPy has the function, and while a stream is captured nothing is computed.
"""

import ctypes
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special
from numpy.lib.mixins import NDArrayOperatorsMixin

KNOWN_FUNCTIONS = frozenset(
    """sort argsort partition argpartition copyto may_share_memory zeros_like isnan any
    linalg.solve linalg.inv linalg.cholesky linalg.eigh linalg.eigvalsh linalg.svd linalg.qr linalg.det linalg.slogdet
    linalg.lstsq linalg.pinv fft.fft fft.ifft fft.rfft fft.irfft searchsorted""".split()
)
"""The functions of NumPy that it has, as CuPy has them."""


class MemoryPointer:
    """An address."""

    def __init__(self, memory: Any, offset: int) -> None:
        self.mem = memory
        self.ptr = memory.ptr + offset


class UnownedMemory:
    """Memory that somebody else keeps alive."""

    def __init__(self, ptr: int, size: int, owner: Any) -> None:
        self.ptr, self.size = ptr, size


class ndarray(NDArrayOperatorsMixin):
    """An array that only kernels and this module reach."""

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None) -> None:
        if memptr is None:
            self._host = (
                np.full(shape, 0x5A, np.uint8).astype(dtype) if 0 in np.shape(shape) else _garbage(shape, dtype)
            )
            return
        dtype = np.dtype(dtype)
        strides = np.ndarray(shape, dtype).strides if strides is None else strides
        extents = [stride * (size - 1) for stride, size in zip(strides, shape, strict=True) if size]
        low, high = sum(x for x in extents if x < 0), sum(x for x in extents if x > 0) + dtype.itemsize
        raw = (ctypes.c_char * (high - low)).from_address(memptr.ptr + low)
        self._host = np.ndarray(shape, dtype, raw, -low, strides)

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def flags(self) -> Any:
        flags = self._host.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.data.ptr, False), "version": 3}

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self) -> np.ndarray[Any, Any]:
        _not_captured()
        return self._host.copy()

    def reshape(self, shape: Any) -> "ndarray":
        return _view(self, self._host.reshape(shape))

    T = property(lambda self: _wrapped(self._host.T))

    def diagonal(self) -> "ndarray":
        return _wrapped(self._host.diagonal())

    def all(self) -> "ndarray":
        return _wrapped(np.asarray(self._host.all()))

    def copy(self) -> "ndarray":
        _not_captured()
        return _wrapped(self._host.copy())

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> "ndarray":
        return _wrapped(self._host.astype(dtype, order=order, copy=copy))

    def fill(self, value: Any) -> None:
        _not_captured()
        self._host.fill(value)

    def any(self) -> "ndarray":
        _not_captured()
        return _wrapped(np.asarray(self._host.any()))

    def tobytes(self) -> bytes:
        return self.get().tobytes()

    def item(self) -> Any:
        return self.get().item()

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __getitem__(self, key: Any) -> "ndarray":
        found = self._host[_unwrapped(key)]
        return _view(self, found if isinstance(found, np.ndarray) else np.asarray(found))

    def __setitem__(self, key: Any, value: Any) -> None:
        _not_captured()
        if type(value) is np.ndarray and value.ndim:
            raise TypeError("Unsupported type numpy.ndarray")
        self._host[key] = value._host if isinstance(value, ndarray) else value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _not_captured()
        if method != "__call__" or any(type(item) is np.ndarray for item in inputs) or kwargs:
            return NotImplemented
        numbers = (ndarray, np.generic, bool, int, float, complex)
        if getattr(np, ufunc.__name__, None) is not ufunc or not all(isinstance(item, numbers) for item in inputs):
            return NotImplemented
        return _wrapped(np.asarray(ufunc(*map(_unwrapped, inputs))))

    def __array_function__(self, func: Callable[..., Any], kinds: Any, args: Any, kwargs: Any) -> Any:
        _not_captured()
        module = func.__module__.removeprefix("numpy").removeprefix(".")
        if (f"{module}.{func.__name__}" if module else func.__name__) not in KNOWN_FUNCTIONS:
            return NotImplemented
        result = func(*map(_unwrapped, args), **{name: _unwrapped(item) for name, item in kwargs.items()})
        return _all_wrapped(result)


def _garbage(shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """What fresh memory holds: nothing that anybody should rely on."""
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = 0x5A
    return array


def _wrapped(array: np.ndarray[Any, Any]) -> ndarray:
    found = ndarray.__new__(ndarray)
    found._host = array
    return found


def _view(base: ndarray, array: np.ndarray[Any, Any]) -> ndarray:
    """An array that keeps the one alive whose memory it is a part of."""
    found = _wrapped(array)
    found.base = base
    return found


def _unwrapped(value: Any) -> Any:
    return value._host if isinstance(value, ndarray) else value


def _all_wrapped(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(_all_wrapped, result))
    return _wrapped(np.asarray(result)) if isinstance(result, np.ndarray | np.generic) else result


# --- the module ----------------------------------------------------------------------------------------------------


def asarray(value: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """The array itself, or a copy of one on the host."""
    _not_captured()
    if isinstance(value, ndarray):
        return value
    lent = getattr(value, "__cuda_array_interface__", None)
    if lent is not None:
        memory = MemoryPointer(UnownedMemory(lent["data"][0], 0, value), 0)
        return ndarray(lent["shape"], np.dtype(lent["typestr"]), memory, lent.get("strides"))
    return _wrapped(np.array(value, dtype, order=order or "K"))


def asnumpy(value: Any) -> np.ndarray[Any, Any]:
    """A copy on the host."""
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def from_dlpack(value: Any) -> ndarray:
    """The array that something hands out."""
    assert value.__dlpack_device__()[0] == 2
    return value.__dlpack__()


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """An array of whatever there was."""
    return ndarray(shape, dtype)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    """An array of zeros."""
    return _wrapped(np.zeros(shape, dtype))


def matmul(a: ndarray, b: ndarray) -> ndarray:
    """A matrix product."""
    _not_captured()
    return _wrapped(np.asarray(np.matmul(a._host, b._host)))


def may_share_memory(a: ndarray, b: ndarray) -> bool:
    """Whether the bounds of two arrays overlap."""
    return np.may_share_memory(a._host, b._host)


# --- launches ------------------------------------------------------------------------------------------------------

_captured: list[Callable[[], None]] | None = None
launches: list[str] = []
"""The names of the kernels and routines that were launched, those of graphs too."""


def _not_captured() -> None:
    assert _captured is None, "this cannot be done while a stream is captured"


def launch(name: str, work: Callable[[], None]) -> None:
    def noted() -> None:
        launches.append(name)
        work()

    if _captured is None:
        noted()
    else:
        _captured.append(noted)


class Graph:
    """What was captured."""

    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self) -> None:
        launches.append("graph")
        for item in self.work:
            item()


class Stream:
    """The order in which things are done: at once."""

    ptr = 0

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        global _captured
        assert self.non_blocking
        _captured = []

    def end_capture(self) -> Graph:
        global _captured
        work, _captured = _captured, None
        assert work is not None
        return Graph(work)

    def synchronize(self) -> None:
        _not_captured()


def _memory_copy(to: int, source: int, nbytes: int, kind: int, stream: int) -> None:
    launch("memcpy", lambda: ctypes.memmove(to, source, nbytes) and None)


def _gemm(dtype: str) -> Callable[..., None]:
    def run(handle: int, ta: int, tb: int, m: int, n: int, k: int, alpha: int, *rest: int) -> None:
        a, lda, step_a, b, ldb, step_b, beta, c, ldc, step_c, count = rest
        kind = np.dtype(dtype)
        factors = _Matrices(a, kind, lda, step_a, bool(ta)), _Matrices(b, kind, ldb, step_b, bool(tb))
        _products(kind, (m, n, k, count), (alpha, beta), factors, _Matrices(c, kind, ldc, step_c, False))

    return run


TYPES = {0: np.dtype(np.float32), 2: np.dtype(np.float16), 14: np.dtype(np.uint16)}
"""Elements by CUDA's number; bfloat16 as its bits."""
mixed_products: list[tuple[int, ...]] = []
"""The types of the matrices of each product of mixed precision, and what it was added up in."""


def _mixed_gemm(handle: int, ta: int, tb: int, m: int, n: int, k: int, alpha: int, *rest: int) -> None:
    a, a_type, lda, step_a, b, b_type, ldb, step_b, beta, c, c_type, ldc, step_c, count, compute, _ = rest
    assert a_type == b_type and (c_type in (0, a_type)) and compute in ((68, 77) if a_type == 0 else (68,))
    mixed_products.append((a_type, b_type, c_type, compute))
    factors = _Matrices(a, TYPES[a_type], lda, step_a, bool(ta)), _Matrices(b, TYPES[b_type], ldb, step_b, bool(tb))
    out = _Matrices(c, TYPES[c_type], ldc, step_c, False)
    _products(np.dtype(np.float32), (m, n, k, count), (alpha, beta), factors, out)


class _Matrices(NamedTuple):
    """Matrices by columns, one after another."""

    address: int
    dtype: np.dtype[Any]
    leading: int
    step: int
    is_transposed: bool

    def matrix(self, rows: int, columns: int, number: int) -> Any:
        """One of them, as the product takes it."""
        rows, columns = (columns, rows) if self.is_transposed else (rows, columns)
        assert self.leading >= max(rows, 1)
        size = self.dtype.itemsize
        memory = MemoryPointer(UnownedMemory(self.address + number * self.step * size, 0, None), 0)
        found = ndarray((rows, columns), self.dtype, memory, (size, self.leading * size))._host
        return found.T if self.is_transposed else found


def _values(matrix: Any) -> Any:
    if matrix.dtype == np.uint16:
        return (matrix.astype(np.uint32) << 16).view(np.float32)
    return matrix.astype(np.float32) if matrix.dtype == np.float16 else matrix


def _keep(matrix: Any, values: Any) -> None:
    if matrix.dtype == np.uint16:
        words = np.ascontiguousarray(values).view(np.uint32)
        matrix[...] = (words + 0x7FFF + (words >> 16 & 1)) >> 16
    else:
        matrix[...] = values


def _products(kind: Any, sizes: Any, scales: Any, factors: Any, out: _Matrices) -> None:
    m, n, k, count = sizes
    alpha, beta = [np.ndarray((), kind, (ctypes.c_char * kind.itemsize).from_address(at)).copy() for at in scales]

    def work() -> None:
        for number in range(count):
            left, right = factors[0].matrix(m, k, number), factors[1].matrix(k, n, number)
            target = out.matrix(m, n, number)
            product = alpha * (_values(left) @ _values(right))
            _keep(target, product if beta == 0 else product + beta * _values(target))

    launch("gemm", work)


@contextmanager
def _error_state(**_: Any) -> Iterator[None]:
    yield


_SCIPY_LINALG = ("lu_factor", "lu_solve", "solve_triangular")
_ELSEWHERE = """all abs arange count_nonzero eye full_like isfinite log minimum ones prod searchsorted sum
    where""".split()


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's arrays as one of these."""

    def lifted(*args: Any, **kwargs: Any) -> Any:
        _not_captured()
        unwrapped = [tuple(map(_unwrapped, item)) if isinstance(item, tuple) else _unwrapped(item) for item in args]
        return _all_wrapped(function(*unwrapped, **kwargs))

    return lifted


class CompressedMatrix:
    """A matrix of cupyx.scipy.sparse in compressed rows, or the transpose of one."""

    def __init__(self, parts: Any, shape: tuple[int, int], copy: bool) -> None:
        data, columns, starts = map(_unwrapped, parts)
        assert copy, "products bring what is stored into order in place"
        assert data.dtype.char in "?fdFD", "Only bool, float32, float64, complex64 and complex128 are supported"
        indices = columns.astype(np.int32), starts.astype(np.int32)
        self._own = scipy.sparse.csr_matrix((data.copy(), *indices), shape=shape)

    @classmethod
    def _of(cls, own: Any) -> "CompressedMatrix":
        found = cls.__new__(cls)
        found._own = own
        return found

    shape = property(lambda self: self._own.shape)
    T = property(lambda self: self._of(self._own.T))
    data = property(lambda self: _wrapped(self._own.data))
    indices = property(lambda self: _wrapped(self._own.indices))
    indptr = property(lambda self: _wrapped(self._own.indptr))

    def sort_indices(self) -> None:
        self._own.sort_indices()

    def __matmul__(self, other: Any) -> Any:
        _not_captured()
        assert self._own.nnz, "cuSPARSE takes no empty matrices"
        launches.append("cusparse")
        if isinstance(other, CompressedMatrix):
            assert other._own.nnz, "cuSPARSE takes no empty matrices"
            return self._of(self._own @ other._own)
        return _wrapped(np.asfortranarray(self._own @ other._host))


def _scipy(name: str) -> Callable[..., Any]:
    return _lifted(getattr(scipy.linalg, name))


def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


def modules(raw_module: Any) -> dict[str, types.ModuleType]:
    """All modules, as `sys.modules` would hold them, with a class that compiles sources of kernels."""
    own = sys.modules[__name__]
    special = _module("cupyx.scipy.special", gammainc=_lifted(scipy.special.gammainc))
    sparse = _module("cupyx.scipy.sparse", csr_matrix=CompressedMatrix)
    names = {
        name: f"{letter}gemmStridedBatched" for letter, name in zip("sdcz", ("f4", "f8", "c8", "c16"), strict=True)
    }
    products: dict[str, Any] = {label: _gemm(kind) for kind, label in names.items()}
    cublas = _module("cupy_backends.cuda.libs.cublas", gemmStridedBatchedEx=_mixed_gemm, **products)
    libs = _module("cupy_backends.cuda.libs", cublas=cublas)
    runtime = _module(
        "cupy.cuda.runtime",
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda number: {"name": b"Stand-in", "totalGlobalMem": 2**34, "major": 9, "minor": 0},
        memcpyAsync=_memory_copy,
        memcpyDeviceToDevice=3,
    )
    cuda = _module(
        "cupy.cuda",
        runtime=runtime,
        device=types.SimpleNamespace(get_cublas_handle=lambda: 0),
        UnownedMemory=UnownedMemory,
        MemoryPointer=MemoryPointer,
        Stream=Stream,
        Device=lambda number: nullcontext(),
        get_current_stream=Stream,
    )
    contents = {
        name: getattr(own, name)
        for name in ("ndarray", "asarray", "from_dlpack", "asnumpy", "empty", "zeros", "matmul")
    }
    contents |= {name: _lifted(getattr(np, name)) for name in _ELSEWHERE}
    contents["linalg"] = _module("cupy.linalg", cholesky=_lifted(np.linalg.cholesky))
    contents["__version__"] = "0.0"
    contents["get_default_memory_pool"] = lambda: types.SimpleNamespace(free_all_blocks=lambda: None)
    cupy = _module("cupy", cuda=cuda, RawModule=raw_module, may_share_memory=may_share_memory, **contents)
    return {
        "cupy": cupy,
        "cupy.cuda": cuda,
        "cupy.cuda.runtime": runtime,
        "cupyx": _module("cupyx", errstate=_error_state),
        "cupyx.scipy": _module("cupyx.scipy", special=special, sparse=sparse),
        "cupyx.scipy.sparse": sparse,
        "cupyx.scipy.special": special,
        "cupyx.scipy.linalg": _module("cupyx.scipy.linalg", **{name: _scipy(name) for name in _SCIPY_LINALG}),
        "cupy_backends": _module("cupy_backends"),
        "cupy_backends.cuda": _module("cupy_backends.cuda", libs=libs),
        "cupy_backends.cuda.libs": libs,
        "cupy_backends.cuda.libs.cublas": cublas,
    }
