"""What a full, read-only or forbidden disk says: one line, whether Python, TensorFlow or HDF5 noticed it first."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import UserError

OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
OF_ANY_USE = (errno.EACCES, errno.EPERM, errno.EIO)
"""Errors of a disk that may come from reading as well."""
NUMBERS = (*OF_WRITING, *OF_ANY_USE)
_HDF5_NUMBER = re.compile(r"\berrno = (\d+)")
_TENSORFLOW_NODE = re.compile(r"\{\{[^}]*\}\}\s*")


class StorageError(UserError):
    """A disk that cannot be used; the message names the place and says why."""


def reason(error: BaseException) -> str | None:
    """Returns what the system says of a disk that cannot be used, e.g. "No space left on device"; None if not that.

    Args:
        error: an OSError; or one of TensorFlow's or HDF5's, which hold the system's words in a longer text.
    """
    number = _number(error)
    return None if number is None else os.strerror(number)


def describe(error: BaseException, place: Path | str | None = None) -> str | None:
    """Returns "cannot write to PLACE: REASON" of an error that only writing has, or "cannot use ..."; None if not that.

    Args:
        error: see `reason`.
        place: to name if the error does not say which file it is about.
    """
    number = _number(error)
    if number is None:
        return None
    verb = "write to" if number in OF_WRITING else "use"
    return f"cannot {verb} {_named(error) or place or 'the disk'}: {os.strerror(number)}"


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return error.errno
    text = " ".join(str(error).split())
    found = _HDF5_NUMBER.search(text)
    if found and int(found.group(1)) in NUMBERS:
        return int(found.group(1))
    if not (isinstance(error, OSError) or type(error).__module__.startswith("tensorflow.")):
        return None
    return next((number for number in NUMBERS if os.strerror(number).lower() in text.lower()), None)


def _named(error: BaseException) -> str | None:
    """Returns the file that an error is about, as far as it says so."""
    if isinstance(error, OSError):
        return error.filename
    # "{{function_node ...}} PATH; No space left on device"
    path, separator, _ = _TENSORFLOW_NODE.sub("", str(error)).partition("; ")
    return path if separator else None


@contextlib.contextmanager
def one_line(place: Path) -> Iterator[None]:
    """Gives an error of the disk in the body the form that `describe` returns; lets others pass.

    Raises:
        StorageError: the disk of `place`, or of a file that the error names, cannot be used.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = describe(error, place)
        if text is None:
            raise
        raise StorageError(text) from error
