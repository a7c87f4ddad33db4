"""Versions of an exported model: whole or absent for a server, never overwritten.

A version is written in a folder whose name a server ignores, in the same file system, and renamed when it is complete.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import ExportError, UserError
from amfam_tf.files import storage
from amfam_tf.files.locks import locked_file
from amfam_tf.files.writing import PARTIAL, put_in_place, remove

LOCK = ".export.lock"


def versions(base: Path) -> list[int]:
    """Returns the version numbers below a model's folder, sorted."""
    if not base.is_dir():
        return []
    named = (item for item in base.iterdir() if item.name.isascii() and item.name.isdecimal())
    return sorted(int(item.name) for item in named if item.is_dir())


@contextlib.contextmanager
def publishing(base: Path) -> Iterator[tuple[Path, int]]:
    """Gives an empty folder and the version number that it gets when the body ends; an error removes the folder.

    What an export that was killed has left behind is removed first.

    Raises:
        ExportError: the folder cannot be written, or another process exports into it.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        in_use = ExportError(f"another process exports to {base}: wait for it or stop it")
        with locked_file(base / LOCK, in_use):
            for leftover in base.glob(f"{PARTIAL}*"):
                remove(leftover)
            version = max(versions(base), default=0) + 1
            partial = base / f"{PARTIAL}{version}"
            partial.mkdir()
            try:
                yield partial, version
                put_in_place(partial, base / str(version), ExportError)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ExportError(f"cannot write to {base}: {storage.reason(error) or error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:  # TensorFlow has errors of its own for a full disk
        text = storage.reason(error)
        if text is None:
            raise
        raise ExportError(f"cannot write to {base}: {text}") from error
