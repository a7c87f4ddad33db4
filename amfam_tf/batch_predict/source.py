"""What the pairs of a batch prediction come from: a CSV of pairs, a data set, or records; labels are not looked at.

A CSV of pairs has the columns case_num (whole number, each once), clinical and dermoscopic (path relative to the images
folder, absolute, or a URL); it may have others. A row without a path, or whose file is missing, is an error of that row
alone (a row of a version that takes one picture needs one path); a table whose cases cannot be told apart is refused.
Rows are counted from 0.

For a version that takes metadata each source has to have its columns, by the names of the version's card; a field may
be empty, and a value that the card does not know is an error of that row alone.
"""

import array
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from amfam_tf.batch_predict.pair import PairRow
from amfam_tf.beam import urls
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, DataCard, MetadataColumn
from amfam_tf.data.derm7pt import IMAGES, META_FILE, PATH_COLUMNS, UNKNOWN, scan_data_set
from amfam_tf.data.pair_pictures import ALL_PICTURES
from amfam_tf.data.pair_table import PairTable
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.shards import find_shards, has_shards, read_card
from amfam_tf.data.tables import to_integer
from amfam_tf.errors import DataError

COLUMNS = ("case_num", *MODALITIES)
WHAT_IT_CAN_BE = "a CSV of pairs, a data set (images/ and meta/, or one with a card) or a folder of records"


@dataclass(frozen=True)
class PairSource:
    """Where the pairs are.

    Attributes:
        kind: what it is.
        path: of the table, or the folder.
        pairs: how many there are; None for records, which nobody has counted.
        rows: gives them all, in order, each time that it is called; of records, nothing.
        records: files of a folder of records, in order.
        notes: what is worth knowing about the table, a sentence each.
    """

    kind: Literal["pairs", "data_set", "records"]
    path: str
    pairs: int | None
    rows: Callable[[], Iterator[PairRow]]
    records: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def open_source(
    source: str,
    images: str | None = None,
    columns: Mapping[str, MetadataColumn] = MappingProxyType({}),
    one_picture: bool = False,
) -> PairSource:
    """Finds out what a source is and checks its tables; opens no picture.

    Args:
        source: path or URL of a CSV of pairs, or a folder.
        images: folder or URL that the paths of a CSV start from; by default the folder that it is in.
        columns: metadata that the version takes, by name; each row then has them.
        one_picture: a row of a CSV may have one picture only.

    Raises:
        DataError: it is none of these, or its table cannot be used; names file, row and column.
        ConfigError: the card of a data set cannot be used.
    """
    path = Path(source)
    check_exists(source)
    if urls.is_url(source) or path.is_file():
        return _pairs_of_table(source, urls.parent(source) if images is None else images, columns, one_picture)
    if images is not None:
        raise DataError(f"{source} is no CSV of pairs: a folder of images goes with such a file only")
    if has_shards(path):
        _check_columns(path, read_card(path), columns)
        return PairSource("records", str(path.absolute()), None, lambda: iter(()), tuple(find_shards(path.absolute())))
    if cards.beside(path) is not None or next(cards.with_layout(path), None) is not None:
        card, folder = cards.find(path)
        _check_columns(path, card, columns)
        if cards.is_derm7pt(card):
            return _pairs_of_layout(path, columns)
        return _pairs_of_card(path, card, folder, columns)
    raise DataError(f"{source} is none of these: {WHAT_IT_CAN_BE}")


def check_exists(source: str) -> None:
    """Checks that a source is a URL, or there.

    Raises:
        DataError: it is not.
    """
    if not urls.is_url(source) and not Path(source).exists():
        raise DataError(f"{source} does not exist: {WHAT_IT_CAN_BE}")


def _check_columns(root: Path, card: DataCard, columns: Collection[str]) -> None:
    """Checks that a data set has what the version takes, under these names."""
    missing = [name for name in columns if name not in card.metadata]
    if missing:
        known = ", ".join(card.metadata) or "none"
        raise DataError(
            f"{root}: card {card.name} has no metadata {missing[0]!r}, which the version takes; it has {known}"
        )


def _told(row: Mapping[str, str], columns: Collection[str]) -> dict[str, str] | None:
    return {name: row[name] for name in columns} if columns else None


def _pairs_of_table(path: str, images: str, columns: Collection[str], one_picture: bool) -> PairSource:
    # Workers need not have this process's working directory.
    images = images if urls.is_url(images) else str(Path(images).absolute())
    numbers = array.array("q")
    what = "a CSV of pairs for this version" if columns else "a CSV of pairs"
    opened = (lambda: urls.open_url(path)) if urls.is_url(path) else None
    table = PairTable(path, (*COLUMNS, *columns), what, opened)
    for row, raw in table.rows():
        numbers.append(_number(table, row, raw))
    _refuse_repeated(table, np.frombuffer(numbers, np.int64))
    notes = tuple(f"{path}: {text}" for text in table.notes())

    def rows() -> Iterator[PairRow]:
        for row, raw in table.rows():
            yield _row(_number(table, row, raw), raw, images, columns, one_picture)

    return PairSource("pairs", path, len(numbers), rows, notes=notes)


