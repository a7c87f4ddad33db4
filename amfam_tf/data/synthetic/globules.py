"""Dots and globules: round spots; regular are of one size and evenly spread, irregular of many sizes and clumped."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend
from amfam_tf.data.synthetic.lesion import Lesion

BROWN = (0.30, 0.18, 0.12)
BLACK = (0.13, 0.09, 0.10)


def _regular(lesion: Lesion, rng: np.random.Generator) -> np.ndarray:
    """Returns globules of one size on rings around the centre, [H, W] in [0, 1]."""
    strokes = Strokes(lesion.size)
    radius = rng.uniform(4.2, 5.4) * lesion.unit
    gap = rng.uniform(3.6, 4.4) * radius
    inner = rng.choice([0.0, 0.45])
    for depth in np.arange(0.92, inner, -gap / lesion.radius):
        count = max(1, int(2 * np.pi * depth * lesion.radius / gap))
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 2 * np.pi)
        for point in lesion.at(angles + rng.normal(0, 0.02, count), np.full(count, depth)):
            strokes.disc(point, radius * rng.uniform(0.92, 1.08))
    return strokes.mask(0.7 * lesion.unit)


def _irregular(lesion: Lesion, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns brown and black dots and globules of many sizes, clumped on some sides, two [H, W] in [0, 1]."""
    brown, black = Strokes(lesion.size), Strokes(lesion.size)
    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(3, 6))):
        count = int(rng.integers(9, 17))
        angles, depths = angle + rng.normal(0, 0.38, count), np.clip(rng.normal(0.62, 0.22, count), 0.05, 1.08)
        for point in lesion.at(angles, depths):
            radius = np.clip(rng.lognormal(1.35, 0.5), 1.6, 10) * lesion.unit
            strokes = black if rng.random() < 0.5 else brown
            strokes.disc(point, radius, aspect=rng.uniform(0.75, 1.3))
    return brown.mask(0.6 * lesion.unit), black.mask(0.6 * lesion.unit)


def draw_globules(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws dots and globules into the picture, in place; `raw` is regular or irregular."""
    strength = rng.uniform(0.65, 0.95)
    if raw == "regular":
        blend(picture, strength * _regular(lesion, rng), BROWN)
        return
    brown, black = _irregular(lesion, rng)
    blend(picture, strength * brown, BROWN)
    blend(picture, strength * black, BLACK)
