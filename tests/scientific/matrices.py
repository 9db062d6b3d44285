"""Linear algebra as in textbooks: loops over entries, pivots, sweeps, iterations."""

import numpy as np


def cholesky(A):
    """Cholesky factor, entry by entry."""
    n = A.shape[0]
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = np.sum(L[i, :j] * L[j, :j])
            if i == j:
                L[i, j] = np.sqrt(A[i, i] - s)
            else:
                L[i, j] = (A[i, j] - s) / L[j, j]
    return L


def lu_in_place(A):
    """Doolittle's factors in one array, without pivots, and the determinant."""
    A = A.astype(float)
    n = len(A)
    for k in range(n - 1):
        A[k + 1 :, k] /= A[k, k]
        A[k + 1 :, k + 1 :] -= np.outer(A[k + 1 :, k], A[k, k + 1 :])
    return np.tril(A, -1) + np.eye(n), np.triu(A), np.prod(np.diag(A))


def lu_solve(A, b):
    """Gauss elimination with partial pivoting, rows exchanged by index, then back substitution."""
    A, b = A.copy(), b.copy()
    n = len(b)
    perm = np.arange(n)
    for k in range(n):
        p = k + np.argmax(np.abs(A[k:, k]))
        A[[k, p]] = A[[p, k]]
        b[[k, p]] = b[[p, k]]
        perm[[k, p]] = perm[[p, k]]
        for i in range(k + 1, n):
            m = A[i, k] / A[k, k]
            A[i, k:] -= m * A[k, k:]
            b[i] -= m * b[k]
    x = np.empty(n)
    for i in reversed(range(n)):
        x[i] = (b[i] - A[i, i + 1 :].dot(x[i + 1 :])) / A[i, i]
    return x, perm


def thomas(a, b, c, d):
    """Tridiagonal systems in place, as in Numerical Recipes."""
    n = len(d)
    c, d = c.copy(), d.copy()
    c[0] /= b[0]
    d[0] /= b[0]
    for i in range(1, n):
        m = 1.0 / (b[i] - a[i] * c[i - 1])
        c[i] = c[i] * m
        d[i] = (d[i] - a[i] * d[i - 1]) * m
    x = np.zeros_like(d)
    x[-1] = d[-1]
    for i in range(n - 2, -1, -1):
        x[i] = d[i] - c[i] * x[i + 1]
    return x


def conjugate_gradient(A, b, iterations=5):
    """Conjugate gradients for a fixed number of iterations, with the norms of the residuals."""
    x = np.zeros_like(b)
    r = b - A.dot(x)
    p = r.copy()
    history = [np.linalg.norm(r)]
    rs = r.dot(r)
    for _ in range(iterations):
        Ap = A.dot(p)
        alpha = rs / p.dot(Ap)
        x += alpha * p
        r -= alpha * Ap
        new = r.dot(r)
        p = r + new / rs * p
        rs = new
        history.append(np.sqrt(rs))
    return x, np.array(history)


def gram_schmidt(A):
    """Modified Gram-Schmidt, column by column."""
    m, n = A.shape
    V, Q, R = A.copy(), np.zeros((m, n)), np.zeros((n, n))
    for i in range(n):
        R[i, i] = np.linalg.norm(V[:, i])
        Q[:, i] = V[:, i] / R[i, i]
        for j in range(i + 1, n):
            R[i, j] = Q[:, i] @ V[:, j]
            V[:, j] -= R[i, j] * Q[:, i]
    return Q, R


def householder(A):
    """QR by reflections written into views of one matrix."""
    R = np.array(A, dtype=float)
    m, n = R.shape
    Q = np.eye(m)
    for k in range(n):
        v = R[k:, k].copy()
        v[0] += np.copysign(np.sqrt(v @ v), v[0])
        v /= np.linalg.norm(v)
        block = R[k:][:, k:]
        block -= 2 * np.outer(v, v @ block)
        Q[:, k:] -= 2 * np.outer(Q[:, k:] @ v, v)
    return Q, R


