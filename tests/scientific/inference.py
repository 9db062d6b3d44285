"""Statistics and learning: filters, mixtures, chains, random walks, training by hand."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
from scientific.matrices import cholesky

Posterior = namedtuple("Posterior", "mean variance evidence")


def kernel(a, b, length, scale):
    """Squared exponential covariance, filled entry by entry."""
    K = np.empty((len(a), len(b)))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            K[i, j] = scale * np.exp(-0.5 * (p - q) ** 2 / length**2)
    return K


def gaussian_process(x, y, at, length, noise=0.1):
    """Regression: posterior mean, variance and the log evidence."""
    K = kernel(x, x, length, 1.0) + noise * np.eye(len(x))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    Ks = kernel(x, at, length, 1.0)
    v = np.linalg.solve(L, Ks)
    evidence = -0.5 * y @ alpha - np.log(np.diag(L)).sum() - len(x) / 2 * np.log(2 * np.pi)
    return Posterior(Ks.T @ alpha, 1.0 - (v * v).sum(axis=0), evidence)


def gaussian_process_by_loops(x, y, length):
    """The evidence with a factor and substitution written by hand."""
    L = cholesky(kernel(x, x, length, 1.0) + 0.1 * np.eye(len(x)))
    z = np.zeros(len(y))
    for i in range(len(y)):
        z[i] = (y[i] - L[i, :i] @ z[:i]) / L[i, i]
    return -0.5 * np.dot(z, z) - sum(np.log(L[i, i]) for i in range(len(y)))


class KalmanFilter:
    """A tracker of constant velocity; its state lives in attributes."""

    F = np.array([[1.0, 0.1], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])

    def __init__(self, q, r):
        self.x = np.zeros((2, 1))
        self.P = np.eye(2) * 10
        self.Q = q * np.array([[0.1**3 / 3, 0.1**2 / 2], [0.1**2 / 2, 0.1]])
        self.R = np.array([[r]])
        self.loglik = 0.0

    def predict(self):
        self.x = self.F @ self.x
        self.P = self.F @ self.P @ self.F.T + self.Q

    def update(self, z):
        innovation = z - self.H @ self.x
        S = self.H @ self.P @ self.H.T + self.R
        K = self.P @ self.H.T @ np.linalg.inv(S)
        self.x = self.x + K @ innovation
        self.P = (np.eye(2) - K @ self.H) @ self.P
        self.loglik += -0.5 * (innovation.T @ np.linalg.inv(S) @ innovation + np.log(np.linalg.det(S))).item()


def kalman(observations, q, r):
    """Filtered means and the log likelihood of observations."""
    tracker = KalmanFilter(q, r)
    means = np.zeros((len(observations), 2))
    for k, z in enumerate(observations):
        tracker.predict()
        tracker.update(z)
        means[k] = tracker.x.ravel()
    return means, tracker.loglik


def hmm_forward(pi, A, B, observations):
    """Scaled forward algorithm of a hidden Markov model."""
    N, T = len(pi), len(observations)
    alpha = np.zeros((T, N))
    scale = np.zeros(T)
    alpha[0] = pi * B[:, observations[0]]
    scale[0] = alpha[0].sum()
    alpha[0] /= scale[0]
    for t in range(1, T):
        for j in range(N):
            alpha[t, j] = alpha[t - 1].dot(A[:, j]) * B[j, observations[t]]
        scale[t] = np.sum(alpha[t])
        alpha[t] /= scale[t]
    return alpha, np.log(scale).sum()


def viterbi(pi, A, B, observations):
    """The likeliest path, by dynamic programming with back pointers."""
    N, T = A.shape[0], observations.shape[0]
    delta = np.zeros((T, N))
    psi = np.zeros((T, N), dtype=int)
    delta[0] = np.log(pi) + np.log(B[:, observations[0]])
    for t in range(1, T):
        for j in range(N):
            scores = delta[t - 1] + np.log(A[:, j])
            psi[t, j] = np.argmax(scores)
            delta[t, j] = scores[psi[t, j]] + np.log(B[j, observations[t]])
    path = np.zeros(T, dtype=int)
    path[-1] = np.argmax(delta[-1])
    for t in range(T - 2, -1, -1):
        path[t] = psi[t + 1, path[t + 1]]
    return path, delta[-1].max()


def k_means(X, k=3, rounds=4, seed=3):
    """Lloyd's algorithm from rows chosen at random; empty clusters stay where they are."""
    rng = np.random.default_rng(seed)
    centres = X[rng.choice(len(X), k, replace=False)]
    for _ in range(rounds):
        distances = np.zeros((X.shape[0], k))
        for c in range(k):
            distances[:, c] = np.sum((X - centres[c]) ** 2, axis=1)
        labels = np.argmin(distances, axis=1)
        for c in range(k):
            mask = labels == c
            centres[c] = (X * mask[:, None]).sum(0) / max(mask.sum(), 1)
    return centres, labels


