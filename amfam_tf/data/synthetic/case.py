"""One case: the pair of pictures that its row of meta.csv describes."""

from collections.abc import Mapping

import numpy as np

from amfam_tf.data.synthetic.clinical import draw_clinical
from amfam_tf.data.synthetic.dermoscopic import draw_dermoscopic
from amfam_tf.data.synthetic.tissue import draw_tissue
from amfam_tf.tasks import DIAGNOSIS

SIZE = (512, 384)
SAMPLES: tuple[Mapping[str, str], ...] = (
    {"diagnosis": "melanoma", "pigment_network": "atypical", "blue_whitish_veil": "present"},
    {"diagnosis": "clark nevus", "pigment_network": "typical"},
)
"""Two cases for whoever needs a picture of a lesion, whatever the questions."""


def draw_case(
    case: Mapping[str, str], seed: int = 0, row: int = 0, size: tuple[int, int] = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clinical and the dermoscopic picture, each uint8 [H, W, 3] in [0, 255].

    Args:
        case: columns of meta.csv as raw strings: `diagnosis`, any of the seven criteria (one that is missing is
            absent) and `elevation` (flat when missing).
        seed, row: decide everything that the labels leave open; each structure has its own random stream, so that
            changing one label leaves the rest of the pictures as they were.
        size: (width, height) in pixels.

    Raises:
        DataError: the diagnosis is in no class.
    """
    diagnosis = DIAGNOSIS.classes[DIAGNOSIS.encode(case["diagnosis"])]
    tissue = draw_tissue(case, seed, row, size)
    clinical = draw_clinical(tissue, seed, row, diagnosis, case.get("elevation", "flat"))
    return clinical, draw_dermoscopic(tissue, seed, row)
