"""What is exported of a run: its network, its configuration, and what is known about both."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from amfam_tf import models
from amfam_tf.config import Config
from amfam_tf.errors import ExportError, RunError
from amfam_tf.evaluation import calibration
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.tasks import SPLITS, task_names
from amfam_tf.training.run_folder import RunFolder, RunState


@dataclass(frozen=True)
class Source:
    """A run to export.

    Attributes:
        network: with its best weights.
        config: of the run.
        state: how far the training came.
        environment: content of environment.json.
        calibration: temperatures that belong to these weights, or None.
        metrics: content of metrics.json for each evaluated split.
    """

    network: LesionModel
    config: Config
    state: RunState
    environment: Mapping[str, Any]
    calibration: calibration.Calibration | None
    metrics: Mapping[str, Any]

    @property
    def temperatures(self) -> dict[str, float]:
        """By task name, what the logits are divided by; 1 without calibration."""
        return dict(self.calibration.temperatures) if self.calibration else dict.fromkeys(task_names(), 1.0)


def read_source(run: Path, allow_unfinished: bool = False) -> Source:
    """Reads a run folder.

    Args:
        run: the folder.
        allow_unfinished: take the best weights so far of a run that has not finished.

    Raises:
        RunError: no run folder, damaged, or not finished.
    """
    folder = RunFolder(run)
    config = models.resolve(folder.read_config())
    state = folder.read_state()
    if folder.model_file.is_file():
        network = _load_finished(folder.model_file)
        scaling = calibration.read(run, calibration.file_digest(folder.model_file))
    elif allow_unfinished:
        network, scaling = _load_best(folder, config, state), None
    else:
        raise RunError(
            f"run {run} has not finished: run the same amfam-tf fit again, or export its best weights so far with "
            "--allow-unfinished"
        )
    return Source(network, config, state, folder.read_environment(), scaling, _read_metrics(run))


def _load_finished(path: Path) -> LesionModel:
    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(network, LesionModel):
        raise ExportError(f"{path} holds no network of this package but a {type(network).__name__}")
    return network


def _load_best(folder: RunFolder, config: Config, state: RunState) -> LesionModel:
    if state.best_weights is None:
        raise RunError(f"run {folder.path} has no complete epoch yet: there are no weights to export")
    # The weights come from the checkpoint: the initial ones need not be there.
    network = models.create(
        config.method, dataclasses.replace(config, model=dataclasses.replace(config.model, weights="none"))
    )
    try:
        network.load_weights(folder.checkpoints / state.best_weights)
    except (OSError, ValueError) as error:
        path = folder.checkpoints / state.best_weights
        raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    return network


def _read_metrics(run: Path) -> dict[str, Any]:
    found = {split: run / "evaluation" / split / "metrics.json" for split in SPLITS}
    metrics = {}
    for split, path in found.items():
        if path.is_file():
            try:
                metrics[split] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise RunError(f"{path} is damaged: run amfam-tf evaluate again") from error
    return metrics
