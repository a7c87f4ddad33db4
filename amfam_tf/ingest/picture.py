"""One picture: read as training reads it, and what is worth knowing about it."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from amfam_tf.data import picture_file, stored
from amfam_tf.files import digests
from amfam_tf.ingest.perceptual_hash import perceptual_hash


@dataclass(frozen=True)
class PictureFacts:
    """What is kept of a picture.

    Attributes:
        digest: SHA-256 of the file, 64 hex digits.
        size: of the file, bytes.
        width: pixels, upright.
        height: pixels, upright.
        brightness: mean of its grey values, in [0, 255].
        contrast: standard deviation of its grey values, in [0, 127.5].
        hash: its `perceptual_hash`.
        mode, profile, treatment, remark: how it is stored, see `amfam_tf.data.picture_file.PictureFile`.
    """

    digest: str
    size: int
    width: int
    height: int
    brightness: float
    contrast: float
    hash: str
    mode: str
    profile: str
    treatment: str
    remark: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts as plain values, ready for JSON."""
        return asdict(self)


ABSENT = PictureFacts("", 0, 0, 0, math.nan, math.nan, "", stored.RGB, "", "", "")
"""Of a picture that there is none of, which the card of the data allows."""


def inspect_picture(content: bytes) -> PictureFacts:
    """Decodes a picture with the code of training and returns its facts.

    Args:
        content: bytes of the file.

    Raises:
        DataError: see `picture_file.judge`.
    """
    found = picture_file.judge(content)
    grey = Image.fromarray(found.pixels).convert("L")
    brightness, contrast = _moments(grey)
    return PictureFacts(
        digest=digests.of_bytes(content),
        size=len(content),
        width=grey.width,
        height=grey.height,
        brightness=brightness,
        contrast=contrast,
        hash=perceptual_hash(grey),
        mode=found.mode,
        profile=found.profile,
        treatment=found.treatment,
        remark=found.remark,
    )


def _moments(grey: Image.Image) -> tuple[float, float]:
    """Returns mean and standard deviation of the grey values, to three digits."""
    counts, values = np.array(grey.histogram()), np.arange(256)
    total = int(counts.sum())
    mean = float(counts @ values) / total
    return round(mean, 3), round(float(np.sqrt(counts @ (values - mean) ** 2 / total)), 3)
