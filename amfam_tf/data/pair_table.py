"""A CSV of pairs, whoever reads it: every error begins with the file, and rows are counted from 0."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from amfam_tf.data.csv_table import CsvTable, TableError
from amfam_tf.errors import DataError, one_line
from amfam_tf.files import regular_files


class PairTable:
    """The table, with its header read.

    Args:
        path: for messages, and to open.
        columns: names that the header needs.
        what: kind of table that needs them, for messages.
        opened: opens it for bytes, each time that it is called; by default as a regular file of this machine.

    Attributes:
        path: as given.
        columns: names in the header, in order.

    Raises:
        DataError: it cannot be read, is no table, or lacks a column; names the file.
    """

    def __init__(
        self, path: str, columns: Sequence[str], what: str, opened: Callable[[], BinaryIO] | None = None
    ) -> None:
        self.path = path
        with self._named():
            self._table = CsvTable(opened or self._open, columns)
            self._table.require(columns, what)
        self.columns = self._table.columns

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Gives each row's number, from 0, and its fields by column; anew each time that it is called.

        Raises:
            DataError: a row cannot be read, or there is none; names the file.
        """
        row = -1
        with self._named():
            for row, raw in enumerate(self._table.rows()):
                yield row, raw
        if row < 0:
            raise DataError(f"{self.path}: has no rows")

    def refusal(self, row: int, problem: str) -> DataError:
        """Returns the error for a row that cannot be used."""
        return DataError(f"{self.path}: row {row}, {problem}")

    def notes(self) -> list[str]:
        """Returns what a person should know of how the rows so far were read; a sentence each, without the file."""
        return self._table.notes()

    def _open(self) -> BinaryIO:
        return regular_files.open_binary(self.path, regular_files.MAX_TABLE_BYTES)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise DataError(f"{self.path}: cannot be read: {reason}") from error
        except TableError as error:
            raise DataError(f"{self.path}: {error}") from error
