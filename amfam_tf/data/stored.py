"""Words for how a picture is stored and what becomes of it; knows nothing of decoding, and does without TensorFlow."""

RGB = "RGB"
"""What needs no mention."""
NO_PROFILE, IS_SRGB, CONVERTED, UNUSABLE = "", "is sRGB", "converted to sRGB", "not usable, taken for sRGB"
"""What became of a picture's colours by its profile."""
