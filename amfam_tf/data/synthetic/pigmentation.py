"""Pigmentation: dark areas without structure; regular is even or central, irregular patchy or off-centre."""

import numpy as np

from amfam_tf.data.synthetic.canvas import noise, step, tint
from amfam_tf.data.synthetic.lesion import Lesion

DARK = (0.36, 0.28, 0.24)
BLACK = (0.24, 0.19, 0.19)


def _blotches(lesion: Lesion, rng: np.random.Generator, count: int, extent: tuple[float, float]) -> np.ndarray:
    """Returns sharply bordered spots spread over the lesion, [H, W] in [0, 1]."""
    spots = np.zeros(lesion.area.shape, np.float32)
    start = rng.uniform(0, 2 * np.pi)
    for index in range(count):
        angle = start + 2 * np.pi * index / count + rng.normal(0, 0.5)
        patch = lesion.patch(rng, angle, rng.uniform(0.3, 0.8), rng.uniform(*extent), rng.uniform(0.25, 0.6))
        spots = np.maximum(spots, rng.uniform(0.75, 1) * patch)
    return spots


def draw_pigmentation(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the pigmentation into the picture, in place.

    `raw` is diffuse or localized, then regular or irregular.
    """
    strength = rng.uniform(0.55, 0.95)
    if raw == "diffuse regular":
        area = step(0.88 - lesion.depth + 0.03 * noise(rng, lesion.size, 8), 0.3)
        tint(picture, 0.8 * strength * area, DARK)
    elif raw == "localized regular":
        area = step(rng.uniform(0.45, 0.55) - lesion.depth + 0.03 * noise(rng, lesion.size, 8), 0.2)
        tint(picture, strength * area, DARK)
    elif raw == "diffuse irregular":
        tint(picture, strength * _blotches(lesion, rng, int(rng.integers(3, 6)), (0.18, 0.40)), BLACK)
    else:
        spot = lesion.patch(rng, np.pi / 2 + rng.normal(0, 0.5), rng.uniform(0.5, 0.7), rng.uniform(0.4, 0.55), 0.2)
        tint(picture, strength * spot, BLACK)
