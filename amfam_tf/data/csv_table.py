"""The one reader of the tables that users give: strict, a row in memory at a time, and nothing lost in silence.

What is read: UTF-8 with or without a mark, UTF-16 and UTF-32 with one, and cp1252 where the bytes are no UTF-8; comma,
semicolon or tab between the fields; any line ends. Every row has as many fields as the header has names. Empty lines
are no rows. Rows are counted from 0, as in Derm7pt's index files; lines of the file from 1, as editors do.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from amfam_tf.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
LONGEST_LINE = 1 << 20
"""Characters; more in one line is no table, and must not fill the memory."""
SHOWN = 3
_AS_CP1252 = "amfam-cp1252"
"""Error handler of a codec: bytes that are no UTF-8 are those of cp1252."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TABLES = (
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
)
_ENCODING_NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32", "cp1252": "cp1252"}


class TableError(DataError):
    """A table that cannot be used; the message names row, line or column, and not the file."""


@dataclass(frozen=True)
class LineBreaks:
    """A field that goes over several lines of the file: legal, and what a forgotten quote looks like too.

    Attributes:
        row: from 0.
        column: its name.
        first_line: line of the file, from 1, that the row begins in.
        last_line: that it ends in.
    """

    row: int
    column: str
    first_line: int
    last_line: int

    def __str__(self) -> str:
        """Returns row, column and lines for a message."""
        return f"row {self.row}, column {self.column!r}, lines {self.first_line} to {self.last_line}"


class CsvTable:
    """A table with a header.

    Args:
        opened: opens the file anew, for bytes, each time that it is called.
        required: names that the header needs; they tell which character separates the fields.
        mixed: read a file whose lines are partly UTF-8 and partly not, and say so, instead of refusing it.

    Attributes:
        columns: names in the header, in order; unnamed ones are "".
        encoding: that the file is read in.
        separator: between the fields.

    Raises:
        TableError: the file is no table, or its header cannot be used.
        OSError: it cannot be read.
    """

    def __init__(self, opened: Callable[[], BinaryIO], required: Sequence[str] = (), mixed: bool = False):
        self._opened = opened
        with closing(opened()) as stream:
            self.encoding, self._errors, self._odd_lines = _find_encoding(stream, mixed)
        with closing(self._lines()) as lines:
            header = next((line for line in lines if line.strip()), "")
            self._told_separator = header.lower().startswith("sep=") and len(header.strip("\r\n")) == 5
            told = header[4] if self._told_separator else None
        self.separator = told or _find_separator(header, required)
        with closing(self._records()) as records:
            _, _, names = next(records, (0, 0, []))
        if not names:
            raise TableError("cannot be read as CSV: it is empty")
        self.columns: tuple[str, ...] = tuple(names)
        self._refuse_twins()
        self._breaks: list[LineBreaks] = []
        self._broken_fields = 0

    def rows(self) -> Iterator[dict[str, str]]:
        """Gives each row as {column: field}, "" for an empty field; anew each time that it is called.

        Raises:
            TableError: what cannot be read, with its row and line.
            OSError: the file cannot be read.
        """
        self._breaks, self._broken_fields = [], 0
        records = self._records()
        next(records)
        for row, (first, last, fields) in enumerate(records):
            if len(fields) != len(self.columns):
                more = "more" if len(fields) > len(self.columns) else "fewer"
                raise TableError(
                    f"row {row} has {more} fields than the header has names: {len(fields)} instead of "
                    f"{len(self.columns)} (line {first} of the file)"
                )
            if last > first:
                self._note_breaks(row, fields, first, last)
            yield dict(zip(self.columns, fields, strict=True))

    def missing(self, required: Sequence[str]) -> list[str]:
        """Returns the names that the header does not have."""
        return [name for name in required if name not in self.columns]

    def require(self, required: Sequence[str], what: str) -> None:
        """Checks that the header has these names.

        Raises:
            TableError: names the first that is missing; `what` is what needs them.
        """
        for name in self.missing(required):
            found = ", ".join(map(repr, self.columns))
            raise TableError(f"no column {name!r}; {what} needs {', '.join(required)}; it has: {found}")

    def notes(self) -> list[str]:
        """Returns what a person should know of how the rows so far were read; a sentence each."""
        found = []
        if self._odd_lines:
            lines = ", ".join(map(str, self._odd_lines))
            more = ", ..." if len(self._odd_lines) == SHOWN else ""
            found.append(f"is not UTF-8 (line {lines}{more}): read as cp1252 (Windows); check its umlauts and accents")
        elif self.encoding in ("utf-16", "utf-32"):
            found.append(f"read as {_ENCODING_NAMES[self.encoding]}")
        if self.separator != ",":
            found.append(f"read with {SEPARATORS.get(self.separator, repr(self.separator))} between the fields")
        if self._broken_fields:
            some = self._broken_fields
            fields = "1 field holds line breaks" if some == 1 else f"{some} fields hold line breaks"
            more = "; ..." if some > len(self._breaks) else ""
            places = "; ".join(map(str, self._breaks))
            found.append(f"{fields} ({places}{more}): if a quote is missing or too many there, rows are missing")
        return found

    def _note_breaks(self, row: int, fields: list[str], first: int, last: int) -> None:
        for name, field in zip(self.columns, fields, strict=True):
            if "\n" in field or "\r" in field:
                self._broken_fields += 1
                if len(self._breaks) < SHOWN:
                    self._breaks.append(LineBreaks(row, name, first, last))

    def _refuse_twins(self) -> None:
        for name, count in Counter(self.columns).items():
            if count > 1 and name.strip():
                raise TableError(f"column {name!r} stands {count} times in the header: rename or remove all but one")

    def _lines(self) -> Generator[str, None, None]:
        """Gives the lines with their ends, none longer than `LONGEST_LINE`."""
        with closing(self._opened()) as stream:
            text = io.TextIOWrapper(stream, encoding=self.encoding, errors=self._errors, newline="")
            try:
                for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE + 1), ""), start=1):
                    if len(line) > LONGEST_LINE:
                        raise TableError(f"cannot be read as CSV: line {number} has over {LONGEST_LINE:,} letters")
                    if "\0" in line:
                        raise TableError(
                            f"cannot be read as CSV: line {number} holds a NUL byte (damaged, or UTF-16 without a mark)"
                        )
                    yield line
            except UnicodeError as error:
                name = _ENCODING_NAMES[self.encoding]
                raise TableError(f"cannot be read as CSV: it is not {name} throughout: {error}") from error
            finally:
                text.detach()

    def _records(self) -> Generator[tuple[int, int, list[str]], None, None]:
        """Gives (first line, last line, fields) of the header and then of each row; empty lines are none."""
        current: list[str] = []

        def remembered() -> Iterator[str]:
            with closing(self._lines()) as lines:
                for number, line in enumerate(lines):
                    current.append(line)
                    if not (number == 0 and self._told_separator):
                        yield line

        reader = csv.reader(remembered(), delimiter=self.separator, strict=True)
        lines_before, row = int(self._told_separator), -1
        while True:
            current.clear()
            first = reader.line_num + 1 + lines_before
            try:
                fields = next(reader, None)
            except csv.Error as error:
                columns = () if row < 0 else self.columns
                raise TableError(_malformed(error, current, self.separator, (row, first), columns)) from error
            if fields is None:
                return
            if fields:
                yield first, reader.line_num + lines_before, fields
                row += 1


