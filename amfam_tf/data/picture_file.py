"""One picture file judged as training judges it: `check` and `ingest` decode with its code, and look closer.

A picture that training could decode, though with damaged pixels, is refused here too (`amfam_tf.data.jpeg_damage`).
"""

import io
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import tensorflow as tf
from PIL import Image, ImageCms

from amfam_tf.config import DataConfig
from amfam_tf.data import colour_profile, images, jpeg_damage, stored
from amfam_tf.errors import DataError

MAX_PIXELS = DataConfig().max_pixels
FORMATS = ("JPEG", "PNG", "BMP")
MODES = {
    "1": "greyscale",
    "L": "greyscale",
    "I": "greyscale",
    "I;16": "greyscale",
    "LA": "greyscale with alpha",
    "P": "palette",
    "RGBA": "alpha",
    "CMYK": "CMYK",
}
"""How pictures other than RGB are stored, by Pillow's name; all of them are taken."""
TREATMENTS = {
    colour_profile.NO_PROFILE: stored.NO_PROFILE,
    colour_profile.IS_SRGB: stored.IS_SRGB,
    colour_profile.CONVERTED: stored.CONVERTED,
    colour_profile.UNUSABLE: stored.UNUSABLE,
}
LONGEST_NAME = 80


@dataclass(frozen=True)
class PictureFile:
    """What a file holds.

    Attributes:
        pixels: upright and in sRGB, as training gets them, uint8 [h, w, 3] in [0, 255].
        mode: how it is stored: RGB or one of the values of `MODES`.
        profile: name of its colour profile, "" if it has none.
        treatment: what became of the colours by the profile, a value of `TREATMENTS`.
        remark: what a strict decoder says of it that is no damage, "" if nothing.
    """

    pixels: np.ndarray
    mode: str
    profile: str
    treatment: str
    remark: str


def judge(content: bytes) -> PictureFile:
    """Decodes a file to its last pixel.

    Raises:
        DataError: training could not use it, or its pixels are damaged; says why and does not name the file.
    """
    try:
        pixels, treatment = (tensor.numpy() for tensor in _decoder()(content))
    except tf.errors.OpError as error:
        raise DataError(f"cannot be decoded: {_why(content, error)}") from error
    warning = jpeg_damage.find_warning(content)
    if jpeg_damage.is_damage(warning, content):
        raise DataError(f"is damaged: part of it is grey, shifted or of other colours ({warning})")
    opened = _open(content)
    profile = _profile_name(opened) if treatment != colour_profile.NO_PROFILE else ""
    mode = stored.RGB if opened is None else MODES.get(opened.mode, opened.mode)
    return PictureFile(pixels, mode, profile, TREATMENTS[int(treatment)], warning)


@cache
def _decoder() -> tf.types.experimental.PolymorphicFunction:
    """Returns `images.decode_image` as a graph, built once in a process."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
    def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images.decode_image(encoded, MAX_PIXELS), images.colour_treatment(encoded)

    return decode


def _open(content: bytes) -> Image.Image | None:
    """Returns the file as Pillow sees it, not decoded; None if Pillow cannot open what TensorFlow can decode."""
    try:
        with warnings.catch_warnings():
            # Of what Pillow thinks of sizes and odd tags; training's decoder has judged.
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception:  # decoders fail in many ways
        return None


def _why(content: bytes, error: tf.errors.OpError) -> str:
    """Returns why a file was refused: in our words, else in Pillow's, which are clearer than TensorFlow's."""
    text = images.reason(error)
    if text.startswith("the picture"):
        return text
    opened = _open(content)
    try:
        if opened is not None:
            opened.load()
    except Exception as theirs:  # as above
        found = " ".join(str(theirs).split()).partition(" <_io.BytesIO")[0]
        return found or text
    return text


def _profile_name(opened: Image.Image | None) -> str:
    """Returns what a colour profile calls itself, printable and short; "damaged" if that cannot be read."""
    content = opened.info.get("icc_profile") if opened else None
    if not content:
        return "damaged"
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(content)))
    except (ImageCms.PyCMSError, OSError):
        return "damaged"
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:LONGEST_NAME]
