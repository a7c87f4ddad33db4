"""Paths for code that takes a path for a pattern: TensorFlow finds a model's variables by wildcards."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import UserError

WILDCARDS = re.compile(r"[*?\[\]\\]")


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Gives a path of the folder without wildcards: its own, or that of a link to it that is gone afterwards.

    Raises:
        UserError: the folder for temporary files has wildcards in its name as well.
        OSError: the link cannot be made.
    """
    if not WILDCARDS.search(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="amfam-") as place:
        if WILDCARDS.search(place):
            raise UserError(f"{folder} has wildcards in its name, and so has {place}: set TMPDIR to another folder")
        link = Path(place, "folder")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link
