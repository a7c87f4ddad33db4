"""What may stand in the columns of a card's tables: raw values that every part of the card that reads them takes."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from amfam_tf.card.consistency import placeholders
from amfam_tf.card.metadata_values import number
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard, MetadataColumn
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import ConfigError

NUMBERS = 101
"""Of a range, at most: what a drawn number is one of."""


@dataclass(frozen=True)
class Meaning:
    """What some raw values mean.

    Attributes:
        classes: class number by task, `UNKNOWN` where nobody knows; of metadata the number of the value.
        raws: the raw values; each a field for every column of the part.
    """

    classes: Mapping[str, int]
    raws: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Part:
    """Columns that are drawn together: one that any number of tasks and metadata read, or those of a one-hot task.

    Attributes:
        columns: their names.
        tasks: that read them; none for metadata.
        known: what can be answered; each class of each task is among it.
        unknown: what stands there if nobody knows; None if the card does not allow it.
    """

    columns: tuple[str, ...]
    tasks: tuple[str, ...]
    known: tuple[Meaning, ...]
    unknown: Meaning | None


@dataclass(frozen=True)
class _Reader:
    """A task or metadata column: `answers` by raw value, and any number in `range`."""

    name: str
    task: Task | None
    answers: Mapping[str, int]
    range: tuple[float, float] | None = None

    def answer(self, raw: str) -> int | None:
        """Returns what a raw value means, None if it cannot stand there."""
        within = self.range is not None and self.range[0] <= number(raw) <= self.range[1]
        return self.answers.get(raw, 0 if within else None)


def parts(card: DataCard) -> list[Part]:
    """Returns the columns of tasks and metadata, those of tasks first.

    Raises:
        ConfigError: parts of the card that read one column leave no value for it.
    """
    templates = [card.pictures.path, *(card.pictures.view(modality).path for modality in MODALITIES)]
    in_paths = {name for template in templates for name in placeholders(template or "")}
    found = [_one_hot(task) for task in card.tasks if task.one_hot]
    readers = [(task.column, _of_task(task)) for task in card.tasks if not task.one_hot]
    readers += [(column.column or name, _of_metadata(name, column)) for name, column in card.metadata.items()]
    columns = dict.fromkeys(name for name, _ in readers)
    found += [_part(one, [reader for name, reader in readers if name == one], one in in_paths) for one in columns]
    return found


def refuse_twice(card: DataCard, columns: Sequence[str]) -> None:
    """Raises ConfigError for a column that two parts of the card read in ways that no value is drawn for."""
    for name, count in Counter(columns).items():
        if count > 1:
            raise ConfigError(
                f"card {card.name}: column {name!r} is read in several ways: nothing can be drawn that is all of them"
            )


def _one_hot(task: Task) -> Part:
    fields = np.where(np.eye(len(task.one_hot), dtype=bool), "1", "0").tolist()
    known = tuple(Meaning({task.name: place}, (tuple(one),)) for place, one in enumerate(fields))
    blank = tuple((raw,) * len(task.one_hot) for raw in task.missing)
    return Part(task.one_hot, (task.name,), known, Meaning({task.name: UNKNOWN}, blank) if blank else None)


def _of_task(task: Task) -> _Reader:
    # An empty field is no label, whatever class has it.
    labels = {raw: place for place, group in enumerate(task.raw_labels) for raw in group if raw}
    return _Reader(f"task {task.name}", task, labels | dict.fromkeys(task.missing, UNKNOWN))


def _of_metadata(name: str, column: MetadataColumn) -> _Reader:
    values = {raw: place for place, group in enumerate(column.raw_values.values()) for raw in group}
    values |= dict.fromkeys(_numbers(*column.range), 0) if column.range else {}
    return _Reader(f"metadata.{name}", None, values | dict.fromkeys(column.missing, UNKNOWN), column.range)


def _numbers(low: float, high: float) -> Iterator[str]:
    """Gives numbers of a range as a table has them: whole ones if there are many."""
    if high - low >= 10:
        steps = np.linspace(math.ceil(low), math.floor(high), NUMBERS).round()
    else:
        steps = np.linspace(low, high, NUMBERS)
    texts = dict.fromkeys(f"{step:.7g}" for step in steps)
    yield from (text for text in texts if low <= number(text) <= high)


def _part(column: str, readers: list[_Reader], in_path: bool) -> Part:
    """Returns a column by all that read it; a value that is part of a path is no empty one and no folder above."""
    counted = [reader for reader in readers if reader.task is not None] or readers
    by_meaning: dict[tuple[int, ...], list[str]] = {}
    for raw in dict.fromkeys(itertools.chain.from_iterable(reader.answers for reader in readers)):
        taken = all(reader.answer(raw) is not None for reader in readers)
        if taken and not (in_path and raw in ("", ".", "..")):
            by_meaning.setdefault(tuple(reader.answer(raw) or 0 for reader in counted), []).append(raw)
    found = {
        key: Meaning(
            {reader.task.name: value for reader, value in zip(counted, key, strict=True) if reader.task},
            tuple((raw,) for raw in raws),
        )
        for key, raws in by_meaning.items()
    }
    nothing = (UNKNOWN,) * len(counted)
    known = tuple(meaning for key, meaning in found.items() if key != nothing)
    _refuse_what_nothing_fits(column, readers, known)
    tasks = tuple(reader.task.name for reader in counted if reader.task is not None)
    return Part((column,), tasks, known, found.get(nothing))


def _refuse_what_nothing_fits(column: str, readers: list[_Reader], known: tuple[Meaning, ...]) -> None:
    for task in (reader.task for reader in readers if reader.task is not None):
        for place, name in enumerate(task.classes):
            if all(meaning.classes[task.name] != place for meaning in known):
                raise ConfigError(
                    f"column {column!r}: no raw value of class {name} of task {task.name} fits all parts of the card "
                    "that read it"
                )
    if not known:
        what = " and ".join(reader.name for reader in readers)
        raise ConfigError(f"column {column!r}: no raw value fits {what}")
