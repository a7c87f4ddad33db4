"""Trainer: fits the configured method on the records, as `amfam-tf fit`, into a run folder.

A fit that was killed goes on after its last complete epoch and ends as an unbroken one; the run folder sees to that.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf import config as training_configuration
from amfam_tf.config import Config
from amfam_tf.data import shards
from amfam_tf.files import digests
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.layout import RECORDS, RUN
from amfam_tf.release.step import StepOutcome, Work
from amfam_tf.runs.folder import CONFIG_FILE, MODEL_FILE
from amfam_tf.terminal import Terminal
from amfam_tf.training.monitor import measure_of, name_in_records

COUNTED = (f"{RUN}/{CONFIG_FILE}", f"{RUN}/{MODEL_FILE}")
RESUMABLE = True
BUILT_IN_WEIGHTS = ("none", "imagenet")


def refuse_unread(config: ReleaseConfig) -> None:
    """Refuses a training that names values which its method does not read, as `amfam-tf fit` does.

    Raises:
        ConfigError: see `amfam_tf.models.refuse_unread`.
    """
    asked = config.training.asked_keys()
    if asked:
        from amfam_tf import models

        models.refuse_unread([config.training.resolve()], asked)


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns the configuration of the run, complete: what a preset says today decides, not its name."""
    return training_configuration.to_dict(config.training.resolve())


def outside(config: ReleaseConfig, _: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprint of the file that the backbone's weights come from, if they do."""
    weights = config.training.resolve().model.weights
    if weights in BUILT_IN_WEIGHTS or not Path(weights).is_file():  # fit says what is wrong with it
        return {}
    return {"weights": digests.of_file(Path(weights))}


def run(work: Work) -> StepOutcome:
    """Fits the configured method on the records of ExampleGen."""
    refuse_unread(work.config)
    config = work.config.training.resolve()
    records = work.inputs["ExampleGen"] / RECORDS
    epochs, value = _fit(records, work.out / RUN, config)
    measure = measure_of(shards.read_card(records), config.training.monitor)
    return StepOutcome(
        f"{config.method} fitted: {epochs} epochs, best {measure} {value:.4f}",
        details={"epochs": epochs, name_in_records(config.training.monitor): value},
    )


def _fit(records: Path, folder: Path, config: Config) -> tuple[int, float]:
    """Returns the number of epochs and the value of the best, see `measure_of`."""
    from amfam_tf.training import run as training

    result = training.fit(records, folder, config, Terminal())
    return result.epochs, result.best_accuracy
