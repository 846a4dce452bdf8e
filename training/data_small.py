"""Small sets: scikit-learn's, and points that are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.seeds import generator, stream_seed

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
SMALL = ("iris", "digits", "wine")


def small(name: str) -> tuple[Array, Labels]:
    """All samples [N, inputs] and labels [N] of "iris", "digits" (8 x 8 images) or "wine"."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x, y


def circles(seed: int, part: str, points: int = 200) -> tuple[Array, Labels]:
    """Two circles, noise 0.1, factor 0.5; ``part`` names the draw, so that two are independent."""
    from sklearn.datasets import make_circles

    state = stream_seed(seed, "circles", part) % 2**32
    x, y = make_circles(n_samples=points, noise=0.1, factor=0.5, random_state=state)
    return x, y


def spirals(
    seed: int, part: str, points: int = 300, turns: float = 1.5, noise: float = 0.02
) -> tuple[Array, Labels]:
    """Two spirals about one centre, half a turn apart, their radius growing with the angle to 1.

    Args:
        seed, part: name the draw, so that two are independent.
        points: of both together, spread evenly along the arms.
        turns: of each spiral.
        noise: deviation of Gaussian noise on both coordinates.
    """
    rng = generator(seed, "spirals", part)
    count = points // 2
    # Uniform draws and not a grid: fresh points must not be those of the training set.
    along = np.sqrt(rng.uniform(size=(2, count)))  # as dense outside as inside
    angle = 2 * np.pi * turns * along + np.pi * np.arange(2)[:, None]
    x = np.stack((along * np.cos(angle), along * np.sin(angle)), axis=-1).reshape(-1, 2)
    y = np.repeat(np.arange(2), count)
    return x + noise * rng.normal(size=x.shape), y.astype(np.int64)
