"""Streaks: dark lines that leave the border outwards and end in a bulb; regular all around, irregular in a sector."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend
from amfam_tf.data.synthetic.lesion import Lesion

COLOUR = (0.20, 0.13, 0.11)


def _streak(strokes: Strokes, lesion: Lesion, angle: float, length: float, width: float, bulb: float) -> None:
    """Draws one streak from just inside the border; length in radii, width and bulb in reference pixels."""
    lean = 0.04 * np.sin(7 * angle)
    root, tip = lesion.at(np.array([angle, angle + lean]), np.array([0.86, 1.0 + length]))
    middle = (root + tip) / 2
    strokes.line(np.stack([root, middle]), 1.4 * width * lesion.unit)
    strokes.line(np.stack([middle, tip]), width * lesion.unit)
    strokes.disc(tip, bulb * lesion.unit)


def draw_streaks(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the streaks into the picture, in place; `raw` is regular or irregular."""
    strokes = Strokes(lesion.size)
    if raw == "regular":
        count = int(rng.integers(20, 28))
        length = rng.uniform(0.16, 0.24)
        for angle in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 1):
            _streak(strokes, lesion, angle + rng.normal(0, 0.02), length + rng.normal(0, 0.01), 4.0, 3.2)
    else:
        for start in lesion.axis + rng.uniform(0, 2 * np.pi) + np.array([0.0, np.pi])[: rng.integers(1, 3)]:
            for angle in start + np.linspace(0, rng.uniform(0.9, 1.5), int(rng.integers(6, 10))):
                reach, width = rng.uniform(0.12, 0.42), rng.uniform(3.5, 8.0)
                _streak(strokes, lesion, angle + rng.normal(0, 0.05), reach, width, width * rng.uniform(0.6, 1.1))
    blend(picture, rng.uniform(0.6, 0.95) * strokes.mask(0.8 * lesion.unit), COLOUR)
