"""What a full, read-only or forbidden disk says: one line, whether Python, TensorFlow or HDF5 noticed it first."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import UserError

NUMBERS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
)
"""Of the errors that are the disk's and not the program's."""
_TEXTS = {os.strerror(number).lower(): number for number in NUMBERS}
_HDF5_NUMBER = re.compile(r"\berrno = (\d+)")


class StorageError(UserError):
    """A disk that cannot be written to; the message names the place and says why."""


def reason(error: BaseException) -> str | None:
    """Returns what the system says of a disk that cannot be written, e.g. "No space left on device"; None if not that.

    Args:
        error: an OSError; or one of TensorFlow's or HDF5's, which hold the system's words in a longer text.
    """
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return os.strerror(error.errno)
    text = " ".join(str(error).split())
    found = _HDF5_NUMBER.search(text)
    if found and int(found.group(1)) in NUMBERS:
        return os.strerror(int(found.group(1)))
    if not (isinstance(error, OSError) or type(error).__module__.startswith("tensorflow.")):
        return None
    return next((os.strerror(number) for words, number in _TEXTS.items() if words in text.lower()), None)


@contextlib.contextmanager
def one_line(place: Path) -> Iterator[None]:
    """Gives an error of the disk in the body the form "cannot write to PLACE: REASON"; lets others pass.

    Raises:
        StorageError: the disk of `place` cannot be written to.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = reason(error)
        if text is None:
            raise
        named = getattr(error, "filename", None)
        raise StorageError(f"cannot write to {named or place}: {text}") from error
