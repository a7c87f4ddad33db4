"""The skin around the lesion, which only the clinical picture shows: sun damage, other moles, other keratoses."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, noise, tint, unit_of
from amfam_tf.tasks import DIAGNOSIS

SUN_DAMAGE: dict[str, float] = {"BCC": 0.80, "NEV": 0.20, "MEL": 0.45, "MISC": 0.25, "SK": 0.50}
OTHER_MOLES: dict[str, float] = {"BCC": 0.06, "NEV": 0.55, "MEL": 0.32, "MISC": 0.15, "SK": 0.06}
OTHER_KERATOSES: dict[str, float] = {"BCC": 0.12, "NEV": 0.03, "MEL": 0.06, "MISC": 0.06, "SK": 0.65}
"""P(sign | diagnosis), each on its own."""


def _spots(
    rng: np.random.Generator, size: tuple[int, int], count: int, radius: tuple[float, float], blur: float
) -> np.ndarray:
    """Returns round spots anywhere in the picture, [H, W] in [0, 1]; radius and blur in reference pixels."""
    unit = unit_of(size)
    strokes = Strokes(size)
    for point in rng.uniform(0, 1, (count, 2)) * size:
        strokes.disc(point, rng.uniform(*radius) * unit, rng.uniform(0.6, 1), rng.uniform(0.8, 1.25))
    return strokes.mask(blur * unit)


def draw_surroundings(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int], diagnosis: str) -> None:
    """Draws what else the skin has into the picture, in place; `diagnosis` is the class, e.g. NEV."""
    if diagnosis not in DIAGNOSIS.classes:
        raise ValueError(f"diagnosis must be one of {DIAGNOSIS.classes}; received {diagnosis!r}")
    sun, moles, keratoses = rng.random(3)
    if sun < SUN_DAMAGE[diagnosis]:
        redness = np.clip(0.45 + 0.25 * noise(rng, size, 5) + 0.25 * noise(rng, size, 14), 0, 1)
        tint(picture, redness, (0.98, 0.87, 0.85))
        tint(picture, 0.75 * _spots(rng, size, int(rng.integers(50, 110)), (2, 6), 1.5), (0.78, 0.62, 0.48))
    if moles < OTHER_MOLES[diagnosis]:
        tint(picture, _spots(rng, size, int(rng.integers(5, 11)), (4, 10), 1.2), (0.52, 0.40, 0.32))
    if keratoses < OTHER_KERATOSES[diagnosis]:
        waxy = _spots(rng, size, int(rng.integers(4, 8)), (9, 18), 1.5)
        tint(picture, waxy * np.clip(0.85 + 0.3 * noise(rng, size, 90), 0, 1), (0.68, 0.56, 0.40))
