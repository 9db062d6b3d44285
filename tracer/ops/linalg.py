"""Determinants, inverses, solutions of linear systems, and Cholesky factors: numpy.linalg and what it is made of.

Cotangents are transposes, not adjoints: where a formula of the literature has the adjoint derivative, a rule
conjugates it. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), derives most of these rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph import lapack
from tracer.graph.batching import aligned
from tracer.graph.matrix_rules import (
    adjoint,
    as_floats,
    check_matrix,
    completed,
    conjugated,
    halved,
    sign_and_logarithm_types,
    triangle,
    turned,
)
from tracer.graph.op import OPS, Op, batched_as, composite, declare
from tracer.graph.rules import given
from tracer.graph.scipy_extensions import blas_routine
from tracer.types import ArrayType, broadcast_shapes

_A: tuple[tuple[int, ...], ...] = ((3, 3),)
_BATCH: tuple[tuple[int, ...], ...] = ((2, 3, 3),)
_SLOGDET = type(np.linalg.slogdet(np.eye(1)))

# --- inverse and determinant -------------------------------------------------------------------------------------


def _inverse_value(a: Any, singular: str) -> Any:
    try:
        return lapack.inverse(a) if lapack.is_single(a) else np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if singular == "raise":
            raise
    if a.ndim == 2:
        return np.full_like(a, np.nan)
    return np.stack([_inverse_value(item, singular) for item in a])


INV: Op = declare(
    Op(
        "inv",
        "call",
        lambda types, singular: types[0],
        _inverse_value,
        vjp=(lambda g, y, a, singular: -(turned(y) @ g @ turned(y)),),
        jvp=lambda tangents, y, a, singular: -(y @ tangents[0] @ y),
        batch=batched_as("inv"),
        call_kernel=lambda singular: "inv",
        doc='Inverse of the matrices in the last two axes; singular ones raise, or give NaN with singular="nan".',
    )
)


@composite(np.linalg.inv, examples=((lambda a: np.linalg.inv(a), _A), (lambda a: np.linalg.inv(a), _BATCH)))
def _inv(a: Any) -> Any:
    """Inverse of the matrices in the last two axes."""
    (a,) = as_floats(a)
    check_matrix(a.shape, square=True)
    return INV(a, singular="raise")


def _cofactor_value(a: Any) -> Any:
    """Cofactors through the inverse; through singular values where the matrix is, or nearly is, singular."""
    try:
        inverse = np.linalg.inv(a)
        spread = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
    except np.linalg.LinAlgError:
        spread = np.inf
    if np.all(spread < 1e4):
        return np.linalg.det(a)[..., None, None] * np.swapaxes(inverse, -1, -2)
    u, s, vh = np.linalg.svd(a)
    others = np.where(np.eye(a.shape[-1], dtype=bool), s.dtype.type(1), s[..., None, :])
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return sign * ((u.conj() * np.prod(others, axis=-1)[..., None, :]) @ vh.conj())


def _cofactor_vjp(g: Any, y: Any, a: Any) -> Any:
    inner = np.sum(g * y, axis=(-2, -1))[..., None, None]
    return (y * inner - y @ turned(g) @ y) / DET(a)[..., None, None]


COFACTOR: Op = declare(
    Op(
        "cofactor",
        "call",
        lambda types: types[0],
        _cofactor_value,
        # The second derivative of a determinant; where it is zero this is 0 / 0.
        vjp=(_cofactor_vjp,),
        jvp=lambda tangents, y, a: _cofactor_vjp(tangents[0], y, a),
        batch=batched_as("cofactor"),
        call_kernel=lambda: "cofactor",
        doc="Matrix of cofactors: the derivative of the determinant.",
    )
)
DET: Op = declare(
    Op(
        "det",
        "call",
        lambda types: ArrayType(types[0].dtype, types[0].shape[:-2]),
        np.linalg.det,
        vjp=(lambda g, y, a: g[..., None, None] * COFACTOR(a),),
        jvp=lambda tangents, y, a: np.sum(COFACTOR(a) * tangents[0], axis=(-2, -1)),
        batch=batched_as("det"),
        call_kernel=lambda: "det",
        doc="Determinant of the matrices in the last two axes.",
    )
)


@composite(np.linalg.det, examples=((lambda a: np.linalg.det(a), _A), (lambda a: np.linalg.det(a), _BATCH)))
def _det(a: Any) -> Any:
    """Determinant of the matrices in the last two axes."""
    (a,) = as_floats(a)
    check_matrix(a.shape, square=True)
    return DET(a)


def _slogdet_value(a: Any) -> tuple[Any, ...]:
    if lapack.is_single(a) and len(a) > lapack.SMALL:
        return lapack.sign_and_log_determinant(a)
    return tuple(np.linalg.slogdet(a))


def _slogdet_vjp(g: Any, y: Any, a: Any) -> Any:
    sign, _ = y
    of_sign, of_logarithm = g
    weight: Any = 0 if of_logarithm is None else of_logarithm
    if of_sign is not None and a.dtype.kind == "c":
        weight = weight + 1j * np.imag(of_sign * sign)
    elif of_logarithm is None:
        return None
    return weight[..., None, None] * turned(INV(a, singular="nan"))


def _slogdet_jvp(tangents: Any, y: Any, a: Any) -> Any:
    change = np.sum(turned(INV(a, singular="nan")) * tangents[0], axis=(-2, -1))
    return (y[0] * (1j * np.imag(change)) if a.dtype.kind == "c" else None), np.real(change)


SLOGDET: Op = declare(
    Op(
        "slogdet",
        "call",
        sign_and_logarithm_types,
        _slogdet_value,
        vjp=(_slogdet_vjp,),
        jvp=_slogdet_jvp,
        batch=batched_as("slogdet"),
        call_kernel=lambda: "slogdet",
        doc="Sign and logarithm of the absolute value of the determinant.",
    )
)


@composite(
    np.linalg.slogdet,
    examples=(
        (lambda a: np.linalg.slogdet(a)[1], _A),
        (lambda a: np.linalg.slogdet(a).sign, _A),
        (lambda a: np.linalg.slogdet(a).logabsdet, _BATCH),
    ),
)
def _slogdet(a: Any) -> Any:
    """Sign and logarithm of the absolute value of the determinant."""
    (a,) = as_floats(a)
    check_matrix(a.shape, square=True)
    return _SLOGDET(*SLOGDET(a))


# --- linear systems ----------------------------------------------------------------------------------------------


def _solve_infer(types: Sequence[ArrayType], **_: Any) -> ArrayType:
    a, b = types
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            "solve: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature (m,m),(m,n)->(m,n) "
            f"(size {b.shape[-2]} is different from {a.shape[-1]})"
        )
    return ArrayType(a.dtype, (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


def _batched_system(inputs: Sequence[Any], is_batched: Sequence[bool], apply: Any) -> Any:
    """Many systems; those with one matrix are one system with many right sides."""
    a, b = inputs
    if is_batched[0] or a.ndim > 2 or b.ndim > 3:
        return apply(*aligned(inputs, is_batched))
    size, rows, columns = b.shape
    together = apply(a, np.reshape(np.moveaxis(b, 0, 1), (rows, size * columns)))
    return np.moveaxis(np.reshape(together, (rows, size, columns)), 1, 0)


def _batched_solve(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, structure: str) -> Any:
    if is_batched[0] and structure != "any":
        return NotImplemented  # SciPy takes one matrix
    return _batched_system(inputs, is_batched, lambda a, b: SOLVE(a, b, structure=structure))


def _solve_value(a: Any, b: Any, structure: str) -> Any:
    if structure == "any":
        return lapack.solve(a, b) if lapack.is_single(a, b) else np.linalg.solve(a, b)
    import scipy.linalg

    return np.asarray(scipy.linalg.solve(a, b, assume_a=structure, check_finite=False), a.dtype)


def _solve_jvp(tangents: Any, y: Any, a: Any, b: Any, structure: str) -> Any:
    moved = tangents[1]
    if tangents[0] is not None:
        turn = tangents[0] @ y
        moved = -turn if moved is None else moved - turn
    return SOLVE(a, moved, structure=structure)


SOLVE: Op = declare(
    Op(
        "solve",
        "call",
        _solve_infer,
        _solve_value,
        vjp=(
            lambda g, y, a, b, structure: -(SOLVE(turned(a), g, structure=structure) @ turned(y)),
            lambda g, y, a, b, structure: SOLVE(turned(a), g, structure=structure),
        ),
        jvp=_solve_jvp,
        batch=_batched_solve,
        call_kernel=lambda structure: "solve" if structure == "any" else "",
        doc="Solution x of a @ x = b; `structure` is what SciPy may assume of a.",
    )
)


def solved(op: Op, a: Any, b: Any, **params: Any) -> Any:
    """Apply an op that solves for matrices on the right to a vector too."""
    return op(a, b[:, None], **params)[..., 0] if b.ndim == 1 else op(a, b, **params)


@composite(
    np.linalg.solve,
    examples=(
        (lambda a, b: np.linalg.solve(a, b), ((3, 3), (3, 2))),
        (lambda a, b: np.linalg.solve(a, b), ((3, 3), (3,))),
        (lambda a, b: np.linalg.solve(a, b), ((2, 3, 3), (3,))),
        (lambda a, b: np.linalg.solve(a, b), ((3, 3), (2, 3, 2))),
    ),
)
def _solve(a: Any, b: Any) -> Any:
    """Solution x of a @ x = b."""
    a, b = as_floats(a, b)
    check_matrix(a.shape, square=True)
    return solved(SOLVE, a, b, structure="any")


def _triangular_value(a: Any, b: Any, lower: bool, unit: bool) -> Any:
    solve = blas_routine("trsm", np.result_type(a, b))

    def one(matrix: Any, right: Any) -> Any:
        """BLAS itself: LAPACK's function in front of it starts threads for the smallest systems.

        Rows in C order are columns in BLAS's, so it solves for the transposes from the right.
        """
        zeros = () if unit or not right.size else np.flatnonzero(np.diagonal(matrix) == 0)
        if len(zeros):
            raise np.linalg.LinAlgError(f"singular matrix: resolution failed at diagonal {min(zeros)}")
        return solve(1.0, matrix.T, right.T, side=1, lower=not lower, diag=unit).T

    if a.ndim == b.ndim == 2:
        return np.asarray(one(a, b), a.dtype)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, batch + a.shape[-2:]), np.broadcast_to(b, batch + b.shape[-2:])
    out = np.empty_like(b)
    for place in np.ndindex(batch):
        out[place] = one(a[place], b[place])
    return out


def _triangular_jvp(tangents: Any, y: Any, a: Any, b: Any, lower: bool, unit: bool) -> Any:
    moved = tangents[1]
    if tangents[0] is not None:
        turn = triangle(tangents[0], lower, unit) @ y
        moved = -turn if moved is None else moved - turn
    return SOLVE_TRIANGULAR(a, moved, lower=lower, unit=unit)


def _triangular_back(g: Any, a: Any, lower: bool, unit: bool) -> Any:
    return SOLVE_TRIANGULAR(turned(a), g, lower=not lower, unit=unit)


SOLVE_TRIANGULAR: Op = declare(
    Op(
        "solve_triangular",
        "call",
        lambda types, lower, unit: _solve_infer(types),
        _triangular_value,
        vjp=(
            lambda g, y, a, b, lower, unit: -triangle(_triangular_back(g, a, lower, unit) @ turned(y), lower, unit),
            lambda g, y, a, b, lower, unit: _triangular_back(g, a, lower, unit),
        ),
        jvp=_triangular_jvp,
        batch=lambda inputs, is_batched, size, **params: _batched_system(
            inputs, is_batched, lambda a, b: SOLVE_TRIANGULAR(a, b, **params)
        ),
        call_kernel=lambda lower, unit: f"solve_{'unit_' * unit}{'lower' if lower else 'upper'}",
        doc="Solution x of a @ x = b with one triangle of a; with unit=True its diagonal counts as ones.",
    )
)

# --- Cholesky ----------------------------------------------------------------------------------------------------


def _cholesky_value(a: Any, failing: str) -> Any:
    try:
        return lapack.cholesky(a) if lapack.is_single(a) else np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        if failing == "raise":
            raise
    if a.ndim == 2:
        return np.full_like(a, np.nan)
    return np.stack([_cholesky_value(item, failing) for item in a])


def _cholesky_vjp(g: Any, y: Any, a: Any, failing: str) -> Any:
    # Murray, "Differentiation of the Cholesky decomposition" (2016). What is Hermitian is solved with from both sides
    # without a transpose in between.
    upper = adjoint(y)
    inner = halved(upper @ conjugated(g))
    left = SOLVE_TRIANGULAR(upper, inner + adjoint(inner), lower=False, unit=False)
    return conjugated(halved(SOLVE_TRIANGULAR(upper, adjoint(left), lower=False, unit=False)))


def _cholesky_jvp(tangents: Any, y: Any, a: Any, failing: str) -> Any:
    left = SOLVE_TRIANGULAR(y, completed(tangents[0]), lower=True, unit=False)
    return y @ halved(SOLVE_TRIANGULAR(y, adjoint(left), lower=True, unit=False))


CHOLESKY: Op = declare(
    Op(
        "cholesky",
        "call",
        lambda types, failing: types[0],
        _cholesky_value,
        vjp=(_cholesky_vjp,),
        jvp=_cholesky_jvp,
        batch=batched_as("cholesky"),
        call_kernel=lambda failing: "cholesky",
        doc='Lower triangular L with L @ L^H = a, or with failing="nan" NaN where there is none; only the lower '
        "triangle of a is read, and only it has a derivative.",
    )
)


def _positive(x: Any) -> Any:
    """A positive definite matrix of any square one, for examples."""
    return x @ np.conjugate(np.swapaxes(x, -1, -2)) + 3 * np.eye(x.shape[-1], dtype=x.dtype)


@composite(
    np.linalg.cholesky,
    examples=(
        (lambda x: np.linalg.cholesky(_positive(x)), _A),
        (lambda x: np.linalg.cholesky(_positive(x), upper=True), _BATCH),
        (lambda x: np.linalg.cholesky(x / 4 + 4 * np.eye(3)), _A),
    ),
)
def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Cholesky factor of Hermitian positive definite matrices; one triangle of them is read."""
    (a,) = as_floats(a)
    check_matrix(a.shape, square=True)
    return adjoint(CHOLESKY(adjoint(a), failing="raise")) if upper else CHOLESKY(a, failing="raise")


