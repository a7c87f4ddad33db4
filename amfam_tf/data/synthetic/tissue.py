"""The lesion with and without its structures, before any scene: what both pictures are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from amfam_tf.data.synthetic.canvas import noise
from amfam_tf.data.synthetic.globules import draw_globules
from amfam_tf.data.synthetic.hints import draw_hints
from amfam_tf.data.synthetic.lesion import Lesion, make_lesion
from amfam_tf.data.synthetic.network import draw_network
from amfam_tf.data.synthetic.pigmentation import draw_pigmentation
from amfam_tf.data.synthetic.regression import draw_regression
from amfam_tf.data.synthetic.streaks import draw_streaks
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.data.synthetic.veil import draw_veil
from amfam_tf.data.synthetic.vessels import draw_vessels

ABSENT = "absent"

LAYERS: dict[str, Callable[[np.ndarray, Lesion, np.random.Generator, str], None]] = {
    "pigmentation": draw_pigmentation,
    "pigment_network": draw_network,
    "regression_structures": draw_regression,
    "dots_and_globules": draw_globules,
    "streaks": draw_streaks,
    "vascular_structures": draw_vessels,
    "blue_whitish_veil": draw_veil,
}
"""Column of meta.csv -> how it is drawn, from the deepest layer to the top one."""

SKIN_TONES = ((0.93, 0.78, 0.71), (0.90, 0.73, 0.64), (0.86, 0.67, 0.56), (0.77, 0.57, 0.45), (0.62, 0.44, 0.34))
SKIN_WEIGHTS = (0.30, 0.34, 0.22, 0.09, 0.05)


@dataclass(frozen=True)
class Tissue:
    """A drawn lesion on even skin.

    Attributes:
        lesion: its geometry, in the dermoscopic picture.
        skin: colour of the skin, three values in [0, 1].
        plain: the lesion without its structures, [H, W, 3] in [0, 1].
        full: with them, as the dermoscope shows them, [H, W, 3] in [0, 1].
    """

    lesion: Lesion
    skin: np.ndarray
    plain: np.ndarray
    full: np.ndarray


def _skin_colour(rng: np.random.Generator) -> np.ndarray:
    """Returns a skin colour between two neighbouring tones, three values in [0, 1]."""
    tone = np.array(SKIN_TONES[rng.choice(len(SKIN_TONES), p=SKIN_WEIGHTS)])
    return np.clip(tone + rng.normal(0, 0.015) + rng.normal(0, 0.01, 3), 0.2, 0.97).astype(np.float32)


def _plain_lesion(lesion: Lesion, skin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the lesion without structures, darker towards the centre, [H, W, 3] in [0, 1]."""
    wander = 1 + lesion.variegation * (noise(rng, lesion.size, 5) + 0.5 * noise(rng, lesion.size, 14))
    centre = 1 - rng.uniform(0.0, 0.12) * np.clip(1 - lesion.depth, 0, 1)
    pigment = np.clip(lesion.tint.astype(np.float32) * (wander * centre)[..., None], 0, 1.1)
    return skin * (1 + lesion.area[..., None] * (pigment - 1))


def draw_tissue(case: Mapping[str, str], seed: int, row: int, size: tuple[int, int]) -> Tissue:
    """Returns the lesion of a case.

    Args:
        case: columns of meta.csv: diagnosis and any of the seven criteria; one that is missing is absent.
        seed, row: of the random streams; every part has its own.
        size: (width, height) in pixels.
    """
    skin = _skin_colour(stream(seed, row, "skin"))
    lesion = make_lesion(case["diagnosis"], stream(seed, row, "lesion"), size)
    plain = _plain_lesion(lesion, skin, stream(seed, row, "colour"))
    full = plain.copy()
    draw_hints(full, lesion, stream(seed, row, "hints"), case["diagnosis"])
    for column, draw in LAYERS.items():
        raw = case.get(column, ABSENT)
        if raw != ABSENT:
            draw(full, lesion, stream(seed, row, column), raw)
    return Tissue(lesion, skin, plain, np.clip(full, 0, 1, out=full))
