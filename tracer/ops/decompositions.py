"""Eigenvalues, singular values and QR factors, with derivatives that hold where the factors are unique.

Rules are written for adjoint derivatives and conjugated at both ends, since cotangents are transposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.matrix_rules import (
    adjoint,
    as_diagonal,
    as_floats,
    check_matrix,
    completed,
    conjugated,
    diagonal_part,
    halved,
    turned,
)
from tracer.graph.op import OPS, Op, batched_as, composite, declare
from tracer.graph.rules import unsupported
from tracer.types import ArrayType, Shape, TupleType, real_dtype

_A: tuple[tuple[int, ...], ...] = ((3, 3),)
_BATCH: tuple[tuple[int, ...], ...] = ((2, 3, 3),)
_EIGH = type(np.linalg.eigh(np.eye(1)))
_EIG = type(np.linalg.eig(np.eye(1)))
_SVD = type(np.linalg.svd(np.eye(1)))
_QR = type(np.linalg.qr(np.eye(1)))

# --- what the rules share ----------------------------------------------------------------------------------------


def _floats(a: Any, square: bool = False) -> Any:
    (a,) = as_floats(a)
    check_matrix(a.shape, square)
    return a


def _hermitian(x: Any) -> Any:
    """A Hermitian matrix of any square one, for examples."""
    return x + np.conjugate(np.swapaxes(x, -1, -2))


def _sizes(x: Any) -> Any:
    """What does not depend on the phases of columns, for examples."""
    return np.abs(x) ** 2


def _gaps(values: Any) -> Any:
    """1 / (values[j] - values[i]) for each pair, 0 where they are equal."""
    difference = values[..., None, :] - values[..., :, None]
    equal = difference == 0
    return OPS["where"](equal, 0, 1 / OPS["where"](equal, 1, difference))


# --- Hermitian eigenvalues ---------------------------------------------------------------------------------------


def _triangle_name(lower: bool) -> Any:
    return "L" if lower else "U"


def _values_type(types: Sequence[ArrayType]) -> ArrayType:
    return ArrayType(real_dtype(types[0].dtype), types[0].shape[:-1])


def _eigh_vjp(g: Any, y: Any, a: Any, lower: bool) -> Any:
    values, vectors = y
    of_values, of_vectors = g
    inner: Any = 0
    if of_vectors is not None:
        inner = _gaps(values) * (adjoint(vectors) @ conjugated(of_vectors))
    if of_values is not None:
        inner = inner + as_diagonal(of_values, vectors.dtype)
    return conjugated(halved(vectors @ (inner + adjoint(inner)) @ adjoint(vectors), lower))


def _eigh_jvp(tangents: Any, y: Any, a: Any, lower: bool) -> Any:
    values, vectors = y
    change = adjoint(vectors) @ completed(tangents[0], lower) @ vectors
    return np.real(diagonal_part(change)), vectors @ (_gaps(values) * change)


EIGH: Op = declare(
    Op(
        "eigh",
        "call",
        lambda types, lower: TupleType((_values_type(types), types[0])),
        lambda a, lower: tuple(np.linalg.eigh(a, _triangle_name(lower))),
        vjp=(_eigh_vjp,),
        jvp=_eigh_jvp,
        batch=batched_as("eigh"),
        call_kernel=lambda lower: "eigh_lower" if lower else "eigh_upper",
        doc="Eigenvalues, rising, and eigenvectors of Hermitian matrices, of which one triangle is read.",
    )
)


def _eigvalsh_vjp(g: Any, y: Any, a: Any, lower: bool) -> Any:
    return _eigh_vjp((g, None), EIGH(a, lower=lower), a, lower)


EIGVALSH: Op = declare(
    Op(
        "eigvalsh",
        "call",
        lambda types, lower: _values_type(types),
        lambda a, lower: np.linalg.eigvalsh(a, _triangle_name(lower)),
        vjp=(_eigvalsh_vjp,),
        jvp=lambda tangents, y, a, lower: _eigh_jvp(tangents, EIGH(a, lower=lower), a, lower)[0],
        batch=batched_as("eigvalsh"),
        call_kernel=lambda lower: "eigvalsh_lower" if lower else "eigvalsh_upper",
        doc="Eigenvalues, rising, of Hermitian matrices, of which one triangle is read.",
    )
)


def _is_lower(triangle: str) -> bool:
    if triangle.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return triangle.upper() == "L"


@composite(
    np.linalg.eigh,
    examples=(
        (lambda a: np.linalg.eigh(_hermitian(a))[0], _A),
        (lambda a: np.linalg.eigh(a, "U").eigenvalues, _BATCH),
        (lambda a: _sizes(np.linalg.eigh(a).eigenvectors), _BATCH),
    ),
)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of Hermitian matrices."""
    return _EIGH(*EIGH(_floats(a, square=True), lower=_is_lower(UPLO)))


