"""Reads a data set in the Derm7pt layout: one row per case, or every problem that is in the way.

Source: Kawahara et al. 2018. One code path, `scan_data_set`, yields the table and all problems: `read_release` raises
if there are any, `amfam_tf.data.check` lists them. Rows are counted from 0, as the index files do.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from amfam_tf.card.cards import INNER
from amfam_tf.card.questions import Task
from amfam_tf.data import identities, names, pair_splits
from amfam_tf.data.paths import PathError, PathResolver
from amfam_tf.data.problems import Problem, refuse
from amfam_tf.data.tables import Wording, read_raw_table, to_integer
from amfam_tf.errors import DataError
from amfam_tf.tasks import CRITERIA, METADATA, TASKS, seven_point_score, task_names

IMAGES = "images"
META_FILE = "meta/meta.csv"
INDEX_FILES = {
    "train": "meta/train_indexes.csv",
    "validate": "meta/valid_indexes.csv",
    "test": "meta/test_indexes.csv",
}
PATH_COLUMNS = {"clinical": "clinic", "dermoscopic": "derm"}
SCORE = "seven_point_score"
LAYOUT_HINT = f"a data set is a folder that holds {IMAGES}/ and {META_FILE}"
WORDING = Wording(LAYOUT_HINT, "; the file has: ")
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
    refuse(root, findings)
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
    # Letters that are not UTF-8 occur in the notes of Derm7pt, and do not matter there.
    meta = read_raw_table(data_set, META_FILE, META_COLUMNS, problems, WORDING, mixed=True).frame
    frame = pd.DataFrame({"case_num": _case_numbers(meta, problems)})
    for modality, paths in _resolve_paths(meta, data_set / IMAGES, resolve, problems).items():
        frame[modality] = paths
    splits = pair_splits.from_files(INDEX_FILES, data_set, len(meta), META_FILE, problems, WORDING)
    frame["split"] = pd.Series(splits, dtype=str)
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
    inner = root / INNER
    return inner if (inner / "meta").is_dir() and not (root / "meta").is_dir() else root


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


def _resolve_paths(
    meta: pd.DataFrame, images: Path, find: Callable[[str], str | Path] | None, problems: list[Problem]
) -> dict[str, pd.Series]:
    """Returns the absolute paths of each modality, "" where there is none."""
    if find is None and not images.is_dir():  # one problem, not one for each picture
        problems.append(Problem(IMAGES, None, "missing_file", f"no such folder; {LAYOUT_HINT}"))
        return {modality: pd.Series([""] * len(meta), dtype=object) for modality in PATH_COLUMNS}
    find = PathResolver(images, names.allowed_targets(images.parent), IMAGES).resolve if find is None else find

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
