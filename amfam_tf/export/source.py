"""What is exported of a run: its network, its configuration, and what is known about both."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from amfam_tf import models
from amfam_tf.config import Config
from amfam_tf.errors import ExportError, RunError
from amfam_tf.evaluation import calibration, provenance
from amfam_tf.evaluation.run import METRICS_FILE, check_weights, folder_of
from amfam_tf.files.digests import file_digest
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.tasks import SPLITS, task_names


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
        model_sha256: digest of the file that the weights come from.
        notes: what a reader has to know of all this, one sentence each.
    """

    network: LesionModel
    config: Config
    state: RunState
    environment: Mapping[str, Any]
    calibration: calibration.Calibration | None
    metrics: Mapping[str, Any]
    model_sha256: str | None = None
    notes: tuple[str, ...] = ()

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
        RunError: no run folder, damaged, not finished, weights that are no finite numbers, or temperatures or metrics
            of other weights.
    """
    folder = RunFolder(run)
    config = models.resolve(folder.read_config())
    state = folder.read_state()
    finished = folder.model_file.is_file() and (state.diverged is None or allow_unfinished)
    if finished:
        path = folder.model_file
        digest = file_digest(path)
        network, scaling = _load_finished(path), calibration.read_own(run, digest)
    elif allow_unfinished:
        path = _best_weights(folder, state)
        digest = file_digest(path)
        network, scaling = _load_best(path, config), None
    elif state.diverged is not None:
        raise RunError(
            f"run {run} has ended early ({state.diverged}): export its best weights so far with --allow-unfinished"
        )
    else:
        raise RunError(
            f"run {run} has not finished: run the same amfam-tf fit again, or export its best weights so far with "
            "--allow-unfinished"
        )
    check_weights(network.inference_model(), path)
    metrics, notes = _read_metrics(run, digest)
    if finished:
        notes += provenance.training_notes(run, digest)
    return Source(
        network, config, state, folder.read_environment(), scaling, metrics, model_sha256=digest, notes=tuple(notes)
    )


def _load_finished(path: Path) -> LesionModel:
    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(network, LesionModel):
        raise ExportError(f"{path} holds no network of this package but a {type(network).__name__}")
    return network


def _best_weights(folder: RunFolder, state: RunState) -> Path:
    if state.best_weights is None:
        raise RunError(f"run {folder.path} has no complete epoch yet: there are no weights to export")
    path = folder.checkpoints / state.best_weights
    if not path.is_file():
        raise RunError(f"{path} is missing: run the same amfam-tf fit again")
    return path


def _load_best(path: Path, config: Config) -> LesionModel:
    # The weights come from the checkpoint: the initial ones need not be there.
    network = models.create(
        config.method, dataclasses.replace(config, model=dataclasses.replace(config.model, weights="none"))
    )
    try:
        network.load_weights(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    return network


def _read_metrics(run: Path, model_sha256: str) -> tuple[dict[str, Any], list[str]]:
    """Returns metrics.json of each evaluated split, and notes about those that do not say what they are of.

    Raises:
        RunError: one is damaged, or of other weights.
    """
    found, notes = {}, []
    for split in SPLITS:
        path = folder_of(run, split) / METRICS_FILE
        content = provenance.read_metrics(path)
        if content is None:
            continue
        measured = content.get(provenance.MODEL)
        if measured is None:
            # Notes travel with the version: no folder of this machine in them.
            place = path.relative_to(run).as_posix()
            notes.append(f"{place} does not say which weights it was measured with: perhaps with others")
        elif measured != model_sha256:
            raise RunError(
                f"{path} was measured with other weights than those to export: run amfam-tf evaluate {run} --data DATA "
                f"--split {split} again, or remove {path.parent}"
            )
        found[split] = content
    return found, notes