# --- pseudoinverse and least squares -----------------------------------------------------------------------------


def _flipped(types: Sequence[ArrayType], **_: Any) -> ArrayType:
    shape = types[0].shape
    return ArrayType(types[0].dtype, (*shape[:-2], shape[-1], shape[-2]))


def _pinv_vjp(g: Any, y: Any, a: Any, rcond: float) -> Any:
    # Golub and Pereyra (1973), for constant rank: dP = -P dA P + P P' dA' (1 - A P) + (1 - P A) dA' P' P.
    back, left = turned(g), adjoint(y)
    first = (back - a @ (y @ back)) @ y @ left
    second = left @ (y @ (back - (back @ y) @ a))
    return conjugated(first + second) - turned(y) @ g @ turned(y)


def _pinv_jvp(tangents: Any, y: Any, a: Any, rcond: float) -> Any:
    change, left = tangents[0], adjoint(y)
    back = adjoint(change)
    first = y @ (left @ (back - (back @ a) @ y))
    second = (back - y @ (a @ back)) @ left @ y
    return first + second - y @ change @ y


PINV: Op = declare(
    Op(
        "pinv",
        "call",
        _flipped,
        lambda a, rcond: np.linalg.pinv(a, rcond),
        vjp=(_pinv_vjp,),
        jvp=_pinv_jvp,
        batch=batched_as("pinv"),
        doc="Pseudoinverse, singular values below rcond times the largest counting as zero.",
    )
)


