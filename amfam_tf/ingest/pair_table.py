"""A CSV of pairs: one row per case, raw labels as Derm7pt writes them.

| column | content |
| --- | --- |
| case_num | whole number, each once |
| clinical, dermoscopic | path of the picture, relative to the images folder; or absolute, or a URL |
| split | train, validate or test |
| diagnosis, pigment_network, ... (`tasks.TASKS`) | raw string of a class; empty: the row becomes no record |
| level_of_diagnostic_difficulty, elevation, location, sex, management | optional column, empty if missing |
| case_id | optional column, any text |
| patient_id, patient, lesion_id | optional columns, any text: only to find one in several splits |

Other columns are not used.
"""

import io
from collections.abc import Iterable, Mapping

from amfam_tf.beam import urls
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, SPLITS
from amfam_tf.data import identities
from amfam_tf.data.pair_table import PairTable
from amfam_tf.data.tables import to_integer
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files
from amfam_tf.ingest.anomaly import Anomaly
from amfam_tf.ingest.case_table import Case, CaseTable, DeadLetter

CARD = cards.legacy()
OPTIONAL = (*CARD.metadata, *identities.COLUMNS)
WHAT = "a CSV of pairs"
REQUIRED = ("case_num", *MODALITIES, "split", *(task.column for task in CARD.tasks))


class _RowError(DataError):
    """A row that cannot be used; `kind` is that of the dead letter."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_pair_table(path: str, images: str) -> CaseTable:
    """Reads a CSV of pairs.

    Args:
        path: of the CSV, or its URL.
        images: folder or URL that relative paths start from.

    Raises:
        DataError: it cannot be read, a column is missing, or it has no rows; names the file.
    """
    absent = dict.fromkeys(OPTIONAL, "")
    try:
        content = urls.read_bytes(path, regular_files.MAX_TABLE_BYTES)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    table = PairTable(path, REQUIRED, WHAT, lambda: io.BytesIO(content))
    cases: list[Case] = []
    dead: list[DeadLetter] = []
    first_rows: dict[int | None, int] = {}
    for row, found in table.rows():
        raw = absent | found
        number = to_integer(raw["case_num"])
        try:
            case = {"row": row, **_parse(raw, images)}
            first = first_rows.setdefault(number, row)
            if first != row:
                raise _RowError("duplicate_case", f"column 'case_num': value {number} is that of row {first} already")
        except _RowError as error:
            dead.append(DeadLetter(row, number, error.kind, str(error)))
        else:
            cases.append(case)
    told = [Anomaly("table_format", text, "note") for text in table.notes()]
    return CaseTable(path, cases, dead, CARD, [*told, *_unused_columns(table.columns)])


def _parse(raw: Mapping[str, str], images: str) -> Case:
    """Returns the case of a row, without its number in the table."""
    number = to_integer(raw["case_num"])
    if number is None:
        raise _RowError("not_an_integer", f"column 'case_num': value {raw['case_num']!r} is not a whole number")
    return {
        "case_num": number,
        **{name: _picture(raw, name, images) for name in MODALITIES},
        "split": _split(raw["split"]),
        **_labels(raw),
        **{name: _metadata(raw, name) for name in CARD.metadata},
        **{name: raw[name] for name in identities.COLUMNS},
    }


def _picture(raw: Mapping[str, str], modality: str, images: str) -> str:
    if not raw[modality]:
        raise _RowError("missing_path", f"column {modality!r} is empty")
    try:
        return urls.join(images, raw[modality])
    except DataError as error:
        raise _RowError("ambiguous_path", f"column {modality!r}: {error}") from error


def _split(raw: str) -> str:
    if raw not in SPLITS:
        raise _RowError("unknown_split", f"column 'split': value {raw!r} is none of: {', '.join(SPLITS)}")
    return raw


def _labels(raw: Mapping[str, str]) -> dict[str, int]:
    missing = [task.column for task in CARD.tasks if not raw[task.column]]
    if missing:
        raise _RowError("missing_label", f"no label in {', '.join(missing)}: a record needs all {len(CARD.tasks)}")
    try:
        return {task.name: task.encode(raw[task.column]) for task in CARD.tasks}
    except DataError as error:
        raise _RowError("unknown_label", str(error)) from error


def _metadata(raw: Mapping[str, str], column: str) -> str:
    values = CARD.metadata[column].raw_values
    if raw[column] and raw[column] not in values:
        allowed = ", ".join(values)
        raise _RowError("unknown_metadata", f"column {column!r}: value {raw[column]!r} is none of: {allowed}")
    return raw[column]


def _unused_columns(columns: Iterable[str]) -> list[Anomaly]:
    unused = [column for column in columns if column not in (*REQUIRED, *OPTIONAL)]
    if not unused:
        return []
    return [Anomaly("unused_column", f"not used: {', '.join(map(repr, unused))}", "note")]
