"""Iterations until something holds: as Python loops, and as loops of the graph."""

import numpy as np

import tracer


def newton(x):
    """The cube root of a number that is not 0."""
    guess = x
    while abs(guess**3 - x) > 1e-12 * abs(x):
        guess = guess - (guess**3 - x) / (3 * guess**2)
    return guess


def newton_loop(x):
    def is_rough(guess):
        return abs(guess**3 - x) > 1e-12 * abs(x)

    return tracer.while_loop(is_rough, lambda guess: guess - (guess**3 - x) / (3 * guess**2), x)


def bisection(a):
    """Where x exp(x) is a."""
    low, high = 0.0, 4.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if middle * np.exp(middle) < a:
            low = middle
        else:
            high = middle
        if high - low < 1e-4:
            break
    return 0.5 * (low + high)


def bisection_loop(a):
    def halve(ends):
        low, high = ends
        middle = 0.5 * (low + high)
        is_low = middle * np.exp(middle) < a
        return tracer.cond(is_low, lambda: (middle, high), lambda: (low, middle))

    low, high = tracer.while_loop(lambda ends: ends[1] - ends[0] >= 1e-4, halve, (0.0, 4.0))
    return 0.5 * (low + high)


def steepest(A, b):
    """A linear system by conjugate gradients until the residual is small."""
    x = np.zeros_like(b)
    r = b - A @ x
    p = r.copy()
    while np.linalg.norm(r) > 1e-9:
        Ap = A @ p
        alpha = (r @ r) / (p @ Ap)
        x += alpha * p
        new = r - alpha * Ap
        p = new + (new @ new) / (r @ r) * p
        r = new
    return x


def steepest_loop(A, b):
    def step(state):
        x, r, p = state
        Ap = A @ p
        alpha = (r @ r) / (p @ Ap)
        new = r - alpha * Ap
        return x + alpha * p, new, new + (new @ new) / (r @ r) * p

    return tracer.while_loop(lambda state: np.linalg.norm(state[1]) > 1e-9, step, (np.zeros_like(b), b, b))[0]


def collatz(n):
    """How many steps it takes to 1."""
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


def collatz_loop(n):
    def step(state):
        n, steps = state
        return tracer.cond(n % 2 == 0, lambda: n // 2, lambda: 3 * n + 1), steps + 1

    return tracer.while_loop(lambda state: state[0] != 1, step, (n, 0))[1]


def power_iteration(A):
    """The largest eigenvalue of a symmetric matrix, until it no longer changes."""
    v = np.ones(len(A))
    before, value = np.inf, 0.0
    while abs(value - before) > 1e-10:
        v = A @ v
        v /= np.linalg.norm(v)
        before, value = value, v @ A @ v
    return value


def power_iteration_loop(A):
    def step(state):
        v, _, value = state
        v = A @ v
        v = v / np.linalg.norm(v)
        return v, value, v @ A @ v

    start = (np.ones(len(A)), np.inf, 0.0)
    return tracer.while_loop(lambda state: abs(state[2] - state[1]) > 1e-10, step, start)[2]


def gradient_descent(target):
    """Steps downhill, halved until they lead down, until the slope is small."""

    def height(x):
        return np.sum((x - target) ** 2) + 0.1 * np.sum(x**4)

    x = np.zeros(target.shape)
    for _ in range(30):
        slope = 2 * (x - target) + 0.4 * x**3
        if np.max(np.abs(slope)) < 1e-6:
            break
        rate = 1.0
        while height(x - rate * slope) > height(x) - 0.3 * rate * np.dot(slope, slope):
            rate /= 2
        x -= rate * slope
    return x


def gradient_descent_loop(target):
    def height(x):
        return np.sum((x - target) ** 2) + 0.1 * np.sum(x**4)

    def slope_at(x):
        return 2 * (x - target) + 0.4 * x**3

    def step(state):
        x, count = state
        slope = slope_at(x)

        def is_too_long(rate):
            return height(x - rate * slope) > height(x) - 0.3 * rate * np.dot(slope, slope)

        rate = tracer.while_loop(is_too_long, lambda rate: rate / 2, 1.0)
        return x - rate * slope, count + 1

    def goes_on(state):
        return (state[1] < 30) & (np.max(np.abs(slope_at(state[0]))) >= 1e-6)

    return tracer.while_loop(goes_on, step, (np.zeros(target.shape), 0))[0]
