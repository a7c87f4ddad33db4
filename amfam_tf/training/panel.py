"""One picture of what the network sees and makes: inputs, attention maps, reconstructions."""

from collections.abc import Mapping

import matplotlib
import numpy as np

from amfam_tf.tasks import MODALITIES

COLORMAP = "viridis"
GAP = 4


def draw_panel(batch: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns a picture with a row per case: per modality the input, then its attention map and reconstruction.

    Args:
        batch: "clinical" and "dermoscopic", [B, S, S, 3] in [0, 1].
        outputs: of the network; `attention_<modality>` [B, S, S, 1] in [0, 1] and `reconstruction_<modality>`
            [B, S, S, 3] are drawn where they are present.

    Returns:
        uint8 RGB [B * (S + gap), columns * (S + gap), 3]
    """
    columns = []
    for modality in MODALITIES:
        columns.append(np.asarray(batch[modality]))
        if f"attention_{modality}" in outputs:
            colours = matplotlib.colormaps[COLORMAP](np.asarray(outputs[f"attention_{modality}"])[..., 0])
            columns.append(colours[..., :3])
        if f"reconstruction_{modality}" in outputs:
            columns.append(np.asarray(outputs[f"reconstruction_{modality}"]))
    cells = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    cells = np.pad(cells, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=1.0)
    # [B, columns, S, S, 3] -> [B, S, columns, S, 3] -> [B * S, columns * S, 3]
    cases, width, side = cells.shape[:3]
    picture = cells.transpose(0, 2, 1, 3, 4).reshape(cases * side, width * side, 3)
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
