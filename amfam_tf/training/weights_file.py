"""Writes the weights of a model so that a full disk is an ordinary error.

HDF5 does not bear a disk that fills up while it writes: it complains once for each of its objects and can end the
process. So the space is asked for before.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from amfam_tf.training.run_folder import write_file

BYTES_PER_VARIABLE = 8192
"""What HDF5 adds at most for a variable and the groups that it is in."""


def write_weights(path: Path, model: Any) -> None:
    """Writes `model.save_weights` to a file that is, at any moment, either the old one or the new one, whole.

    Raises:
        RunError: the file cannot be written, e.g. because the disk is full; names it.
    """
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    size = sum(variable.value.dtype.size * int(variable.value.shape.num_elements()) for variable in variables)

    def write(temporary: Path) -> None:
        reserve(temporary, size + BYTES_PER_VARIABLE * len(variables))
        model.save_weights(temporary)

    write_file(path, write)


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
