"""A table as GitHub's Markdown."""

from collections.abc import Iterable

from amfam_tf.report.table import Table


def to_markdown(table: Table) -> str:
    """Returns a table with its caption above and its note below, if it has them."""
    marks = [":--" if table.left_aligned(place) else "--:" for place in range(len(table.headings))]
    lines = [_line(table.headings), _line(marks), *(_line(row.cells) for row in table.rows)]
    caption = f"**{_escape(table.caption)}**\n\n" if table.caption else ""
    note = f"\n\n{_escape(table.note)}" if table.note else ""
    return caption + "\n".join(lines) + note + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escape(str(cell)).replace("|", "\\|") for cell in cells) + " |"


def _escape(text: str) -> str:
    for mark in ("\\", "*", "_", "<"):
        text = text.replace(mark, f"\\{mark}")
    return text
