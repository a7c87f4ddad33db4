"""Which split each case of a data set with a card is in, and which fold: by files, by a column, or dealt out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.card.schema import IndexFiles, Shares, SplitColumn
from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import RawTable, read_raw_table

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


def from_files(files: IndexFiles, folder: Path, cases: int, table: str, problems: list[Problem]) -> list[str]:
    """Returns the splits by files of row numbers, which have to share out all rows; "" for a row in none."""
    splits: dict[int, str] = {}
    for split, file in (("train", files.train), ("validate", files.validate_), ("test", files.test)):
        for place, raw in enumerate(read_raw_table(folder, file, (INDEX_COLUMN,), problems).column(INDEX_COLUMN)):
            row = int(raw) if raw is not None and raw.strip().isdecimal() and len(raw.strip()) < 10 else -1
            if raw is not None and not 0 <= row < cases:
                message = f"value {raw!r} is no row of {table}, which has the rows 0 to {cases - 1}"
                problems.append(Problem(file, place, "index_out_of_range", message))
            elif row in splits:
                message = f"row {row} of {table} is in the split {splits[row]} already"
                problems.append(Problem(file, place, "overlapping_index", message))
            elif raw is not None:
                splits[row] = split
    missing = sorted(set(range(cases)) - set(splits))
    problems += [Problem(table, row, "incomplete_index", f"row {row} is in no index file") for row in missing]
    return [splits.get(row, "") for row in range(cases)]


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
