"""Digests: SHA-256, 64 hex digits. Equal content at another place or time has the same one."""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.files.listing import files_below


def of_bytes(content: bytes) -> str:
    """Returns the digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def of_value(value: Any) -> str:
    """Returns the digest of plain dicts, lists and scalars; the order of keys does not count."""
    return of_bytes(json.dumps(value, sort_keys=True, allow_nan=False).encode())


def of_file(path: Path) -> str:
    """Returns the digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns bytes and SHA-256 of every file of `files_below`.

    Raises:
        OSError: a file cannot be read.
    """
    return {name: {"bytes": path.stat().st_size, "sha256": of_file(path)} for name, path in files_below(folder).items()}


def of_listing(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the digest of what `of_files` returns: names and contents."""
    return of_value({name: file["sha256"] for name, file in files.items()})


def file_digest(path: Path) -> str:
    """As `of_file`, for weights, which are asked for often: read again only when the file has changed."""
    state = path.stat()
    # The time of change, which nobody can set back, and not the time stamp alone.
    return _digest(path.resolve(), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, *_: int) -> str:
    return of_file(path)