def _number(table: PairTable, row: int, raw: dict[str, str]) -> int:
    number = to_integer(raw["case_num"])
    if number is None:
        raise table.refusal(row, f"column 'case_num': value {raw['case_num']!r} is not a whole number")
    return number


def _refuse_repeated(table: PairTable, numbers: np.ndarray) -> None:
    unique, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if repeated.size:
        number = unique[repeated[0]]
        row = np.flatnonzero(numbers == number)[1]
        earlier = first[repeated[0]]
        raise table.refusal(row, f"column 'case_num': value {number} is that of row {earlier} already")


def _row(number: int, raw: dict[str, str], images: str, columns: Collection[str], one_picture: bool) -> PairRow:
    places, error = dict.fromkeys(MODALITIES, ""), None
    enough = one_picture and any(raw[name] for name in MODALITIES)
    for name in MODALITIES:
        try:
            places[name] = urls.join(images, raw[name]) if raw[name] else ""
        except DataError as problem:
            places[name], error = raw[name], error or str(problem)
        if not raw[name] and not enough:
            error = error or f"column {name!r} is empty"
    return PairRow(number, places["clinical"], places["dermoscopic"], error, metadata=_told(raw, columns))


def _pairs_of_layout(root: Path, columns: Collection[str]) -> PairSource:
    frame, findings = scan_data_set(root.absolute())
    reasons: dict[int, str] = {}
    for problem in (finding for finding in findings if finding.severity == "problem"):
        if problem.file in (META_FILE, IMAGES) and (problem.row is None or problem.kind == "duplicate_case"):
            raise DataError(f"{root}: {problem}")
        about_path = problem.file == META_FILE and problem.message.startswith(_PATH_COLUMNS)
        if problem.row is not None and about_path:
            reasons.setdefault(problem.row, str(problem))
        # What is wrong with labels and splits does not matter here.
    unnumbered = np.flatnonzero(frame["case_num"] == UNKNOWN)
    if unnumbered.size:
        raise DataError(f"{root}: {META_FILE} row {unnumbered[0]}: column 'case_num' is not a whole number")

    def rows() -> Iterator[PairRow]:
        for row, case in enumerate(frame[[*COLUMNS, *columns]].to_dict("records")):
            pictures = case["clinical"], case["dermoscopic"]
            yield PairRow(int(case["case_num"]), *pictures, reasons.get(row), metadata=_told(case, columns))

    notes = tuple(f"{root}: {finding}" for finding in findings if finding.severity == "note")
    return PairSource("data_set", str(root), len(frame), rows, notes=notes)


def _pairs_of_card(root: Path, card: DataCard, folder: Path, columns: Collection[str]) -> PairSource:
    """Returns the cases of a data set with a card, with all pictures of each view."""
    frame, findings = scan_pairs(card, folder.absolute())
    problems = [finding for finding in findings if finding.severity == "problem"]
    tables = (card.cases.table, card.pictures.table)
    for problem in problems:
        if problem.kind in ("duplicate_case", "missing_id") or (problem.row is None and problem.file in tables):
            raise DataError(f"{root}: {problem}")
    # What is wrong with labels and splits does not matter here.
    taken = tuple(f"column {card.metadata[name].column or name!r}: " for name in columns)
    values = [one for one in problems if one.kind == "unknown_metadata" and one.message.startswith(taken)]
    if values and card.one_row_per_picture:
        # Its row is that of a picture.
        raise DataError(f"{root}: {values[0]}")
    reasons = {
        problem.row: str(problem)
        for problem in reversed(problems)
        if problem.file == card.cases.table
        and not card.one_row_per_picture
        and (problem.kind in _OF_COUNTS or problem.message.startswith("picture ") or problem in values)
    }

    def rows() -> Iterator[PairRow]:
        for row, case in enumerate(frame[[*COLUMNS, *ALL_PICTURES.values(), "case_id", *columns]].to_dict("records")):
            missing = [modality for modality in MODALITIES if not case[modality]]
            error = f"case {case['case_id']} has no {missing[0]} picture" if missing else None
            pictures = case["clinical"], case["dermoscopic"]
            more = {name: [*case[column][1:]] for name, column in ALL_PICTURES.items() if len(case[column]) > 1}
            told = _told(case, columns)
            yield PairRow(int(case["case_num"]), *pictures, reasons.get(row, error), metadata=told, more=more)

    notes = tuple(f"{root}: {finding}" for finding in findings if finding.severity == "note")
    return PairSource("data_set", str(root), len(frame), rows, notes=notes)


_OF_COUNTS = ("missing_image", "several_images")
_PATH_COLUMNS = tuple(f"column {name!r}" for name in PATH_COLUMNS.values())
