"""What is already done in a cell, and whether it still holds: records with the digests of what they are about."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf import config as configuration
from amfam_tf.comparison.grid import Cell
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.files import json_file
from amfam_tf.files.digests import file_digest
from amfam_tf.runs.folder import METRICS_FILE, PREDICTIONS_FILE, RunFolder

RECORD_FILE = "cell.json"
MEASUREMENT_FILE = "measurement.json"


def record_evaluation(run: Path, split: str, fingerprint: str) -> None:
    """Writes cell.json beside predictions.csv: of which model, data and predictions the evaluation is."""
    folder = RunFolder(run)
    json_file.write(folder.evaluation(split) / RECORD_FILE, _evaluation_record(folder, split, fingerprint))


def evaluation_holds(run: RunFolder, cell: Cell, split: str, fingerprint: str) -> bool:
    """Returns whether a cell is fitted and evaluated, and nothing that the evaluation is about has changed since.

    Args:
        run: the cell's folder.
        cell: with the configuration that the run has to have.
        split: that was evaluated.
        fingerprint: of the data.
    """
    folder = run.evaluation(split)
    files = (run.config_file, run.model_file, folder / PREDICTIONS_FILE, folder / METRICS_FILE, folder / RECORD_FILE)
    if not all(path.is_file() for path in files) or not _same_configuration(run, cell) or not _finished(run):
        return False
    return _read(folder / RECORD_FILE) == _evaluation_record(run, split, fingerprint)


def _evaluation_record(run: RunFolder, split: str, fingerprint: str) -> dict[str, str]:
    return {
        "split": split,
        "data_fingerprint": fingerprint,
        "model_sha256": file_digest(run.model_file),
        "predictions_sha256": file_digest(run.evaluation(split) / PREDICTIONS_FILE),
    }


def _same_configuration(run: RunFolder, cell: Cell) -> bool:
    # A folder whose configuration cannot be read is not done; fitting it then says why.
    try:
        return configuration.read(run.config_file) == cell.config
    except ConfigError:
        return False


def _finished(run: RunFolder) -> bool:
    try:
        return run.read_state().finished
    except RunError:
        return False


def write_measurement(run: Path, content: Mapping[str, Any]) -> None:
    """Writes measurement.json, with the digest of the model that was measured."""
    json_file.write(run / MEASUREMENT_FILE, {"model_sha256": file_digest(RunFolder(run).model_file), **content})


def read_measurement(run: Path) -> dict[str, Any] | None:
    """Returns what `write_measurement` wrote; None if there is none, or if it is of another model."""
    content = _read(run / MEASUREMENT_FILE)
    if content is None or content.get("model_sha256") != file_digest(RunFolder(run).model_file):
        return None
    return content


def _read(path: Path) -> dict[str, Any] | None:
    """Returns a record; None if it is absent or damaged: what it is about is then done again."""
    try:
        content = json_file.read(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
