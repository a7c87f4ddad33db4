"""Draws a data set for any card: tables, pictures and splits as the card says, so that it is read without a problem.

A label that Derm7pt has too, by the names of task and classes, is drawn as there; every other one is a plain mark in
both pictures. A label that nobody knows is drawn all the same: the lesion has a class.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.data.pair_pictures import pictures_of
from amfam_tf.data.pair_splits import INDEX_COLUMN
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.synthetic.card_cases import DrawnCases, draw_cases
from amfam_tf.data.synthetic.card_pictures import Paths, PlacedPictures, place_pictures
from amfam_tf.data.synthetic.card_tables import layout
from amfam_tf.data.synthetic.case import SIZE, draw_case
from amfam_tf.data.synthetic.data_set import (
    appearing_at_once,
    check_options,
    each_done,
    save_picture,
    write_table,
)
from amfam_tf.data.synthetic.marginals import DERM7PT_CASES
from amfam_tf.data.synthetic.marks import Mark, draw_marks, marks
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.errors import ConfigError
from amfam_tf.tasks import DERM7PT

LESION = "clark nevus"
"""What is drawn where no diagnosis of Derm7pt is asked for."""


@dataclass(frozen=True)
class Gaps:
    """How much of what a card allows a data set has; each relative to the cases.

    Attributes:
        unknown: labels that nobody knows, in tasks with values for them.
        missing: cases without one of the pictures, for each view that may be missing.
        several: cases with two pictures of a view, for each view that may have several.
    """

    unknown: float = 0.05
    missing: float = 0.05
    several: float = 0.05


@dataclass(frozen=True)
class _Plan:
    """What one process needs to draw the pictures of a case: what a lesion shows, and files by view."""

    row: int
    lesion: Mapping[str, str]
    marks: Sequence[Mark]
    paths: Paths


def write_card_set(
    card: DataCard,
    out: str | os.PathLike[str],
    cases: int = DERM7PT_CASES,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    gaps: Gaps = Gaps(),
) -> None:
    """Draws a data set and writes it as its card says, with the card beside it; equal arguments give equal bytes.

    Args:
        card: of the data set.
        out: folder to make; it appears complete or not at all.
        cases: 10 or more, and enough for the classes of each task.
        seed, size, workers, progress: as for `write_data_set`.
        gaps: how many unknown labels, missing and second pictures.

    Raises:
        ConfigError: the card asks for what cannot be drawn.
        UserError: a value that cannot be, too few cases, or `out` exists and is not an empty folder.
    """
    check_options(cases, seed, size, workers)
    with appearing_at_once(Path(out).absolute()) as hidden:
        drawn = draw_cases(card, cases, seed, gaps.unknown)
        placed = place_pictures(card, drawn.fields, seed, gaps.missing, gaps.several)
        _write_tables(card, hidden, drawn, placed)
        plans = _plans(card, drawn, placed, seed)
        images = hidden / card.pictures.folder
        for folder in {(images / path).parent for one in placed for paths in one.paths.values() for path in paths}:
            folder.mkdir(parents=True, exist_ok=True)
        draw = partial(_draw, images=images, seed=seed, cases=cases, size=size)
        for done, _ in enumerate(each_done(draw, plans, workers), 1):
            if progress is not None:
                progress(done)
        _refuse_what_is_read_otherwise(card, hidden, placed)


def _write_tables(card: DataCard, root: Path, drawn: DrawnCases, placed: Sequence[PlacedPictures]) -> None:
    """Writes the card, the tables and the index files that it names."""
    where = layout(card)
    fields = [{**case, **one.fields} for case, one in zip(drawn.fields, placed, strict=True)]
    tables = {file: (columns, list(where.rows(file, fields))) for file, columns in where.columns.items()}
    files = [cards.FILE, *tables]
    if card.pictures.table is not None:
        columns = where.pictures
        if card.one_row_per_picture:
            columns = tuple(dict.fromkeys((*where.columns[card.cases.table], *columns)))
        else:
            files.append(card.pictures.table)
        rows = [[row[column] for column in columns] for one in placed for row in one.rows]
        tables[card.pictures.table] = (columns, rows)
    for split, file in card.split.index_files.by_split.items() if card.split.index_files else ():
        files.append(file)
        tables[file] = ((INDEX_COLUMN,), [[str(row)] for row, own in enumerate(drawn.splits) if own == split])
    for file in files:
        if files.count(file) > 1:
            raise ConfigError(f"card {card.name}: {file} is named for two tables that have other rows")
    (root / cards.FILE).write_text(cards.to_yaml(card), encoding="utf-8")
    for file, (columns, rows) in tables.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        write_table(root / file, columns, rows)


def _known_tasks(tasks: Sequence[Task]) -> dict[str, Task]:
    """Returns the tasks that Derm7pt's drawer shows, as Derm7pt has them."""
    theirs = {task.name: task for task in DERM7PT.tasks}
    return {
        task.name: theirs[task.name]
        for task in tasks
        if task.name in theirs and set(task.classes) <= set(theirs[task.name].classes)
    }


def _plans(card: DataCard, drawn: DrawnCases, placed: Sequence[PlacedPictures], seed: int) -> list[_Plan]:
    known = _known_tasks(card.tasks)
    shown = marks([task for task in card.tasks if task.name not in known])
    plans = []
    for row, one in enumerate(placed):
        random = stream(seed, row, "card looks")
        lesion, own = {"diagnosis": LESION}, []
        for task in card.tasks:
            drawn_class, label = int(random.integers(len(task.classes))), drawn.labels[task.name][row]
            number = drawn_class if label == UNKNOWN else label
            if task.name in known:
                theirs = known[task.name]
                raws = theirs.raw_labels[theirs.classes.index(task.classes[number])]
                lesion[theirs.column] = raws[int(random.integers(len(raws)))]
            else:
                own.append(shown[task.name][number])
        plans.append(_Plan(row, lesion, own, one.paths))
    return plans


def _draw(plan: _Plan, images: Path, seed: int, cases: int, size: tuple[int, int]) -> None:
    """Draws the pictures of a case; the second ones show the same lesion otherwise."""
    for number in range(max(map(len, plan.paths.values()))):
        pair = draw_case(plan.lesion, seed, plan.row + number * cases, size)
        for modality, picture in zip(MODALITIES, pair, strict=True):
            for path in plan.paths[modality][number : number + 1]:
                save_picture(draw_marks(picture, plan.marks), images / path)


def _refuse_what_is_read_otherwise(card: DataCard, root: Path, placed: Sequence[PlacedPictures]) -> None:
    """Raises for a card by which the reader finds problems, or other pictures, in what was drawn for it."""
    frame, problems = scan_pairs(card, root)
    problem = next((one for one in problems if one.severity == "problem"), None)
    if problem is not None:
        raise ConfigError(f"card {card.name}: nothing can be drawn for it that is read without a problem: {problem}")
    images = (root / card.pictures.folder).resolve()
    for modality in MODALITIES:
        for row, (found, one) in enumerate(zip(pictures_of(frame, modality), placed, strict=True)):
            _refuse_other_pictures(
                card, modality, row, set(found), {str(images / path) for path in one.paths[modality]}
            )


def _refuse_other_pictures(card: DataCard, modality: str, row: int, found: set[str], own: set[str]) -> None:
    if found != own:
        other = sorted(found ^ own)[0]
        raise ConfigError(
            f"card {card.name}: by pictures.{modality} case {row} has another picture than its own, "
            f"{Path(other).name!r}: the path needs to tell cases and views apart"
        )
