"""The files of an exported version: their digests, its metadata.json, and whether all is as it was written.

Imports no TensorFlow: what only moves versions around is quick.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.data.names import is_litter
from amfam_tf.errors import ExportError
from amfam_tf.files import publish

METADATA_FILE = Path("assets.extra") / "metadata.json"
FORMAT = 1
KEYS = ("format", "name", "version", "tasks", "signatures", "preprocessing", "precision", "files")


def find_version(folder: Path) -> Path:
    """Returns the version's folder: the given one, or the latest version in the folder of a model.

    Raises:
        ExportError: neither.
    """
    if (folder / "saved_model.pb").is_file() or (folder / METADATA_FILE).is_file():
        return folder
    found = publish.versions(folder)
    if not found:
        raise ExportError(f"{folder} is no exported model: it has no saved_model.pb and no version below it")
    return folder / str(found[-1])


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns bytes and SHA-256 of every file below a version's folder but metadata.json, by relative path.

    What a desktop leaves behind when somebody opens the folder is no file of the version.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / METADATA_FILE)
    files = [path for path in files if not any(is_litter(part) for part in path.relative_to(folder).parts)]
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }


def read_metadata(folder: Path) -> dict[str, Any]:
    """Returns the content of a version's metadata.json.

    Raises:
        ExportError: it is missing, damaged or of another format.
    """
    path = folder / METADATA_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{folder} is damaged or not from amfam-tf export: it has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder} is damaged: {path.name} cannot be read") from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ExportError(f"{folder} is damaged: {path.name} has no {missing[0]}")
    if content["format"] != FORMAT:
        raise ExportError(f"{path} has format {content['format']}, this program reads {FORMAT}")
    return content


def check_number(folder: Path, content: Mapping[str, Any]) -> None:
    """Checks that a version is in the folder of its own number: servers go by the folder's name.

    Args:
        folder: of the version; a name that is no number, e.g. of a copy elsewhere, says nothing.
        content: of its metadata.json.

    Raises:
        ExportError: the numbers differ.
    """
    name = folder.absolute().name
    if name.isascii() and name.isdecimal() and int(name) != content["version"]:
        raise ExportError(
            f"{folder} holds version {content['version']} of {content['name']}, as its metadata.json says, under the "
            f"number {int(name)}: it was copied or renamed by hand; remove it, or give it its number back. "
            f"`amfam-tf rollback MODEL --to {content['version']}` serves an older version again under a new number"
        )


def check_files(folder: Path, expected: Mapping[str, Any]) -> None:
    """Checks that a version has exactly the files that its metadata.json lists, each as it was written.

    Raises:
        ExportError: names the first file that is not so.
    """
    for name, stated in expected.items():
        path = folder / name
        if not path.is_file():
            raise ExportError(f"{folder} is damaged: {name} is missing")
        if path.stat().st_size != stated["bytes"]:
            raise ExportError(
                f"{folder} is damaged: {name} has {path.stat().st_size} bytes, exported were {stated['bytes']}"
            )
        if sha256(path) != stated["sha256"]:
            raise ExportError(f"{folder} is damaged: the content of {name} is not what was exported")
    found = file_digests(folder).keys() - expected.keys()
    if found:
        raise ExportError(f"{folder} is damaged: {min(found)} was not exported")
