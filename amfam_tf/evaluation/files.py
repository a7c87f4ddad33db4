"""Writes result files so that a reader sees the old file or the new one, never half of one."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` as UTF-8, see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path`: a temporary file beside it, then a rename.

    Creates the folder. An interrupted write leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
