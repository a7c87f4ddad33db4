"""One patient or lesion in several splits: what a network learned of it in training counts for it in the test.

Derm7pt has no patient; its `case_id` is any text, and may be that of a series: cases that share one are told and are no
fault. The other columns say what they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

COLUMNS: Mapping[str, Literal["problem", "note"]] = {
    "patient_id": "problem",
    "patient": "problem",
    "lesion_id": "problem",
    "case_id": "note",
}
"""Column -> how bad it is that one of its values is in several splits."""


@dataclass(frozen=True)
class Shared:
    """A value that is in several splits.

    Attributes:
        column: e.g. "patient_id".
        value: of the column.
        rows: by split, the rows that have it, from 0.
    """

    column: str
    value: str
    rows: Mapping[str, tuple[int, ...]]

    @property
    def severity(self) -> Literal["problem", "note"]:
        """Returns how bad that is: of a patient or a lesion a problem, of a case worth knowing."""
        return COLUMNS[self.column]

    def __str__(self) -> str:
        """Returns value, splits and first rows."""
        places = ", ".join(f"{split} (row {rows[0]})" for split, rows in self.rows.items())
        return f"{self.column} {self.value!r} is in {places}"


def in_several_splits(cases: Iterable[Mapping[str, Any]]) -> Iterator[Shared]:
    """Yields each value that is in several splits, column by column, in the order of the rows.

    Args:
        cases: with `row`, `split` and any of `COLUMNS`; an empty value or split says nothing.
    """
    found: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        for column in COLUMNS:
            value = str(case.get(column) or "").strip()
            if value and case["split"]:
                found[column, value][case["split"]].append(case["row"])
    for column in COLUMNS:
        for (name, value), rows in found.items():
            if name == column and len(rows) > 1:
                yield Shared(column, value, {split: tuple(numbers) for split, numbers in rows.items()})
