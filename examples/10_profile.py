"""Where the time goes: the profile of a kernel density, and what it says about a better way to write it."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer


@tracer.compile
def density_by_differences(x: np.ndarray) -> np.ndarray:
    """How many points are near to each point: from all differences of coordinates, points x points x axes of them."""
    squares = np.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=-1)
    return np.exp(-0.5 * squares).mean(axis=1)


@tracer.compile
def density_by_products(x: np.ndarray) -> np.ndarray:
    """The same from |a - b|^2 = |a|^2 + |b|^2 - 2 a.b: the coordinates meet in a product of matrices."""
    lengths = np.sum(x**2, axis=1)
    squares = lengths[:, None] + lengths[None, :] - 2 * (x @ x.T)
    return np.exp(-0.5 * squares).mean(axis=1)


def main(arguments: Sequence[str] = ()) -> None:
    points = int(arguments[0]) if arguments else 1000
    x = np.random.default_rng(0).normal(size=(points, 64))

    # The call is made some times, and timed group by group; nothing that it works on changes.
    first = density_by_differences.profile(x)
    print(first, "\n")
    second = density_by_products.profile(x)
    print(second, "\n")

    np.testing.assert_allclose(density_by_differences(x), density_by_products(x), rtol=1e-9)
    print(f"operations on numbers: {first.flops:.3g} -> {second.flops:.3g}")
    print(f"times as fast: {first.total / second.total:.1f}")
    slowest = second.groups[0]
    print(f"what is left: {100 * slowest.share:.0f} % for {slowest.kind} {slowest.name}, at {slowest.place}")

    # A notebook shows a profile as a page with pictures; here it is written to files, if somebody says where.
    if len(arguments) > 1:
        print("page for a browser:", second.html(f"{arguments[1]}.html"))
        print("for chrome://tracing or ui.perfetto.dev:", second.chrome_trace(f"{arguments[1]}.json"))


if __name__ == "__main__":
    main(sys.argv[1:])
