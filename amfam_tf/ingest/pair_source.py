"""A data set with a card of its own as a source: its rows are those of the card's table of cases."""

from pathlib import Path
from typing import Any

from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.pair_pictures import ALL_PICTURES
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.records import integer_features, text_features
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.ingest.anomaly import Anomaly
from amfam_tf.ingest.case_table import Case, CaseTable, DeadLetter


def read_pairs(source: str, card: DataCard, folder: Path, images: str | None = None) -> CaseTable:
    """Reads the tables of a data set with a card.

    A row of the table of cases with a problem becomes a dead letter; any other problem, and any of a table with a row
    for each picture, is one of the data set as a whole, and so is a group in several splits, which leaving out a row
    would not mend.

    Args:
        source: what to call it in an error.
        card: of the data set.
        folder: that the paths of the card begin in.
        images: must be None: the card says where the pictures are.

    Raises:
        ConfigError: `images` is given.
        DataError: a table is missing or cannot be used.
    """
    if images is not None:
        raise ConfigError(f"{source}: the card {card.name} says where the pictures are: leave --images {images} out")
    frame, findings = scan_pairs(card, folder)
    dead: dict[int, DeadLetter] = {}
    for problem in findings:
        if problem.severity == "note":
            continue
        elsewhere = problem.file != card.cases.table or card.one_row_per_picture
        if elsewhere or problem.row is None or problem.kind == "leakage":
            raise DataError(f"{source}: {problem}")
        number = int(frame["case_num"][problem.row])
        dead.setdefault(problem.row, DeadLetter(problem.row, number, problem.kind, problem.message))
    columns = [*integer_features(card), *MODALITIES, *ALL_PICTURES.values(), *text_features(card), "case_id"]
    rows = frame[columns].to_dict("records")
    cases: list[Case] = [_case(row, raw, integer_features(card)) for row, raw in enumerate(rows) if row not in dead]
    notes = [Anomaly(one.kind, f"{one.file}: {one.message}", "note") for one in findings if one.severity == "note"]
    return CaseTable(card.cases.table, cases, [dead[row] for row in sorted(dead)], card, notes)


def _case(row: int, raw: dict[Any, Any], numbers: tuple[str, ...]) -> dict[str, Any]:
    return {"row": row, **raw, **{name: int(raw[name]) for name in numbers}}
