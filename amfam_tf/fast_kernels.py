"""Which of TensorFlow's kernels a processor computes with.

TensorFlow takes those of oneDNN by itself only on x86 processors with newer vector instructions, but with AVX2 alone
they halve the time of a training step as well (docs/performance.md has the figures).
"""

import os
import platform

FAST = "TF_ENABLE_ONEDNN_OPTS"
SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"


def prefer_fast_kernels() -> None:
    """Sets what TensorFlow reads when it is imported, unless the user has set it."""
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(FAST, "1")


def give_memory_back() -> None:
    """Sets that oneDNN's kernels take memory from the system and return it, unless the user has set it otherwise.

    By itself TensorFlow keeps all that its tensors ever took for later ones: right for training, but a server would
    hold the memory of its largest request, and of the largest load, for ever.
    """
    os.environ.setdefault(SYSTEM_ALLOCATOR, "1")
