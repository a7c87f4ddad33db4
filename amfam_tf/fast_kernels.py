"""Which of TensorFlow's kernels a processor computes with.

TensorFlow takes those of oneDNN by itself only on x86 processors with newer vector instructions, but with AVX2 alone
they halve the time of a training step as well (docs/performance.md has the figures).
"""

import os
import platform

FAST = "TF_ENABLE_ONEDNN_OPTS"


def prefer_fast_kernels() -> None:
    """Sets what TensorFlow reads when it is imported, unless the user has set it."""
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(FAST, "1")
