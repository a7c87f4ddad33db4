"""Vascular structures: red lines and dots, each raw string with its own form, in a pink surrounding."""

from collections.abc import Callable

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend
from amfam_tf.data.synthetic.lesion import Lesion

RED = (0.72, 0.13, 0.17)
PINK = (0.90, 0.55, 0.55)
MILKY_RED = (0.84, 0.42, 0.45)


def _branch(
    strokes: Strokes, rng: np.random.Generator, start: np.ndarray, angle: float, reach: float, width: float
) -> None:
    """Draws a vessel that forks until it is thin; reach and width in pixels."""
    turns = angle + np.cumsum(rng.normal(0, 0.28, 5))
    steps = reach / 5 * np.stack([np.cos(turns), np.sin(turns)], -1)
    points = np.vstack([start, start + np.cumsum(steps, axis=0)])
    strokes.line(points, width)
    if reach < 0.3 * width * 20 or width < 1.2:
        return
    for side in (-1, 1):
        fork = turns[-1] + side * rng.uniform(0.35, 0.8)
        _branch(strokes, rng, points[-1], fork, reach * rng.uniform(0.6, 0.8), width * 0.68)


def _draw_arborizing(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Trees that come in from the border."""
    for angle in rng.uniform(0, 2 * np.pi) + 2 * np.pi / 4 * np.arange(4) + rng.normal(0, 0.25, 4):
        start = lesion.at(np.array(angle), np.array(1.0))
        _branch(strokes, rng, start, angle + np.pi + rng.normal(0, 0.3), 0.45 * lesion.radius, 4.6 * lesion.unit)


def _arcs(
    strokes: Strokes, lesion: Lesion, rng: np.random.Generator, points: np.ndarray, bend: float, width: float
) -> None:
    """Curved strokes of about 26 reference pixels at the points, turning by `bend` radians in all."""
    for point in points:
        turns = rng.uniform(0, 2 * np.pi) + np.linspace(0, bend, 9)
        steps = rng.uniform(22, 30) / 9 * lesion.unit * np.stack([np.cos(turns), np.sin(turns)], -1)
        strokes.line(point + np.cumsum(steps, axis=0), width * lesion.unit)


def _draw_comma(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Short thick bent strokes."""
    _arcs(strokes, lesion, rng, lesion.scatter(rng, 26, 0.0, 0.85), 1.9, 4.8)


def _draw_hairpin(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Loops like the letter U."""
    for point in lesion.scatter(rng, 16, 0.25, 0.9):
        turns = rng.uniform(0, 2 * np.pi) + np.concatenate([np.zeros(6), np.linspace(0, np.pi, 6), np.full(6, np.pi)])
        steps = 3.2 * lesion.unit * np.stack([np.cos(turns), np.sin(turns)], -1)
        strokes.line(point + np.cumsum(steps, axis=0), 3.0 * lesion.unit)


def _draw_wreath(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """A garland of short bent strokes along the border."""
    angles = np.linspace(0, 2 * np.pi, 26, endpoint=False) + rng.uniform(0, 1)
    _arcs(strokes, lesion, rng, lesion.at(angles, rng.uniform(0.74, 0.9, 26)), 2.4, 4.5)


def _wander(
    strokes: Strokes, lesion: Lesion, rng: np.random.Generator, points: np.ndarray, width: tuple[float, float]
) -> None:
    """Wriggling lines that start at the points; widths in reference pixels."""
    for point in points:
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.65, 12))
        steps = rng.uniform(3.0, 6.5) * lesion.unit * np.stack([np.cos(turns), np.sin(turns)], -1)
        strokes.line(point + np.cumsum(steps, axis=0), rng.uniform(*width) * lesion.unit)


def _draw_within_regression(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Fine lines on the side where regression lies."""
    angles = lesion.axis + np.pi + rng.normal(0, 0.5, 22)
    _wander(strokes, lesion, rng, lesion.at(angles, rng.uniform(0.25, 0.85, 22)), (2.4, 3.6))


def _draw_dotted(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Many red points."""
    for point in lesion.scatter(rng, int(rng.integers(80, 120)), 0.0, 0.95):
        strokes.disc(point, rng.uniform(2.6, 3.8) * lesion.unit)


def _draw_linear_irregular(strokes: Strokes, lesion: Lesion, rng: np.random.Generator) -> None:
    """Wriggling lines of all widths."""
    _wander(strokes, lesion, rng, lesion.scatter(rng, 16, 0.0, 0.8), (2.0, 6.0))


FORMS: dict[str, Callable[[Strokes, Lesion, np.random.Generator], None]] = {
    "arborizing": _draw_arborizing,
    "comma": _draw_comma,
    "hairpin": _draw_hairpin,
    "wreath": _draw_wreath,
    "within regression": _draw_within_regression,
    "dotted": _draw_dotted,
    "linear irregular": _draw_linear_irregular,
}
IRREGULAR = ("dotted", "linear irregular")


def draw_vessels(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the vessels into the picture, in place; `raw` is a key of FORMS."""
    strokes = Strokes(lesion.size)
    FORMS[raw](strokes, lesion, rng)
    if raw in IRREGULAR:
        area = lesion.patch(rng, rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.85), 0.6)
        blend(picture, rng.uniform(0.45, 0.7) * area, MILKY_RED)
    lines = strokes.mask(0.5 * lesion.unit) * np.clip(1.4 * lesion.area, 0, 1)
    halo = strokes.mask(6 * lesion.unit) * lesion.area
    blend(picture, 0.5 * np.clip(1.5 * halo, 0, 1), PINK)
    blend(picture, rng.uniform(0.6, 0.95) * lines, RED)
