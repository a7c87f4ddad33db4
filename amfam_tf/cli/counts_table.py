"""The cases of each task, class and split as a table in the layout of the paper's Table 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def counts_table(title: str, cases: int, splits: Mapping[str, int], counts: Sequence[Mapping[str, Any]]) -> Table:
    """Returns the table.

    Args:
        title: above it.
        cases: of all splits.
        splits: cases of each.
        counts: rows with task, class, one number per split, total.
    """
    table = Table("task", "class", title=title)
    for heading in (*splits, "total"):
        table.add_column(heading, justify="right")
    previous = None
    for row in counts:
        if previous not in (None, row["task"]):
            table.add_section()
        numbers = [str(row[heading]) for heading in (*splits, "total")]
        table.add_row("" if row["task"] == previous else row["task"], row["class"], *numbers)
        previous = row["task"]
    table.add_section()
    table.add_row("cases", "", *(str(splits[split]) for split in splits), str(cases))
    return table
