"""Finds the counts behind a printed row: which column is the recall, and which cell is mistyped.

A row prints, for each class, two rates to one decimal. If one is recall = TP / n and the other precision = TP /
predicted, then TP and predicted are whole numbers, the predicted counts of all classes sum to the 395 test cases, and
the TPs sum to the task's accuracy. Few readings of a row allow this, mostly a single one. They are tried from the
simplest on:

1. both columns one way for all classes: "exchanged" ("Prec." is the recall) or "as printed";
2. one class the other way round;
3. one cell with its last digit off by one;
4. one cell that is a fraction among percentages;
5. one cell of any value;
then the same without the printed accuracy, which can be that of another run.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from amfam_tf.evaluation.published import TEST_CASES, PublishedRow

Reading = Literal["exchanged", "as printed"]
ROUNDING = 0.0501
"""Half of the last printed digit, in points."""
LAST_DIGIT = 0.1501

Count = tuple[int, int]
"""(TP, predicted) of a class."""


@dataclass(frozen=True)
class Repair:
    """A cell that cannot be what it says.

    Attributes:
        column: "Sen." or "Prec.".
        number: of the class.
        kind: "last digit", "fraction" or "any value".
    """

    column: str
    number: int
    kind: str


@dataclass(frozen=True)
class Reconstruction:
    """The counts of a row.

    Attributes:
        row: what is printed.
        reading: how the columns are to be read; "undecided" if both ways allow counts.
        turned: number of the class that is printed the other way round than the others, or None.
        repair: the mistyped cell, or None.
        accuracy_fits: False if the printed accuracy is not that of this row.
        solutions: all counts that fit, one (TP, predicted) per class each; empty if nothing fits.
    """

    row: PublishedRow
    reading: str
    turned: int | None
    repair: Repair | None
    accuracy_fits: bool
    solutions: tuple[tuple[Count, ...], ...]

    @property
    def counts(self) -> tuple[Count, ...]:
        """Returns the counts of each class in the first of the solutions."""
        return self.solutions[0]

    @property
    def accuracy(self) -> float:
        """Returns the accuracy of the counts, in percent."""
        return 100 * sum(right for right, _ in self.counts) / TEST_CASES


@dataclass(frozen=True)
class _Trial:
    reading: Reading
    turned: int | None = None
    repair: Repair | None = None


@functools.cache
def reconstruct(row: PublishedRow) -> Reconstruction:
    """Returns the simplest reading of a row that allows counts."""
    for use_accuracy in (True, False):
        for level in _levels(row):
            found = [(trial, _solve(row, trial, use_accuracy)) for trial in level]
            found = [(trial, solutions) for trial, solutions in found if solutions]
            if found:
                trial, solutions = found[0]
                distinct = {trial.reading for trial, _ in found}
                reading = trial.reading if len(distinct) == 1 else "undecided"
                return Reconstruction(row, reading, trial.turned, trial.repair, use_accuracy, tuple(solutions))
    return Reconstruction(row, "undecided", None, None, False, ())


def _levels(row: PublishedRow) -> Iterator[list[_Trial]]:
    """Yields the trials in the order of the module's list; those of one level are equally simple."""
    readings: tuple[Reading, ...] = ("exchanged", "as printed")
    classes = range(len(row.support))
    yield [_Trial(reading) for reading in readings]
    yield [_Trial(reading, turned=number) for reading in readings for number in classes]
    for kind in ("last digit", "fraction", "any value"):
        yield [
            _Trial(reading, repair=Repair(column, number, kind))
            for reading in readings
            for number in classes
            for column in ("Sen.", "Prec.")
        ]


def _solve(row: PublishedRow, trial: _Trial, use_accuracy: bool) -> list[tuple[Count, ...]]:
    """Returns all counts that fit a trial."""
    candidates = [_candidates(row, trial, number) for number in range(len(row.support))]
    if not all(candidates):
        return []
    states: dict[Count, list[tuple[Count, ...]]] = {(0, 0): [()]}
    for options in candidates:
        following: dict[Count, list[tuple[Count, ...]]] = {}
        for (right, predicted), starts in states.items():
            for count in options:
                total = (right + count[0], predicted + count[1])
                if total[1] <= TEST_CASES:
                    following.setdefault(total, []).extend((*start, count) for start in starts)
        states = following
    return [
        solution
        for (right, predicted), solutions in states.items()
        if predicted == TEST_CASES and (not use_accuracy or _rounds_to(right, TEST_CASES, row.accuracy, ROUNDING))
        for solution in solutions
    ]


def _candidates(row: PublishedRow, trial: _Trial, number: int) -> Sequence[Count]:
    """Returns the (TP, predicted) of a class that its two cells allow."""
    exchanged = (trial.reading == "exchanged") != (trial.turned == number)
    recall_column, precision_column = ("Prec.", "Sen.") if exchanged else ("Sen.", "Prec.")
    kinds = {trial.repair.column: trial.repair.kind} if trial.repair and trial.repair.number == number else {}
    cells = {"Sen.": row.sen[number], "Prec.": row.prec[number]}
    recall = (cells[recall_column], kinds.get(recall_column))
    precision = (cells[precision_column], kinds.get(precision_column))
    return _counts(recall, precision, row.support[number])


@functools.cache
def _counts(recall: tuple[float, str | None], precision: tuple[float, str | None], support: int) -> tuple[Count, ...]:
    counts = []
    for right in range(support + 1):
        if not _fits(right, support, *recall):
            continue
        if right == 0:  # a class that is never predicted has no precision: the paper prints 0.0
            if _fits(0, 1, *precision):
                counts += [(0, predicted) for predicted in range(TEST_CASES + 1)]
            continue
        counts += [(right, total) for total in range(right, TEST_CASES + 1) if _fits(right, total, *precision)]
    return tuple(counts)


def _fits(part: int, whole: int, printed: float, kind: str | None) -> bool:
    """Returns whether part / whole can be printed like this, with this kind of mistake."""
    if kind == "any value":
        return True
    if kind == "fraction":
        return 0 < printed <= 1 and _rounds_to(part, whole, 100 * printed, 100 * ROUNDING)
    return _rounds_to(part, whole, printed, LAST_DIGIT if kind == "last digit" else ROUNDING)


def _rounds_to(part: int, whole: int, printed: float, tolerance: float) -> bool:
    return abs(100 * part / whole - printed) <= tolerance


def true_specificity(count: Count, support: int) -> float:
    """Returns TN / (TN + FP) in percent: 1 - (predicted - TP) / (395 - n)."""
    return 100 * (1 - (count[1] - count[0]) / (TEST_CASES - support))


def negative_predictive_value(count: Count, support: int) -> float:
    """Returns TN / (TN + FN) in percent; NaN if every case is predicted to be of the class."""
    others = TEST_CASES - count[1]
    return 100 * (others - support + count[0]) / others if others else float("nan")
