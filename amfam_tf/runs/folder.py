"""The run folder: names of its files, one writer at a time, files that are whole or absent, and what to resume from."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.config import Config
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.files import json_file
from amfam_tf.files.locks import locked_runs
from amfam_tf.files.writing import remove_leftovers, write_text
from amfam_tf.runs import teacher, thresholds

CONFIG_FILE, ENVIRONMENT_FILE, HISTORY_FILE = "config.yaml", "environment.json", "history.csv"
MODEL_FILE, CALIBRATION_FILE = "model.keras", "calibration.json"
STATE_FILE = "checkpoints/state.json"
"""Below a run folder."""
OUT_OF_FOLD = "out-of-fold"
"""In the place of a split: each case by the members of an ensemble that left its fold out."""
EVALUATION = "evaluation"
"""The folder that has one for each evaluated split, and in it:"""
PREDICTIONS_FILE, METRICS_FILE, REPORT_FILE = "predictions.csv", "metrics.json", "report.html"
MAX_DIFFERENCES = 5


@dataclass(frozen=True)
class RunState:
    """What is needed to go on after the last complete epoch; one instance is one file.

    Attributes:
        epochs: complete epochs.
        weights: file of the trainer's weights and optimiser state after them, in `checkpoints/`.
        best_epoch: 0-based epoch with the best value of `training.monitor`, of the last stage; -1 for none yet.
        best_accuracy: that value, which is an accuracy unless the configuration names another one.
        best_weights: file of the network's weights after it.
        waited: epochs since.
        stopped: early stopping ended training.
        diverged: what ended training for good, in words; `model.keras` then has the best weights before, if there are.
        finished: `model.keras` is written.
        model_sha256: its digest.
        history: one mapping per epoch; "stage" is in it if the method trains in several.
        seconds: wall time of each epoch.
    """

    epochs: int = 0
    weights: str | None = None
    best_epoch: int = -1
    best_accuracy: float = -1.0
    best_weights: str | None = None
    waited: int = 0
    stopped: bool = False
    diverged: str | None = None
    finished: bool = False
    model_sha256: str | None = None
    history: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class RunFolder:
    """The files of one run.

    config.yaml, dataset.yaml (the card of the data, if it is not Derm7pt's), environment.json (versions, data
    fingerprint, seed), history.csv (one row per epoch), tensorboard/,
    pictures/, checkpoints/ and, when training has ended, model.keras with the best weights; then calibration.json and
    evaluation/<split>/.

    Args:
        path: the folder; created by `lock`.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.config_file = self.path / CONFIG_FILE
        self.card_file = self.path / cards.FILE
        self.environment_file = self.path / ENVIRONMENT_FILE
        self.history_file = self.path / HISTORY_FILE
        self.model_file = self.path / MODEL_FILE
        self.calibration_file = self.path / CALIBRATION_FILE
        self.thresholds_file = self.path / thresholds.FILE
        self.tensorboard = self.path / "tensorboard"
        self.pictures = self.path / "pictures"
        self.state_file = self.path / STATE_FILE
        self.checkpoints = self.state_file.parent

    def evaluation(self, split: str, modalities: tuple[str, ...] = MODALITIES) -> Path:
        """Returns the folder of the evaluation of a split; one with a picture left out has a folder of its own."""
        complete = set(modalities) == set(MODALITIES)
        return self.path / EVALUATION / (split if complete else "-".join((split, *modalities)))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for this process; the lock ends with the process, however it ends.

        Removes what a killed process has left of the files that only the holder writes.

        Raises:
            RunError: another process holds it, or the folder cannot be written.
        """
        with locked_runs(self.path / ".lock", self.checkpoints, f"run folder {self.path}"):
            for file in (self.config_file, self.card_file, self.environment_file, self.history_file, self.model_file):
                remove_leftovers(self.path, file.name)
            yield

    def open(self, config: Config, fingerprint: str, taught_by: str | None = None) -> RunState:
        """Checks that the folder is empty, or was begun with this configuration and data; changes nothing.

        Args:
            config: of the run.
            fingerprint: of the data.
            taught_by: digest of its teacher's weights; None if it has none, or does not ask it any more.

        Returns:
            What to resume from.

        Raises:
            RunError: the folder was begun with another configuration, other data or another teacher; shows the
                difference.
        """
        if self.config_file.exists():
            self._check_same(config, fingerprint, taught_by)
            return self.read_state()
        foreign = [item.name for item in self.path.iterdir() if not item.name.startswith(".")]
        # What a process killed right here would have left.
        own = {self.checkpoints.name, self.environment_file.name, self.card_file.name}
        if not own.issuperset(foreign):
            first = sorted(set(foreign) - own)[0]
            raise RunError(f"{self.path} is no run folder and not empty (it holds {first}): name another folder")
        return RunState()

    def begin(self, config: Config, environment: dict[str, Any], card: DataCard) -> None:
        """Claims a new folder for a configuration and data; one that is begun stays as it is.

        Args:
            config: of the run.
            environment: written to environment.json; its "data_fingerprint" identifies the data.
            card: of the data; a folder without one is of Derm7pt.
        """
        if not self.config_file.exists():
            json_file.write(self.environment_file, environment, RunError)
            if not cards.is_derm7pt(card):
                write_text(self.card_file, cards.to_yaml(card), RunError)
            # Last: a folder with a config.yaml is a complete beginning.
            write_text(self.config_file, configuration.dump(config), RunError)

    def note_distribution(self, epoch: int, distribution: dict[str, Any]) -> None:
        """Adds to environment.json how the run is distributed from an epoch on, unless it is as before."""
        known = self.read_environment()
        before = known.setdefault("distribution", [])
        if not before or {**before[-1], **distribution} != before[-1]:
            before.append({"from_epoch": epoch, **distribution})
            json_file.write(self.environment_file, known, RunError)

    def _check_same(self, config: Config, fingerprint: str, taught_by: str | None) -> None:
        differences = configuration.differences(configuration.read(self.config_file), config)
        if differences:
            shown = "; ".join(differences[:MAX_DIFFERENCES])
            more = f"; and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
            raise RunError(
                f"run folder {self.path} was begun with another configuration ({shown}{more}): name another folder"
            )
        known = self.read_environment()
        begun = known.get("data_fingerprint")
        if begun != fingerprint:
            raise RunError(
                f"run folder {self.path} was begun with other data (fingerprint {str(begun)[:12]} -> "
                f"{fingerprint[:12]}): name another folder"
            )
        before = teacher.read(known)
        if taught_by is not None and before is not None and before.model_sha256 != taught_by:
            raise RunError(
                f"run folder {self.path} was begun with another teacher: {config.loss.teacher} had other weights "
                f"({before.model_sha256[:12]} -> {taught_by[:12]}): name another folder"
            )

    def read_config(self) -> Config:
        """Returns the run's configuration.

        Raises:
            RunError: there is no run in this folder.
        """
        self.check_begun()
        return configuration.read(self.config_file)

    def read_card(self) -> DataCard:
        """Returns the card of the data that the run is trained on.

        Raises:
            RunError: its file is damaged.
        """
        try:
            return cards.read(self.card_file) if self.card_file.exists() else cards.legacy()
        except ConfigError as error:
            raise RunError(f"{error}: the card of a run is written by fit and must stay as it is") from error

    def check_begun(self) -> None:
        """Checks that a fit has claimed this folder.

        Raises:
            RunError: there is no run in it.
        """
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path} is no run folder: it has no {CONFIG_FILE}; `amfam-tf fit --run {self.path}` makes one"
            )

    def read_environment(self) -> dict[str, Any]:
        """Returns environment.json."""
        return _read_json(self.environment_file)

    def read_state(self) -> RunState:
        """Returns what to resume from; a run without a complete epoch starts from the beginning.

        Raises:
            RunError: the file is damaged.
        """
        if not self.state_file.exists():
            return RunState()
        content = _read_json(self.state_file)
        unknown = content.keys() - {entry.name for entry in fields(RunState)}
        if unknown:
            raise RunError(f"{self.state_file} is damaged or of a newer version: unknown key {min(unknown)!r}")
        return RunState(**content)

    def write_state(self, state: RunState) -> None:
        """Makes `state` what a later process resumes from, then brings history.csv up to it."""
        write_text(self.state_file, json.dumps(asdict(state)), RunError)
        self.tidy(state)

    def describe_divergence(self, state: RunState) -> str:
        """Returns in one sentence why a training has ended, what is kept of it, and what to do."""
        kept = "no epoch was complete"
        if state.best_weights is not None:
            kept = f"{self.model_file} has the weights of epoch {state.best_epoch + 1}, the best before"
        return (
            f"{state.diverged}: {kept}; the same would happen again: lower optimizer.learning_rate or set "
            "optimizer.clip_norm, and name another run folder"
        )

    def tidy(self, state: RunState) -> None:
        """Writes history.csv from the state and removes checkpoint files that the state does not name."""
        if state.history:
            write_text(self.history_file, pd.DataFrame(state.history).to_csv(index=False), RunError)
        keep = {self.state_file.name, state.weights, state.best_weights}
        for item in self.checkpoints.iterdir():
            if item.name not in keep:
                item.unlink()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json_file.read(path)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is damaged: line {error.lineno}: {error.msg}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it holds no object but {type(content).__name__}")
    return content
