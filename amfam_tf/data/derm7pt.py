"""Reads a data set in the Derm7pt layout: one row per case, or every problem that is in the way.

Source: Kawahara et al. 2018. One code path, `scan_data_set`, yields the table and all problems: `read_release` raises
if there are any, `amfam_tf.data.check` lists them. Rows are counted from 0, as the index files do.
"""

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.data import identities, names
from amfam_tf.data.csv_table import CsvTable, TableError
from amfam_tf.data.problems import Problem
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files
from amfam_tf.tasks import CRITERIA, METADATA, TASKS, seven_point_score, task_names

IMAGES = "images"
META_FILE = "meta/meta.csv"
INDEX_FILES = {
    "train": "meta/train_indexes.csv",
    "validate": "meta/valid_indexes.csv",
    "test": "meta/test_indexes.csv",
}
INDEX_COLUMN = "indexes"
PATH_COLUMNS = {"clinical": "clinic", "dermoscopic": "derm"}
SCORE = "seven_point_score"
LAYOUT_HINT = f"a data set is a folder that holds {IMAGES}/ and {META_FILE}"
META_COLUMNS = (
    "case_num",
    *(task.column for task in TASKS),
    SCORE,
    *METADATA,
    *PATH_COLUMNS.values(),
    "case_id",
    "notes",
)
_MORE = tuple(column for column in identities.COLUMNS if column not in META_COLUMNS)
UNKNOWN = -1
"""Stands for a class, number or score that could not be read; never in what `read_release` returns."""


def read_release(root: str | Path, drop_shared_files: bool = False) -> pd.DataFrame:
    """Reads a data set: one row per case, in the order of meta.csv.

    Args:
        root: folder that holds images/ and meta/, or the folder around its release_v0/.
        drop_shared_files: leave out the cases whose clinical picture is the dermoscopic file (nine in Derm7pt;
            published work keeps them).

    Returns:
        Columns: case_num (int), clinical, dermoscopic (absolute paths, str), split (train, validate or test), one
        int column per task name (class number), level_of_diagnostic_difficulty, elevation, location, sex, management,
        case_id, notes (str), seven_point_score (int, 0 to 10), shared_file (bool); and patient_id, patient, lesion_id
        (str) if meta.csv has them.

    Raises:
        DataError: the first problem, and how many there are.
    """
    frame, findings = scan_data_set(root)
    problems = [finding for finding in findings if finding.severity == "problem"]
    if problems:
        total = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(f"{root}: {problems[0]} ({total} in total; `amfam-tf check {root}` lists all)")
    if drop_shared_files:
        frame = frame[~frame["shared_file"]].reset_index(drop=True)
    return frame


def scan_data_set(
    root: str | Path, resolve: Callable[[str], str | Path] | None = None
) -> tuple[pd.DataFrame, list[Problem]]:
    """Returns the table of `read_release` and all problems and notes of tables and paths; opens no picture.

    What could not be read is `UNKNOWN` in a column of numbers and "" in a column of strings.

    Args:
        root: as for `read_release`.
        resolve: gives the place of a picture by its path in meta.csv, or raises a PathError; by default the pictures
            are in images/.
    """
    data_set = find_data_set(root)
    problems: list[Problem] = []
    meta = _read_table(data_set, META_FILE, META_COLUMNS, problems, _MORE)
    frame = pd.DataFrame({"case_num": _case_numbers(meta, problems)})
    for modality, paths in _resolve_paths(meta, data_set / IMAGES, resolve, problems).items():
        frame[modality] = paths
    frame["split"] = _read_splits(data_set, len(meta), problems)
    for task in TASKS:
        frame[task.name] = _encode_column(meta, task, problems)
    for column, allowed in METADATA.items():
        frame[column] = _metadata_column(meta, column, allowed, problems)
    frame[SCORE] = _scores(meta, frame, problems)
    for column in ("case_id", "notes", *(name for name in _MORE if name in meta)):
        frame[column] = meta[column].fillna("").astype(str)
    frame["shared_file"] = (frame["clinical"] == frame["dermoscopic"]) & (frame["clinical"] != "")
    return frame, problems


