"""The files of an exported version: their digests, its metadata.json, and whether all is as it was written.

Imports no TensorFlow: what only moves versions around is quick.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.errors import ConfigError, ExportError
from amfam_tf.files import digests, json_file, publish
from amfam_tf.files.writing import write_text

METADATA_FILE = Path("assets.extra") / "metadata.json"
CARD_FILE = METADATA_FILE.with_name(cards.FILE)
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


def file_digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns bytes and SHA-256 of every file below a version's folder but metadata.json, by relative path."""
    return {name: file for name, file in digests.of_files(folder).items() if name != METADATA_FILE.as_posix()}


def read_metadata(folder: Path) -> dict[str, Any]:
    """Returns the content of a version's metadata.json.

    Raises:
        ExportError: it is missing, damaged or of another format.
    """
    path = folder / METADATA_FILE
    try:
        content = json_file.read(path)
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


def write_card(folder: Path, card: DataCard) -> None:
    """Writes the card of a version's data, unless it is Derm7pt's: what has none is of Derm7pt.

    Raises:
        ExportError: it cannot be written.
    """
    if not cards.is_derm7pt(card):
        write_text(folder / CARD_FILE, cards.to_yaml(card), ExportError)


def read_card(folder: Path) -> DataCard:
    """Returns the card of the data that a version is trained on.

    Raises:
        ExportError: its file is damaged.
    """
    path = folder / CARD_FILE
    try:
        return cards.read(path) if path.exists() else cards.legacy()
    except ConfigError as error:
        raise ExportError(f"{folder} is damaged: {error}") from error


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
        if digests.of_file(path) != stated["sha256"]:
            raise ExportError(f"{folder} is damaged: the content of {name} is not what was exported")
    found = file_digests(folder).keys() - expected.keys()
    if found:
        raise ExportError(f"{folder} is damaged: {min(found)} was not exported")
