"""What is exported of a run: its network, its configuration, and what is known about both."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amfam_tf import models
from amfam_tf.card import inputs, metadata_values
from amfam_tf.card.schema import SPLITS, DataCard, MetadataColumn
from amfam_tf.config import Config
from amfam_tf.errors import ExportError, RunError
from amfam_tf.evaluation import provenance
from amfam_tf.files.digests import file_digest
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.models.registry import ENSEMBLE
from amfam_tf.report import results
from amfam_tf.runs import network as stored_network
from amfam_tf.runs.calibration import Calibration
from amfam_tf.runs.finished import FinishedRun, UnfinishedError
from amfam_tf.runs.folder import METRICS_FILE, RunFolder, RunState
from amfam_tf.runs.network import check_weights
from amfam_tf.runs.thresholds import Thresholds


@dataclass(frozen=True)
class Source:
    """A run to export.

    Attributes:
        network: with its best weights.
        card: of the data.
        config: of the run.
        state: how far the training came.
        environment: content of environment.json.
        calibration: temperatures that belong to these weights, or None.
        metrics: content of metrics.json for each evaluated split.
        model_sha256: digest of the file that the weights come from.
        notes: what a reader has to know of all this, one sentence each.
        thresholds: per class, to be exported too; None for none.
    """

    network: LesionModel
    card: DataCard
    config: Config
    state: RunState
    environment: Mapping[str, Any]
    calibration: Calibration | None
    metrics: Mapping[str, results.Report]
    model_sha256: str | None = None
    notes: tuple[str, ...] = ()
    thresholds: Thresholds | None = None

    @property
    def weights(self) -> Mapping[str, Mapping[str, float]]:
        """By task name, the weight of each class that decides; {} without thresholds."""
        return {} if self.thresholds is None else self.thresholds.weights

    @property
    def temperatures(self) -> dict[str, float]:
        """By task name, what the logits are divided by; 1 without calibration."""
        if self.calibration is None:
            return {task.name: 1.0 for task in self.card.tasks}
        return dict(self.calibration.temperatures)

    @property
    def columns(self) -> dict[str, MetadataColumn]:
        """The metadata that the network takes, by name, in order."""
        return {column.name: self.card.metadata[column.name] for column in self.network.metadata}


def read_source(run: Path, allow_unfinished: bool = False, thresholds: bool = False) -> Source:
    """Reads a run folder.

    Args:
        run: the folder.
        allow_unfinished: take the best weights so far of a run that has not finished.
        thresholds: take its thresholds per class, which it must have.

    Raises:
        RunError: no run folder, damaged, no thresholds, not finished, weights that are no finite numbers, or
            temperatures, thresholds or metrics of other weights.
    """
    folder = RunFolder(run)
    if allow_unfinished and not thresholds and not folder.model_file.is_file():
        return _read_unfinished(folder)
    finished = _open_finished(run, allow_unfinished)
    config, digest = finished.config, finished.model_sha256
    if config.method != ENSEMBLE:
        config = models.resolve(config)
    if not isinstance(finished.network, LesionModel):
        kind = type(finished.network).__name__
        raise ExportError(f"{folder.model_file} holds no network of this package but a {kind}")
    _check_questions(finished.network, finished.card, folder)
    _check_values(finished.network, finished.card)
    scaling = finished.own_calibration
    check_weights(finished.network.inference_model(), folder.model_file, finished.card.tasks)
    metrics, notes = _read_metrics(folder, digest)
    notes += [*provenance.training_notes(finished), *_leaks(finished.network, finished.card)]
    return Source(
        finished.network,
        finished.card,
        config,
        finished.state,
        finished.environment,
        scaling,
        metrics,
        digest,
        notes=tuple(notes),
        thresholds=finished.own_thresholds if thresholds else None,
    )


def _open_finished(run: Path, allow_diverged: bool) -> FinishedRun:
    try:
        finished = FinishedRun.open(run)
    except UnfinishedError as error:
        raise RunError(f"{error}, and --allow-unfinished exports its best weights so far") from error
    if finished.state.diverged is not None and not allow_diverged:
        raise RunError(
            f"run {run} has ended early ({finished.state.diverged}): export its best weights so far with "
            "--allow-unfinished"
        )
    return finished


def _read_unfinished(folder: RunFolder) -> Source:
    """Returns a run that goes on: with the best weights so far, and without temperatures."""
    config, state, card = models.resolve(folder.read_config()), folder.read_state(), folder.read_card()
    path = _best_weights(folder, state)
    digest = file_digest(path)
    network = _load_best(path, config, card)
    _check_values(network, card)
    check_weights(network.inference_model(), path, card.tasks)
    metrics, notes = _read_metrics(folder, digest)
    notes += _leaks(network, card)
    return Source(network, card, config, state, folder.read_environment(), None, metrics, digest, notes=tuple(notes))


def _check_values(network: LesionModel, card: DataCard) -> None:
    """Checks that a text that a signature is given for a column means one thing."""
    columns = {one.name: card.metadata[one.name] for one in network.metadata}
    twofold = next(metadata_values.ambiguous(columns), None)
    if twofold:
        raise ExportError(
            f"card {card.name}: {twofold} is also a raw value of something else, so that clients could not say which "
            "is meant: name it otherwise, and fit again"
        )


def _check_questions(network: LesionModel, card: DataCard, folder: RunFolder) -> None:
    """Checks that questions and metadata of network and card are the same: else answers would get other names."""
    found, expected = ({task.name: task.classes for task in tasks} for tasks in (network.tasks, card.tasks))
    two_runs = "the folder holds files of two runs; fit again in a new one"
    if list(found.items()) != list(expected.items()):
        raise RunError(
            f"{folder.model_file} answers {', '.join(found)}, and the card of the run ({card.name}) has "
            f"{', '.join(expected)}, or other classes: {two_runs}"
        )
    columns = [one.name for one in network.metadata]
    if network.metadata != inputs.inputs_of(card, columns):
        raise RunError(
            f"{folder.model_file} takes {', '.join(columns)} with other values or ranges than the card of the run "
            f"({card.name}) has: {two_runs}"
        )


def _leaks(network: LesionModel, card: DataCard) -> list[str]:
    warning = inputs.warning(card, [one.name for one in network.metadata])
    return [] if warning is None else [warning]


def _best_weights(folder: RunFolder, state: RunState) -> Path:
    if state.best_weights is None:
        raise RunError(f"run {folder.path} has no complete epoch yet: there are no weights to export")
    path = folder.checkpoints / state.best_weights
    if not path.is_file():
        raise RunError(f"{path} is missing: run the same amfam-tf fit again")
    return path


def _load_best(path: Path, config: Config, card: DataCard) -> LesionModel:
    # The weights come from the checkpoint: the initial ones need not be there.
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, weights="none"))
    network = models.create(config.method, config, card.tasks, inputs.inputs_of(card, config.model.metadata))
    with stored_network.naming(path):
        network.load_weights(path)
    return network


def _read_metrics(run: RunFolder, model_sha256: str) -> tuple[dict[str, results.Report], list[str]]:
    """Returns metrics.json of each evaluated split, and notes about those that do not say what they are of.

    Raises:
        RunError: one is damaged, or of other weights.
    """
    found, notes = {}, []
    for split in SPLITS:
        path = run.evaluation(split) / METRICS_FILE
        content = results.read(path)
        if content is None:
            continue
        measured = content.get(provenance.MODEL)
        if measured is None:
            # Notes travel with the version: no folder of this machine in them.
            place = path.relative_to(run.path).as_posix()
            notes.append(f"{place} does not say which weights it was measured with: perhaps with others")
        elif measured != model_sha256:
            again = f"amfam-tf evaluate {run.path} --data DATA --split {split}"
            raise RunError(
                f"{path} was measured with other weights than those to export: run {again} again, or remove "
                f"{path.parent}"
            )
        found[split] = content
    return found, notes
