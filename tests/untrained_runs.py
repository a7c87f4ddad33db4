"""Writes finished run folders around a real, untrained AMFAM."""

import json
from pathlib import Path

from small import make_weights_all_different, small_config

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.data.cases import data_fingerprint
from amfam_tf.data.derm7pt import read_release
from amfam_tf.tasks import DERM7PT


def write_run(run: Path, release: Path, method: str = "amfam", seed: int = 0) -> Path:
    """Writes config.yaml, environment.json and model.keras to the new folder `run` and returns it."""
    run.mkdir(parents=True)
    config = models.resolve(small_config("training.batch_size=2", method=method))
    (run / "config.yaml").write_text(configuration.dump(config), encoding="utf-8")
    fingerprint = data_fingerprint(read_release(release), card=DERM7PT)
    (run / "environment.json").write_text(json.dumps({"data_fingerprint": fingerprint}), encoding="utf-8")
    network = models.create(method, config)
    make_weights_all_different(network, seed)
    network.save(run / "model.keras")
    return run
