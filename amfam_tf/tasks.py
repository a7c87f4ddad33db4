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

MODALITIES: tuple[str, str] = schema.MODALITIES
SPLITS: tuple[str, str, str] = schema.SPLITS


def seven_point_score(labels: Mapping[str, int]) -> int:
    """Returns the 7-point checklist score, 0 to 10.

    Args:
        labels: class number for each of the seven criteria; other keys are ignored.
    """
    return sum(task.scores[labels[task.name]] for task in CRITERIA)


def task_names(tasks: Iterable[Task] = TASKS) -> tuple[str, ...]:
    """Returns the names of `tasks`, in order."""
    return tuple(task.name for task in tasks)
