"""Files of this machine and of object stores (gs://, s3://, ...), read through Apache Beam's filesystems.

Which stores can be read depends on what is installed beside Beam, e.g. apache-beam[gcp] for gs://.
"""

import re
from pathlib import Path
from typing import Any

from amfam_tf import beam_engine, regular_files
from amfam_tf.data import names
from amfam_tf.errors import DataError

URL_MARK = "://"
EXTRAS = " (gs:// needs apache-beam[gcp], s3:// apache-beam[aws], and so on)"


def filesystems() -> Any:
    """Returns Beam's class FileSystems.

    Raises:
        EngineError: Beam is not installed; names the extra.
    """
    beam_engine.find_beam()
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def is_url(path: str) -> bool:
    """Returns whether the path is in an object store and not on this machine."""
    return URL_MARK in path


def join(folder: str, path: str) -> str:
    """Returns a path as seen from a folder, as the disk spells it; an absolute one stays, and so does a URL.

    Raises:
        DataError: several files have the name in different Unicode forms.
    """
    if is_url(path):
        return path
    if is_url(folder) and not Path(path).is_absolute():
        return filesystems().join(folder, *path.split("/"))
    return names.on_disk(str(Path(folder, path)))


def parent(path: str) -> str:
    """Returns the folder that a file is in."""
    return filesystems().split(path)[0]


def read_bytes(path: str, limit: int = regular_files.MAX_PICTURE_BYTES) -> bytes:
    """Returns the content of a file of at most `limit` bytes.

    Raises:
        DataError: it cannot be read, is no regular file, or larger; the message says why and does not name the file.
    """
    try:
        if not is_url(path):
            content = regular_files.read(path, limit)
        else:
            with filesystems().open(path, compression_type=_uncompressed()) as file:
                content = regular_files.read_up_to(file, limit, path)
    except OSError as error:
        reason = None if is_url(path) else names.missing_content(path)
        raise DataError(reason or f"cannot be read: {error.strerror or one_line(error)}") from error
    except Exception as error:  # each store's client has errors of its own
        raise DataError(f"cannot be read: {_reason(error)}") from error
    absent = names.pointer(content)
    if absent is not None:
        raise DataError(absent)
    return content


def exists(path: str) -> bool:
    """Returns whether there is such a file.

    Raises:
        DataError: the store cannot be asked; names the path.
    """
    try:
        return filesystems().exists(path)
    except Exception as error:  # as above
        raise DataError(f"{path}: cannot be looked up: {_reason(error)}") from error


def checksum(path: str) -> str:
    """Returns what the store tells of a file's content without sending it; equal contents, equal checksums.

    Raises:
        DataError: the store cannot be asked; the message says why and does not name the file.
    """
    try:
        return str(filesystems().checksum(path))
    except Exception as error:  # as above
        raise DataError(f"cannot be looked up: {_reason(error)}") from error


def list_files(folder: str) -> list[str]:
    """Returns the paths of all files below a folder.

    Raises:
        DataError: the folder cannot be listed; names it.
    """
    # A bracket in the folder's own name is no pattern.
    pattern = re.sub(r"[*?\[]", r"[\g<0>]", folder.rstrip("/")) + "/**"
    try:
        return [found.path for match in filesystems().match([pattern]) for found in match.metadata_list]
    except Exception as error:  # as above
        raise DataError(f"{folder}: cannot be listed: {_reason(error)}") from error


def one_line(error: Exception) -> str:
    """Returns the message of an error in one line, its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _reason(error: Exception) -> str:
    """Returns why a store cannot be read; Beam itself does not name what has to be installed for it."""
    missing = isinstance(error, (ImportError, AssertionError, ValueError))
    return f"{one_line(error)}{EXTRAS if missing else ''}"


def _uncompressed() -> str:
    """Returns the name by which Beam leaves bytes as they are, whatever the file is called."""
    from apache_beam.io.filesystem import CompressionTypes

    return CompressionTypes.UNCOMPRESSED
