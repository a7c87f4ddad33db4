"""Where pairs come from: a release or a CSV of pairs, both to the same rows, with what is wrong with each left out.

A case is a plain dict, ready for JSON and for `records.serialise`: `row` (number in the source's table, from 0),
`case_num`, `clinical` and `dermoscopic` (paths or URLs), `split`, the class number of each task, the metadata columns,
`case_id`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amfam_tf.beam import urls
from amfam_tf.ingest.anomaly import Anomaly

Case = Mapping[str, Any]
TABLE_SUFFIX = ".csv"


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
    """

    table: str
    cases: list[Case]
    dead: list[DeadLetter]
    notes: list[Anomaly] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Returns the number of rows."""
        return len(self.cases) + len(self.dead)


def read_source(source: str, images: str | None = None) -> CaseTable:
    """Reads the table of a source; opens no picture.

    Args:
        source: folder or URL of a release, or a CSV of pairs (its name ends in .csv).
        images: folder or URL that the paths in the table start from; by default images/ of a release, and the folder
            of a CSV.

    Raises:
        DataError: the table as a whole cannot be used.
    """
    from amfam_tf.ingest import pair_table, release

    if source.lower().endswith(TABLE_SUFFIX):
        start = urls.parent(source) if images is None else images
        return pair_table.read_pair_table(source, start if urls.is_url(start) else str(Path(start).absolute()))
    return release.read_release_cases(source, images)
