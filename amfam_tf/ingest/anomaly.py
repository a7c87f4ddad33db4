"""One thing about the data as a whole that is wrong or worth knowing."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

SHOWN_ROWS = 10
Severity = Literal["problem", "note"]


@dataclass(frozen=True)
class Anomaly:
    """A finding about some rows or about all.

    Attributes:
        kind: short name of the sort of finding, e.g. "leakage".
        message: what it is, one sentence.
        severity: "problem" is something to repair, "note" is not.
        count: rows that it is about; 0 if it is about the data as a whole.
        rows: the first of them, at most SHOWN_ROWS, counted from 0 in the source's table.
    """

    kind: str
    message: str
    severity: Severity
    count: int = 0
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Returns one line: kind, message and rows."""
        if not self.rows:
            return f"{self.kind}: {self.message}"
        more = ", ..." if self.count > len(self.rows) else ""
        return f"{self.kind}: {self.message} (rows {', '.join(map(str, self.rows))}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Returns the finding as plain values, ready for JSON."""
        return asdict(self) | {"rows": list(self.rows)}
