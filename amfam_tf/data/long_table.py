"""A table with a row for each picture that tells of the cases too: a case is what has one id, and its rows agree."""

import dataclasses
from collections.abc import Iterable, Sequence

import pandas as pd

from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import RawTable


def cases_of(
    pictures: RawTable, id_column: str, agreeing: Iterable[str], problems: list[Problem]
) -> tuple[RawTable, list[int]]:
    """Returns a table with a row for each case, in the order in which they come, and the row that each begins in.

    A field of a case is the first that is not empty. The table has a name of its own, by which `in_rows_of_pictures`
    knows what is wrong with a row of it.

    Args:
        pictures: a row for each picture.
        id_column: tells which case a picture is of.
        agreeing: columns that must be the same, or empty, in all rows of a case.
        problems: get where they are not, and rows without an id.
    """
    first: dict[str, int] = {}
    for row, name in enumerate(pictures.column(id_column)):
        if name == "":
            problems.append(Problem(pictures.file, row, "missing_id", f"column {id_column!r} is empty"))
        elif name is not None:
            first.setdefault(name, row)
    checked, columns = set(agreeing), {}
    for column in pictures.frame:
        values = values_by_case(pictures, id_column, column, problems if column in checked else [])
        none = None if pictures.frame[column].isna().all() else ""
        columns[column] = pd.Series([values.get(name, none) for name in first], dtype=object)
    return RawTable(f"cases of {pictures.file}", pd.DataFrame(columns)), [*first.values()]


def values_by_case(pictures: RawTable, id_column: str, column: str, problems: list[Problem]) -> dict[str, str]:
    """Returns the first value of a column that is not empty for each case; other values are problems."""
    found: dict[str, str] = {}
    rows = zip(pictures.column(id_column), pictures.column(column), strict=True)
    for row, (case, value) in enumerate(rows):
        if case and value and found.setdefault(case, value) != value:
            message = f"column {column!r}: value {value!r}, and {found[case]!r} with another picture of {case!r}"
            problems.append(Problem(pictures.file, row, "contradiction", message))
    return found


def in_rows_of_pictures(
    problems: Iterable[Problem], cases: RawTable, table: str, places: Sequence[int]
) -> list[Problem]:
    """Returns the problems, those with the cases at the row of the table of pictures that the case begins in."""
    return [
        dataclasses.replace(one, file=table, row=None if one.row is None else places[one.row])
        if one.file == cases.file
        else one
        for one in problems
    ]
