"""Which weights and data a result was made from, and whether they are still those that are there.

Digests decide and never time stamps: a file that is copied or unpacked keeps its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.errors import RunError
from amfam_tf.files import json_file
from amfam_tf.files.digests import file_digest

MODEL = "model_sha256"
DATA = "data_fingerprint"
PREDICTIONS = "predictions_sha256"
TRAINED_ON = "trained_on_these_data"
"""Keys of metrics.json; the last one is null where the run does not say what it was trained on."""


def read_metrics(path: Path) -> dict[str, Any] | None:
    """Returns the content of a metrics.json; None if there is none.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        content = json_file.read(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: run amfam-tf evaluate again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: run amfam-tf evaluate again")
    return content


def holds(metrics: Mapping[str, Any] | None, predictions: Path, model: Path, fingerprint: str) -> bool:
    """Returns whether a predictions.csv is known to be of this model and these data.

    Args:
        metrics: content of the metrics.json beside it; None if there is none.
        predictions: the file.
        model: file of the weights.
        fingerprint: of the data.
    """
    if metrics is None or not predictions.is_file():
        return False
    expected = {MODEL: file_digest(model), DATA: fingerprint, PREDICTIONS: file_digest(predictions)}
    return all(metrics.get(key) == value for key, value in expected.items())


def state_of(run: Path) -> dict[str, Any]:
    """Returns the content of a run's checkpoints/state.json; nothing if it has none that can be read."""
    try:
        content = json_file.read(run / "checkpoints" / "state.json")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def training_notes(run: Path, model_sha256: str) -> list[str]:
    """Returns notes if a run's weights are not those that its training ended with, in one way or the other."""
    state = state_of(run)
    notes = []
    if state.get("diverged"):
        notes.append(f"the training ended early ({state['diverged']}): these are its best weights before")
    if state.get(MODEL) not in (None, model_sha256):
        notes.append("model.keras is not the file that this run's fit wrote: history and curves are of other weights")
    return notes
