"""The dermoscopic picture: the magnified lesion with all its structures, under even light."""

import numpy as np

from amfam_tf.data.synthetic import nuisance
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.data.synthetic.tissue import Tissue


def draw_dermoscopic(tissue: Tissue, seed: int, row: int) -> np.ndarray:
    """Returns the dermoscopic picture, uint8 [H, W, 3] in [0, 255]."""
    size = tissue.lesion.size
    rng = stream(seed, row, "dermoscopic")
    picture = tissue.full * nuisance.mottle(rng, size)[..., None]
    if rng.random() < 0.35:
        nuisance.draw_hair(picture, rng, size, 2.6)
    if rng.random() < 0.25:
        nuisance.draw_bubbles(picture, rng, size)
    if rng.random() < 0.15:
        nuisance.draw_ruler(picture, rng, size)
    nuisance.light(picture, rng, size, 0.15)
    if rng.random() < 0.15:
        nuisance.draw_glare(picture, rng, size)
    if rng.random() < 0.45:
        nuisance.draw_black_corners(picture, rng, size)
    return nuisance.to_bytes(picture, rng)