def find_data_set(root: str | Path) -> Path:
    """Returns `root`, or its release_v0 folder if only that one holds meta/."""
    root = Path(root)
    inner = root / "release_v0"
    return inner if (inner / "meta").is_dir() and not (root / "meta").is_dir() else root


def _read_table(
    data_set: Path, file: str, columns: Sequence[str], problems: list[Problem], optional: Iterable[str] = ()
) -> pd.DataFrame:
    """Returns `columns` of a CSV file as raw strings, and `optional` ones if it has them.

    None where a column is missing, no rows if the file is.
    """
    nothing = pd.DataFrame(columns=list(columns), dtype=object)
    try:
        # Letters that are not UTF-8 occur in the notes of Derm7pt, and do not matter there.
        table = CsvTable(
            lambda: regular_files.open_binary(data_set / file, regular_files.MAX_TABLE_BYTES), columns, mixed=True
        )
        rows = list(table.rows())
    except FileNotFoundError:
        problems.append(Problem(file, None, "missing_file", f"no such file; {LAYOUT_HINT}"))
        return nothing
    except OSError as error:
        problems.append(Problem(file, None, "unreadable_table", f"cannot be read: {error.strerror}"))
        return nothing
    except TableError as error:
        problems.append(Problem(file, None, "unreadable_table", str(error)))
        return nothing
    problems += [Problem(file, None, "table_format", text, "note") for text in table.notes()]
    missing = table.missing(columns)
    for column in missing:
        found = ", ".join(map(repr, table.columns))
        problems.append(Problem(file, None, "missing_column", f"no column {column!r}; the file has: {found}"))
    if not rows:
        problems.append(Problem(file, None, "no_rows", "has no rows"))
    more = [column for column in optional if column in table.columns]
    return pd.DataFrame(
        {column: pd.Series([row.get(column) for row in rows], dtype=object) for column in (*columns, *more)}
    )


def to_integer(raw: str) -> int | None:
    """Returns the number that `raw` spells, or None."""
    return int(raw) if re.fullmatch(r"[+-]?[0-9]{1,18}", raw.strip()) else None


def _integers(meta: pd.DataFrame, column: str, problems: list[Problem]) -> list[int]:
    """Returns a column of whole numbers, `UNKNOWN` where it holds anything else."""
    numbers = []
    for row, raw in enumerate(meta[column]):
        number = None if raw is None else to_integer(raw)
        if number is None and raw is not None:
            message = f"column {column!r}: value {raw!r} is not a whole number"
            problems.append(Problem(META_FILE, row, "not_an_integer", message))
        numbers.append(UNKNOWN if number is None else number)
    return numbers


def _case_numbers(meta: pd.DataFrame, problems: list[Problem]) -> pd.Series:
    """Returns case_num; each number may occur once."""
    numbers = _integers(meta, "case_num", problems)
    first_rows: dict[int, int] = {}
    for row, number in enumerate(numbers):
        first = first_rows.setdefault(number, row)
        if first != row and number != UNKNOWN:
            message = f"column 'case_num': value {number} is that of row {first} already"
            problems.append(Problem(META_FILE, row, "duplicate_case", message))
    return pd.Series(numbers, dtype="int64")


def _encode_column(meta: pd.DataFrame, task: Task, problems: list[Problem]) -> pd.Series:
    """Returns the class numbers of one task."""

    def encode(row: int, raw: str | None) -> int:
        if raw == "":
            message = f"column {task.column!r}: no label; a case needs all {len(TASKS)}"
            problems.append(Problem(META_FILE, row, "missing_label", message))
            return UNKNOWN
        try:
            return UNKNOWN if raw is None else task.encode(raw)
        except DataError as error:
            problems.append(Problem(META_FILE, row, "unknown_label", str(error)))
            return UNKNOWN

    return pd.Series([encode(row, raw) for row, raw in enumerate(meta[task.column])], dtype="int64")


