"""Writes the weights of a model so that a full disk is an ordinary error.

HDF5 does not bear a disk that fills up while it writes: it complains once for each of its objects and can end the
process. So the space is asked for before.
"""

import errno
import math
import os
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

BYTES_PER_VARIABLE = 8192
"""What HDF5 adds at most for a variable and the groups that it is in."""


def write_weights(model: Any, path: Path) -> None:
    """Writes the weights of a model, and of its optimiser.

    Raises:
        OSError: there is no room for them.
    """
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    size = sum(tf.as_dtype(variable.dtype).size * math.prod(variable.shape) for variable in variables)
    reserve(path, size + BYTES_PER_VARIABLE * len(variables))
    model.save_weights(path)


def reserve(path: Path, size: int) -> None:
    """Makes a file of `size` bytes, so that the file system has them for what is written there next.

    Raises:
        OSError: it does not have them.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