@composite(
    np.linalg.eigvalsh,
    examples=((lambda a: np.linalg.eigvalsh(a), _A), (lambda a: np.linalg.eigvalsh(a, UPLO="U"), _BATCH)),
)
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of Hermitian matrices."""
    return EIGVALSH(_floats(a, square=True), lower=_is_lower(UPLO))


# --- general eigenvalues -----------------------------------------------------------------------------------------


def _complex_type(types: Sequence[ArrayType]) -> ArrayType:
    return ArrayType(np.result_type(types[0].dtype, np.complex64), types[0].shape)


def _eig_vjp(g: Any, y: Any, a: Any) -> Any:
    values, vectors = y
    of_values, of_vectors = g
    inner: Any = 0
    if of_vectors is not None:
        of_vectors = conjugated(of_vectors)
        # The columns keep their length 1: a change along a column itself has no effect.
        along = np.real(np.sum(np.conjugate(of_vectors) * vectors, axis=-2))
        of_vectors = of_vectors - vectors * along[..., None, :]
        inner = conjugated(_gaps(values)) * (adjoint(vectors) @ of_vectors)
    if of_values is not None:
        inner = inner + as_diagonal(conjugated(of_values), vectors.dtype)
    whole = OPS["solve"](adjoint(vectors), inner @ adjoint(vectors), structure="any")
    return conjugated(whole)


def _eig_jvp(tangents: Any, y: Any, a: Any) -> Any:
    values, vectors = y
    change = OPS["solve"](vectors, tangents[0].astype(vectors.dtype) @ vectors, structure="any")
    moved = vectors @ (_gaps(values) * change)
    along = np.real(np.sum(np.conjugate(vectors) * moved, axis=-2))
    return diagonal_part(change), moved - vectors * along[..., None, :]


def _complex_values(values: Any, like: Any) -> Any:
    return np.asarray(values).astype(np.result_type(like.dtype, np.complex64), copy=False)


EIG: Op = declare(
    Op(
        "eig",
        "call",
        lambda types: TupleType((_complex_type(types)._replace(shape=types[0].shape[:-1]), _complex_type(types))),
        lambda a: tuple(_complex_values(item, a) for item in np.linalg.eig(a)),
        vjp=(_eig_vjp,),
        jvp=_eig_jvp,
        batch=batched_as("eig"),
        doc="Eigenvalues and eigenvectors of square matrices, always complex.",
    )
)
EIGVALS: Op = declare(
    Op(
        "eigvals",
        "call",
        lambda types: _complex_type(types)._replace(shape=types[0].shape[:-1]),
        lambda a: _complex_values(np.linalg.eigvals(a), a),
        vjp=(lambda g, y, a: _eig_vjp((g, None), EIG(a), a),),
        jvp=lambda tangents, y, a: _eig_jvp(tangents, EIG(a), a)[0],
        batch=batched_as("eigvals"),
        doc="Eigenvalues of square matrices, always complex.",
    )
)


@composite(
    np.linalg.eig,
    examples=(
        (lambda a: np.linalg.eig(a + 1j).eigenvalues, _A),
        (lambda a: _sizes(np.linalg.eig(a + 1j)[1]), _A),
    ),
)
def _eig(a: Any) -> Any:
    """Eigenvalues and eigenvectors of square matrices.

    They are complex even where NumPy gives real ones because all imaginary parts happen to be zero.
    """
    return _EIG(*EIG(_floats(a, square=True)))


@composite(np.linalg.eigvals, examples=((lambda a: np.linalg.eigvals(a + 1j), _A),))
def _eigvals(a: Any) -> Any:
    """Eigenvalues of square matrices; complex even where NumPy gives real ones."""
    return EIGVALS(_floats(a, square=True))


def _real_or_raise(*arrays: Any) -> tuple[Any, ...]:
    if np.any(arrays[0].imag != 0):
        raise np.linalg.LinAlgError(errors.COMPLEX_EIGENVALUES)
    return tuple(np.ascontiguousarray(item.real) for item in arrays)


REAL_EIGENVALUES = declare(
    Op(
        "real_eigenvalues",
        "call",
        lambda types: TupleType(tuple(item._replace(dtype=real_dtype(item.dtype)) for item in types)),
        _real_or_raise,
        vjp=lambda position, g, y, *inputs: None if g[position] is None else g[position].astype(inputs[position].dtype),
        jvp=lambda tangents, y, *inputs: tuple(None if item is None else np.real(item) for item in tangents),
        batch=batched_as("real_eigenvalues"),
        doc="Real parts; an error if the first array is not real.",
    )
)

# --- singular values ---------------------------------------------------------------------------------------------


def _svd_infer(types: Sequence[ArrayType], full: bool) -> TupleType:
    dtype, shape = types[0].dtype, types[0].shape
    rows, columns = shape[-2:]
    least = None if rows is None or columns is None else min(rows, columns)
    left: Shape = (*shape[:-2], rows, rows if full else least)
    right: Shape = (*shape[:-2], columns if full else least, columns)
    return TupleType(
        (ArrayType(dtype, left), ArrayType(real_dtype(dtype), (*shape[:-2], least)), ArrayType(dtype, right))
    )


def _split(y: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The thin factors u, s, v, and what full ones have besides: u_rest, v_rest."""
    u, s, vh = y
    count = s.shape[-1]
    v = adjoint(vh)
    return u[..., :count], s, v[..., :count], u[..., count:], v[..., count:]


