"""Tables for the terminal and as Markdown."""

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from amfam_tf.evaluation.html_tables import Table

STYLES = {"total": "bold", "quiet": "dim"}


def to_rich(table: Table) -> RichTable:
    """Returns a table for the terminal."""
    shown = RichTable(
        title=table.caption, caption=table.note or None, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for place, heading in enumerate(table.headings):
        left = place < table.headers or place in table.text
        # Only text may be broken: a number on two lines is another number.
        shown.add_column(heading, justify="left" if left else "right", no_wrap=place not in table.text)
    for row in table.rows:
        shown.add_row(*(Text(str(cell)) for cell in row.cells), style=STYLES.get(row.kind, ""))
    return shown


def to_markdown(table: Table) -> str:
    """Returns a table as GitHub's Markdown, with its caption above and its note below."""
    marks = [":--" if place < table.headers or place in table.text else "--:" for place in range(len(table.headings))]
    lines = [_line(table.headings), _line(marks), *(_line(row.cells) for row in table.rows)]
    note = f"\n\n{_escape(table.note)}" if table.note else ""
    return f"**{_escape(table.caption)}**\n\n" + "\n".join(lines) + note + "\n"


def _line(cells) -> str:
    return "| " + " | ".join(_escape(str(cell)).replace("|", "\\|") for cell in cells) + " |"


def _escape(text: str) -> str:
    for mark in ("\\", "*", "_", "<"):
        text = text.replace(mark, f"\\{mark}")
    return text
