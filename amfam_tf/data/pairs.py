"""Reads any data set of pairs by its card: one row per case, or every problem that is in the way.

One code path, `scan_pairs`, yields the table and all problems, as `derm7pt.scan_data_set` does for Derm7pt.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from amfam_tf.card.consistency import path_columns
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data import long_table, pair_labels, pair_splits
from amfam_tf.data.pair_pictures import ALL_PICTURES, PictureFinder
from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import RawTable, read_raw_table
from amfam_tf.errors import ConfigError


def scan_pairs(card: DataCard, folder: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Returns the cases of a data set and all problems and notes of tables and paths; opens no picture.

    Args:
        card: of the data set.
        folder: that the paths of the card begin in.

    Returns:
        One row per case, in the order of the table: case_num (int: the id if all ids are whole numbers, else the row
        from 1), case_id (str), group (str), clinical, dermoscopic (str, absolute path of the first picture, "" for
        none), clinical_all, dermoscopic_all (tuples of all paths), split, fold (int, if the card asks for folds), a
        class number for each task (-1: unknown), a column for each score and metadata column, shared_file (bool).
    """
    problems: list[Problem] = []
    cases, pictures, places = _tables(card, folder, problems)
    ids = _ids(card, cases, problems)
    frame = _with_pictures(card, folder, ids, cases, pictures, problems)
    groups = cases.column(card.cases.group) if card.cases.group else ids
    # A case of no known patient is a group of its own.
    frame["group"] = pd.Series([group or f"case {ids[row]}" for row, group in enumerate(groups)], dtype=object)
    for task in card.tasks:
        frame[task.name] = pair_labels.class_numbers(task, cases, problems)
    _add_splits(card, folder, frame, cases, problems)
    if card.cases.group is not None:
        by_row = frame.set_axis(places) if places else frame
        problems += pair_splits.overlapping_groups(by_row, card.cases.group, card.cases.table)
    _add_metadata(card, frame, cases, pictures, problems)
    for name, score in card.scores.items():
        frame[name] = pair_labels.scores(name, score, card, frame, cases, problems)
    frame["shared_file"] = (frame["clinical"] == frame["dermoscopic"]) & (frame["clinical"] != "")
    if card.one_row_per_picture:
        problems = long_table.in_rows_of_pictures(problems, cases, card.cases.table, places)
    return frame, problems


