"""Fields on grids: finite differences, spectral methods and cellular automata, written for NumPy alone."""

import numpy as np


def heat(u, alpha, steps=8):
    """Explicit heat equation on a plate whose edges are held, in place."""
    u = u.copy()
    for _ in range(steps):
        u[1:-1, 1:-1] += alpha * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1])
        u[0, :] = u[1, :]
        u[:, -1] = u[:, -2]
    return u


def jacobi(source, sweeps=10):
    """Poisson's equation by Jacobi sweeps between two buffers that change places."""
    ny, nx = source.shape
    old = np.zeros((ny, nx))
    new = np.zeros((ny, nx))
    for _ in range(sweeps):
        inner = new[1:-1]
        inner[:, 1:-1] = 0.25 * (old[2:, 1:-1] + old[:-2, 1:-1] + old[1:-1, 2:] + old[1:-1, :-2] - source[1:-1, 1:-1])
        old, new = new, old
    return old, np.abs(old - new).max()


def gauss_seidel(matrix, right, sweeps=4):
    """Gauss-Seidel sweeps over every entry of a linear system."""
    n = len(right)
    x = np.zeros(n)
    for _ in range(sweeps):
        for i in range(n):
            total = right[i]
            for j in range(n):
                if j != i:
                    total -= matrix[i, j] * x[j]
            x[i] = total / matrix[i, i]
    return x


def red_black(u, f, omega):
    """Successive over-relaxation in red-black order, writing into the caller's grid."""
    i, j = np.indices(u.shape)
    inside = (i > 0) & (i < u.shape[0] - 1) & (j > 0) & (j < u.shape[1] - 1)
    for _ in range(3):
        for colour in (0, 1):
            mask = inside & ((i + j) % 2 == colour)
            around = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1)
            u[mask] += omega * ((around - f)[mask] / 4 - u[mask])
    return float(np.abs(u).sum()), u.mean()


class Maxwell:
    """One-dimensional finite-difference time-domain simulation of Maxwell's equations."""

    courant = 0.5

    def __init__(self, cells, source):
        self.ez = np.zeros(cells)
        self.hy = np.zeros(cells - 1)
        self.source = source
        self.permittivity = np.ones(cells)
        self.permittivity[cells // 2 :] = 4.0
        self.seen = []

    def step(self, t):
        self.hy += self.courant * np.diff(self.ez)
        self.ez[1:-1] += self.courant / self.permittivity[1:-1] * (self.hy[1:] - self.hy[:-1])
        self.ez[self.source] += np.exp(-(((t - 8.0) / 3.0) ** 2))
        self.ez[0], self.ez[-1] = self.ez[1], self.ez[-2]
        self.seen.append(self.ez[3])


def fdtd(permittivity, steps=25):
    """Fields and what a probe saw, for a material given by the caller."""
    world = Maxwell(len(permittivity), 5)
    world.permittivity *= permittivity
    for t in range(steps):
        world.step(t)
    return world.ez, world.hy, np.array(world.seen)


def shallow_water(h, u, v, steps=5, dt=0.02, g=9.8):
    """Shallow water on a torus by the Lax-Friedrichs scheme, the state in one array."""
    state = np.empty((3, *h.shape))
    state[0], state[1], state[2] = h, h * u, h * v
    mass = np.empty(steps)
    for n in range(steps):
        height, east, north = state
        pressure = 0.5 * g * height**2
        along_x = np.array([east, east**2 / height + pressure, east * north / height])
        along_y = np.array([north, east * north / height, north**2 / height + pressure])
        average = sum(np.roll(state, shift, axis) for shift in (-1, 1) for axis in (1, 2)) / 4
        state = average - dt / 2 * (
            np.roll(along_x, -1, 2) - np.roll(along_x, 1, 2) + np.roll(along_y, -1, 1) - np.roll(along_y, 1, 1)
        )
        mass[n] = state[0].sum()
    return state, mass


def burgers(u, viscosity, steps=10, dt=1e-2):
    """Viscous Burgers' equation by a spectral method with an integrating factor."""
    n = u.size
    k = np.fft.fftfreq(n, d=1.0 / n)
    keep = np.abs(k) < n / 3
    decay = np.exp(-viscosity * k**2 * dt)
    uhat = np.fft.fft(u)
    for _ in range(steps):
        u = np.real(np.fft.ifft(uhat))
        flux = np.fft.fft(u * u)
        flux[~keep] = 0
        uhat = decay * (uhat - 0.5j * k * dt * flux)
    return np.fft.ifft(uhat).real


def kdv(u, length=20.0, steps=6, dt=2e-3):
    """Korteweg-de Vries by Runge-Kutta 4 on the integrating factor, with real transforms."""
    n = len(u)
    k = 2 * np.pi / length * np.arange(n // 2 + 1)
    half = np.exp(1j * k**3 * dt / 2)

    def rate(w):
        return -3j * k * np.fft.rfft(np.fft.irfft(w, n) ** 2)

    w = np.fft.rfft(u)
    for _ in range(steps):
        a = dt * rate(w)
        b = dt * rate(half * (w + a / 2))
        c = dt * rate(half * w + b / 2)
        d = dt * rate(half**2 * w + half * c)
        w = half**2 * w + (half**2 * a + 2 * half * (b + c) + d) / 6
    return np.fft.irfft(w, n)


def life(board, generations=6):
    """The Game of Life, with neighbours counted in a padded board."""
    board = board.copy()
    for _ in range(generations):
        padded = np.pad(board, 1)
        around = np.zeros(board.shape, dtype=int)
        for di in (0, 1, 2):
            for dj in (0, 1, 2):
                if (di, dj) != (1, 1):
                    around += padded[di : di + board.shape[0], dj : dj + board.shape[1]]
        birth = (board == 0) & (around == 3)
        survive = (board == 1) & ((around == 2) | (around == 3))
        board[...] = 0
        board[birth | survive] = 1
    return board, int(board.sum())


def gray_scott(u, v, feed=0.035, kill=0.06, steps=6):
    """Reaction and diffusion, everything in buffers made once and filled through `out=`."""
    lap = np.empty_like(u)
    reaction = np.empty_like(u)
    u, v = np.array(u), np.array(v)
    for _ in range(steps):
        np.multiply(u, v, out=reaction)
        reaction *= v
        for field, rate in ((u, 0.16), (v, 0.08)):
            np.multiply(field, -4, out=lap)
            lap[1:] += field[:-1]
            lap[:-1] += field[1:]
            lap[:, 1:] += field[:, :-1]
            lap[:, :-1] += field[:, 1:]
            field += rate * lap
        u += feed * (1 - u) - reaction
        v += reaction - (feed + kill) * v
    return u, v
