"""The table that every medium shows: plain text cells, built once from the results."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        cells: as many as the table has headings; the first ones are headers of the row.
        kind: "" or words with blanks between them: total, quiet, and first (of a group of rows).
    """

    cells: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows; "" if the text around it says so.
        headings: of its columns.
        rows: top to bottom.
        note: below it.
        headers: leading cells of each row that name it.
        text: numbers of the columns that hold text, left-aligned; a terminal may break them.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[TableRow]
    note: str = ""
    headers: int = 1
    text: frozenset[int] = frozenset()

    def without(self, *headings: str) -> "Table":
        """Returns the table without the columns of these headings."""
        kept = [place for place, heading in enumerate(self.headings) if heading not in headings]
        rows = [dataclasses.replace(row, cells=[row.cells[place] for place in kept]) for row in self.rows]
        return dataclasses.replace(
            self,
            headings=[self.headings[place] for place in kept],
            rows=rows,
            headers=sum(place < self.headers for place in kept),
            text=frozenset(new for new, place in enumerate(kept) if place in self.text),
        )

    def left_aligned(self, place: int) -> bool:
        """Returns whether a column holds text, not numbers."""
        return place < self.headers or place in self.text


def text_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> Table:
    """Returns a table of which every column holds text."""
    return Table(caption, headings, [TableRow(row) for row in rows], note, text=frozenset(range(len(headings))))
