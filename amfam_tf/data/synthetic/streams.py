"""Random numbers by name: each part of a case has its own stream, so that one part never shifts another."""

import zlib

import numpy as np


def stream(seed: int, row: int, name: str) -> np.random.Generator:
    """Returns the generator of one part of one case; equal arguments give equal numbers in any process.

    Args:
        seed: of the data set, >= 0.
        row: row number of the case, >= 0.
        name: of the part, e.g. "veil".
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, row, zlib.crc32(name.encode())])))
