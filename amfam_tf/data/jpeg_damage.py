"""Damage inside a JPEG that decoders bridge in silence: the rest of the picture is grey, shifted or of other colours.

Damage that leaves a valid stream of codes cannot be told from a picture.
"""

import re

import simplejpeg

from amfam_tf.data.images import JPEG_START
from amfam_tf.errors import one_line

INKS = ("CMYK", "YCCK")
# What libjpeg says of damage in the middle of the pixels.
_DAMAGE = re.compile(
    r"premature end|bad (?:Huffman|arithmetic) code|extraneous bytes before marker 0x(?!d9)|found marker|"
    r"Inconsistent progression|Unsupported marker|Unsupported JPEG process",
    re.IGNORECASE,
)
# Bytes too many before the end: cameras leave one or two, or fill up with one value; what is longer or mixed are pixels
# that the decoder has lost its place for.
_TOO_MANY = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
FEW_BYTES = 4
MOST_FILLING = 1024


def find_warning(content: bytes) -> str:
    """Returns the first warning of libjpeg about a file that can be decoded, "" if there is none or it is no JPEG.

    Args:
        content: bytes of the file; its number of pixels has been looked at.
    """
    if not content.startswith(bytes(JPEG_START)):
        return ""
    try:
        inks = simplejpeg.decode_jpeg_header(content, strict=False)[2] in INKS
        # Grey is the cheapest: all codes are read, and no colour is computed.
        simplejpeg.decode_jpeg(content, colorspace="CMYK" if inks else "GRAY", strict=True)
    except ValueError as error:
        return one_line(error)
    return ""


def is_damage(warning: str, content: bytes) -> bool:
    """Returns whether a warning about a file means that pixels are wrong or missing."""
    too_many = _TOO_MANY.search(warning)
    if not too_many:
        return bool(_DAMAGE.search(warning))
    count = int(too_many.group(1))
    filling = rb"(.)\1{%d}\xff\xd9" % (count - 1)
    return count > FEW_BYTES and (count > MOST_FILLING or not re.search(filling, content, re.DOTALL))
