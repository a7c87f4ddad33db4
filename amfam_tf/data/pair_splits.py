"""Which split each case of a data set with a card is in, and which fold: by files, by a column, or dealt out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.card.schema import Shares, SplitColumn
from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import BY_CARD, RawTable, Wording, read_raw_table, to_integer

INDEX_COLUMN = "indexes"


def from_column(column: SplitColumn, table: RawTable, problems: list[Problem]) -> list[str]:
    """Returns the splits that a column names, "" where it names none."""
    words = dict.fromkeys(column.train, "train") | dict.fromkeys(column.test, "test")
    words |= dict.fromkeys(column.validate_, "validate")
    for row, raw in enumerate(table.column(column.name)):
        if raw is not None and raw not in words:
            message = f"column {column.name!r}: value {raw!r} is none of: {', '.join(words)}"
            problems.append(Problem(table.file, row, "unknown_split", message))
    return [words.get(raw or "", "") for raw in table.column(column.name)]


def from_files(
    files: Mapping[str, str],
    folder: Path,
    cases: int,
    table: str,
    problems: list[Problem],
    wording: Wording = BY_CARD,
) -> list[str]:
    """Returns the split of each row by files of row numbers, which have to share out all rows; "" for a row in none.

    Args:
        files: by split.
        folder: of the data set.
        cases: rows of the table of cases.
        table: its path, for messages.
        problems: get what is wrong.
        wording: of problems with the files.
    """
    found: list[Problem] = []
    splits: dict[int, str] = {}
    for split, file in files.items():
        named = read_raw_table(folder, file, (INDEX_COLUMN,), found, wording)
        rows = _index_rows(named, cases, table, found)
        for place, row in rows.items():
            if row in splits:
                message = f"row {row} of {table} is in {files[splits[row]]} as well"
                found.append(Problem(file, place, "overlapping_index", message))
        splits.update({row: split for row in rows.values() if row not in splits})
    # If a file is missing, so are its rows.
    if all(problem.row is not None for problem in found if problem.severity == "problem"):
        for row in sorted(set(range(cases)) - set(splits)):
            message = f"row {row} is in no index file ({', '.join(files.values())})"
            found.append(Problem(table, row, "incomplete_index", message))
    problems.extend(found)
    return [splits.get(row, "") for row in range(cases)]


def _index_rows(index: RawTable, cases: int, table: str, problems: list[Problem]) -> dict[int, int]:
    """Returns {row of the index file: row of the table of cases that it names}, each of the latter once."""
    rows: dict[int, int] = {}
    places: dict[int, int] = {}
    for place, raw in enumerate(index.column(INDEX_COLUMN)):
        if raw is None:
            continue
        row = to_integer(raw)
        if row is None:
            problems.append(Problem(index.file, place, "not_an_integer", f"value {raw!r} is not a whole number"))
        elif cases and not 0 <= row < cases:  # without a table of cases there is no range to be in
            message = f"value {row} is no row of {table}, which has the rows 0 to {cases - 1}"
            problems.append(Problem(index.file, place, "index_out_of_range", message))
        elif row in places:
            message = f"value {row} is in row {places[row]} of this file already"
            problems.append(Problem(index.file, place, "duplicate_index", message))
        else:
            rows[place] = row
            places[row] = place
    return rows


def assigned(shares: Shares, groups: Sequence[str], labels: Sequence[int] | None) -> list[str]:
    """Returns the splits that cases are dealt into, groups as a whole; the order of the rows does not matter.

    Args:
        groups: of each case.
        labels: class number of each case, for even shares of each class; None for no such care.
    """
    return dealt(
        {"train": shares.train, "validate": shares.validate_, "test": shares.test}, shares.seed, groups, labels
    )


def folds(count: int, seed: int, groups: Sequence[str], labels: Sequence[int] | None) -> list[int]:
    """Returns the fold of each case, from 0, of nearly equal sizes; otherwise as `assigned`."""
    found = dealt({str(number): 1.0 / count for number in range(count)}, seed, groups, labels)
    return [int(name) for name in found]


def dealt(shares: Mapping[str, float], seed: int, groups: Sequence[str], labels: Sequence[int] | None) -> list[str]:
    """Returns the part of each case. Within the groups of a class, each goes where most is missing yet."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    strata: dict[int, list[str]] = defaultdict(list)
    for group in sorted(members):
        strata[0 if labels is None else _commonest([labels[row] for row in members[group]])].append(group)
    random, parts = np.random.default_rng(seed), list(shares)
    found = [""] * len(groups)
    # What is missing goes on from class to class: classes of few cases do not all leave the last part short.
    given = dict.fromkeys(parts, 0.0)
    for stratum in sorted(strata):
        names = strata[stratum]
        total = sum(len(members[name]) for name in names)
        wanted = {part: given[part] + shares[part] * total for part in parts}
        for name in sorted(random.permutation(names), key=lambda name: -len(members[str(name)])):
            rows = members[str(name)]
            part = max(parts, key=lambda part: wanted[part])
            wanted[part] -= len(rows)
            for row in rows:
                found[row] = part
        given = wanted
    return found


def _commonest(labels: Sequence[int]) -> int:
    values, counts = np.unique(labels, return_counts=True)
    return int(values[np.argmax(counts)])


def overlapping_groups(frame: pd.DataFrame, column: str, file: str) -> list[Problem]:
    """Returns each group that is in several splits: what a network learned of it in training counts in the test."""
    found = []
    for group, rows in frame[frame["split"] != ""].groupby("group", sort=True):
        if rows["split"].nunique() > 1:
            places = ", ".join(f"{split} (row {own.index[0]})" for split, own in rows.groupby("split"))
            found.append(Problem(file, int(rows.index[-1]), "leakage", f"{column} {group!r} is in {places}"))
    return found