@composite(
    np.linalg.pinv,
    examples=(
        (lambda a: np.linalg.pinv(a), ((4, 3),)),
        (lambda a: np.linalg.pinv(a), ((2, 2, 3),)),
        (lambda a: np.linalg.pinv(a, rtol=1e-3), ((2, 3),)),
        (lambda a: np.linalg.pinv(_positive(a), hermitian=True), _A),
    ),
)
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """Pseudoinverse of the matrices in the last two axes."""
    given_dtype = np.dtype(a.dtype)
    (a,) = as_floats(a)
    check_matrix(a.shape, square=hermitian)
    if rcond is not None and given(rtol, None) is not None:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        rcond = given(rtol, 1e-15)
    if rcond is None:
        rcond = max(a.shape[-2:]) * np.finfo(given_dtype).eps  # an error for integers, as in NumPy
    return PINV(completed(a) if hermitian else a, rcond=float(rcond))


def _lstsq_vjp_matrix(g: Any, y: Any, a: Any, b: Any, rcond: float) -> Any:
    inverse = PINV(a, rcond=rcond)
    back, left = turned(g), adjoint(inverse)
    first = (b - a @ y) @ (back @ inverse) @ left
    second = left @ y @ (back - (back @ inverse) @ a)
    return conjugated(first + second) - turned(inverse) @ g @ turned(y)


