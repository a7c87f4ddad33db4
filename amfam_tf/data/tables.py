"""Tables of a data set with a card, as strings, and what is wrong with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amfam_tf.data.csv_table import CsvTable, TableError
from amfam_tf.data.problems import Problem
from amfam_tf.files import regular_files


@dataclass(frozen=True)
class RawTable:
    """A table of raw strings.

    Attributes:
        file: path relative to the data set.
        frame: its rows; a column that was asked for and is not in the file holds None.
    """

    file: str
    frame: pd.DataFrame

    def column(self, name: str) -> list[str | None]:
        """Returns the raw strings of a column, None where there is no such column."""
        return list(self.frame[name]) if name in self.frame else [None] * len(self.frame)


def read_raw_table(folder: Path, file: str, needed: Iterable[str], problems: list[Problem]) -> RawTable:
    """Returns all columns of a CSV file; without rows if it cannot be read."""
    needed = list(dict.fromkeys(needed))
    try:
        table = CsvTable(lambda: regular_files.open_binary(folder / file, regular_files.MAX_TABLE_BYTES), needed)
        rows = list(table.rows())
    except FileNotFoundError:
        problems.append(Problem(file, None, "missing_file", "no such file; the card names it"))
        return RawTable(file, pd.DataFrame(columns=needed, dtype=object))
    except (OSError, TableError) as error:
        text = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        problems.append(Problem(file, None, "unreadable_table", text))
        return RawTable(file, pd.DataFrame(columns=needed, dtype=object))
    problems += [Problem(file, None, "table_format", text, "note") for text in table.notes()]
    for name in table.missing(needed):
        found = ", ".join(map(repr, table.columns))
        problems.append(
            Problem(file, None, "missing_column", f"no column {name!r}, which the card names; it has: {found}")
        )
    if not rows:
        problems.append(Problem(file, None, "no_rows", "has no rows"))
    names = [name for name in dict.fromkeys((*table.columns, *needed)) if name]
    return RawTable(
        file, pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    )
