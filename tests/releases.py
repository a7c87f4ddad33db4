"""Writes tiny releases in the Derm7pt layout: noise pictures, made-up labels, one fault or trap at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from amfam_tf.data.problems import Problem
from amfam_tf.tasks import CRITERIA, METADATA, TASKS, seven_point_score

INDEX_NAMES = {"train": "train_indexes.csv", "validate": "valid_indexes.csv", "test": "test_indexes.csv"}


@dataclass
class TinyRelease:
    """A release that is held in memory until `write`; change its fields to give it a trap or a fault.

    Attributes:
        meta: the rows of meta.csv, all strings.
        indexes: for each split, the lines of its index file.
        line_end: of all tables.
        pixels: (width, height) of the pictures.
    """

    cases: int = 12
    line_end: str = "\n"
    pixels: tuple[int, int] = (80, 64)
    meta: pd.DataFrame = field(init=False)
    indexes: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.meta = pd.DataFrame([_case(row) for row in range(self.cases)])
        rows = [str(row) for row in reversed(range(self.cases))]  # index files are not sorted
        first, second = self.cases // 2, self.cases * 3 // 4
        self.indexes = {"train": rows[:first], "validate": rows[first:second], "test": rows[second:]}

    def write(self, root: Path) -> Path:
        """Writes pictures and tables below `root` and returns it."""
        (root / "meta").mkdir(parents=True)
        generator = np.random.default_rng(7)
        width, height = self.pixels
        for row in range(self.cases):
            for name in picture_names(row):
                path = root / "images" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(noise).save(path, "JPEG")
        self.meta.to_csv(root / "meta/meta.csv", index=False, lineterminator=self.line_end)
        for split, rows in self.indexes.items():
            table = pd.DataFrame({"indexes": rows})
            table.to_csv(root / "meta" / INDEX_NAMES[split], index=False, lineterminator=self.line_end)
        return root


def picture_names(row: int) -> tuple[str, str]:
    """Returns the clinical and the dermoscopic path of a case, relative to images/."""
    folder = ("NEL", "FCL", "A1l")[row % 3]
    suffix = ".JPG" if row % 4 == 3 else ".jpg"
    return f"{folder}/{folder.capitalize()}{row:03d}{suffix}", f"{folder}/{folder.capitalize()}{row + 100:03d}{suffix}"


def _case(row: int) -> dict[str, str]:
    """Returns one row of meta.csv; the labels go through all classes and raw strings."""
    labels = {task.name: (row + place) % len(task.classes) for place, task in enumerate(TASKS)}
    raw = {task.column: _pick(task.raw_labels[labels[task.name]], row) for task in TASKS}
    score = seven_point_score({task.name: labels[task.name] for task in CRITERIA})
    clinical, dermoscopic = picture_names(row)
    return {
        "case_num": str(row + 1),
        "diagnosis": raw.pop("diagnosis"),
        "seven_point_score": str(score),
        **raw,
        **{column: _pick(values, row) for column, values in METADATA.items()},
        "clinic": clinical,
        "derm": dermoscopic,
        "case_id": f"case {row}",
        "notes": "",
    }


def _pick(values: tuple[str, ...], number: int) -> str:
    return values[number % len(values)]


def _nothing(_: object) -> None:
    """Changes nothing."""


@dataclass(frozen=True)
class Fault:
    """One fault of a release and the problems that have to be found, and no others.

    Attributes:
        change: what to do to the release before it is written.
        expected: (file, row, kind, words of the message) of each problem.
        damage: what to do to the written files.
    """

    change: Callable[[TinyRelease], None]
    expected: tuple[tuple[str, int | None, str, tuple[str, ...]], ...]
    damage: Callable[[Path], None] = _nothing


def broken(folder: Path, faults: Iterable[Fault]) -> Path:
    """Writes a release that has all of `faults` at once, and returns its folder."""
    release = TinyRelease()
    for fault in faults:
        fault.change(release)
    root = release.write(folder / "release")
    for fault in faults:
        fault.damage(root)
    return root


def missing_expectations(problems: Iterable[Problem], faults: Iterable[Fault]) -> list[object]:
    """Returns the expected problems that are not among `problems`."""
    return [
        expected
        for fault in faults
        for expected in fault.expected
        if not any(_is_expected(problem, *expected) for problem in problems)
    ]


def _is_expected(problem: Problem, file: str, row: int | None, kind: str, words: tuple[str, ...]) -> bool:
    found = (problem.file, problem.row, problem.kind) == (file, row, kind)
    return found and all(word in problem.message for word in words)


def set_value(row: int, column: str, value: str) -> Callable[[TinyRelease], None]:
    """Returns a change of one cell of meta.csv."""

    def change(release: TinyRelease) -> None:
        release.meta.loc[row, column] = value

    return change


def set_index(split: str, place: int, value: str) -> Callable[[TinyRelease], None]:
    """Returns a change of one row of an index file; the place after the last adds a row."""

    def change(release: TinyRelease) -> None:
        release.indexes[split][place : place + 1] = [value]

    return change


def _wrong_value(row: int, column: str, value: str, kind: str, *words: str) -> Fault:
    return Fault(set_value(row, column, value), ((META, row, kind, (repr(column), value, *words)),))


def _link_outside(root: Path) -> None:
    picture = root / "images" / picture_names(10)[0]
    outside = picture.rename(root.parent / "outside.jpg")
    picture.symlink_to(outside)


def _twin_in_letter_case(root: Path) -> None:
    picture = root / "images" / picture_names(11)[0]
    twin = picture.with_name(picture.name.upper())
    assert not twin.exists(), "needs a file system that tells letter case apart"
    twin.write_bytes(picture.read_bytes()[::-1])


META, TRAIN, VALIDATE, TEST = (f"meta/{name}" for name in ("meta.csv", *INDEX_NAMES.values()))
TABLE_FAULTS: dict[str, Fault] = {
    "label in no group": _wrong_value(1, "streaks", "iregular", "unknown_label"),
    "label of another task": _wrong_value(0, "pigment_network", "present", "unknown_label", "PN"),
    "score that does not follow": _wrong_value(2, "seven_point_score", "9", "wrong_score", "give 4"),
    "score that is no number": _wrong_value(3, "seven_point_score", "three", "not_an_integer"),
    "case number that is no number": _wrong_value(4, "case_num", "5a", "not_an_integer"),
    "case number twice": _wrong_value(5, "case_num", "1", "duplicate_case", "row 0"),
    "metadata value": _wrong_value(6, "sex", "[red]other[/]", "unknown_metadata", "female, male"),
    "no such picture": _wrong_value(7, "derm", "FCL/Fcl999.jpg", "missing_image", "names no file"),
    "empty path": _wrong_value(8, "derm", "", "missing_image", "''"),
    "path with ..": _wrong_value(8, "clinic", "NEL/../../meta/meta.csv", "path_leaves_images", "leaves"),
    "absolute path": _wrong_value(9, "clinic", "/NEL/Nel009.jpg", "path_leaves_images", "leaves"),
    "path of a Windows drive": _wrong_value(9, "derm", "C:/Nel109.jpg", "path_leaves_images", "leaves"),
    "link out of the images": Fault(
        _nothing,
        ((META, 10, "path_leaves_images", ("'clinic'", picture_names(10)[0], "symbolic link")),),
        _link_outside,
    ),
    "ambiguous path": Fault(
        set_value(11, "clinic", "a1l/a1l011.jpg"),
        ((META, 11, "ambiguous_path", ("'clinic'", "a1l/a1l011.jpg", "A1l/A1L011.JPG, A1l/A1l011.JPG")),),
        _twin_in_letter_case,
    ),
    "row in two index files": Fault(
        set_index("validate", 3, "11"), ((VALIDATE, 3, "overlapping_index", ("row 11", TRAIN)),)
    ),
    "row twice in an index file": Fault(
        set_index("train", 6, "6"), ((TRAIN, 6, "duplicate_index", ("value 6", "row 5")),)
    ),
    "index beyond the last row": Fault(
        set_index("test", 3, "12"), ((TEST, 3, "index_out_of_range", ("value 12", "0 to 11")),)
    ),
    "negative index, so a row in no split": Fault(
        set_index("train", 4, "-1"),
        (
            (TRAIN, 4, "index_out_of_range", ("value -1", "0 to 11")),
            (META, 7, "incomplete_index", ("row 7", TRAIN, VALIDATE, TEST)),
        ),
    ),
    "index that is no number, so a row in no split": Fault(
        set_index("validate", 1, "4.0"),
        (
            (VALIDATE, 1, "not_an_integer", ("'4.0'",)),
            (META, 4, "incomplete_index", ("row 4", TRAIN, VALIDATE, TEST)),
        ),
    ),
}
"""Faults of tables and paths, each in a row of its own, so that they can be in one release together."""