def _safe_inverse(s: Any) -> Any:
    return OPS["where"](s == 0, 0, 1 / OPS["where"](s == 0, 1, s))


def _svd_vjp(g: Any, y: Any, a: Any, full: bool) -> Any:
    # Wan and Zhang, "Automatic differentiation for complex valued SVD" (2019), with the columns of full factors added.
    u, s, v, u_rest, v_rest = _split(y)
    count = s.shape[-1]
    uh, vh, inverse, gaps = adjoint(u), adjoint(v), _safe_inverse(s), _gaps(s * s)
    row, column = s[..., None, :], s[..., :, None]
    middle: Any = 0
    outside: Any = 0
    if g[0] is not None:
        whole = conjugated(g[0])
        of_u, of_rest = whole[..., :count], whole[..., count:]
        inner = uh @ of_u
        part = gaps * inner
        middle = middle + (part + adjoint(part)) * row
        if a.dtype.kind == "c":
            middle = middle + as_diagonal(1j * np.imag(diagonal_part(inner)) * inverse, a.dtype)
        beyond = of_u - u @ inner
        if full and u_rest.shape[-1]:
            beyond = beyond - u_rest @ (adjoint(of_rest) @ u)
        outside = outside + (beyond * inverse[..., None, :]) @ vh
    if g[2] is not None:
        whole = adjoint(conjugated(g[2]))
        of_v, of_rest = whole[..., :count], whole[..., count:]
        inner = vh @ of_v
        part = gaps * inner
        middle = middle + column * (part + adjoint(part))
        beyond = of_v - v @ inner
        if full and v_rest.shape[-1]:
            beyond = beyond - v_rest @ (adjoint(of_rest) @ v)
        outside = outside + (u * inverse[..., None, :]) @ adjoint(beyond)
    if g[1] is not None:
        middle = middle + as_diagonal(g[1], a.dtype)
    return conjugated(u @ middle @ vh + outside)


def _svd_jvp(tangents: Any, y: Any, a: Any, full: bool) -> Any:
    u, s, v, u_rest, v_rest = _split(y)
    inverse, gaps, change = _safe_inverse(s), _gaps(s * s), tangents[0]
    row, column = s[..., None, :], s[..., :, None]
    inner = adjoint(u) @ change @ v
    back = adjoint(inner)
    of_u = u @ (gaps * (inner * row + column * back))
    of_v = v @ (gaps * (column * inner + back * row))
    if a.dtype.kind == "c":
        of_u = of_u + u * (1j * np.imag(diagonal_part(inner)) * inverse)[..., None, :]
    right, left = change @ v, adjoint(change) @ u
    of_u = of_u + (right - u @ inner) * inverse[..., None, :]
    of_v = of_v + (left - v @ back) * inverse[..., None, :]
    if full and u_rest.shape[-1]:
        of_u = np.concatenate([of_u, -u @ adjoint((adjoint(u_rest) @ right) * inverse[..., None, :])], -1)
    if full and v_rest.shape[-1]:
        of_v = np.concatenate([of_v, -v @ adjoint((adjoint(v_rest) @ left) * inverse[..., None, :])], -1)
    return of_u, np.real(diagonal_part(inner)), adjoint(of_v)


