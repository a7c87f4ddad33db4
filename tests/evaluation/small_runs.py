"""Writes finished run folders around a model of a few hundred weights."""

import json
from pathlib import Path

import keras

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.data.cases import read
from amfam_tf.tasks import TASKS

SIZE = 32


def small_model(seed: int = 0, tasks=TASKS) -> keras.Model:
    """Returns a functional model from a pair of images to logits per task."""
    keras.utils.set_random_seed(seed)
    inputs = {name: keras.Input((SIZE, SIZE, 3), name=name) for name in ("clinical", "dermoscopic")}
    pooled = [keras.layers.AveragePooling2D(8)(image) for image in inputs.values()]
    features = keras.layers.Flatten()(keras.layers.Concatenate()(pooled))
    outputs = {
        task.name: keras.layers.Dense(len(task.classes), name=task.name, kernel_initializer="random_normal")(features)
        for task in tasks
    }
    return keras.Model(inputs, outputs)


def write_run(run: Path, release: Path, seed: int = 0, batch_size: int = 2) -> Path:
    """Writes config.yaml, environment.json and model.keras to the new folder `run` and returns it.

    And dataset.yaml, the card of the data set `release`, if it is not Derm7pt's.
    """
    run.mkdir(parents=True)
    config = configuration.load("tiny", [f"data.image_size={SIZE}", f"training.batch_size={batch_size}"])
    (run / "config.yaml").write_text(configuration.dump(config), encoding="utf-8")
    data = read(release)
    if not cards.is_derm7pt(data.card):
        (run / cards.FILE).write_text(cards.to_yaml(data.card), encoding="utf-8")
    (run / "environment.json").write_text(json.dumps({"data_fingerprint": data.fingerprint}), encoding="utf-8")
    small_model(seed, data.card.tasks).save(run / "model.keras")
    return run
