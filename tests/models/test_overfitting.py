"""Every method that is trained learns sixteen cases by heart, with its own losses and stages. AMFAM: tests/training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config
from tiny_backbone import TINY_BACKBONE, TINY_INCEPTION, TINY_STAGED_BACKBONE

from amfam_tf import models
from amfam_tf.models import backbones
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer

RATE = 0.03
TRAINED = {name for name, method in models.METHODS.items() if method.network.TRAINED}
OF_STAGES = ("hccnn", "triplenet")
"""They take the backbone's stages apart."""
BOUT, BOUTS = 20, 10
"""Steps between two looks, and looks at most; one to four are enough."""


@pytest.fixture(autouse=True)
def tiny_backbones(request, monkeypatch):
    """What is around the backbones has to learn, and they have to pass the gradients on."""
    of_stages = request.node.callspec.params["name"] in OF_STAGES
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_STAGED_BACKBONE if of_stages else TINY_BACKBONE)
    monkeypatch.setitem(backbones.BACKBONES, "inception_narrow", TINY_INCEPTION)


def accuracies(outputs, batch):
    """Returns the accuracy of each task."""
    return {task.name: np.mean(np.argmax(outputs[task.name], axis=1) == batch[task.name]) for task in TASKS}


@pytest.mark.parametrize("name", sorted(TRAINED - {"amfam"}))
def test_sixteen_cases_are_learned_by_heart(name):
    trainer = create_trainer(small_config("data.image_size=32", method=name), steps_per_epoch=1, card=DERM7PT)
    network = trainer.network
    # To trace Adam takes as long as all the rest, and what is looked at here is the losses and the stages.
    optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
    optimizer.build(network.weights)  # of all stages
    trainer.compile(optimizer=optimizer)
    batch = random_batch(16, image_size=32)
    dataset = tf.data.Dataset.from_tensors(batch).cache().repeat()
    pair = {key: tf.constant(batch[key]) for key in MODALITIES}
    learned = {task.name: 1.0 for task in TASKS}
    # Each image alone has classifiers of its own.
    alone = [network.inference_model((key,)) for key in MODALITIES if name == "inception-combined"]

    def look():
        found = [accuracies(model({key: pair[key] for key in model.input}), batch) for model in (network, *alone)]
        return found[0], [float(np.mean(list(one.values()))) for one in found[1:]]

    for stage in network.stages:
        trainer.enter_stage(stage)
        for _ in range(BOUTS if stage is network.stages[-1] else 1):
            trainer.fit(dataset, steps_per_epoch=BOUT, epochs=1, verbose=0, shuffle=False)
            whole, parts = look()
            if whole == learned and min(parts, default=1.0) > 0.9:
                break
    assert whole == learned
    assert min(parts, default=1.0) > 0.9
