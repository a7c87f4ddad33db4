"""Files of this machine and of object stores (gs://, s3://, ...), read through Apache Beam's filesystems.

Which stores can be read depends on what is installed beside Beam, e.g. apache-beam[gcp] for gs://.
"""

import functools
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amfam_tf.beam import engine as beam_engine
from amfam_tf.data import names
from amfam_tf.errors import DataError, one_line
from amfam_tf.files import regular_files

URL_MARK = "://"
EXTRAS = " (gs:// needs apache-beam[gcp], s3:// apache-beam[aws], and so on)"
ANSWER_SECONDS = 5.0
"""Longest wait for the first answer of a store."""
NEEDS = MappingProxyType(
    {
        "gs": "apache-beam[gcp], credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default "
        "login) and a way to storage.googleapis.com",
        "s3": "apache-beam[aws], credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials) and "
        "a way to its server",
        "azfs": "apache-beam[azure], credentials (AZURE_STORAGE_CONNECTION_STRING) and a way to its server",
        "hdfs": "the options --hdfs_host, --hdfs_port and --hdfs_user after two dashes",
    }
)
"""scheme -> what reading from it takes."""
LONGEST_REASON = 200


def filesystems() -> Any:
    """Returns Beam's class FileSystems.

    Raises:
        EngineError: Beam is not installed; names the extra.
    """
    beam_engine.find_beam()
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


@functools.cache
def unreachable(scheme: str, bucket: str) -> str | None:
    """Returns why a store does not answer; None if it does. Asked once per store, so that nothing waits twice.

    The clients of the stores look for credentials and servers for a minute and more before they say anything.
    """
    path = f"{scheme}{URL_MARK}{bucket}/amfam-tf"
    found: list[Exception | None] = []

    def ask() -> None:
        try:
            filesystems().exists(path)
        except Exception as error:  # each store's client has errors of its own
            found.append(error)
        else:
            found.append(None)

    with beam_engine.quiet():
        try:
            filesystems().get_filesystem(path)  # imports what the store needs, outside the limit
        except Exception as error:  # as above
            return _reason(error)
        # A daemon: if it never comes back, it does not keep the process from ending.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ANSWER_SECONDS)
    if not found:
        needs = NEEDS.get(scheme, "credentials, and a way to its server")
        return f"{scheme}{URL_MARK}{bucket} gives no answer within {ANSWER_SECONDS:g} s: it needs {needs}"
    return None if found[0] is None else _reason(found[0], scheme)


def ask_stores(paths: Iterable[str | None], arguments: Sequence[str] = ()) -> None:
    """Asks the stores that these paths are in, if any: to be called before whatever takes long, imports among it.

    Args:
        paths: paths and URLs; None for those that are not given.
        arguments: Beam's options, some of which are for its stores, e.g. "--hdfs_host=h".

    Raises:
        DataError: a store does not answer; names the path.
        ConfigError, EngineError: see `beam_engine.tell_stores`.
    """
    urls = [path for path in paths if path is not None and is_url(path)]
    if urls:
        beam_engine.tell_stores(arguments)
    for path in urls:
        _check_named(path)


def _check_reachable(path: str) -> None:
    """Raises DataError, which does not name the file, if its store does not answer; nothing for files here."""
    if is_url(path):
        scheme, _, rest = path.partition(URL_MARK)
        reason = unreachable(scheme, rest.partition("/")[0])
        if reason is not None:
            raise DataError(f"cannot be read: {reason}")


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
    _check_named(path)
    return filesystems().split(path)[0]


def open_url(path: str) -> Any:
    """Opens a file of a store, uncompressed if its name says that it is not.

    Raises:
        DataError: the store does not answer; names the path.
    """
    _check_named(path)
    return filesystems().open(path)


def read_bytes(path: str, limit: int = regular_files.MAX_PICTURE_BYTES) -> bytes:
    """Returns the content of a file of at most `limit` bytes.

    Raises:
        DataError: it cannot be read, is no regular file, or larger; the message says why and does not name the file.
    """
    try:
        if not is_url(path):
            content = regular_files.read(path, limit)
        else:
            _check_reachable(path)
            with filesystems().open(path, compression_type=_uncompressed()) as file:
                content = regular_files.read_up_to(file, limit, path)
    except DataError:
        raise
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
    _check_named(path)
    try:
        return filesystems().exists(path)
    except Exception as error:  # as above
        raise DataError(f"{path}: cannot be looked up: {_reason(error)}") from error


def checksum(path: str) -> str:
    """Returns what the store tells of a file's content without sending it; equal contents, equal checksums.

    Raises:
        DataError: the store cannot be asked; the message says why and does not name the file.
    """
    _check_reachable(path)
    try:
        return str(filesystems().checksum(path))
    except Exception as error:  # as above
        raise DataError(f"cannot be looked up: {_reason(error)}") from error


def _check_named(path: str) -> None:
    """As `_check_reachable`, and names the path."""
    try:
        _check_reachable(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def list_files(folder: str) -> list[str]:
    """Returns the paths of all files below a folder.

    Raises:
        DataError: the folder cannot be listed; names it.
    """
    _check_named(folder)
    # A bracket in the folder's own name is no pattern.
    pattern = re.sub(r"[*?\[]", r"[\g<0>]", folder.rstrip("/")) + "/**"
    try:
        return [found.path for match in filesystems().match([pattern]) for found in match.metadata_list]
    except Exception as error:  # as above
        raise DataError(f"{folder}: cannot be listed: {_reason(error)}") from error


def _reason(error: Exception, scheme: str = "") -> str:
    """Returns why a store cannot be read; Beam itself does not name what has to be installed or told for it."""
    if scheme in NEEDS:
        return f"{type(error).__name__}: {one_line(error)[:LONGEST_REASON]}: it needs {NEEDS[scheme]}"
    missing = isinstance(error, (ImportError, AssertionError, ValueError))
    return f"{one_line(error)}{EXTRAS if missing else ''}"


def _uncompressed() -> str:
    """Returns the name by which Beam leaves bytes as they are, whatever the file is called."""
    from apache_beam.io.filesystem import CompressionTypes

    return CompressionTypes.UNCOMPRESSED
