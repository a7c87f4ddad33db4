"""The questions of Derm7pt, for code that knows one data set only: what its card says (`amfam_tf.card`).

Source: Kawahara et al. 2018 (7-point checklist labels and scores); Wang et al. 2022, Sec. 4.1 (grouping
into 24 classes).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from amfam_tf.card import cards, schema
from amfam_tf.card.questions import Task

DERM7PT: schema.DataCard = cards.packaged(cards.DERM7PT)
_CHECKLIST = DERM7PT.scores["seven_point_score"]

TASKS: tuple[Task, ...] = DERM7PT.tasks
TASK_BY_NAME: Mapping[str, Task] = MappingProxyType({task.name: task for task in TASKS})
DIAGNOSIS: Task = TASKS[0]
CRITERIA: tuple[Task, ...] = TASKS[1:]
MELANOMA: int = DIAGNOSIS.classes.index("MEL")
SEVEN_POINT_THRESHOLDS: Mapping[str, int] = MappingProxyType(dict(_CHECKLIST.thresholds))

METADATA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(column.raw_values) for name, column in DERM7PT.metadata.items()}
)
"""Values of the metadata columns in one-hot order."""

METADATA_FROM_DIAGNOSIS: tuple[str, ...] = tuple(
    name for name, column in DERM7PT.metadata.items() if column.follows_from == DIAGNOSIS.name
)
"""Columns that were decided from the diagnosis: with them a network can answer without looking at an image."""

MODALITIES: tuple[str, str] = schema.MODALITIES
SPLITS: tuple[str, str, str] = ("train", "validate", "test")


def seven_point_score(labels: Mapping[str, int]) -> int:
    """Returns the 7-point checklist score, 0 to 10.

    Args:
        labels: class number for each of the seven criteria; other keys are ignored.
    """
    return sum(task.scores[labels[task.name]] for task in CRITERIA)


def task_names(tasks: Iterable[Task] = TASKS) -> tuple[str, ...]:
    """Returns the names of `tasks`, in order."""
    return tuple(task.name for task in tasks)


def metadata_size(columns: Iterable[str]) -> int:
    """Returns the length of the one-hots of these columns of `METADATA`, concatenated."""
    return sum(len(METADATA[column]) for column in columns)


def metadata_warning(columns: Iterable[str]) -> str | None:
    """Returns what to tell whoever gives these columns of `METADATA` to a network, one sentence; None for nothing."""
    leaking = [column for column in columns if column in METADATA_FROM_DIAGNOSIS]
    if not leaking:
        return None
    return (
        f"the network is given {' and '.join(leaking)}, decided from the diagnosis: it can answer without looking at a "
        "picture, and its results are not comparable with those of pictures alone (docs/data_card.md)"
    )
