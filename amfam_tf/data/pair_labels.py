"""Class numbers, metadata and scores of the cases of a data set with a card; what stands there and cannot be."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from amfam_tf.card.metadata_values import in_table, number
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard, MetadataColumn, Score
from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import RawTable
from amfam_tf.errors import DataError

UNKNOWN = -1
"""Stands for a label that nobody knows, and for one that could not be read."""


def class_numbers(task: Task, table: RawTable, problems: list[Problem]) -> pd.Series:
    """Returns the class number of each case, `UNKNOWN` where the card says that nobody knows; int64 [cases]."""
    numbers = _from_columns(task, table, problems) if task.one_hot else _from_labels(task, table, problems)
    known = set(numbers)
    for place, name in enumerate(task.classes):
        if len(numbers) and known != {UNKNOWN} and place not in known:
            problems.append(Problem(table.file, None, "empty_class", f"task {task.name}: no case has class {name}"))
    return pd.Series(numbers, dtype="int64")


def _from_labels(task: Task, table: RawTable, problems: list[Problem]) -> list[int]:
    def encode(row: int, raw: str | None) -> int:
        if raw is None or raw in task.missing:
            return UNKNOWN
        try:
            if raw == "":
                raise DataError(f"column {task.column!r}: no label, and the card does not say that one may be missing")
            return task.encode(raw)
        except DataError as error:
            problems.append(Problem(table.file, row, "unknown_label" if raw else "missing_label", str(error)))
            return UNKNOWN

    return [encode(row, raw) for row, raw in enumerate(table.column(task.column))]


def _from_columns(task: Task, table: RawTable, problems: list[Problem]) -> list[int]:
    def encode(row: int, fields: Sequence[str | None]) -> int:
        if None in fields or (task.missing and all(field in task.missing for field in fields)):
            return UNKNOWN
        values = [number(field or "") for field in fields]
        if sorted(values) == [0.0] * (len(values) - 1) + [1.0]:
            return values.index(1.0)
        odd = next((field for field, value in zip(fields, values, strict=True) if value not in (0.0, 1.0)), None)
        ones = [name for name, value in zip(task.classes, values, strict=True) if value == 1.0]
        found = f"value {odd!r}" if odd is not None else f"1 for {', '.join(ones)}" if ones else "1 for none"
        message = f"the columns of task {task.name} need one 1 and else 0; there is {found}"
        problems.append(Problem(table.file, row, "unknown_label", message))
        return UNKNOWN

    columns = zip(*(table.column(name) for name in task.one_hot), strict=True)
    return [encode(row, fields) for row, fields in enumerate(columns)]


def metadata_values(
    name: str, column: MetadataColumn, raw_values: Sequence[str | None], file: str, problems: list[Problem]
) -> pd.Series:
    """Returns a metadata column: names of values, or numbers as text; "" where nobody knows."""
    names = [raw for group in column.raw_values.values() for raw in group]

    def read(row: int, raw: str | None) -> str:
        found = in_table(column, raw)
        if found is not None:
            return found
        allowed = ", ".join(names) if column.range is None else f"{column.range[0]:g} to {column.range[1]:g}"
        message = f"column {column.column or name!r}: value {raw!r} is none of: {allowed}"
        problems.append(Problem(file, row, "unknown_metadata", message))
        return ""

    return pd.Series([read(row, raw) for row, raw in enumerate(raw_values)], dtype=object)


def scores(
    name: str, score: Score, card: DataCard, frame: pd.DataFrame, table: RawTable, problems: list[Problem]
) -> pd.Series:
    """Returns a score of each case from its labels, `UNKNOWN` where one is unknown; int64 [cases].

    Args:
        frame: has a column of class numbers for each task.
    """
    found = [score_of(score, card, labels) for labels in frame[list(score.points)].to_dict("records")]
    for row, raw in enumerate(table.column(score.column) if score.column else ()):
        if raw is not None and found[row] != UNKNOWN and number(raw) != found[row]:
            message = f"column {score.column!r}: value {raw!r} is stored, the labels give {found[row]} ({name})"
            problems.append(Problem(table.file, row, "wrong_score", message))
    return pd.Series(found, dtype="int64")


def score_of(score: Score, card: DataCard, labels: Mapping[Any, int]) -> int:
    """Returns a score of one case, `UNKNOWN` where the label of one of its tasks is unknown.

    Args:
        labels: class number of each task of the score; more is ignored.
    """
    if any(labels[task] == UNKNOWN for task in score.points):
        return UNKNOWN
    return sum(points.get(card.task(task).classes[labels[task]], 0) for task, points in score.points.items())
