"""The folder of records: under its own name only when it is complete, and never mixed with what is there already."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from amfam_tf.beam import urls
from amfam_tf.errors import DataError
from amfam_tf.files.locks import locked_folder
from amfam_tf.files.publish import put_in_place
from amfam_tf.ingest.case_table import DeadLetter

DEAD_LETTER_FILE = "dead_letter.jsonl"


def check_out(out: str) -> Path:
    """Returns the path of the folder to make.

    Raises:
        DataError: it is in an object store, where no folder can be renamed, or it exists.
    """
    if urls.is_url(out):
        raise DataError(
            f"{out}: records are written to a folder that this machine and all workers see, and not to an object "
            "store: name such a folder, and copy it when it is complete"
        )
    # Workers need not have this process's working directory.
    path = Path(out).absolute()
    if path.exists() or path.is_symlink():
        raise DataError(f"{out} exists already: name a new folder for the records, or remove it first")
    return path


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """As `complete_folder`, for records.

    Raises:
        DataError: another process is writing there, or the folder cannot be made.
    """
    try:
        with complete_folder(out, "is writing these records") as folder:
            yield folder
    except OSError as error:
        raise DataError(f"cannot write records to {out}: {error.strerror or error}") from error


@contextlib.contextmanager
def complete_folder(out: Path, use: str) -> Iterator[Path]:
    """Gives an empty folder that gets the name `out` when the body ends; an error removes it.

    What a process that was killed has left behind is removed first.

    Args:
        out: where nothing is yet.
        use: what another process does that is at work on it, for the message.

    Raises:
        DataError: another process is at work on it.
        OSError: the folder cannot be made.
    """
    partial = out.with_name(f".{out.name}.partial")
    # A name of its own: a worker that outlives its killed pipeline by seconds must not write among our files.
    folder = partial / uuid.uuid4().hex
    partial.mkdir(parents=True, exist_ok=True)
    with locked_folder(partial, DataError(f"{partial} is in use: another process {use}")):
        try:
            _empty(partial)
            folder.mkdir()
            yield folder
            put_in_place(folder, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def write_dead_letters(dead: Iterable[DeadLetter], path: Path) -> None:
    """Writes a line of JSON per row: row, case_num, kind, reason; the file appears when it is complete."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(letter.to_dict(), ensure_ascii=False) + "\n" for letter in dead)
    partial.replace(path)
