"""Tables of a data set with a card, as strings, and what is wrong with them."""

import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amfam_tf.data.csv_table import CsvTable, TableError
from amfam_tf.data.problems import Problem
from amfam_tf.errors import DataError, one_line
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


@dataclass(frozen=True)
class Wording:
    """How messages speak of a table.

    Attributes:
        file: why a file that is not there is wanted.
        column: what comes between the name of a column that is not there and those that are.
    """

    file: str
    column: str


BY_CARD = Wording("the card names it", ", which the card names; it has: ")


def read_raw_table(
    folder: Path,
    file: str,
    needed: Iterable[str],
    problems: list[Problem],
    wording: Wording = BY_CARD,
    mixed: bool = False,
) -> RawTable:
    """Returns all columns of a table; without rows if it cannot be read.

    Args:
        folder: of the data set.
        file: path within it.
        needed: columns; None throughout where one is missing.
        problems: get what is wrong.
        wording: of the problems.
        mixed: see `CsvTable`.

    Raises:
        DataError: it is a workbook, and what reads workbooks is not installed.
    """
    needed = list(dict.fromkeys(needed))
    nothing = RawTable(file, pd.DataFrame(columns=needed, dtype=object))
    try:
        columns, rows, notes = read_rows(folder / file, needed, mixed)
    except FileNotFoundError:
        problems.append(Problem(file, None, "missing_file", f"no such file; {wording.file}"))
        return nothing
    except OSError as error:
        problems.append(Problem(file, None, "unreadable_table", f"cannot be read: {error.strerror}"))
        return nothing
    except TableError as error:
        problems.append(Problem(file, None, "unreadable_table", str(error)))
        return nothing
    problems += [Problem(file, None, "table_format", text, "note") for text in notes]
    found = ", ".join(map(repr, columns))
    missing = [name for name in needed if name not in columns]
    problems += [
        Problem(file, None, "missing_column", f"no column {name!r}{wording.column}{found}") for name in missing
    ]
    if not rows:
        problems.append(Problem(file, None, "no_rows", "has no rows"))
    names = [name for name in dict.fromkeys((*columns, *needed)) if name]
    frame = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names}
    return RawTable(file, pd.DataFrame(frame))


def to_integer(raw: str) -> int | None:
    """Returns the number that `raw` spells, or None."""
    return int(raw) if re.fullmatch(r"[+-]?[0-9]{1,18}", raw.strip()) else None


def read_rows(
    path: Path, needed: Sequence[str] = (), mixed: bool = False
) -> tuple[Sequence[str], list[dict[str, str]], list[str]]:
    """Returns columns, rows as raw strings, and what a person should know of how they were read.

    Args:
        path: of a CSV file, or of a workbook (.xlsx), of which the first sheet is read.
        needed: columns that tell which character separates the fields of a CSV file.
        mixed: see `CsvTable`.

    Raises:
        DataError: it is a workbook, and what reads workbooks is not installed.
        OSError: it cannot be read.
        TableError: it is no table; the message names row or column.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_workbook(path)
    table = CsvTable(lambda: regular_files.open_binary(path, regular_files.MAX_TABLE_BYTES), needed, mixed)
    rows = list(table.rows())
    return table.columns, rows, table.notes()


def _read_workbook(path: Path) -> tuple[Sequence[str], list[dict[str, str]], list[str]]:
    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(f"{path}: reading a workbook needs openpyxl: pip install 'amfam_tf[excel]', or save it as CSV")
    content = regular_files.read(path, regular_files.MAX_TABLE_BYTES)
    try:
        frame = pd.read_excel(io.BytesIO(content), header=None, dtype=str, keep_default_na=False)
    except Exception as error:  # openpyxl and zipfile raise of every kind
        raise TableError(f"cannot be read as a workbook: {one_line(error)}") from error
    if frame.empty:
        raise TableError("cannot be read as a workbook: its first sheet is empty")
    # The header by itself: pandas would give equal names numbers.
    columns = [str(name) for name in frame.iloc[0]]
    twins = [name for name, count in Counter(columns).items() if count > 1 and name.strip()]
    if twins:
        raise TableError(f"column {twins[0]!r} stands several times in the header: rename or remove all but one")
    records = frame.iloc[1:].to_numpy().tolist()
    rows = [dict(zip(columns, map(str, record), strict=True)) for record in records if any(record)]
    return columns, rows, []
