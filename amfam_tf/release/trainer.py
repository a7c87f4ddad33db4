"""Trainer: fits the configured method on the records, as `amfam-tf fit`, into a run folder.

A fit that was killed goes on after its last complete epoch and ends as an unbroken one; the run folder sees to that.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf import config as training_configuration
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.example_gen import RECORDS
from amfam_tf.release.step import Outcome, Work
from amfam_tf.serving.version_files import sha256

RUN = "run"
COUNTED = (f"{RUN}/config.yaml", f"{RUN}/model.keras", f"{RUN}/calibration.json")
RESUMABLE = True
BUILT_IN_WEIGHTS = ("none", "imagenet")


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns the configuration of the run, complete: what a preset says today decides, not its name."""
    return training_configuration.to_dict(config.training.resolve())


def outside(config: ReleaseConfig, _: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprint of the file that the backbone's weights come from, if they do."""
    weights = config.training.resolve().model.weights
    if weights in BUILT_IN_WEIGHTS or not Path(weights).is_file():  # fit says what is wrong with it
        return {}
    return {"weights": sha256(Path(weights))}


def run(work: Work) -> Outcome:
    """Fits, then fits the temperatures on the validation split."""
    from amfam_tf.cli.options import console
    from amfam_tf.evaluation.run import calibrate_run
    from amfam_tf.training import run as training

    records, folder = work.inputs["ExampleGen"] / RECORDS, work.out / RUN
    config = work.config.training.resolve()
    result = training.fit(records, folder, config, console())
    _, notes = calibrate_run(folder, records, trained_on=result.cases)
    details = {"epochs": result.epochs, "best_validation_accuracy": result.best_accuracy, "notes": notes}
    return Outcome(
        f"{config.method} fitted: {result.epochs} epochs, best mean validation accuracy {result.best_accuracy:.4f}",
        details=details,
    )
