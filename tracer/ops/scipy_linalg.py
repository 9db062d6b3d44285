"""Functions of scipy.linalg: the matrix exponential, and what stands in for the others while a function is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.matrix_rules import adjoint, as_floats, check_matrix, completed, turned
from tracer.graph.op import OPS, Op, batched_as, declare, stand_in
from tracer.graph.rules import lift, unsupported

_CONDITIONS = {"gen": "gen", "general": "gen", "sym": "sym", "symmetric": "sym", "her": "her", "hermitian": "her"} | {
    "pos": "pos",
    "positive definite": "pos",
}

# --- the matrix exponential --------------------------------------------------------------------------------------


def _expm_value(a: Any) -> Any:
    import scipy.linalg

    return scipy.linalg.expm(a)


def _frechet_value(a: Any, e: Any) -> Any:
    import scipy.linalg

    def one(matrix: Any, direction: Any) -> Any:
        return scipy.linalg.expm_frechet(matrix, direction, compute_expm=False, check_finite=False)

    if a.ndim == 2:
        return np.asarray(one(a, e), a.dtype)
    return np.stack([_frechet_value(*pair) for pair in zip(a, e, strict=True)]) if a.shape[0] else np.zeros_like(a)


def _blocks(on: Any, corner: Any) -> Any:
    """The block matrix [[on, corner], [0, on]]."""
    bottom = np.concatenate([np.zeros_like(on), on], -1)
    return np.concatenate([np.concatenate([on, corner], -1), bottom], -2)


def _corner(x: Any) -> Any:
    half = x.shape[-1] // 2
    return x[..., :half, half:]


def _frechet_moved(t: Any, a: Any, e: Any) -> Any:
    # The derivative in direction e is the corner of the exponential of [[a, e], [0, a]] (Higham, "Functions of
    # Matrices", theorem 3.6); this is the derivative of that corner.
    return _corner(FRECHET(_blocks(a, e), _blocks(t, np.zeros_like(t))))


def _frechet_jvp(tangents: Any, y: Any, a: Any, e: Any) -> Any:
    terms = [] if tangents[0] is None else [_frechet_moved(tangents[0], a, e)]
    if tangents[1] is not None:
        terms.append(FRECHET(a, tangents[1]))
    return sum(terms[1:], start=terms[0])


FRECHET: Op = declare(
    Op(
        "expm_frechet",
        "call",
        lambda types: types[0],
        _frechet_value,
        # Both derivatives are the same functions of transposed matrices.
        vjp=(
            lambda g, y, a, e: _frechet_moved(turned(e), turned(a), g),
            lambda g, y, a, e: FRECHET(turned(a), g),
        ),
        jvp=_frechet_jvp,
        batch=batched_as("expm_frechet"),
        doc="Derivative of the matrix exponential at the first matrix in the direction of the second.",
    )
)
EXPM: Op = declare(
    Op(
        "expm",
        "call",
        lambda types: types[0],
        _expm_value,
        vjp=(lambda g, y, a: FRECHET(turned(a), g),),
        jvp=lambda tangents, y, a: FRECHET(a, tangents[0]),
        batch=batched_as("expm"),
        doc="Matrix exponential.",
    )
)


@stand_in("scipy.linalg.expm")
def _expm(A: Any) -> Any:
    """Exponential of the matrices in the last two axes."""
    (A,) = as_floats(A)
    if A.ndim == 0:
        return np.reshape(np.exp(A), (1, 1))
    if A.ndim < 2:
        raise np.linalg.LinAlgError("The input array must be at least two-dimensional")
    if A.shape[-1] != A.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return EXPM(A)


@stand_in("scipy.linalg.expm_frechet")
def _expm_frechet(A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    """Matrix exponential, and its derivative in a direction."""
    A, E = _checked(check_finite, A, E)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError("expected A to be a square matrix")
    if E.ndim != 2 or E.shape[0] != E.shape[1]:
        raise ValueError("expected E to be a square matrix")
    if A.shape != E.shape:
        raise ValueError("expected A and E to be the same shape")
    return (EXPM(A), FRECHET(A, E)) if compute_expm else FRECHET(A, E)


# --- solving -----------------------------------------------------------------------------------------------------

CHECK_FINITE: Op = declare(
    Op(
        "check_finite",
        "call",
        lambda types: types[0],
        np.asarray_chkfinite,
        vjp=(lambda g, y, x: g,),
        jvp=lambda tangents, y, x: tangents[0],
        batch=batched_as("check_finite"),
        doc="The array itself; an error if it holds infinities or NaN.",
    )
)


def _checked(check_finite: bool, *values: Any) -> tuple[Any, ...]:
    """Values in one floating-point dtype, tested as SciPy does."""
    arrays = as_floats(*values)
    return tuple(CHECK_FINITE(item) for item in arrays) if check_finite else arrays


def _square(a: Any) -> None:
    check_matrix(a.shape)
    if a.shape[-1] != a.shape[-2]:
        raise ValueError("expected square matrix")


def _triangular(a: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    if a.shape[-1] != b.shape[-1 if b.ndim == 1 else -2]:
        raise ValueError(f"shapes of a {a.shape} and b {b.shape} are incompatible")
    if b.ndim == 1:
        return OPS["solve_triangular"](a, b[:, None], lower=lower, unit=unit)[..., 0]
    return OPS["solve_triangular"](a, b, lower=lower, unit=unit)


@stand_in("scipy.linalg.solve_triangular")
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solution x of a @ x = b, of which one triangle of a is read."""
    a, b = _checked(check_finite, a, b)
    _square(a)
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"trans must be 0, 1, 2, 'N', 'T' or 'C', not {trans!r}")
    if trans not in (0, "N"):
        a, lower = (turned(a) if trans in (1, "T") else adjoint(a)), not lower
    return _triangular(a, b, bool(lower), bool(unit_diagonal))


