"""Fingerprints: SHA-256 of content, 64 hex digits. Equal content at another place or time has the same one."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.data.names import is_litter
from amfam_tf.export.version_files import sha256


def of_bytes(content: bytes) -> str:
    """Returns the fingerprint of bytes."""
    return hashlib.sha256(content).hexdigest()


def of_value(value: Any) -> str:
    """Returns the fingerprint of plain dicts, lists and scalars; the order of keys does not count."""
    return of_bytes(json.dumps(value, sort_keys=True, allow_nan=False).encode())


def of_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns bytes and SHA-256 of every file below a folder, by path from there; without what a desktop leaves.

    Raises:
        OSError: a file cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not is_litter(path.name))
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
    }


def of_listing(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the fingerprint of what `of_files` returns: names and contents."""
    return of_value({name: file["sha256"] for name, file in files.items()})