def _metadata_column(meta: pd.DataFrame, column: str, allowed: Sequence[str], problems: list[Problem]) -> pd.Series:
    """Returns a metadata column; each value has to be one of `allowed`."""
    for row, raw in enumerate(meta[column]):
        if raw is not None and raw not in allowed:
            message = f"column {column!r}: value {raw!r} is none of: {', '.join(allowed)}"
            problems.append(Problem(META_FILE, row, "unknown_metadata", message))
    return meta[column].fillna("").astype(str)


def _scores(meta: pd.DataFrame, frame: pd.DataFrame, problems: list[Problem]) -> pd.Series:
    """Returns the stored 7-point scores; each has to follow from the labels of its row."""
    stored = _integers(meta, SCORE, problems)
    for row, labels in enumerate(frame[list(task_names(CRITERIA))].to_dict("records")):
        if UNKNOWN in labels.values() or meta[SCORE][row] is None or to_integer(meta[SCORE][row]) is None:
            continue
        computed = seven_point_score(labels)
        if stored[row] != computed:
            message = f"column {SCORE!r}: value {stored[row]} is stored, the labels give {computed}"
            problems.append(Problem(META_FILE, row, "wrong_score", message))
    return pd.Series(stored, dtype="int64")


def _read_splits(data_set: Path, cases: int, problems: list[Problem]) -> pd.Series:
    """Returns the split of each row of meta.csv from the three index files, which have to share out all rows."""
    found: list[Problem] = []
    splits: dict[int, str] = {}
    for split, file in INDEX_FILES.items():
        table = _read_table(data_set, file, (INDEX_COLUMN,), found)
        rows = _index_rows(table, file, cases, found)
        for place, row in rows.items():
            if row in splits:
                message = f"row {row} of {META_FILE} is in {INDEX_FILES[splits[row]]} as well"
                found.append(Problem(file, place, "overlapping_index", message))
        splits.update({row: split for row in rows.values() if row not in splits})
    # If a file is missing, so are its rows.
    if all(problem.row is not None for problem in found if problem.severity == "problem"):
        for row in sorted(set(range(cases)) - set(splits)):
            message = f"row {row} is in no index file ({', '.join(INDEX_FILES.values())})"
            found.append(Problem(META_FILE, row, "incomplete_index", message))
    problems.extend(found)
    return pd.Series([splits.get(row, "") for row in range(cases)], dtype=str)


def _index_rows(table: pd.DataFrame, file: str, cases: int, problems: list[Problem]) -> dict[int, int]:
    """Returns {row of the index file: row of meta.csv that it names}, each of the latter once."""
    rows: dict[int, int] = {}
    places: dict[int, int] = {}
    for place, raw in enumerate(table[INDEX_COLUMN]):
        if raw is None:
            continue
        row = to_integer(raw)
        if row is None:
            problems.append(Problem(file, place, "not_an_integer", f"value {raw!r} is not a whole number"))
        elif cases and not 0 <= row < cases:  # without meta.csv there is no range to be in
            message = f"value {row} is no row of {META_FILE}, which has the rows 0 to {cases - 1}"
            problems.append(Problem(file, place, "index_out_of_range", message))
        elif row in places:
            message = f"value {row} is in row {places[row]} of this file already"
            problems.append(Problem(file, place, "duplicate_index", message))
        else:
            rows[place] = row
            places[row] = place
    return rows


