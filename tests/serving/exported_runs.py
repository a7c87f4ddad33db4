"""Run folders around a small network with random weights, to export without training."""

import json
from pathlib import Path

from small import make_weights_all_different, small_config

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.training.run_folder import RunFolder, RunState

FINGERPRINT = "f" * 64
HISTORY = [{"epoch": 0, "loss": 1.0}]


def small_network(*overrides: str, method: str = "amfam", seed: int = 0) -> LesionModel:
    """Returns a network whose weights are all different."""
    config = small_config(*overrides, method=method)
    network = models.create(config.method, config)
    make_weights_all_different(network, seed)
    return network


def write_run(run: Path, *overrides: str, method: str = "amfam", finished: bool = True, seed: int = 0) -> LesionModel:
    """Writes a run folder, finished or after its first epoch; returns its network."""
    config = models.resolve(small_config(*overrides, method=method))
    network = small_network(*overrides, method=method, seed=seed)
    folder = RunFolder(run)
    folder.checkpoints.mkdir(parents=True)
    folder.config_file.write_text(configuration.dump(config), encoding="utf-8")
    environment = {"data_fingerprint": FINGERPRINT, "data_counts": {"train": 4}}
    folder.environment_file.write_text(json.dumps(environment), encoding="utf-8")
    network.save_weights(folder.checkpoints / "best.weights.h5")
    if finished:
        network.save(folder.model_file)
    folder.write_state(
        RunState(
            epochs=1,
            best_epoch=0,
            best_accuracy=0.5,
            best_weights="best.weights.h5",
            finished=finished,
            history=HISTORY,
            seconds=[1.0],
        )
    )
    return network
