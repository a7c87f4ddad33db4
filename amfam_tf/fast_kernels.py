"""Which of TensorFlow's kernels a processor computes with: the faster ones, in a fixed order of sums.

TensorFlow takes those of oneDNN by itself only on x86 processors with newer vector instructions, but with AVX2 alone
they halve the time of a training step as well (docs/performance.md has the figures). Without its deterministic
operations two runs with the same seed differ by rounding if the machine does something else beside; on a processor
they cost nothing that could be measured. On a GPU they cost time, and some gradients have none: there the user chooses.
"""

import os
import platform
from pathlib import Path

FAST, DETERMINISTIC = "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS"


def prefer_fast_kernels(devices: Path = Path("/dev")) -> None:
    """Sets what TensorFlow reads when it is imported, unless the user has set it.

    Args:
        devices: folder of the system's devices; nvidia0 in it is a GPU.
    """
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(FAST, "1")
    if not any(devices.glob("nvidia[0-9]*")):
        os.environ.setdefault(DETERMINISTIC, "1")