def _find_encoding(stream: BinaryIO, mixed: bool) -> tuple[str, str, list[int]]:
    """Returns encoding, what to do with bytes that are not of it, and the first lines, from 1, that are no UTF-8."""
    start = stream.read(4)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name, "strict", []
    utf8 = "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"
    for magic, what in _NO_TABLES:
        if start.startswith(magic):
            raise TableError(f"is no CSV but {what}: save the table as CSV (UTF-8)")
    odd, letters = _lines_beyond_ascii(start, stream)
    if not odd:
        return utf8, "strict", []
    if not letters:
        return "cp1252", "replace" if mixed else "strict", odd
    if mixed:
        return utf8, _AS_CP1252, odd
    raise TableError(
        f"cannot be read as CSV: line {letters[0]} is UTF-8 and line {odd[0]} is not: save it in one encoding"
    )


def _lines_beyond_ascii(start: bytes, stream: BinaryIO) -> tuple[list[int], list[int]]:
    """Returns the first lines, from 1, that are no UTF-8, and the first that are and have letters beyond ASCII."""
    odd: list[int] = []
    letters: list[int] = []
    text = io.TextIOWrapper(stream, encoding="latin-1", newline="")
    try:
        for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE + 1), ""), start=1):
            content = start + line.encode("latin-1") if number == 1 else line.encode("latin-1")
            if not content.isascii():
                (letters if _is_utf8(content) else odd).append(number)
                del odd[SHOWN:], letters[SHOWN:]
            if len(line) > LONGEST_LINE:  # refused when it is read
                break
    finally:
        text.detach()
    return odd, letters


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decode_as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_AS_CP1252, _decode_as_cp1252)


def _find_separator(header: str, required: Sequence[str]) -> str:
    """Returns the separator with which the header has most of the required names, then most names; else a comma."""

    def names(separator: str) -> tuple[int, int]:
        found = next(csv.reader([header], delimiter=separator), [])
        return len(set(required) & set(found)), len(found)

    return max(SEPARATORS, key=names)


def _malformed(
    error: csv.Error, lines: Sequence[str], separator: str, place: tuple[int, int], columns: Sequence[str]
) -> str:
    """Returns what is wrong with a row.

    Args:
        error: of the csv module, whose words do not help.
        lines: of the row, as far as they were read.
        separator: between the fields.
        place: (row, -1 for the header; line of the file that it begins in).
        columns: of the header, if that was read.
    """
    row, first_line = place
    line, field = _last_quote(lines, separator)
    where = "the header" if row < 0 else f"row {row}"
    column = f", column {columns[field]!r}" if field < len(columns) else ""
    quote = f"in {where}{column} (line {first_line + line} of the file)"
    if "expected after" in str(error):
        return f"cannot be read as CSV: text follows the closing quote {quote}: a quote within a field is doubled"
    return f"cannot be read as CSV: the quote that opens {quote} is not closed"


def _last_quote(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """Returns (line, field), both from 0, in which the last quoted field of a row begins."""
    place, field, quoted, before = (0, 0), 0, False, separator
    for number, line in enumerate(lines):
        for character in line:
            if quoted:
                quoted = character != '"'
            elif character == '"' and before in (separator, '"'):
                quoted = True
                place = place if before == '"' else (number, field)
            elif character == separator:
                field += 1
            before = character
    return place
