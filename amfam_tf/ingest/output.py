"""The folder of records: under its own name only when it is complete, and never mixed with what is there already."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from amfam_tf.beam import urls
from amfam_tf.errors import DataError
from amfam_tf.files.writing import appearing_folder, writing
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
    """As `appearing_folder`, for records.

    Raises:
        DataError: another process is writing there, or the folder cannot be made.
    """
    try:
        with appearing_folder(out, DataError(f"{out} is in use: another process is writing these records")) as folder:
            yield folder
    except OSError as error:
        raise DataError(f"cannot write records to {out}: {error.strerror or error}") from error


def write_dead_letters(dead: Iterable[DeadLetter], path: Path) -> None:
    """Writes a line of JSON per row: row, case_num, kind, reason."""
    with writing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(letter.to_dict(), ensure_ascii=False) + "\n" for letter in dead)
