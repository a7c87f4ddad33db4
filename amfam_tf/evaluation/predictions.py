"""The table predictions.csv: one row per case; labels, predicted classes and probabilities of all tasks of a card.

Columns, in this order: `case_num`; then per task `<TASK>_true` and `<TASK>_pred` (class abbreviations) and one
probability `<TASK>_<CLASS>` in [0, 1] per class. A label that nobody knows is "", an empty field. Rows are counted from
0, as everywhere in this package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import DataError, one_line
from amfam_tf.files.writing import write_text
from amfam_tf.report.csv_text import to_csv

CASE = "case_num"
SUM_TOLERANCE = 1e-5
"""How far the probabilities of a task may be from a sum of 1: files of this package are within 1e-12."""


def probability_columns(task: Task) -> list[str]:
    """Returns the probability columns of a task, in class order."""
    return [f"{task.name}_{name}" for name in task.classes]


def task_columns(task: Task) -> list[str]:
    """Returns all columns of a task, in order."""
    return [f"{task.name}_true", f"{task.name}_pred", *probability_columns(task)]


def columns(card: DataCard) -> list[str]:
    """Returns all columns of the table, in order."""
    return [CASE, *(column for task in card.tasks for column in task_columns(task))]


def to_frame(
    case_numbers: np.ndarray,
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    card: DataCard,
) -> pd.DataFrame:
    """Returns the table of arrays; the predicted class is the argmax, the first one of equals.

    Args:
        case_numbers: int [N].
        labels: for each task name, class numbers, int [N]; `UNKNOWN` where nobody knows.
        probabilities: for each task name, [N, classes] in [0, 1], each row with sum 1.
        card: of the data.

    Raises:
        ValueError: an array is of another shape.
    """
    content: dict[str, np.ndarray] = {CASE: np.asarray(case_numbers, np.int64)}
    for task in card.tasks:
        values = np.asarray(probabilities[task.name], np.float64)
        expected = (len(content[CASE]), len(task.classes))
        if values.shape != expected:
            raise ValueError(f"probabilities of {task.name} must be of shape {expected}. Received: {values.shape}")
        # The last one is that of UNKNOWN, -1.
        names = np.array([*task.classes, ""], object)
        content[f"{task.name}_true"] = names[np.asarray(labels[task.name], np.int64)]
        content[f"{task.name}_pred"] = names[values.argmax(axis=1)]
        content |= dict(zip(probability_columns(task), values.T, strict=True))
    return pd.DataFrame(content, columns=columns(card))


def averaged(frame: pd.DataFrame, card: DataCard) -> pd.DataFrame:
    """Returns the table with one row for each case: the means of the probabilities of its rows, which are pairs."""
    if frame[CASE].is_unique:
        return frame
    first = frame.drop_duplicates(CASE)
    values = [name for task in card.tasks for name in probability_columns(task)]
    means = frame.groupby(CASE, sort=False)[values].mean()
    labels = {task.name: true_labels(first, task) for task in card.tasks}
    probabilities = {task.name: task_probabilities(means, task) for task in card.tasks}
    return to_frame(first[CASE].to_numpy(), labels, probabilities, card)


def true_labels(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """Returns the class numbers of the labels, int [N]; `UNKNOWN` where nobody knows."""
    return _class_numbers(frame, task, "true")


def labelled(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """Returns whether the label of each case is known, bool [N]."""
    return (frame[f"{task.name}_true"] != "").to_numpy(bool)


def predicted_labels(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """Returns the predicted class numbers, int [N]."""
    return _class_numbers(frame, task, "pred")


def task_probabilities(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """Returns the probabilities of a task, [N, classes] in [0, 1]."""
    return frame[probability_columns(task)].to_numpy(np.float64)


def _class_numbers(frame: pd.DataFrame, task: Task, kind: str) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(task.classes)} | {"": UNKNOWN}
    return np.array([numbers[name] for name in frame[f"{task.name}_{kind}"]], np.int64)


def write(frame: pd.DataFrame, path: Path, card: DataCard) -> None:
    """Writes the table atomically; every float has all the digits that bring it back exactly."""
    write_text(path, to_csv(frame[columns(card)]))


def read(path: Path, cases: pd.DataFrame | None = None, *, card: DataCard) -> pd.DataFrame:
    """Reads a predictions.csv and checks all of it.

    Args:
        path: the file.
        cases: the cases it may hold, with the columns `case_num` and the task names (class numbers), such as one split
            of `read_release`; None accepts any case.
        card: of the data that the file is about.

    Raises:
        DataError: not a CSV file, missing or unknown column, no rows, a case twice or not among `cases`, unknown class,
            a label that differs from `cases`, a probability outside [0, 1], probabilities that do not sum to 1, a
            predicted class that is not the most probable one. Names row and column.
    """
    raw = _read_strings(path, columns(card))
    content = {CASE: _case_numbers(raw, path)}
    for task in card.tasks:
        for column in (f"{task.name}_true", f"{task.name}_pred"):
            _check_classes(raw, column, task, path)
            content[column] = raw[column].to_numpy(object)
        for column in probability_columns(task):
            content[column] = _probabilities(raw, column, path)
    frame = pd.DataFrame(content, columns=columns(card))
    for task in card.tasks:
        _check_task(frame, task, path)
    if cases is not None:
        _check_against_cases(frame, cases, path, card)
    return frame


def _read_strings(path: Path, expected: list[str]) -> pd.DataFrame:
    """Returns the file as a table of strings with exactly the expected columns."""
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as CSV: {one_line(error)}") from error
    if not isinstance(raw.index, pd.RangeIndex):
        raise DataError(f"{path}: rows have more fields than the header has names")
    missing = [column for column in expected if column not in raw]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing ({len(missing)} missing in total)")
    unknown = [column for column in raw if column not in expected]
    if unknown:
        raise DataError(f"{path}: column {unknown[0]!r} is unknown; `amfam-tf evaluate` writes the file anew")
    if raw.empty:
        raise DataError(f"{path} has no rows")
    return raw


def _refuse(path: Path, row: int, column: str, problem: str) -> NoReturn:
    raise DataError(f"{path} row {row} (counted from 0), column {column}: {problem}")


def _case_numbers(raw: pd.DataFrame, path: Path) -> np.ndarray:
    numbers: dict[int, int] = {}
    for row, text in enumerate(raw[CASE]):
        if not (text.isascii() and text.isdigit()):
            _refuse(path, row, CASE, f"{text!r} is not a case number")
        number = int(text)
        if number in numbers:
            _refuse(path, row, CASE, f"case {number} is in row {numbers[number]} already")
        numbers[number] = row
    return np.array(list(numbers), np.int64)


def _check_classes(raw: pd.DataFrame, column: str, task: Task, path: Path) -> None:
    unknown = ("",) if task.missing and column == f"{task.name}_true" else ()
    for row, name in enumerate(raw[column]):
        if name not in task.classes and name not in unknown:
            _refuse(path, row, column, f"{name!r} is no class of {task.name} ({', '.join(task.classes)})")


def _probabilities(raw: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    values = np.empty(len(raw), np.float64)
    for row, text in enumerate(raw[column]):
        try:
            values[row] = float(text)
        except ValueError:
            _refuse(path, row, column, f"{text!r} is not a number")
        if not 0 <= values[row] <= 1:
            _refuse(path, row, column, f"{text} is not a probability in [0, 1]")
    return values


def _check_task(frame: pd.DataFrame, task: Task, path: Path) -> None:
    values = task_probabilities(frame, task)
    sums = values.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if wrong.size:
        row = int(wrong[0])
        first, last = probability_columns(task)[0], probability_columns(task)[-1]
        _refuse(path, row, f"{first} to {last}", f"the probabilities of {task.name} sum to {sums[row]:.6g}, not to 1")
    chosen = values[np.arange(len(values)), predicted_labels(frame, task)]
    wrong = np.flatnonzero(chosen < values.max(axis=1))
    if wrong.size:
        row = int(wrong[0])
        name, best = frame[f"{task.name}_pred"][row], task.classes[values[row].argmax()]
        _refuse(path, row, f"{task.name}_pred", f"{name} is not the most probable class, that is {best}")


def _check_against_cases(frame: pd.DataFrame, cases: pd.DataFrame, path: Path, card: DataCard) -> None:
    """Refuses cases that are not in `cases`, and labels that differ from theirs."""
    known = cases.set_index(CASE)[[task.name for task in card.tasks]]
    for row, number in enumerate(frame[CASE]):
        if number not in known.index:
            _refuse(path, row, CASE, f"case {number} is not among the {len(known)} cases of this split")
    for task in card.tasks:
        expected = known[task.name].loc[frame[CASE]].to_numpy()
        wrong = np.flatnonzero(true_labels(frame, task) != expected)
        if wrong.size:
            row = int(wrong[0])
            label = "unknown" if expected[row] == UNKNOWN else task.classes[expected[row]]
            name = frame[f"{task.name}_true"][row] or "unknown"
            _refuse(path, row, f"{task.name}_true", f"{name} differs from the data set's label {label}")
