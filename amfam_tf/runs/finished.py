"""A finished run: opened in one place, what is large or may be missing is read when it is first asked for.

Importing this is quick; TensorFlow is imported when the network is asked for.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.config import Config
from amfam_tf.errors import RunError
from amfam_tf.files.digests import file_digest
from amfam_tf.runs import calibration, members, teacher, thresholds
from amfam_tf.runs.calibration import Calibration
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.runs.members import Member
from amfam_tf.runs.teacher import Teacher
from amfam_tf.runs.thresholds import Thresholds


class UnfinishedError(RunError):
    """A run whose training goes on when the same fit is started again."""


@dataclass(frozen=True)
class FinishedRun:
    """A run whose training has ended and has left its best weights; one that has diverged may have, too.

    Attributes:
        folder: its files.
        config: as it was begun; see `amfam_tf.models.resolve` for what its method sets.
    """

    folder: RunFolder
    config: Config

    @classmethod
    def open(cls, path: Path) -> "FinishedRun":
        """Returns the finished run in a folder.

        Raises:
            UnfinishedError: training has not ended.
            RunError: no run folder, or training has ended before an epoch was complete.
            ConfigError: its configuration is none.
        """
        folder = RunFolder(path)
        folder.check_begun()
        if folder.model_file.is_file():
            return cls(folder, folder.read_config())
        state = folder.read_state()
        if state.diverged is not None:
            raise RunError(folder.describe_divergence(state))
        raise UnfinishedError(
            f"{path} has not finished training: it has no {folder.model_file.name}; the same `amfam-tf fit` resumes it"
        )

    @property
    def path(self) -> Path:
        """Path of the run folder."""
        return self.folder.path

    @functools.cached_property
    def state(self) -> RunState:
        """How its training ended; the begin of a training if the folder does not say."""
        return self.folder.read_state()

    @functools.cached_property
    def card(self) -> DataCard:
        """Of the data that it is trained on. Raises RunError if it is damaged."""
        return self.folder.read_card()

    @functools.cached_property
    def environment(self) -> Mapping[str, Any]:
        """Content of environment.json."""
        return self.folder.read_environment()

    @property
    def members(self) -> tuple[Member, ...]:
        """The runs that it is made of; () of one that was fitted."""
        return members.read(self.environment) if self.folder.environment_file.is_file() else ()

    @property
    def teacher(self) -> Teacher | None:
        """The run that it has learned from beside the labels, if there is one."""
        return teacher.read(self.environment) if self.folder.environment_file.is_file() else None

    @property
    def data_fingerprint(self) -> str | None:
        """Of the data that it was trained on; None if the folder does not say."""
        return self.environment.get("data_fingerprint") if self.folder.environment_file.is_file() else None

    @property
    def model_sha256(self) -> str:
        """Digest of the file of its best weights, 64 hex digits."""
        return file_digest(self.folder.model_file)

    @property
    def calibration(self) -> Calibration | None:
        """Its temperatures; None if it has none, or some of other weights, which are to be fitted anew."""
        found = calibration.read(self.folder.calibration_file, self.card.tasks)
        return found if found is not None and found.model_sha256 == self.model_sha256 else None

    @property
    def own_calibration(self) -> Calibration | None:
        """Its temperatures; None if it has none. Raises RunError if they are of other weights."""
        found, path = self.calibration, self.folder.calibration_file
        if found is None and path.is_file():
            raise RunError(
                f"{path} belongs to other weights than those in {self.path}: "
                f"amfam-tf evaluate {self.path} --data DATA fits it anew; or remove it, to go without temperatures"
            )
        return found

    @property
    def own_thresholds(self) -> Thresholds:
        """Its thresholds per class. Raises RunError if it has none, or some of other weights."""
        path = self.folder.thresholds_file
        found, again = thresholds.read(path, self.card.tasks), "`amfam-tf ensemble OUT RUN ... --data DATA --thresholds"
        if found is None:
            raise RunError(
                f"{self.path} has no {path.name}: {again} MEASURE` fits some to the out-of-fold predictions of folds"
            )
        if found.model_sha256 != self.model_sha256:
            raise RunError(f"{path} belongs to other weights than those in {self.path}: {again} MEASURE` fits it anew")
        return found

    @functools.cached_property
    def network(self) -> Any:
        """The Keras model with its best weights and all its outputs. Raises RunError if it cannot be loaded."""
        from amfam_tf.runs import network

        return network.load(self.folder.model_file)

    @property
    def takes_one_picture(self) -> bool:
        """Whether the network was trained to answer for either picture alone; False for one of other makers."""
        return bool(getattr(self.network, "takes_one_picture", False))

    def inference_model(self, modalities: tuple[str, ...] = MODALITIES) -> Any:
        """Returns the classifier's part of the network: these images in, logits per task out.

        Raises:
            RunError: the file cannot be loaded, holds weights that are no finite numbers, or the method cannot do
                without an image that is left out.
        """
        from amfam_tf.runs import network

        plain = set(modalities) == set(MODALITIES) and not hasattr(self.network, "inference_model")
        try:
            model = self.network if plain else self.network.inference_model(modalities)
        except ValueError as error:
            given = " and ".join(modalities)
            reason = network.shortened(error)
            raise RunError(f"run {self.path} cannot be evaluated with the {given} picture alone: {reason}") from error
        network.check_weights(model, self.folder.model_file, self.card.tasks)
        return model
