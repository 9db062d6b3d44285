"""Motion: particles, pendulums, molecules, orbits, and the integrators of textbooks."""

from dataclasses import dataclass, field

import numpy as np


def rk4(f, y, t, dt, steps):
    """The classical Runge-Kutta method; the whole path."""
    path = np.zeros((steps + 1, len(y)))
    path[0] = y
    for n in range(steps):
        k1 = f(t, y)
        k2 = f(t + dt / 2, y + dt / 2 * k1)
        k3 = f(t + dt / 2, y + dt / 2 * k2)
        k4 = f(t + dt, y + dt * k3)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        t += dt
        path[n + 1] = y
    return path


def lorenz(start, parameters):
    """Lorenz' attractor, with the parameters closed over."""
    sigma, rho, beta = parameters

    def rate(t, state):
        x, y, z = state
        return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])

    return rk4(rate, start, 0.0, 0.01, 10)


def pendulum(angles, lengths, g=9.81):
    """A double pendulum, its mass matrix filled by hand and solved at every stage."""
    m1 = m2 = 1.0
    l1, l2 = lengths

    def rate(t, s):
        th1, th2, w1, w2 = s
        M = np.empty((2, 2))
        M[0, 0] = (m1 + m2) * l1
        M[0, 1] = m2 * l2 * np.cos(th1 - th2)
        M[1, 0] = l1 * np.cos(th1 - th2)
        M[1, 1] = l2
        f = np.zeros(2)
        f[0] = -m2 * l2 * w2**2 * np.sin(th1 - th2) - (m1 + m2) * g * np.sin(th1)
        f[1] = l1 * w1**2 * np.sin(th1 - th2) - g * np.sin(th2)
        return np.concatenate([[w1, w2], np.linalg.solve(M, f)])

    return rk4(rate, np.concatenate((angles, np.zeros(2))), 0.0, 0.02, 8)


def accelerations(place, mass, soft=0.05):
    """Newton's law, pair by pair."""
    n = len(mass)
    a = np.zeros_like(place)
    for i in range(n):
        for j in range(i + 1, n):
            d = place[j] - place[i]
            inverse = (d @ d + soft**2) ** -1.5
            a[i] += mass[j] * inverse * d
            a[j] -= mass[i] * inverse * d
    return a


def n_body(place, speed, mass, dt=0.02, steps=6):
    """Leapfrog; kicks in place, energies recorded."""
    place, speed = place.copy(), speed.copy()
    energies = []
    a = accelerations(place, mass)
    for _ in range(steps):
        speed += 0.5 * dt * a
        place += dt * speed
        a = accelerations(place, mass)
        speed += 0.5 * dt * a
        energies.append(0.5 * np.sum(mass * np.sum(speed**2, axis=1)))
    return place, speed, energies


@dataclass
class Molecules:
    """Lennard-Jones molecules in a periodic box."""

    place: np.ndarray
    box: float
    speed: np.ndarray = None
    log: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.speed is None:
            self.speed = np.zeros_like(self.place)

    def forces(self):
        d = self.place[:, None, :] - self.place[None, :, :]
        d -= self.box * np.round(d / self.box)
        r2 = np.sum(d**2, axis=-1)
        np.fill_diagonal(r2, np.inf)
        near = r2 < 2.5**2
        s6 = np.where(near, 1.0 / r2**3, 0.0)
        energy = 2.0 * np.sum(s6**2 - s6)
        pull = 24.0 * (2.0 * s6**2 - s6) / r2
        return np.sum(pull[:, :, None] * d, axis=1), energy

    def run(self, steps, dt=2e-3):
        force, energy = self.forces()
        self.log["energy"] = np.zeros(steps)
        for n in range(steps):
            self.speed += dt / 2 * force
            self.place = (self.place + dt * self.speed) % self.box
            force, energy = self.forces()
            self.speed += dt / 2 * force
            self.log["energy"][n] = energy + 0.5 * (self.speed**2).sum()
        return self


def molecular_dynamics(place, box=5.0):
    """A run of molecules that start at rest."""
    system = Molecules(place.copy(), box).run(5)
    return system.place, system.speed, system.log["energy"]


