"""Files whose path a user or a table gives: only regular files (after links), and only up to a size, are opened.

A named pipe would wait for ever for somebody who writes, /dev/zero never ends, and a sparse file of 20 GB has no more
than a few bytes on the disk: each is refused before a byte is read.
"""

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

MIB = 2**20
MAX_PICTURE_BYTES = 256 * MIB
"""Uncompressed 16-bit pictures of 40 million pixels have less."""
MAX_TABLE_BYTES = 1024 * MIB
"""Millions of rows."""
_CHUNK = MIB
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFileError(OSError):
    """What a path leads to is no regular file, or has too many bytes; `strerror` says which."""


def check(path: str | Path, limit: int | None = None) -> None:
    """Checks a file that something else is going to open; reads nothing.

    Args:
        path: of the file; links are followed.
        limit: most bytes that it may have.

    Raises:
        IrregularFileError: it is no regular file, or too large.
        OSError: there is no such file, or it must not be looked at.
    """
    _check(Path(path).stat(), path, limit)


def open_binary(path: str | Path, limit: int) -> BinaryIO:
    """Opens a regular file of at most `limit` bytes to read; never waits.

    Raises:
        OSError: see `check`.
    """
    # Before: merely opening a device can do something. After: the path may lead somewhere else by then.
    check(path, limit)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor), path, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read(path: str | Path, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """Returns the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: see `check`, or it cannot be read.
    """
    with open_binary(path, limit) as file:
        return read_up_to(file, limit, path)


def read_up_to(file: BinaryIO, limit: int, path: str | Path) -> bytes:
    """Returns what is left of an open file, at most `limit` bytes; memory grows with what has come.

    Raises:
        IrregularFileError: there is more.
    """
    content = io.BytesIO()
    while chunk := file.read(_CHUNK):
        content.write(chunk)
        if content.tell() > limit:
            raise _too_large(path, limit)
    return content.getvalue()


def _check(state: os.stat_result, path: str | Path, limit: int | None) -> None:
    if not stat.S_ISREG(state.st_mode):
        kind = _KINDS.get(stat.S_IFMT(state.st_mode), "something else")
        raise IrregularFileError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
    if limit is not None and state.st_size > limit:
        raise _too_large(path, limit, state.st_size)


def _too_large(path: str | Path, limit: int, size: int | None = None) -> IrregularFileError:
    has = f"more than {limit // MIB:,}" if size is None else f"{size // MIB:,}"
    text = f"it has {has} MiB, and at most {limit // MIB:,} are read"
    return IrregularFileError(errno.EINVAL, text, str(path))
