"""A hash of what a picture looks like: the same for a copy that was saved again, smaller or brighter.

The signs of 16 x 16 low frequencies of the picture (DCT of 64 x 64 grey pixels, as in pHash), 256 bits. Skin lesions
look alike, so the usual 64 bits are too few: among 506 drawn pictures, different ones come as near as 4 bits of 64;
among 2,022, as near as 40 of 256, while a copy of half the size or of JPEG quality 60 stays within 10 of 256. A copy
that is cropped by some percent, turned or mirrored is not recognised, nor always one of a very blurred picture.
"""

import numpy as np
from PIL import Image

SIDE, FREQUENCIES = 64, 16
BITS = FREQUENCIES * FREQUENCIES
NEAR = 15
"""Two pictures whose hashes differ in at most so many bits are taken for the same one."""


def _cosines() -> np.ndarray:
    """Returns the rows 1 to FREQUENCIES of the DCT-II matrix, float64 [FREQUENCIES, SIDE].

    Row 0 is left out: it follows brightness and slow shading, which a copy need not share.
    """
    pixels, frequencies = np.arange(SIDE), np.arange(1, FREQUENCIES + 1)
    return np.cos(np.pi * (2 * pixels[np.newaxis] + 1) * frequencies[:, np.newaxis] / (2 * SIDE))


COSINES = _cosines()


def perceptual_hash(grey: Image.Image) -> str:
    """Returns the hash of a picture of mode L: 64 hex digits."""
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    frequencies = COSINES @ small @ COSINES.T
    return np.packbits(frequencies > np.median(frequencies)).tobytes().hex()
