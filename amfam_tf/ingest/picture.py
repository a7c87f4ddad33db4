"""One picture: read as training reads it, and what is worth knowing about it."""

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from amfam_tf.config import DataConfig
from amfam_tf.data import images
from amfam_tf.errors import DataError
from amfam_tf.ingest.perceptual_hash import perceptual_hash

MAX_PIXELS = DataConfig().max_pixels


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
    """

    digest: str
    size: int
    width: int
    height: int
    brightness: float
    contrast: float
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts as plain values, ready for JSON."""
        return asdict(self)


def inspect_picture(content: bytes) -> PictureFacts:
    """Decodes a picture with the code of training and returns its facts.

    Args:
        content: bytes of the file.

    Raises:
        DataError: training could not use it; the message says why and does not name the file.
    """
    try:
        pixels = _decoder()(content).numpy()
    except tf.errors.OpError as error:
        raise DataError(f"cannot be decoded: {images.reason(error)}") from error
    grey = Image.fromarray(pixels).convert("L")
    brightness, contrast = _moments(grey)
    return PictureFacts(
        digest=hashlib.sha256(content).hexdigest(),
        size=len(content),
        width=grey.width,
        height=grey.height,
        brightness=brightness,
        contrast=contrast,
        hash=perceptual_hash(grey),
    )


def _moments(grey: Image.Image) -> tuple[float, float]:
    """Returns mean and standard deviation of the grey values, to three digits."""
    counts, values = np.array(grey.histogram()), np.arange(256)
    total = int(counts.sum())
    mean = float(counts @ values) / total
    return round(mean, 3), round(float(np.sqrt(counts @ (values - mean) ** 2 / total)), 3)


@cache
def _decoder() -> tf.types.experimental.PolymorphicFunction:
    """Returns `images.decode_image` as a graph, built once in a process."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
    def decode(encoded: tf.Tensor) -> tf.Tensor:
        return images.decode_image(encoded, MAX_PIXELS)

    return decode