class PCA:
    """Principal components by power iteration and deflation."""

    def __init__(self, n_components, seed=0, iterations=20):
        self.n_components = n_components
        self.iterations = iterations
        self.rng = np.random.default_rng(seed)

    def fit(self, X):
        self.mean_ = X.mean(axis=0)
        X = X - self.mean_
        C = X.T @ X / (X.shape[0] - 1)
        self.components_ = np.zeros((self.n_components, X.shape[1]))
        self.variance_ = np.zeros(self.n_components)
        for i in range(self.n_components):
            v = self.rng.normal(size=X.shape[1])
            for _ in range(self.iterations):
                v = C @ v
                v /= np.linalg.norm(v)
            self.components_[i] = v
            self.variance_[i] = v @ C @ v
            C -= self.variance_[i] * np.outer(v, v)
        return self

    def transform(self, X):
        return (X - self.mean_) @ self.components_.T


def principal_components(X):
    """Variances and squared scores of two components."""
    pca = PCA(2).fit(X)
    return pca.variance_, pca.transform(X) ** 2


def align(source, target):
    """Rigid alignment of corresponding points by the singular value decomposition (Kabsch)."""
    middle_s, middle_t = source.mean(0), target.mean(0)
    H = (source - middle_s).T.dot(target - middle_t)
    U, _, Vt = np.linalg.svd(H)
    flip = np.eye(3)
    flip[2, 2] = np.sign(np.linalg.det(Vt.T @ U.T))
    R = Vt.T @ flip @ U.T
    t = middle_t - R @ middle_s
    return R, t, np.sqrt(np.mean(np.sum((source @ R.T + t - target) ** 2, axis=1)))


def closest_points(source, target, rounds=3):
    """Iterative closest points: match, align, move."""
    moved = source.copy()
    for _ in range(rounds):
        distance = np.linalg.norm(moved[:, None, :] - target[None], axis=-1)
        match = target[np.argmin(distance, axis=1)]
        R, t, error = align(moved, match)
        moved = moved @ R.T + t
    return moved, error


def pagerank(links, damping=0.85, rounds=15):
    """PageRank of weighted links; pages without links link to all."""
    n = links.shape[0]
    out = links.sum(axis=1)
    M = np.zeros((n, n))
    for i in range(n):
        M[:, i] = np.where(out[i] > 0, links[i] / np.maximum(out[i], 1e-12), 1.0 / n)
    rank = np.full(n, 1.0 / n)
    for _ in range(rounds):
        rank = (1 - damping) / n + damping * (M @ rank)
    return rank / rank.sum()


def cubic_spline(x, y, at):
    """Natural cubic spline: second derivatives by Thomas' algorithm, evaluated by bisection."""
    n = len(x)
    h = np.diff(x)
    diagonal = np.ones(n)
    lower, upper, right = np.zeros(n), np.zeros(n), np.zeros(n)
    diagonal[1:-1] = 2 * (h[:-1] + h[1:])
    lower[1:-1] = h[:-1]
    upper[1:-1] = h[1:]
    right[1:-1] = 6 * np.diff(np.diff(y) / h)
    m = thomas(lower, diagonal, upper, right)
    k = np.clip(np.searchsorted(x, at) - 1, 0, n - 2)
    left, rest = at - x[k], x[k + 1] - at
    return (
        (m[k] * rest**3 + m[k + 1] * left**3) / (6 * h[k])
        + (y[k] / h[k] - m[k] * h[k] / 6) * rest
        + (y[k + 1] / h[k] - m[k + 1] * h[k] / 6) * left
    )


def jacobi_eigenvalues(A, sweeps=4):
    """Eigenvalues of a symmetric matrix by Jacobi rotations."""
    A = A.copy()
    n = A.shape[0]
    for _ in range(sweeps):
        for p in range(n - 1):
            for q in range(p + 1, n):
                theta = 0.5 * np.arctan2(2 * A[p, q], A[q, q] - A[p, p])
                c, s = np.cos(theta), np.sin(theta)
                J = np.eye(n)
                J[p, p] = J[q, q] = c
                J[p, q], J[q, p] = s, -s
                A = J.T @ A @ J
    return np.sort(np.diag(A))
