"""thresholds.json of a run folder: a weight per class, fitted on out-of-fold predictions, and what they are worth.

The decided class of a task is the one with the largest probability times weight. Equal weights decide as the
probabilities do. Nothing uses them unless somebody asks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amfam_tf.card.questions import Task
from amfam_tf.errors import RunError
from amfam_tf.files import json_file
from amfam_tf.report.results import DecidedTask

FILE = "thresholds.json"
FORMAT = 1


@dataclass(frozen=True)
class Thresholds:
    """The weights of a run.

    Attributes:
        measure: that they were fitted to, "balanced_accuracy" or "macro_f1".
        weights: for each task name, that of each class; greater than 0, of geometric mean 1.
        judged: for each task name, what that is worth: the decided class by weights fitted on the other folds only.
        folds: whose cases they were fitted on.
        cases: of these folds.
        model_sha256: digest of the model file that they belong to.
        data_fingerprint: of the data.
        notes: what a reader has to know.
    """

    measure: str
    weights: Mapping[str, Mapping[str, float]]
    judged: Mapping[str, DecidedTask]
    folds: int
    cases: int
    model_sha256: str
    data_fingerprint: str | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of thresholds.json."""
        return {"format": FORMAT, "fitted_on": "out-of-fold predictions", **asdict(self), "notes": list(self.notes)}


def write(path: Path, thresholds: Thresholds) -> None:
    """Writes a thresholds.json atomically."""
    json_file.write(path, thresholds.to_dict())


def read(path: Path, tasks: Iterable[Task]) -> Thresholds | None:
    """Returns the content of a thresholds.json, which has a weight for each class; None if there is none.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    advice = "remove it, and `amfam-tf ensemble --thresholds` fits it anew"
    try:
        content = json_file.read(path)
        weights = {
            task.name: {name: float(content["weights"][task.name][name]) for name in task.classes} for task in tasks
        }
        names = ("judged", "folds", "cases", "model_sha256", "data_fingerprint")
        known = {name: content[name] for name in names}
        thresholds = Thresholds(content["measure"], weights, notes=tuple(content["notes"]), **known)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {advice}") from error
    if not all(0 < value < math.inf for of_task in weights.values() for value in of_task.values()):
        raise RunError(f"{path} is damaged: a weight is not greater than 0; {advice}")
    return thresholds