class PathError(DataError):
    """A path of meta.csv that names no file of the data set; `kind` is that of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PathResolver:
    """Finds files under a folder whatever letter case and Unicode form of the path, and never outside of it.

    Args:
        folder: the images folder; may itself be a link.
        targets: folders that links in it may lead to beside it, without links themselves.
        name: what messages call the folder.
    """

    def __init__(self, folder: Path, targets: Sequence[Path] = (), name: str = IMAGES) -> None:
        self._folder = folder
        self._name = name
        self._inside = (folder.resolve(), *targets)
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def resolve(self, relative: str) -> Path:
        """Returns the absolute path of the one file that `relative` names, without links.

        The name as it stands comes first, then the same letters in another Unicode form, then in another letter case.

        Raises:
            PathError: the path leaves the folder, no file or several files match it, or its content is not here.
        """
        path = PurePosixPath(relative)
        if path.is_absolute() or PureWindowsPath(relative).anchor or ".." in PureWindowsPath(relative).parts:
            raise PathError("path_leaves_images", f"leaves the folder {self._name}/")
        candidates = [self._folder]
        for part in path.parts:
            wanted = names.without_case(part)
            candidates = [entry for folder in candidates for entry in self._listing(folder).get(wanted, [])]
        # A link that leads nowhere is a file whose content is not here.
        files = [one for one in candidates if one.is_file() or (one.is_symlink() and not one.exists())]
        best = self._best(files, path)
        if len(best) > 1:
            found = names.spelled_out([file.relative_to(self._folder).as_posix() for file in files])
            raise PathError("ambiguous_path", f"is ambiguous, it differs in letter case or form only from: {found}")
        if not best:
            raise PathError("missing_image", f"names no file in {self._name}/")
        return self._target(best[0])

    def _best(self, files: Sequence[Path], path: PurePosixPath) -> Sequence[Path]:
        """Returns those of the files whose names come nearest to a path."""
        exact = [file for file in files if file == self._folder / path]
        wanted = names.one_form(path.as_posix())
        same = [file for file in files if names.one_form(file.relative_to(self._folder).as_posix()) == wanted]
        return exact or same or files

    def _target(self, file: Path) -> Path:
        """Returns the file that a link leads to."""
        absent = names.missing_content(file)
        if absent is not None:
            raise PathError("missing_image", absent)
        found = file.resolve()
        if not any(found.is_relative_to(folder) for folder in self._inside):
            raise PathError(
                "path_leaves_images",
                f"leaves the folder {self._name}/ by a symbolic link to {found}: if that is as it should be, name a "
                f"folder above it in {names.LINKS_TO}",
            )
        return found

    def _listing(self, folder: Path) -> dict[str, list[Path]]:
        """Returns the entries of a folder by name without case; read from disk once."""
        if folder not in self._listings:
            listing: dict[str, list[Path]] = defaultdict(list)
            with contextlib.suppress(OSError):  # a file, or a folder that may not be read, holds nothing
                for entry in folder.iterdir():
                    listing[names.without_case(entry.name)].append(entry)
            self._listings[folder] = dict(listing)
        return self._listings[folder]


def _resolve_paths(
    meta: pd.DataFrame, images: Path, find: Callable[[str], str | Path] | None, problems: list[Problem]
) -> dict[str, pd.Series]:
    """Returns the absolute paths of each modality, "" where there is none."""
    if find is None and not images.is_dir():  # one problem, not one for each picture
        problems.append(Problem(IMAGES, None, "missing_file", f"no such folder; {LAYOUT_HINT}"))
        return {modality: pd.Series([""] * len(meta), dtype=object) for modality in PATH_COLUMNS}
    find = PathResolver(images, names.allowed_targets(images.parent)).resolve if find is None else find

    def resolve(row: int, column: str, raw: str | None) -> str:
        try:
            return "" if raw is None else str(find(raw))
        except PathError as error:
            problems.append(Problem(META_FILE, row, error.kind, f"column {column!r}: value {raw!r} {error}"))
            return ""

    # Not of pandas' own type for strings, which does not take names of files with bytes that are no letters.
    return {
        modality: pd.Series([resolve(row, column, raw) for row, raw in enumerate(meta[column])], dtype=object)
        for modality, column in PATH_COLUMNS.items()
    }


def worker_count() -> int:
    """Returns how many threads read pictures: one per core, at most 8."""
    return min(8, os.cpu_count() or 1)
