"""Pictures: rays, fractals, filters by loops, histograms, dynamic programming."""

import math

import numpy as np


def mandelbrot(c, rounds=20):
    """Escape counts; points that have escaped are left out by a mask."""
    z = np.zeros_like(c)
    count = np.zeros(c.shape, dtype=int)
    for _ in range(rounds):
        inside = np.abs(z) <= 2
        z[inside] = z[inside] ** 2 + c[inside]
        count[inside] += 1
    return count


def smooth_julia(z, c, rounds=6):
    """A Julia set's potential, masked by `where=`."""
    z = z.copy()
    total = np.zeros(z.shape)
    for _ in range(rounds):
        alive = z.real**2 + z.imag**2 < 4.0
        np.multiply(z, z, out=z, where=alive)
        np.add(z, c, out=z, where=alive)
        total += np.exp(-np.abs(z))
    return total


class Sphere:
    def __init__(self, centre, radius, colour):
        self.centre, self.radius, self.colour = np.asarray(centre, float), radius, np.array(colour)

    def hit(self, origin, direction):
        """Distances along rays, infinite where they miss."""
        apart = origin - self.centre
        b = 2 * np.sum(direction * apart, axis=-1)
        c = apart @ apart - self.radius**2
        disc = b * b - 4 * c
        root = np.sqrt(np.maximum(disc, 0))
        near = (-b - root) / 2
        return np.where((disc > 0) & (near > 0), near, np.inf)


SCENE = [Sphere((0, 0, 3), 1.0, (1.0, 0.2, 0.2)), Sphere((0.8, 0.5, 2.2), 0.4, (0.2, 0.9, 0.3))]


def ray_cast(light, height=6, width=8):
    """A picture of spheres with diffuse shading, pixels chosen by masks."""
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1.2 : 1.2 : width * 1j]
    rays = np.stack([xs, ys, np.ones_like(xs)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    light = light / np.linalg.norm(light)
    picture = np.zeros((height, width, 3))
    nearest = np.full((height, width), np.inf)
    for sphere in SCENE:
        t = sphere.hit(np.zeros(3), rays)
        mask = t < nearest
        nearest[mask] = t[mask]
        normal = (rays[mask] * t[mask][:, None] - sphere.centre) / sphere.radius
        picture[mask] = sphere.colour * np.maximum(normal @ light, 0.05)[:, None]
    return picture, nearest


def ray_trace(light, centres, size=6):
    """The same for spheres of the caller: which rays hit depends on values."""
    xs, ys = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    rays = np.dstack((xs, ys, np.ones_like(xs)))
    rays = rays / np.sqrt((rays**2).sum(2))[:, :, np.newaxis]
    picture = np.zeros((size, size))
    depth = np.full((size, size), 1e9)
    for k in range(len(centres)):
        t = Sphere(centres[k], 0.7, (1, 1, 1)).hit(np.zeros(3), rays)
        shade = np.zeros((size, size))
        mask = t < depth
        points = rays * np.where(mask, t, 0.0)[..., None]
        shade += np.clip(((points - centres[k]) / 0.7) @ light, 0, None)
        picture[mask] = shade[mask]
        depth[mask] = t[mask]
    return picture, depth


def convolve(image, kernel):
    """Filtering by four loops."""
    (h, w), (kh, kw) = image.shape, kernel.shape
    out = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for a in range(kh):
                for b in range(kw):
                    total += image[i + a, j + b] * kernel[a, b]
            out[i, j] = total
    return out


def sobel(image):
    """Edges: two filters by slices, magnitudes and quantised directions."""
    gx, gy = np.zeros_like(image), np.zeros_like(image)
    centre = (slice(1, -1), slice(1, -1))
    gx[centre] = image[1:-1, 2:] - image[1:-1, :-2]
    gy[centre] = image[2:, 1:-1] - image[:-2, 1:-1]
    magnitude = np.hypot(gx, gy)
    direction = np.rad2deg(np.arctan2(gy, gx)) % 180
    sector = np.zeros(image.shape, dtype=np.uint8)
    sector[(direction >= 45) & (direction < 135)] = 1
    return magnitude / magnitude.max(), sector


def equalise(image):
    """Histogram equalisation of an 8-bit picture."""
    counts = np.zeros(256, dtype=np.int64)
    for value in image.ravel():
        counts[value] += 1
    cdf = counts.cumsum()
    low = cdf[cdf > 0].min()
    table = np.round((cdf - low) / (image.size - low) * 255).clip(0, 255).astype(np.uint8)
    return table[image]


def equalise_by_numpy(image):
    """The same with `np.histogram` and `np.interp`."""
    counts, edges = np.histogram(image.flatten(), 256, (0, 256))
    cdf = counts.cumsum()
    return np.interp(image.flatten(), edges[:-1], 255 * cdf / cdf[-1]).reshape(image.shape)


def seam(energy):
    """The cheapest path down a picture, by dynamic programming."""
    cost = energy.copy()
    rows, columns = cost.shape
    for i in range(1, rows):
        for j in range(columns):
            low, high = max(j - 1, 0), min(j + 2, columns)
            cost[i, j] += cost[i - 1, low:high].min()
    path = np.zeros(rows, int)
    path[-1] = np.argmin(cost[-1])
    for i in range(rows - 2, -1, -1):
        around = np.pad(cost[i], 1, constant_values=np.inf)
        path[i] = path[i + 1] - 1 + np.argmin(around[path[i + 1] + np.arange(3)])
    return path, cost[-1].min()


def rotate(image, angle):
    """Bilinear rotation about the centre, pixels from outside are zero."""
    h, w = image.shape
    ys, xs = np.mgrid[:h, :w]
    cy, cx = (h - 1) / 2, (w - 1) / 2
    c, s = math.cos(angle), math.sin(angle)
    x = c * (xs - cx) + s * (ys - cy) + cx
    y = -s * (xs - cx) + c * (ys - cy) + cy
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    out = np.zeros(image.shape)
    for dy in (0, 1):
        for dx in (0, 1):
            xi, yi = x0 + dx, y0 + dy
            weight = (1 - np.abs(x - xi)) * (1 - np.abs(y - yi))
            valid = (xi >= 0) & (xi < w) & (yi >= 0) & (yi < h)
            out[valid] += weight[valid] * image[yi[valid], xi[valid]]
    return out


def edit_distance(a, b):
    """Levenshtein's distance of two rows of letters."""
    d = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    d[:, 0] = np.arange(len(a) + 1)
    d[0, :] = np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost = 0 if a[i - 1] == b[j - 1] else 1
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + cost)
    return d[-1, -1]