def _lstsq_jvp(tangents: Any, y: Any, a: Any, b: Any, rcond: float) -> Any:
    inverse = PINV(a, rcond=rcond)
    if tangents[0] is None:
        return inverse @ tangents[1]
    change, left = tangents[0], adjoint(inverse)
    back = adjoint(change)
    across = back @ (left @ y)
    moved = -(change @ y) if tangents[1] is None else tangents[1] - change @ y
    return inverse @ moved + inverse @ (left @ (back @ (b - a @ y))) + across - inverse @ (a @ across)


LSTSQ: Op = declare(
    Op(
        "lstsq",
        "call",
        lambda types, rcond: ArrayType(types[0].dtype, (types[0].shape[-1], types[1].shape[-1])),
        lambda a, b, rcond: np.linalg.lstsq(a, b, rcond)[0],
        vjp=(_lstsq_vjp_matrix, lambda g, y, a, b, rcond: turned(PINV(a, rcond=rcond)) @ g),
        jvp=_lstsq_jvp,
        doc="The shortest x that minimises the norm of a @ x - b.",
    )
)


@composite(
    np.linalg.lstsq,
    examples=(
        (lambda a, b: np.linalg.lstsq(a, b)[0], ((4, 3), (4,))),
        (lambda a, b: np.linalg.lstsq(a, b)[0], ((2, 3), (2, 2))),
        (lambda a, b: np.linalg.lstsq(a, b)[2], ((4, 3), (4, 2))),
        (lambda a, b: np.linalg.lstsq(a, b)[3], ((4, 3), (4,))),
    ),
)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Least squares: the solution, its squared residuals, the rank and the singular values of a.

    Where NumPy leaves out the residuals because a matrix with more rows than columns has not full rank, they are NaN.
    """
    a, b = as_floats(a, b)
    if a.ndim != 2:
        raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. Array must be two-dimensional")
    if a.shape[0] != b.shape[0]:
        raise np.linalg.LinAlgError("Incompatible dimensions")
    rows, columns = a.shape
    rcond = float(np.finfo(a.dtype).eps * max(rows, columns) if rcond is None else rcond)
    right = b[:, None] if b.ndim == 1 else b
    x = LSTSQ(a, right, rcond=rcond)
    values = np.linalg.svd(a, compute_uv=False)
    limit = rcond if rcond >= 0 else np.finfo(a.dtype).eps
    rank = np.sum(values > limit * values[:1], dtype=np.int32) if min(a.shape) else np.zeros_like(rows, np.int32)
    residuals = np.zeros_like(values, shape=(0,))
    if rows > columns:
        gap = right - a @ x
        squares = np.sum(np.square(np.real(gap)) + np.square(np.imag(gap)), axis=0)
        residuals = OPS["where"](rank == columns, squares, np.nan)
    return (x[:, 0] if b.ndim == 1 else x), residuals, rank, values
