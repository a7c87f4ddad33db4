"""Signs of a diagnosis that the dermoscope shows and the checklist does not count, e.g. milia-like cysts."""

from collections.abc import Callable

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend, step, tint
from amfam_tf.data.synthetic.lesion import Lesion


def _discs(
    lesion: Lesion, rng: np.random.Generator, count: int, radius: tuple[float, float], blur: float, high: float = 0.85
) -> np.ndarray:
    """Returns round spots inside the lesion, [H, W] in [0, 1]; radius and blur in reference pixels."""
    strokes = Strokes(lesion.size)
    for point in lesion.scatter(rng, count, 0.0, high):
        strokes.disc(point, rng.uniform(*radius) * lesion.unit, aspect=rng.uniform(0.8, 1.35))
    return strokes.mask(blur * lesion.unit) * lesion.area


def _draw_keratosis(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator) -> None:
    """Milia-like cysts (pale round spots) and comedo-like openings (brown craters), each in most cases."""
    if rng.random() < 0.65:
        blend(picture, 0.8 * _discs(lesion, rng, int(rng.integers(9, 18)), (3, 6), 1.2), (0.96, 0.92, 0.80))
    if rng.random() < 0.6:
        blend(picture, 0.7 * _discs(lesion, rng, int(rng.integers(5, 10)), (5, 8), 1.5), (0.38, 0.24, 0.12))


def _draw_carcinoma(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator) -> None:
    """Blue-grey ovoid nests in most cases."""
    if rng.random() < 0.6:
        nests = _discs(lesion, rng, int(rng.integers(2, 5)), (10, 18), 3.0, high=0.65)
        blend(picture, 0.75 * nests, (0.42, 0.43, 0.52))


def _draw_lacunae(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator) -> None:
    """Red to purple lakes of blood."""
    lakes = _discs(lesion, rng, int(rng.integers(12, 22)), (10, 20), 2.0, high=0.8)
    blend(picture, 0.7 * lakes, (0.50 + rng.uniform(-0.1, 0.1), 0.08, 0.18))


def _draw_fibroma(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator) -> None:
    """A pale centre."""
    centre = step(rng.uniform(0.3, 0.45) - lesion.depth, 0.25)
    blend(picture, rng.uniform(0.3, 0.55) * centre, (0.90, 0.80, 0.74))


def _draw_blue(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator) -> None:
    """An even steel colour."""
    tint(picture, rng.uniform(0.4, 1.0) * lesion.area, (0.85, 0.92, 1.05))


HINTS: dict[str, Callable[[np.ndarray, Lesion, np.random.Generator], None]] = {
    "seborrheic keratosis": _draw_keratosis,
    "basal cell carcinoma": _draw_carcinoma,
    "vascular lesion": _draw_lacunae,
    "dermatofibroma": _draw_fibroma,
    "blue nevus": _draw_blue,
}


def draw_hints(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw_diagnosis: str) -> None:
    """Draws the signs of the diagnosis into the picture, in place, where it has any."""
    if raw_diagnosis in HINTS:
        HINTS[raw_diagnosis](picture, lesion, rng)
