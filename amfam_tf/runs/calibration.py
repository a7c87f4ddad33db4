"""calibration.json of a run folder: one temperature per task, and the digest of the model that they belong to."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amfam_tf.card.questions import Task
from amfam_tf.errors import RunError
from amfam_tf.files import json_file

METHOD = "temperature scaling per task, fitted on the validation split by the mean negative log likelihood"


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a run.

    Attributes:
        temperatures: for each task name, what its logits are divided by; greater than 0.
        cases: validation cases that they were fitted on.
        model_sha256: digest of the model file that they belong to.
        data_fingerprint: of the data that it was trained and fitted on; None in files of older versions.
        log_loss: for each task name, mean negative log likelihood "before" and "after" on those cases.
        notes: what a reader has to know.
    """

    temperatures: Mapping[str, float]
    cases: int
    model_sha256: str
    log_loss: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()
    data_fingerprint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of calibration.json."""
        return {
            "method": METHOD,
            "fitted_on": "validate",
            "cases": self.cases,
            "temperatures": dict(self.temperatures),
            "log_loss": {name: dict(values) for name, values in self.log_loss.items()},
            "model_sha256": self.model_sha256,
            "data_fingerprint": self.data_fingerprint,
            "notes": list(self.notes),
        }


def write(path: Path, calibration: Calibration) -> None:
    """Writes a calibration.json atomically."""
    json_file.write(path, calibration.to_dict())


def read(path: Path, tasks: Iterable[Task]) -> Calibration | None:
    """Returns the content of a calibration.json, which has a temperature for each task; None if there is none.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        content = json_file.read(path)
        temperatures = {task.name: float(content["temperatures"][task.name]) for task in tasks}
        calibration = Calibration(
            temperatures,
            content["cases"],
            content["model_sha256"],
            content["log_loss"],
            tuple(content["notes"]),
            content.get("data_fingerprint"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: remove it, and `amfam-tf evaluate` fits it anew") from error
    if not all(0 < value < math.inf for value in temperatures.values()):
        raise RunError(f"{path} is damaged: a temperature is not greater than 0; remove the file to fit it anew")
    return calibration
