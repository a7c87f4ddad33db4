"""Streaks: dark fingers that leave the border outwards; regular all around, irregular in a sector or two."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend, soften
from amfam_tf.data.synthetic.lesion import Lesion

COLOUR = (0.24, 0.16, 0.12)
ROOT = 0.80


def _streak(
    strokes: Strokes, rng: np.random.Generator, lesion: Lesion, angle: float, length: float, width: float, bulb: float
) -> None:
    """Draws one streak from inside the border, thinner outwards, bent a little, with a bulb at its tip.

    Args:
        angle: of the root, radians.
        length: beyond the border, in radii.
        width, bulb: width and radius in reference pixels.
    """
    along = np.linspace(0, 1, 6)
    angles = angle + rng.normal(0, 0.05) * along**2
    points = lesion.at(angles, ROOT + (1 + length - ROOT) * along)
    for index, taper in enumerate(np.linspace(1.7, 0.8, 5)):
        strokes.line(points[index : index + 2], taper * width * lesion.unit)
    strokes.disc(points[-1], bulb * lesion.unit, aspect=rng.uniform(0.8, 1.2))


def _regular(strokes: Strokes, rng: np.random.Generator, lesion: Lesion) -> None:
    """Draws even streaks all around."""
    count, length = int(rng.integers(26, 36)), rng.uniform(0.12, 0.22)
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 1):
        _streak(strokes, rng, lesion, angle + rng.normal(0, 0.02), length * rng.uniform(0.85, 1.15), 3.8, 2.8)


def _irregular(strokes: Strokes, rng: np.random.Generator, lesion: Lesion) -> None:
    """Draws uneven streaks in one or two sectors."""
    for start in lesion.axis + rng.uniform(0, 2 * np.pi) + np.array([0.0, np.pi])[: rng.integers(1, 3)]:
        for angle in start + np.linspace(0, rng.uniform(0.8, 1.5), int(rng.integers(7, 13))):
            length, width = rng.uniform(0.06, 0.34), rng.uniform(3.5, 8.0)
            _streak(strokes, rng, lesion, angle + rng.normal(0, 0.06), length, width, width * rng.uniform(0.5, 1.0))


def draw_streaks(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the streaks into the picture, in place; `raw` is regular or irregular."""
    strokes = Strokes(lesion.size)
    (_regular if raw == "regular" else _irregular)(strokes, rng, lesion)
    mask = strokes.mask(0.9 * lesion.unit)
    inwards = np.clip((lesion.depth - ROOT) / 0.2, 0, 1)
    blend(picture, rng.uniform(0.6, 0.95) * mask * inwards, COLOUR)
    blend(picture, 0.25 * soften(mask, 4 * lesion.unit) * inwards, COLOUR)