def adam_by_hand(X, y, steps=6, rate=0.1):
    """Logistic regression trained by Adam on batches drawn at random."""
    rng = np.random.default_rng(1)
    w = rng.normal(0, 0.1, X.shape[1])
    b = 0.0
    state = {"m": np.zeros(len(w) + 1), "v": np.zeros(len(w) + 1)}
    losses = np.zeros(steps)
    for t in range(1, steps + 1):
        batch = rng.permutation(len(X))[: len(X) // 2]
        p = 1 / (1 + np.exp(-(X[batch] @ w + b)))
        losses[t - 1] = -np.mean(y[batch] * np.log(p) + (1 - y[batch]) * np.log(1 - p))
        g = np.r_[X[batch].T @ (p - y[batch]) / len(batch), np.mean(p - y[batch])]
        state["m"] = 0.9 * state["m"] + 0.1 * g
        state["v"] = 0.999 * state["v"] + 0.001 * g**2
        step = rate * (state["m"] / (1 - 0.9**t)) / (np.sqrt(state["v"] / (1 - 0.999**t)) + 1e-8)
        w -= step[:-1]
        b -= step[-1]
    return w, b, losses


def ising(spins, beta, rng, sweeps=2):
    """Metropolis sweeps of the Ising model on a torus, site by site, in the caller's array."""
    n, m = spins.shape
    for _ in range(sweeps):
        for i in range(n):
            for j in range(m):
                around = spins[(i + 1) % n, j] + spins[i - 1, j] + spins[i, (j + 1) % m] + spins[i, j - 1]
                change = 2 * spins[i, j] * around
                flip = (change <= 0) | (rng.random() < np.exp(-beta * change))
                spins[i, j] *= 1 - 2 * flip
    return spins.mean()


def random_walk(start, scale, rng, draws=12):
    """Metropolis-Hastings of a correlated normal density; the chain is preallocated."""

    def log_density(z):
        return -0.5 * (z[0] ** 2 - 1.2 * z[0] * z[1] + z[1] ** 2)

    chain = np.empty((draws, 2))
    here, accepted = start, 0
    for k in range(draws):
        proposal = here + scale * rng.standard_normal(2)
        accept = np.log(rng.uniform()) < log_density(proposal) - log_density(here)
        here = np.where(accept, proposal, here)
        accepted += accept
        chain[k] = here
    return chain, accepted / draws


def two_layers(X, y, hidden=5, epochs=4, seed=0):
    """A network of two layers with its backward pass written by hand; parameters in a namespace."""
    rng = np.random.RandomState(seed)
    p = SimpleNamespace(W1=rng.randn(X.shape[1], hidden) * 0.5, b1=np.zeros(hidden), W2=rng.randn(hidden, 1) * 0.5)
    for _ in range(epochs):
        z = X.dot(p.W1) + p.b1
        h = np.tanh(z)
        error = h.dot(p.W2)[:, 0] - y
        gW2 = h.T.dot(error[:, None]) / len(y)
        gz = error[:, None] * p.W2.T * (1 - h**2) / len(y)
        p.W2 -= 0.5 * gW2
        p.W1 -= 0.5 * X.T.dot(gz)
        p.b1 -= 0.5 * gz.sum(axis=0)
    return 0.5 * np.mean(error**2), p.W1, p.b1


def bootstrap(data, resamples=20):
    """A percentile interval of a trimmed mean by resampling."""
    rng = np.random.default_rng(11)
    means = np.zeros(resamples)
    for b in range(resamples):
        sample = np.sort(data[rng.integers(0, len(data), len(data))])
        means[b] = sample[2:-2].mean()
    return np.percentile(means, [5, 50, 95]), means.std(ddof=1)
