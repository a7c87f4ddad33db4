"""Regression: white scar-like areas, paler than the skin; blue areas, grey-blue granules like ground pepper."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend, noise
from amfam_tf.data.synthetic.lesion import Lesion


def regression_patch(lesion: Lesion, rng: np.random.Generator) -> np.ndarray:
    """Returns where the regression lies, [H, W] in [0, 1]: on the side away from the lesion's axis."""
    return lesion.patch(rng, np.pi + rng.normal(0, 0.4), rng.uniform(0.4, 0.65), rng.uniform(0.38, 0.55), 0.6)


def _draw_scar(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, area: np.ndarray) -> None:
    """Bleaches the area to a white that is paler than the skin."""
    uneven = np.clip(0.8 + 0.3 * noise(rng, lesion.size, 14), 0, 1)
    blend(picture, rng.uniform(0.45, 0.85) * area * uneven, (0.93, 0.86, 0.82))


def _draw_pepper(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, area: np.ndarray) -> None:
    """Sprinkles grey-blue granules over the area, on a paler grey ground."""
    blend(picture, 0.5 * area, (0.66, 0.64, 0.68))
    strokes = Strokes(lesion.size)
    for point in lesion.scatter(rng, 420, 0.0, 1.0):
        strokes.disc(point, rng.uniform(1.6, 3.0) * lesion.unit)
    blend(picture, rng.uniform(0.7, 0.95) * area * strokes.mask(0.5 * lesion.unit), (0.26, 0.31, 0.45))


def draw_regression(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the regression into the picture, in place; `raw` is white areas, blue areas or combinations."""
    area = regression_patch(lesion, rng)
    if raw in ("white areas", "combinations"):
        _draw_scar(picture, lesion, rng, area)
    if raw == "combinations":
        turned = rng.choice([-1, 1]) * rng.uniform(0.5, 0.8)
        area = lesion.patch(rng, np.pi + turned, rng.uniform(0.4, 0.6), rng.uniform(0.35, 0.5), 0.4)
    if raw in ("blue areas", "combinations"):
        _draw_pepper(picture, lesion, rng, area)