@stand_in("scipy.linalg.solve")
def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    """Solution x of a @ x = b, for matrices of a known structure."""
    a, b = _checked(check_finite, a, b)
    _square(a)
    if transposed:
        if a.dtype.kind == "c":
            raise NotImplementedError(
                "scipy.linalg.solve can currently not solve a^T x = b or a^H x = b for complex matrices."
            )
        a, lower = turned(a), not lower
    if assume_a in ("upper triangular", "lower triangular"):
        return _triangular(a, b, (assume_a == "lower triangular") != transposed)
    structure = _CONDITIONS.get(assume_a or "gen")
    if structure is None:
        unsupported("scipy.linalg.solve", f"assume_a={assume_a!r}", f"use one of {', '.join(map(repr, _CONDITIONS))}.")
    if structure != "gen":
        a = completed(a, lower, conjugate=structure != "sym")
    if b.ndim == 1:
        return OPS["solve"](a, b[:, None], structure=structure)[..., 0]
    return OPS["solve"](a, b, structure=structure)


def factor(a: Any, lower: bool, failing: str = "raise") -> Any:
    """The Cholesky factor from the lower triangle, or its adjoint from the upper one."""
    if lower:
        return OPS["cholesky"](a, failing=failing)
    return adjoint(OPS["cholesky"](adjoint(a), failing=failing))


@stand_in("scipy.linalg.cholesky")
def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Cholesky factor of Hermitian positive definite matrices; one triangle of them is read."""
    (a,) = _checked(check_finite, a)
    _square(a)
    return factor(a, lower)


@stand_in("scipy.linalg.cho_factor")
def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Cholesky factor for `cho_solve`, and whether it is the lower one; its other triangle is zero."""
    return cholesky(a, lower, check_finite=check_finite), lower


@stand_in("scipy.linalg.cho_solve")
def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """Solution x of a @ x = b, given the Cholesky factor of a."""
    known, lower = c_and_lower
    known, b = _checked(check_finite, known, b)
    _square(known)
    back = adjoint(known)
    first, second = (known, back) if lower else (back, known)
    return _triangular(second, _triangular(first, b, lower=True), lower=False)


@stand_in("scipy.linalg.inv")
def _inv(
    a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: Any = None, lower: bool = False
) -> Any:
    """Inverse of the matrices in the last two axes."""
    (a,) = _checked(check_finite, a)
    _square(a)
    if assume_a in ("pos", "positive definite", "her", "hermitian", "sym", "symmetric"):
        a = completed(a, lower, conjugate=not assume_a.startswith("sym"))
    elif assume_a not in (None, "gen", "general"):
        unsupported("scipy.linalg.inv", f"assume_a={assume_a!r}", "leave it out.")
    return np.linalg.inv(a)


