"""Blue-whitish veil: a confluent grey-blue area without structure, under a white ground-glass haze."""

import numpy as np

from amfam_tf.data.synthetic.canvas import blend, noise
from amfam_tf.data.synthetic.lesion import Lesion


def draw_veil(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:  # noqa: ARG001
    """Draws the veil into the picture, in place; it hides most of what lies under it."""
    strength = rng.uniform(0.3, 0.85)
    area = lesion.patch(rng, rng.normal(0, 0.4), rng.uniform(0.1, 0.45), rng.uniform(0.45, 0.7), 0.9)
    blue = np.array([0.37, 0.43, 0.56]) + rng.normal(0, 0.03, 3)
    blend(picture, strength * area, blue)
    haze = area * np.clip(0.28 + 0.25 * noise(rng, lesion.size, 9), 0, 0.7)
    blend(picture, strength * haze, (0.80, 0.84, 0.90))
