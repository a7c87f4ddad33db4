"""One picture of what the network sees and makes: inputs, attention maps, reconstructions."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from amfam_tf.card.schema import MODALITIES

COLORMAP = "viridis"
GAP = 4
HEADER = 14


def draw_panel(batch: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns a picture with titles and a row per case: per modality the input, its attention map and reconstruction.

    Args:
        batch: "clinical" and "dermoscopic", [B, S, S, 3] in [0, 1].
        outputs: of the network; `attention_<modality>` [B, S, S, 1] in [0, 1] and `reconstruction_<modality>`
            [B, S, S, 3] are drawn where they are present.

    Returns:
        uint8 RGB [header + B * (S + gap), columns * (S + gap), 3]
    """
    columns, titles = [], []
    for modality in MODALITIES:
        columns.append(np.asarray(batch[modality]))
        titles.append(modality)
        if f"attention_{modality}" in outputs:
            colours = matplotlib.colormaps[COLORMAP](np.asarray(outputs[f"attention_{modality}"])[..., 0])
            columns.append(colours[..., :3])
            titles.append("attention")
        if f"reconstruction_{modality}" in outputs:
            columns.append(np.asarray(outputs[f"reconstruction_{modality}"]))
            titles.append("reconstruction")
    cells = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    cells = np.pad(cells, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=1.0)
    # [B, columns, S, S, 3] -> [B, S, columns, S, 3] -> [B * S, columns * S, 3]
    cases, width, side = cells.shape[:3]
    picture = cells.transpose(0, 2, 1, 3, 4).reshape(cases * side, width * side, 3)
    pixels = np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.concatenate([_header(titles, side), pixels])


def _header(titles: list[str], width: int) -> np.ndarray:
    """Returns a strip [HEADER, len(titles) * width, 3], uint8, with a title over each column."""
    strip = Image.new("RGB", (len(titles) * width, HEADER), "white")
    for number, title in enumerate(titles):
        ImageDraw.Draw(strip).text((number * width, 1), title, fill="black")
    return np.asarray(strip)