@stand_in("scipy.linalg.det")
def _det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Determinant of the matrices in the last two axes."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape, square=True)
    return np.linalg.det(a)


@stand_in("scipy.linalg.pinv")
def _pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False, check_finite: bool = True) -> Any:
    """Pseudoinverse."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape)
    if atol or return_rank:
        unsupported("scipy.linalg.pinv", "atol or return_rank", "give rtol, and use np.linalg.matrix_rank.")
    limit = max(a.shape[-2:]) * np.finfo(a.dtype).eps if rtol is None else rtol
    return OPS["pinv"](a, rcond=float(limit))


# --- eigenvalues and other decompositions ------------------------------------------------------------------------


def _without_subsets(function: str, options: Sequence[Any], kind: int) -> None:
    if any(item is not None for item in options) or kind != 1:
        unsupported(function, "subset_by_index, subset_by_value, driver or type", "take a part of the full result.")


@stand_in("scipy.linalg.eigh")
def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    type: int = 1,
    check_finite: bool = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: Any = None,
) -> Any:
    """Eigenvalues and eigenvectors of Hermitian matrices, also generalised: a @ v = w * b @ v."""
    _without_subsets("scipy.linalg.eigh", (subset_by_index, subset_by_value, driver), type)
    if b is None:
        (a,) = _checked(check_finite, a)
        _square(a)
        return OPS["eigvalsh"](a, lower=lower) if eigvals_only else OPS["eigh"](a, lower=lower)
    a, b = _checked(check_finite, a, b)
    _square(a)
    if b.shape[-2:] != a.shape[-2:]:
        raise ValueError(f"wrong b dimensions {b.shape}, should be {a.shape}")
    root = factor(b, lower) if lower else adjoint(factor(b, lower))
    left = _triangular(root, completed(a, lower), lower=True)
    inner = adjoint(_triangular(root, adjoint(left), lower=True))
    if eigvals_only:
        return OPS["eigvalsh"](inner, lower=True)
    values, vectors = OPS["eigh"](inner, lower=True)
    return values, _triangular(adjoint(root), vectors, lower=False)


@stand_in("scipy.linalg.eigvalsh")
def _eigvalsh(a: Any, b: Any = None, **options: Any) -> Any:
    """Eigenvalues of Hermitian matrices, also generalised."""
    return eigh(a, b, eigvals_only=True, **options)


@stand_in("scipy.linalg.svd")
def _svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """Singular value decomposition."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape)
    return tuple(OPS["svd"](a, full=bool(full_matrices))) if compute_uv else OPS["svdvals"](a)


@stand_in("scipy.linalg.svdvals")
def _svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Singular values, falling."""
    return _svd(a, compute_uv=False, check_finite=check_finite)


@stand_in("scipy.linalg.qr")
def _qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    """QR factors."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape)
    if pivoting or mode == "raw":
        unsupported("scipy.linalg.qr", "pivoting or mode='raw'", "use mode='full', 'r' or 'economic'.")
    if mode not in ("full", "r", "economic"):
        raise ValueError("Mode argument should be one of ['full', 'r', 'economic', 'raw']")
    q, r = OPS["qr"](a, full=mode != "economic")
    return (r,) if mode == "r" else (q, r)


@stand_in("scipy.linalg.block_diag")
def _block_diag(*arrs: Any) -> Any:
    """A matrix with the given ones along its diagonal."""
    items = [np.atleast_2d(item) for item in lift(*arrs)]
    rows, columns = sum(item.shape[0] for item in items), sum(item.shape[1] for item in items)
    out = np.zeros_like(items[0], shape=(rows, columns), dtype=np.result_type(*(item.dtype for item in items)))
    row = column = 0
    for item in items:
        out[row : row + item.shape[0], column : column + item.shape[1]] = item
        row, column = row + item.shape[0], column + item.shape[1]
    return out


@stand_in("scipy.linalg.norm")
def _norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Any:
    """Norms of vectors and matrices."""
    (a,) = _checked(check_finite, a)
    return np.linalg.norm(a, ord, axis, keepdims)
