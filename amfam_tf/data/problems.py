"""What a data set has wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amfam_tf.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One thing that a data set has wrong, or that is worth knowing.

    Attributes:
        file: path relative to the data set, e.g. "meta/meta.csv".
        row: 0-based row of the table of cases (for another table: of that); None if it is about the file as a whole.
        kind: short name of the sort of problem, e.g. "unknown_label".
        message: what is wrong, with the value.
        severity: "problem" makes a check fail, "note" does not.
    """

    file: str
    row: int | None
    kind: str
    message: str
    severity: Literal["problem", "note"] = "problem"

    def __str__(self) -> str:
        """Returns one line: file, row and message."""
        place = self.file if self.row is None else f"{self.file} row {self.row}"
        return f"{place}: {self.message}"


def refuse(root: str | Path, findings: Iterable[Problem]) -> None:
    """Raises a DataError with the first problem of a data set, and how many there are; notes are none."""
    problems = [finding for finding in findings if finding.severity == "problem"]
    if problems:
        total = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(f"{root}: {problems[0]} ({total} in total; `amfam-tf check {root}` lists all)")