SVD: Op = declare(
    Op(
        "svd",
        "call",
        _svd_infer,
        lambda a, full: tuple(np.linalg.svd(a, full_matrices=full)),
        vjp=(_svd_vjp,),
        jvp=_svd_jvp,
        batch=batched_as("svd"),
        doc="Singular value decomposition u, s, v^H.",
    )
)


def _svdvals_vjp(g: Any, y: Any, a: Any) -> Any:
    return _svd_vjp((None, g, None), SVD(a, full=False), a, full=False)


SVDVALS: Op = declare(
    Op(
        "svdvals",
        "call",
        lambda types: _svd_infer(types, full=False).items[1],
        lambda a: np.linalg.svd(a, compute_uv=False),
        vjp=(_svdvals_vjp,),
        jvp=lambda tangents, y, a: _svd_jvp(tangents, SVD(a, full=False), a, full=False)[1],
        batch=batched_as("svdvals"),
        doc="Singular values, falling.",
    )
)


def _svd_of_hermitian(a: Any, compute_uv: bool) -> Any:
    values, vectors = EIGH(a, lower=True)
    sizes = np.abs(values)
    order = np.argsort(sizes, axis=-1)[..., ::-1]
    if not compute_uv:
        return np.take_along_axis(sizes, order, -1)
    signs = np.take_along_axis(np.sign(values), order, -1)
    u = np.take_along_axis(vectors, np.broadcast_to(order[..., None, :], vectors.shape), -1)
    return _SVD(u, np.take_along_axis(sizes, order, -1), adjoint(u * signs[..., None, :]))


