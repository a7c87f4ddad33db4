"""The faster of TensorFlow's two sets of kernels for x86 processors: those of oneDNN.

TensorFlow takes them by itself only on processors with newer vector instructions, but with AVX2 alone they halve the
time of a training step as well (docs/performance.md has the figures). The other set rounds in other places.
"""

import os
import platform

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def prefer_fast_kernels() -> None:
    """Sets what TensorFlow reads when it is imported, unless the user has set it."""
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(VARIABLE, "1")
