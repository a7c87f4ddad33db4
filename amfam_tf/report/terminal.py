"""A table for the terminal."""

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from amfam_tf.report.table import Table

STYLES = {"total": "bold", "quiet": "dim"}


def to_rich(table: Table, framed: bool = True) -> RichTable:
    """Returns a table for the terminal.

    Args:
        table: any.
        framed: with lines around and between its cells, which may then be broken at their blanks. Without, only text
            may: a number on two lines is another number.
    """
    shown = RichTable(title=table.caption or None, caption=table.note or None)
    if not framed:
        shown.box, shown.padding, shown.pad_edge = box.SIMPLE_HEAD, (0, 1, 0, 0), False
    for place, heading in enumerate(table.headings):
        whole = not framed and place not in table.text
        shown.add_column(heading, justify="left" if table.left_aligned(place) else "right", no_wrap=whole)
    for number, row in enumerate(table.rows):
        kinds = row.kind.split()
        if framed and number and not {"first", "total"}.isdisjoint(kinds):
            shown.add_section()
        style = next((STYLES[kind] for kind in kinds if kind in STYLES), "")
        shown.add_row(*(Text(str(cell)) for cell in row.cells), style=style)
    return shown
