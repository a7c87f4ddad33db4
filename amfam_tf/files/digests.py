"""SHA-256 of files: what results say of the weights that they were made from."""

import functools
import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, 64 hex digits; read again only when the file has changed."""
    state = path.stat()
    # The time of change, which nobody can set back, and not the time stamp alone.
    return _digest(path.resolve(), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, *_: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