def predator_prey(start, rates, steps=12, dt=0.05):
    """Lotka-Volterra by Heun's method, in lists that become arrays at the end."""
    a, b, c, d = (rates[k] for k in range(4))
    prey, hunters = [start[0]], [start[1]]
    for _ in range(steps):
        x, y = prey[-1], hunters[-1]
        fx, fy = a * x - b * x * y, -c * y + d * x * y
        xp, yp = x + dt * fx, y + dt * fy
        prey.append(x + dt / 2 * (fx + a * xp - b * xp * yp))
        hunters.append(y + dt / 2 * (fy - c * yp + d * xp * yp))
    return np.asarray(prey), np.asarray(hunters)


TABLEAU = {
    "c": np.array([0, 1 / 4, 3 / 8, 12 / 13, 1, 1 / 2]),
    "a": [
        np.array([]),
        np.array([1 / 4]),
        np.array([3 / 32, 9 / 32]),
        np.array([1932 / 2197, -7200 / 2197, 7296 / 2197]),
        np.array([439 / 216, -8, 3680 / 513, -845 / 4104]),
        np.array([-8 / 27, 2, -3544 / 2565, 1859 / 4104, -11 / 40]),
    ],
    "b4": np.array([25 / 216, 0, 1408 / 2565, 2197 / 4104, -1 / 5, 0]),
    "b5": np.array([16 / 135, 0, 6656 / 12825, 28561 / 56430, -9 / 50, 2 / 55]),
}


def fehlberg_step(f, t, y, h):
    """One step of Runge-Kutta-Fehlberg: the new state and an estimate of the error."""
    k = np.zeros((6, y.size))
    for s in range(6):
        k[s] = f(t + TABLEAU["c"][s] * h, y + h * (TABLEAU["a"][s] @ k[:s]))
    return y + h * TABLEAU["b5"] @ k, np.max(np.abs(h * (TABLEAU["b5"] - TABLEAU["b4"]) @ k))


def adaptive(y, t_end, tolerance=1e-6):
    """Runge-Kutta-Fehlberg 4(5) with steps as long as the error allows: its path depends on values."""

    def van_der_pol(t, y):
        return np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]])

    t, h, accepted = 0.0, 0.1, 0
    while t < t_end:
        h = min(h, t_end - t)
        new, error = fehlberg_step(van_der_pol, t, y, h)
        if error <= tolerance:
            t, y = t + h, new
            accepted += 1
        h *= min(max(0.9 * (tolerance / error) ** 0.2, 0.2), 4.0)
    return y, accepted


def wave_packet(psi, potential, steps=6, dt=0.05, dx=0.2):
    """A quantum wave packet by Crank-Nicolson steps with one dense solve each."""
    n = len(psi)
    H = np.diag(1 / dx**2 + potential) - 0.5 / dx**2 * (np.eye(n, k=1) + np.eye(n, k=-1))
    ahead, behind = np.eye(n) + 0.5j * dt * H, np.eye(n) - 0.5j * dt * H
    density = np.zeros((steps, n))
    psi = psi.astype(complex)
    for k in range(steps):
        psi = np.linalg.solve(ahead, behind @ psi)
        density[k] = np.abs(psi) ** 2
    return density, psi


def cloth(place, stiffness, steps=5, dt=0.02):
    """Springs between neighbours: forces scattered with `np.add.at`, pinned corners."""
    n = place.shape[0]
    springs = np.array([(k, k + 1) for k in range(n - 1)] + [(k, k + 2) for k in range(n - 2)])
    i, j = springs.T
    rest = np.linalg.norm(place[j] - place[i], axis=1) * 0.9
    place, speed = place.copy(), np.zeros(place.shape)
    pinned = [0, n - 1]
    for _ in range(steps):
        force = np.tile([0.0, -9.8], (n, 1))
        d = place[j] - place[i]
        length = np.linalg.norm(d, axis=1, keepdims=True)
        pull = stiffness * (length - rest[:, None]) * d / length
        np.add.at(force, i, pull)
        np.subtract.at(force, j, pull)
        force[pinned] = 0
        speed += dt * force
        speed *= 0.99
        place += dt * speed
    return place, speed
