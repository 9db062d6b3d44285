"""More of scipy.linalg for traced functions: functions of matrices, factorisations, equations, eigenvalues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.errors.matrices import COMPLEX_RESULT
from tracer.graph.matrix_rules import adjoint, as_floats, check_matrix, triangle, turned
from tracer.graph.op import OPS, Op, declare, stand_in
from tracer.graph.rules import lift, literal, unsupported
from tracer.types import ArrayType, TupleType


def _square(a: Any) -> None:
    check_matrix(a.shape)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError("expected square matrix")


def _each(function: Callable[..., Any], *arrays: Any) -> Any:
    """Apply a function of matrices to those in the last two axes."""
    if arrays[0].ndim == 2:
        return function(*arrays)
    parts = [_each(function, *items) for items in zip(*arrays, strict=True)]
    if isinstance(parts[0], tuple):
        return tuple(np.stack(column) for column in zip(*parts, strict=True))
    return np.stack(parts)


def _batched(name: str) -> Callable[..., Any]:
    """The batching rule of an op of matrices that takes any number of axes before them."""

    def rule(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, **params: Any) -> Any:
        shapes = [
            item.shape if batched else (size, *item.shape) for item, batched in zip(inputs, is_batched, strict=True)
        ]
        return OPS[name](*(np.broadcast_to(x, shape) for x, shape in zip(inputs, shapes, strict=True)), **params)

    return rule


# --- functions of a matrix ---------------------------------------------------------------------------------------


def _function_value(a: Any, name: str, power: float = 0.0) -> Any:
    import scipy.linalg

    more = (power,) if name == "fractional_matrix_power" else ()
    result = _each(lambda matrix: getattr(scipy.linalg, name)(matrix, *more), a)
    if result.dtype.kind == "c" and a.dtype.kind != "c":
        if np.any(np.abs(result.imag) > 1e3 * np.finfo(a.dtype).eps * np.max(np.abs(result), initial=1)):
            raise ValueError(COMPLEX_RESULT.format(function=f"scipy.linalg.{name}"))
        result = result.real
    return np.asarray(result, a.dtype)


def _moved(a: Any, e: Any, params: dict[str, Any]) -> Any:
    # The derivative of a function f at a in direction e is the corner of f([[a, e], [0, a]]) (Higham, "Functions of
    # Matrices", theorem 3.6).
    size = a.shape[-1]
    top, bottom = np.concatenate([a, e], -1), np.concatenate([np.zeros_like(a), a], -1)
    return FUNCTION(np.concatenate([top, bottom], -2), **params)[..., :size, size:]


FUNCTION: Op = declare(
    Op(
        "matrix_function",
        "call",
        lambda types, **params: types[0],
        _function_value,
        vjp=(lambda g, y, a, **params: _moved(turned(a), g, params),),
        jvp=lambda tangents, y, a, **params: _moved(a, tangents[0], params),
        batch=_batched("matrix_function"),
        doc="The logarithm, the square root or another power of a matrix.",
    )
)


@stand_in("scipy.linalg.logm")
def logm(A: Any, disp: Any = True) -> Any:
    """The principal logarithm of a matrix."""
    (A,) = as_floats(A)
    _square(A)
    return FUNCTION(A, name="logm")


@stand_in("scipy.linalg.sqrtm")
def sqrtm(A: Any, disp: Any = True, blocksize: Any = 64) -> Any:
    """The principal square root of a matrix."""
    (A,) = as_floats(A)
    _square(A)
    return FUNCTION(A, name="sqrtm")


@stand_in("scipy.linalg.fractional_matrix_power")
def fractional_matrix_power(A: Any, t: float) -> Any:
    """A power of a matrix, which need not be whole."""
    (A,) = as_floats(A)
    _square(A)
    if int(t) == t:
        return np.linalg.matrix_power(A, int(t))
    return FUNCTION(A, name="fractional_matrix_power", power=float(t))


def _exponentials(A: Any, factor: complex) -> tuple[Any, Any, Any]:
    (A,) = as_floats(A)
    _square(A)
    return A, OPS["expm"](factor * A), OPS["expm"](-factor * A)


def _like(value: Any, a: Any) -> Any:
    return value if a.dtype.kind == "c" else np.real(value).astype(a.dtype)


@stand_in("scipy.linalg.coshm")
def coshm(A: Any) -> Any:
    """The hyperbolic cosine of a matrix."""
    A, up, down = _exponentials(A, 1)
    return (up + down) / 2


@stand_in("scipy.linalg.sinhm")
def sinhm(A: Any) -> Any:
    """The hyperbolic sine of a matrix."""
    A, up, down = _exponentials(A, 1)
    return (up - down) / 2


@stand_in("scipy.linalg.tanhm")
def tanhm(A: Any) -> Any:
    """The hyperbolic tangent of a matrix."""
    return np.linalg.solve(coshm(A), sinhm(A))


@stand_in("scipy.linalg.cosm")
def cosm(A: Any) -> Any:
    """The cosine of a matrix."""
    A, up, down = _exponentials(A, 1j)
    return _like((up + down) / 2, A)


@stand_in("scipy.linalg.sinm")
def sinm(A: Any) -> Any:
    """The sine of a matrix."""
    A, up, down = _exponentials(A, 1j)
    return _like((up - down) / 2j, A)


@stand_in("scipy.linalg.tanm")
def tanm(A: Any) -> Any:
    """The tangent of a matrix."""
    return np.linalg.solve(cosm(A), sinm(A))


# --- triangular factors ------------------------------------------------------------------------------------------


def _lu_value(a: Any) -> Any:
    import scipy.linalg

    def one(matrix: Any) -> Any:
        packed, pivots = scipy.linalg.lu_factor(matrix, check_finite=False)
        order = np.arange(matrix.shape[0])
        for row, other in enumerate(pivots):
            order[[row, other]] = order[[other, row]]
        return packed, np.asarray(pivots, np.int32), np.asarray(order, np.int64)

    return _each(one, a)


def _lu_types(types: Sequence[ArrayType]) -> TupleType:
    *lead, rows, columns = types[0].known_shape
    pivots = ArrayType(np.dtype(np.int32), (*lead, min(rows, columns)))
    return TupleType((types[0], pivots, ArrayType(np.dtype(np.int64), (*lead, rows))))


def _rows(a: Any, order: Any) -> Any:
    return np.take_along_axis(a, order[..., None], -2)


def _solved(a: Any, b: Any, lower: bool, unit: bool) -> Any:
    return OPS["solve_triangular"](a, b, lower=lower, unit=unit)


def _lu_vjp(g: Any, y: Any, a: Any) -> Any:
    packed, order = y[0], y[2]
    _square_factor(a)
    upper, g_upper = triangle(packed, False), triangle(g[0], False)
    unit = triangle(packed, True, strict=True) + literal(np.eye(a.shape[-1], dtype=a.dtype), a)
    g_lower = triangle(g[0], True, strict=True)
    middle = triangle(turned(unit) @ g_lower, True, strict=True) + triangle(g_upper @ turned(upper), False)
    left = _solved(turned(packed), middle, False, True)
    back = turned(_solved(packed, turned(left), False, False))
    # The rows of `back` are those of the permuted matrix; each goes to where it came from.
    return _rows(back, np.argsort(order, axis=-1))


def _lu_jvp(tangents: Any, y: Any, a: Any) -> Any:
    packed, order = y[0], y[2]
    _square_factor(a)
    inner = _solved(packed, _rows(tangents[0], order), True, True)
    inner = turned(_solved(turned(packed), turned(inner), True, False))
    unit = triangle(packed, True, strict=True) + literal(np.eye(a.shape[-1], dtype=a.dtype), a)
    moved = unit @ triangle(inner, True, strict=True) + triangle(inner, False) @ triangle(packed, False)
    return moved, None, None


def _square_factor(a: Any) -> None:
    if a.shape[-1] != a.shape[-2]:
        unsupported("the derivative of scipy.linalg.lu", "of a matrix that is not square", "take its square part.")


LU: Op = declare(
    Op(
        "lu",
        "call",
        _lu_types,
        _lu_value,
        vjp=(_lu_vjp,),
        jvp=_lu_jvp,
        batch=_batched("lu"),
        doc="Both triangular factors of a matrix in one, the exchanges of its rows, and their order after them.",
    )
)


def _order_value(pivots: Any) -> Any:
    order = np.broadcast_to(np.arange(pivots.shape[-1]), pivots.shape).copy()
    for index in np.ndindex(*pivots.shape[:-1]):
        for row, other in enumerate(pivots[index]):
            order[(*index, [row, other])] = order[(*index, [other, row])]
    return order


ORDER: Op = declare(
    Op(
        "order_of_pivots",
        "call",
        lambda types: ArrayType(np.dtype(np.int64), types[0].shape),
        _order_value,
        zero_derivative=True,
        batch=lambda inputs, is_batched, size: ORDER(inputs[0]),
        doc="The order of the rows of a square matrix after exchanges of rows.",
    )
)


def _checked(check_finite: bool, *values: Any) -> tuple[Any, ...]:
    arrays = as_floats(*values)
    return tuple(OPS["check_finite"](item) for item in arrays) if check_finite else arrays


@stand_in("scipy.linalg.lu_factor")
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Triangular factors for `lu_solve`."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape)
    return tuple(LU(a)[:2])


@stand_in("scipy.linalg.lu_solve")
def lu_solve(lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """Solution x of a @ x = b, given the triangular factors of a."""
    packed, pivots = lu_and_piv
    (pivots,) = lift(pivots)
    packed, b = _checked(check_finite, packed, b)
    _square(packed)
    if packed.shape[0] != b.shape[0]:
        raise ValueError(f"Shapes of lu {packed.shape} and b {b.shape} are incompatible")
    columns, order = (b[:, None] if b.ndim == 1 else b), ORDER(pivots)
    if trans == 0:
        x = _solved(packed, _solved(packed, np.take(columns, order, axis=0), True, True), False, False)
    else:
        back = turned(packed) if trans == 1 else adjoint(packed)
        x = np.take(_solved(back, _solved(back, columns, True, False), False, True), np.argsort(order), axis=0)
    return x[:, 0] if b.ndim == 1 else x


@stand_in("scipy.linalg.lu")
def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> Any:
    """Triangular factors of a matrix whose rows are put in another order."""
    (a,) = _checked(check_finite, a)
    check_matrix(a.shape)
    packed, _, order = LU(a)
    rows, columns = a.shape[-2:]
    count = min(rows, columns)
    eye = literal(np.eye(rows, count, dtype=a.dtype), a)
    lower = triangle(packed[..., :, :count], True, strict=True) + eye
    upper = triangle(packed[..., :count, :], False)
    back = np.argsort(order, axis=-1)
    if permute_l:
        return _rows(lower, back), upper
    if p_indices:
        return back.astype(np.int32), lower, upper
    places = literal(np.arange(rows), a)
    return (back[..., :, None] == places).astype(a.dtype), lower, upper


def _schur_value(a: Any, kind: str) -> Any:
    import scipy.linalg

    return _each(lambda matrix: tuple(map(np.asarray, scipy.linalg.schur(matrix, kind))), a)


def _schur_types(types: Sequence[ArrayType], kind: str) -> TupleType:
    return TupleType((types[0], types[0]))


SCHUR: Op = declare(
    Op("schur", "call", _schur_types, _schur_value, batch=_batched("schur"), doc="Schur decomposition of a matrix.")
)


@stand_in("scipy.linalg.schur")
def schur(
    a: Any,
    output: str = "real",
    lwork: Any = None,
    overwrite_a: bool = False,
    sort: Any = None,
    check_finite: bool = True,
) -> Any:
    """Schur decomposition; it has no derivative."""
    (a,) = _checked(check_finite, a)
    _square(a)
    if sort is not None:
        unsupported("scipy.linalg.schur", "sort", "sort what is made of the factors.")
    if output in ("complex", "c") and a.dtype.kind != "c":
        a = a.astype(np.result_type(a.dtype, np.complex64))
    elif output not in ("real", "r", "complex", "c"):
        raise ValueError("argument must be 'real', or 'complex'")
    return tuple(SCHUR(a, kind="complex" if a.dtype.kind == "c" else "real"))


@stand_in("scipy.linalg.polar")
def polar(a: Any, side: str = "right") -> Any:
    """A matrix as a product of a unitary and a positive semidefinite one."""
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    (a,) = as_floats(a)
    if a.ndim != 2:
        raise ValueError("`a` must be a 2-D array.")
    left, values, right = np.linalg.svd(a, full_matrices=False)
    values = values.astype(a.dtype)
    if side == "right":
        return left @ right, (adjoint(right) * values) @ right
    return left @ right, (left * values) @ adjoint(left)


@stand_in("scipy.linalg.orthogonal_procrustes")
def orthogonal_procrustes(A: Any, B: Any, check_finite: bool = True) -> Any:
    """The orthogonal matrix that takes A nearest to B, and the sum of singular values."""
    A, B = _checked(check_finite, A, B)
    if A.ndim != 2 or A.shape != B.shape:
        raise ValueError(f"the shapes of A and B differ ({A.shape} vs {B.shape})")
    left, values, right = np.linalg.svd(turned(turned(B) @ A))
    return left @ right, np.sum(values)


# --- equations ---------------------------------------------------------------------------------------------------


@stand_in("scipy.linalg.lstsq")
def lstsq(
    a: Any,
    b: Any,
    cond: Any = None,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    lapack_driver: Any = None,
) -> Any:
    """Least-squares solution, with residuals, rank and singular values."""
    a, b = _checked(check_finite, a, b)
    if a.ndim != 2:
        raise ValueError("Input array a should be 2D")
    return np.linalg.lstsq(a, b, rcond=float(np.finfo(a.dtype).eps) if cond is None else cond)


def _sylvester_value(a: Any, b: Any, q: Any) -> Any:
    import scipy.linalg

    return _each(lambda *items: np.asarray(scipy.linalg.solve_sylvester(*items), q.dtype), a, b, q)


def _sylvester_jvp(tangents: Any, x: Any, a: Any, b: Any, q: Any) -> Any:
    ta, tb, tq = tangents
    terms = [] if tq is None else [tq]
    terms += [] if ta is None else [-(ta @ x)]
    terms += [] if tb is None else [-(x @ tb)]
    return SYLVESTER(a, b, sum(terms[1:], start=terms[0]))


SYLVESTER: Op = declare(
    Op(
        "solve_sylvester",
        "call",
        lambda types: types[2],
        _sylvester_value,
        vjp=(
            lambda g, x, a, b, q: -(SYLVESTER(turned(a), turned(b), g) @ turned(x)),
            lambda g, x, a, b, q: -(turned(x) @ SYLVESTER(turned(a), turned(b), g)),
            lambda g, x, a, b, q: SYLVESTER(turned(a), turned(b), g),
        ),
        jvp=_sylvester_jvp,
        batch=_batched("solve_sylvester"),
        doc="Solution x of a @ x + x @ b = q.",
    )
)


@stand_in("scipy.linalg.solve_sylvester")
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """Solution x of a @ x + x @ b = q."""
    a, b, q = as_floats(a, b, q)
    _square(a)
    _square(b)
    return SYLVESTER(a, b, q)


@stand_in("scipy.linalg.solve_continuous_lyapunov", "scipy.linalg.solve_lyapunov")
def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """Solution x of a @ x + x @ a.conj().T = q."""
    a, q = as_floats(a, q)
    _square(a)
    if q.shape != a.shape:
        raise ValueError("Matrix a and q should have the same shape.")
    return SYLVESTER(a, adjoint(a), q)


@stand_in("scipy.linalg.solve_discrete_lyapunov")
def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """Solution x of a @ x @ a.conj().T - x + q = 0."""
    a, q = as_floats(a, q)
    _square(a)
    size = a.shape[0]
    product = np.kron(a, np.conjugate(a))
    eye = literal(np.eye(size * size, dtype=a.dtype), a)
    return np.reshape(np.linalg.solve(eye - product, np.reshape(q, -1)), q.shape)


# --- eigenvalues -------------------------------------------------------------------------------------------------


@stand_in("scipy.linalg.eigvals")
def eigvals(
    a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False
) -> Any:
    """Eigenvalues of a square matrix."""
    if b is not None or homogeneous_eigvals:
        unsupported("scipy.linalg.eigvals", "b or homogeneous_eigvals", "solve for an ordinary problem.")
    (a,) = _checked(check_finite, a)
    _square(a)
    return np.linalg.eigvals(a.astype(np.result_type(a.dtype, np.complex64)))


@stand_in("scipy.linalg.eig")
def eig(
    a: Any,
    b: Any = None,
    left: bool = False,
    right: bool = True,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:
    """Eigenvalues and right eigenvectors of a square matrix."""
    if b is not None or left or homogeneous_eigvals:
        unsupported("scipy.linalg.eig", "b, left or homogeneous_eigvals", "take right eigenvectors of a, or of a.T.")
    (a,) = _checked(check_finite, a)
    _square(a)
    if not right:
        return np.linalg.eigvals(a.astype(np.result_type(a.dtype, np.complex64)))
    return tuple(np.linalg.eig(a.astype(np.result_type(a.dtype, np.complex64))))


@stand_in("scipy.linalg.pinvh")
def pinvh(
    a: Any,
    atol: Any = None,
    rtol: Any = None,
    lower: bool = True,
    return_rank: bool = False,
    check_finite: bool = True,
) -> Any:
    """Pseudoinverse of a Hermitian matrix."""
    (a,) = _checked(check_finite, a)
    _square(a)
    if atol or return_rank:
        unsupported("scipy.linalg.pinvh", "atol or return_rank", "give rtol, and use np.linalg.matrix_rank.")
    limit = a.shape[-1] * np.finfo(a.dtype).eps if rtol is None else rtol
    part = triangle(a, lower, strict=True)
    whole = part + adjoint(part) + triangle(triangle(a, True), False)
    return OPS["pinv"](whole, rcond=float(limit))
