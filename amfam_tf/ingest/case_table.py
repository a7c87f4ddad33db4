"""The rows of a source on their way to records: those that can be used, and the others with reasons.

A case is a plain dict, ready for JSON and for `records.serialise`: `row` (number in the source's table, from 0),
`case_num`, `clinical` and `dermoscopic` (paths or URLs; "" for none), `split`, the class number of each task, the
metadata columns, `case_id`; of other data than Derm7pt also `group`, and `clinical_all` and `dermoscopic_all` (lists of
paths).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from amfam_tf.card.schema import DataCard
from amfam_tf.ingest.anomaly import Anomaly

Case = Mapping[str, Any]


@dataclass(frozen=True)
class DeadLetter:
    """A row that becomes no record.

    Attributes:
        row: number of the row in the source's table, from 0.
        case_num: as far as it could be read, else None.
        kind: short name of the sort of fault, e.g. "missing_label".
        reason: what is wrong, with the column or file.
    """

    row: int
    case_num: int | None
    kind: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CaseTable:
    """The rows of a source.

    Attributes:
        table: the file that rows are counted in.
        cases: usable rows, in order.
        dead: the others, in order.
        notes: what is worth knowing about the table.
        card: of the data.
    """

    table: str
    cases: list[Case]
    dead: list[DeadLetter]
    card: DataCard
    notes: list[Anomaly] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Returns the number of rows."""
        return len(self.cases) + len(self.dead)