@composite(
    np.linalg.svd,
    examples=(
        (lambda a: np.linalg.svd(a, compute_uv=False), ((4, 3),)),
        (lambda a: np.linalg.svd(a).S, ((2, 3, 4),)),
        (lambda a: _sizes(np.linalg.svd(a, full_matrices=False)[0]), ((4, 3),)),
        (lambda a: _sizes(np.linalg.svd(a, full_matrices=False).Vh), ((2, 3, 3),)),
        (lambda a: np.linalg.svd(a, full_matrices=False)[0] @ np.linalg.svd(a, full_matrices=False)[2], ((3, 3),)),
        (lambda a: np.linalg.svd(a).U[:, 3:] @ np.linalg.svd(a).U[:, 3:].T.conj(), ((4, 3),)),
        (lambda a: np.linalg.svd(a).Vh[3:].T.conj() @ np.linalg.svd(a).Vh[3:], ((3, 4),)),
        (lambda a: np.linalg.svd(_hermitian(a), hermitian=True)[1], _BATCH),
    ),
)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular value decomposition of the matrices in the last two axes."""
    a = _floats(a, square=hermitian)
    if hermitian:
        return _svd_of_hermitian(a, compute_uv)
    return _SVD(*SVD(a, full=bool(full_matrices))) if compute_uv else SVDVALS(a)


@composite(np.linalg.svdvals, examples=((lambda a: np.linalg.svdvals(a), ((4, 3),)),))
def _svdvals(x: Any, /) -> Any:
    """Singular values, falling."""
    return SVDVALS(_floats(x))


# --- QR ----------------------------------------------------------------------------------------------------------


def _qr_infer(types: Sequence[ArrayType], full: bool) -> TupleType:
    dtype, shape = types[0].dtype, types[0].shape
    rows, columns = shape[-2:]
    inner = rows if full else None if rows is None or columns is None else min(rows, columns)
    return TupleType((ArrayType(dtype, (*shape[:-2], rows, inner)), ArrayType(dtype, (*shape[:-2], inner, columns))))


def _skew(c: Any) -> Any:
    """The part of q^H dq that keeps r triangular with a real diagonal."""
    lower = np.tril(c, -1)
    skew = lower - adjoint(lower)
    return skew + as_diagonal(1j * np.imag(diagonal_part(c)), c.dtype) if c.dtype.kind == "c" else skew


def _skew_adjoint(n: Any) -> Any:
    lower = np.tril(n - adjoint(n), -1)
    return lower + as_diagonal(1j * np.imag(diagonal_part(n)), n.dtype) if n.dtype.kind == "c" else lower


def _divided(x: Any, r: Any) -> Any:
    """The product of x with the inverse of an upper triangular r."""
    return turned(OPS["solve_triangular"](turned(r), turned(x), lower=True, unit=False))


def _qr_vjp(g: Any, y: Any, a: Any, full: bool) -> Any:
    q, r = y
    count = min(a.shape[-2:])
    of_q = np.zeros_like(q) if g[0] is None else conjugated(g[0])
    of_r = np.zeros_like(r) if g[1] is None else conjugated(g[1])
    q, rest = q[..., :count], q[..., count:]
    of_q, of_rest = of_q[..., :count], of_q[..., count:]
    r, wide = r[..., :count, :count], r[..., :count, count:]
    of_r, of_wide = of_r[..., :count, :count], of_r[..., :count, count:]
    if wide.shape[-1]:
        of_q = of_q + (q @ wide) @ adjoint(of_wide)
    inner = adjoint(q) @ of_q - of_r @ adjoint(r)
    whole = of_q + q @ (_skew_adjoint(inner) - inner)
    if rest.shape[-1]:
        whole = whole - rest @ (adjoint(of_rest) @ q)
    result = adjoint(OPS["solve_triangular"](r, adjoint(whole), lower=False, unit=False))
    if wide.shape[-1]:
        result = np.concatenate([result, q @ of_wide], -1)
    return conjugated(result)


def _qr_jvp(tangents: Any, y: Any, a: Any, full: bool) -> Any:
    q, r = y
    count = min(a.shape[-2:])
    q, rest = q[..., :count], q[..., count:]
    r, wide = r[..., :count, :count], r[..., :count, count:]
    scaled = _divided(tangents[0][..., :count], r)
    inner = adjoint(q) @ scaled
    turn = _skew(inner)
    of_q, of_r = q @ (turn - inner) + scaled, (inner - turn) @ r
    if wide.shape[-1]:
        of_wide = adjoint(of_q) @ (q @ wide) + adjoint(q) @ tangents[0][..., count:]
        of_r = np.concatenate([of_r, of_wide], -1)
    if rest.shape[-1]:
        of_q = np.concatenate([of_q, -q @ adjoint(adjoint(rest) @ scaled)], -1)
        blank = np.zeros_like(of_r, shape=(*of_r.shape[:-2], rest.shape[-1], of_r.shape[-1]))
        of_r = np.concatenate([of_r, blank], -2)
    return of_q, of_r


QR: Op = declare(
    Op(
        "qr",
        "call",
        _qr_infer,
        lambda a, full: tuple(np.linalg.qr(a, "complete" if full else "reduced")),
        vjp=(_qr_vjp,),
        jvp=_qr_jvp,
        batch=batched_as("qr"),
        doc="A unitary q and a triangular r with q @ r = a.",
    )
)


@composite(
    np.linalg.qr,
    examples=(
        (lambda a: np.linalg.qr(a)[0], ((4, 3),)),
        (lambda a: np.linalg.qr(a).R, ((2, 3, 3),)),
        (lambda a: np.linalg.qr(a, "r"), ((3, 4),)),
        (lambda a: np.linalg.qr(a)[0], ((3, 4),)),
        (lambda a: np.linalg.qr(a, "complete").R, ((4, 2),)),
        (lambda a: np.linalg.qr(a, "complete").Q[:, 3:] @ np.linalg.qr(a, "complete").Q[:, 3:].T.conj(), ((4, 3),)),
    ),
)
def _qr(a: Any, mode: str = "reduced") -> Any:
    """QR factors of the matrices in the last two axes."""
    a = _floats(a)
    if mode not in ("reduced", "complete", "r"):
        if mode == "raw":
            unsupported("np.linalg.qr", "mode='raw'", "use mode='reduced', 'complete' or 'r'.")
        raise ValueError(f"Unrecognized mode '{mode}'")
    q, r = QR(a, full=mode == "complete")
    return r if mode == "r" else _QR(q, r)