def scan_blind(card: DataCard, folder: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Returns the cases of the blind part of a data set, for `card.submission`, and all problems, as `scan_pairs` does.

    Returns:
        The columns of `scan_pairs` but the scores; each case is in the split "test", and its labels are unknown.

    Raises:
        ConfigError: the card names no blind part.
    """
    rule = card.submission
    if rule is None or rule.table is None:
        raise ConfigError(f"the card {card.name} names no blind part of the data: submission.table is needed")
    problems: list[Problem] = []
    pictured = card.pictures.table is not None
    places = {"folder": rule.folder or card.pictures.folder, "table": rule.table if pictured else None}
    blind = card.model_copy(update={"pictures": card.pictures.model_copy(update=places)})
    pictures = _picture_table(blind, folder, problems)
    if pictures is not None:
        named = dict.fromkeys(name for name in pictures.column(card.cases.id) if name)
        cases = RawTable(rule.table, pd.DataFrame({card.cases.id: pd.Series([*named], dtype=object)}))
    else:
        views = [name for modality in MODALITIES for name in _view_columns(card, modality)]
        cases = read_raw_table(folder, rule.table, [card.cases.id, *views], problems)
    ids = _ids(card, cases, problems)
    frame = _with_pictures(blind, folder, ids, cases, pictures, problems)
    frame["group"], frame["split"] = frame["case_id"], "test"
    for task in card.tasks:
        frame[task.name] = pair_labels.UNKNOWN
    _add_metadata(card, frame, cases, pictures, problems)
    frame["shared_file"] = (frame["clinical"] == frame["dermoscopic"]) & (frame["clinical"] != "")
    return frame, problems


def _tables(card: DataCard, folder: Path, problems: list[Problem]) -> tuple[RawTable, RawTable | None, Sequence[int]]:
    """Returns the cases, the table of pictures if there is one, and the row of it that each case of it begins in."""
    if not card.one_row_per_picture:
        cases = read_raw_table(folder, card.cases.table, _needed(card), problems)
        return _joined(card, folder, cases, problems), _picture_table(card, folder, problems), ()
    pictures = read_raw_table(folder, card.cases.table, (*_picture_columns(card), *_needed(card)), problems)
    cases, places = long_table.cases_of(pictures, card.cases.id, _wanted(card), problems)
    return _joined(card, folder, cases, problems), pictures, places


def _picture_table(card: DataCard, folder: Path, problems: list[Problem]) -> RawTable | None:
    """Returns the table with a row for each picture; None if the card has none."""
    if card.pictures.table is None:
        return None
    return read_raw_table(folder, card.pictures.table, _picture_columns(card), problems)


def _picture_columns(card: DataCard) -> tuple[str, ...]:
    return (card.cases.id, card.pictures.kind or "", *path_columns(card.pictures.column, card.pictures.path))


def _with_pictures(
    card: DataCard,
    folder: Path,
    ids: Sequence[str],
    cases: RawTable,
    pictures: RawTable | None,
    problems: list[Problem],
) -> pd.DataFrame:
    """Returns the table of cases with their numbers, ids and pictures."""
    finder = PictureFinder(card, folder, problems)
    found = finder.of_cases(cases) if pictures is None else finder.of_pictures(ids, cases.file, pictures)
    frame = pd.DataFrame({"case_num": _case_numbers(ids), "case_id": pd.Series(ids, dtype=object)})
    for modality in MODALITIES:
        frame[modality] = pd.Series([paths[0] if paths else "" for paths in found[modality]], dtype=object)
        frame[ALL_PICTURES[modality]] = pd.Series(found[modality], dtype=object)
    return frame


def _add_metadata(
    card: DataCard, frame: pd.DataFrame, cases: RawTable, pictures: RawTable | None, problems: list[Problem]
) -> None:
    for name, column in card.metadata.items():
        raw = _metadata(column.column or name, [*frame["case_id"]], cases, pictures, card, problems)
        frame[name] = pair_labels.metadata_values(name, column, raw, cases.file, problems)


def _needed(card: DataCard) -> list[str]:
    """Returns the columns that the table of cases must have; with joins the others may be in any of the tables."""
    return [card.cases.id] if card.cases.join else _wanted(card)


def _wanted(card: DataCard) -> list[str]:
    """Returns the columns of the cases that the card names."""
    wanted = [card.cases.id, *filter(None, (card.cases.group,))]
    if card.pictures.table is None:
        wanted += [name for modality in MODALITIES for name in _view_columns(card, modality)]
    if card.pictures.table is None or card.one_row_per_picture:
        wanted += [column.column or name for name, column in card.metadata.items()]
    if card.split.column is not None:
        wanted.append(card.split.column.name)
    for task in card.tasks:
        wanted += task.one_hot or (task.column,)
    return [*wanted, *(score.column for score in card.scores.values() if score.column)]


def _view_columns(card: DataCard, modality: str) -> list[str]:
    view = card.pictures.view(modality)
    return path_columns(view.column, view.path)


def _joined(card: DataCard, folder: Path, cases: RawTable, problems: list[Problem]) -> RawTable:
    """Returns the table of cases with the columns of the tables that it is joined with."""
    frame = cases.frame
    for join in card.cases.join:
        other = read_raw_table(folder, join.table, (join.on,), problems)
        if join.on not in frame or other.frame.empty:
            continue
        first: dict[str, int] = {}
        for row, value in enumerate(other.column(join.on)):
            if value is not None and first.setdefault(value, row) != row:
                message = f"column {join.on!r}: value {value!r} is that of row {first[value]} already"
                problems.append(Problem(other.file, row, "duplicate_case", message))
        for row, value in enumerate(frame[join.on]):
            if value not in first:
                message = f"column {join.on!r}: value {value!r} is in no row of {other.file}"
                problems.append(Problem(cases.file, row, "missing_row", message))
        once = other.frame.iloc[sorted(first.values())]
        more = [name for name in once if name == join.on or name not in frame]
        frame = frame.merge(once[more], on=join.on, how="left").astype(object)
        frame = frame.where(frame.notna(), None)
    joined = RawTable(cases.file, frame)
    if card.cases.join:
        for name in _wanted(card):
            if name not in frame:
                message = f"no column {name!r}, which the card names, in it and the tables joined with it"
                problems.append(Problem(cases.file, None, "missing_column", message))
    return joined


def _ids(card: DataCard, cases: RawTable, problems: list[Problem]) -> list[str]:
    """Returns the id of each case; each may occur once."""
    first: dict[str, int] = {}
    found = []
    for row, raw in enumerate(cases.column(card.cases.id)):
        if raw == "":
            problems.append(Problem(cases.file, row, "missing_id", f"column {card.cases.id!r} is empty"))
        elif raw is not None and first.setdefault(raw, row) != row:
            message = f"column {card.cases.id!r}: value {raw!r} is that of row {first[raw]} already"
            problems.append(Problem(cases.file, row, "duplicate_case", message))
        found.append(raw or "")
    return found


def _case_numbers(ids: Sequence[str]) -> pd.Series:
    whole = all(name.isdecimal() and name.isascii() and len(name) < 10 and str(int(name)) == name for name in ids)
    return pd.Series([int(name) for name in ids] if whole else range(1, len(ids) + 1), dtype="int64")


def _add_splits(card: DataCard, folder: Path, frame: pd.DataFrame, cases: RawTable, problems: list[Problem]) -> None:
    rule = card.split
    if rule.index_files is not None:
        frame["split"] = pair_splits.from_files(rule.index_files.by_split, folder, len(frame), cases.file, problems)
    elif rule.column is not None:
        frame["split"] = pair_splits.from_column(rule.column, cases, problems)
    elif rule.assign is not None:
        groups = [str(group) for group in frame["group"]]
        labels = None if rule.assign.stratify is None else [int(number) for number in frame[rule.assign.stratify]]
        frame["split"] = pair_splits.assigned(rule.assign, groups, labels)
        if rule.assign.folds is not None:
            frame["fold"] = pair_splits.folds(rule.assign.folds, rule.assign.seed, groups, labels)


def _metadata(
    column: str, ids: Sequence[str], cases: RawTable, pictures: RawTable | None, card: DataCard, problems: list[Problem]
) -> list[str | None]:
    """Returns the raw values of a column that stands in the table of cases, or with each picture."""
    if column in cases.frame or pictures is None:
        return cases.column(column)
    if column not in pictures.frame:
        message = f"no column {column!r}, which the card names, in it and in {pictures.file}"
        problems.append(Problem(cases.file, None, "missing_column", message))
        return [None] * len(ids)
    by_case = long_table.values_by_case(pictures, card.cases.id, column, problems)
    return [by_case.get(name, "") for name in ids]
