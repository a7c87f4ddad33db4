"""What the pairs of a batch prediction come from: a CSV of pairs, a release, or records; labels are not looked at.

A CSV of pairs has the columns case_num (whole number, each once), clinical and dermoscopic (path relative to the images
folder, absolute, or a URL); it may have others. A row without a path, or whose file is missing, is an error of that row
alone; a table whose cases cannot be told apart is refused. Rows are counted from 0.
"""

import array
import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from amfam_tf.data.derm7pt import IMAGES, META_FILE, PATH_COLUMNS, UNKNOWN, find_release, scan_release, to_integer
from amfam_tf.data.shards import find_shards, has_shards
from amfam_tf.errors import DataError
from amfam_tf.ingest import files
from amfam_tf.serving.batch.pair import Row
from amfam_tf.tasks import MODALITIES

COLUMNS = ("case_num", *MODALITIES)
WHAT_IT_CAN_BE = "a CSV of pairs, a release (images/ and meta/) or a folder of records"


@dataclass(frozen=True)
class Source:
    """Where the pairs are.

    Attributes:
        kind: what it is.
        path: of the table, or the folder.
        pairs: how many there are; None for records, which nobody has counted.
        rows: gives them all, in order, each time that it is called; of records, nothing.
        records: files of a folder of records, in order.
    """

    kind: Literal["pairs", "release", "records"]
    path: str
    pairs: int | None
    rows: Callable[[], Iterator[Row]]
    records: tuple[Path, ...] = ()


def open_source(source: str, images: str | None = None) -> Source:
    """Finds out what a source is and checks its tables; opens no picture.

    Args:
        source: path or URL of a CSV of pairs, or a folder.
        images: folder or URL that the paths of a CSV start from; by default the folder that it is in.

    Raises:
        DataError: it is none of these, or its table cannot be used; names file, row and column.
    """
    path = Path(source)
    if files.is_url(source) or path.is_file():
        return _pairs_of_table(source, files.parent(source) if images is None else images)
    if images is not None:
        raise DataError(f"{source} is no CSV of pairs: a folder of images goes with such a file only")
    if has_shards(path):
        return Source("records", str(path.absolute()), None, lambda: iter(()), tuple(find_shards(path.absolute())))
    if (find_release(path) / META_FILE).is_file():
        return _pairs_of_release(path)
    problem = "is none of these" if path.exists() else "does not exist"
    raise DataError(f"{source} {problem}: {WHAT_IT_CAN_BE}")


def _pairs_of_table(path: str, images: str) -> Source:
    # Workers need not have this process's working directory.
    images = images if files.is_url(images) else str(Path(images).absolute())
    numbers = array.array("q")
    for row, raw in enumerate(_read_table(path)):
        number = to_integer(raw["case_num"])
        if number is None:
            raise DataError(f"{path}: row {row}, column 'case_num': value {raw['case_num']!r} is not a whole number")
        numbers.append(number)
    if not numbers:
        raise DataError(f"{path}: has no rows")
    _refuse_repeated(path, np.frombuffer(numbers, np.int64))

    def rows() -> Iterator[Row]:
        for raw in _read_table(path):
            empty = [name for name in MODALITIES if not raw[name]]
            error = f"column {empty[0]!r} is empty" if empty else None
            places = {name: files.join(images, raw[name]) if raw[name] else "" for name in MODALITIES}
            yield Row(to_integer(raw["case_num"]), **places, error=error)

    return Source("pairs", path, len(numbers), rows)


def _refuse_repeated(path: str, numbers: np.ndarray) -> None:
    unique, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if repeated.size:
        number = unique[repeated[0]]
        row = np.flatnonzero(numbers == number)[1]
        earlier = first[repeated[0]]
        raise DataError(f"{path}: row {row}, column 'case_num': value {number} is that of row {earlier} already")


def _read_table(path: str) -> Iterator[dict[str, str]]:
    """Gives the rows of a CSV of pairs, its columns as strings, one in memory at a time."""
    try:
        with _open(path) as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(map(repr, reader.fieldnames or ())) or "nothing"
                raise DataError(
                    f"{path}: no column {missing[0]!r}; a CSV of pairs needs {', '.join(COLUMNS)}; it has: {found}"
                )
            for row, raw in enumerate(reader):
                if None in raw:
                    raise DataError(f"{path}: row {row} has more fields than the header has names")
                yield raw
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or files.one_line(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {files.one_line(error)}") from error


@contextmanager
def _open(path: str) -> Iterator[TextIO]:
    # utf-8-sig: spreadsheets write a mark first.
    if files.is_url(path):
        with io.TextIOWrapper(files.filesystems().open(path), encoding="utf-8-sig", newline="") as stream:
            yield stream
    else:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            yield stream


def _pairs_of_release(root: Path) -> Source:
    frame, problems = scan_release(root.absolute())
    reasons: dict[int, str] = {}
    for problem in problems:
        if problem.file in (META_FILE, IMAGES) and (problem.row is None or problem.kind == "duplicate_case"):
            raise DataError(f"{root}: {problem}")
        if problem.file == META_FILE and problem.message.startswith(tuple(f"column {c!r}" for c in _PATH_COLUMNS)):
            reasons.setdefault(problem.row, str(problem))
        # What is wrong with labels and splits does not matter here.
    unnumbered = np.flatnonzero(frame["case_num"] == UNKNOWN)
    if unnumbered.size:
        raise DataError(f"{root}: {META_FILE} row {unnumbered[0]}: column 'case_num' is not a whole number")

    def rows() -> Iterator[Row]:
        for row, (number, *places) in enumerate(frame[list(COLUMNS)].itertuples(index=False)):
            yield Row(int(number), *places, error=reasons.get(row))

    return Source("release", str(root), len(frame), rows)


_PATH_COLUMNS = tuple(PATH_COLUMNS.values())
