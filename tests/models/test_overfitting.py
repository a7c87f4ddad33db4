"""Every method learns sixteen cases by heart, with its own losses and stages. AMFAM: tests/training."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config

from amfam_tf import models
from amfam_tf.tasks import MODALITIES, TASKS
from amfam_tf.training.run import create_trainer

SMALLER = ("data.image_size=32", "optimizer.schedule=constant")
RATES = {"hccnn": 0.001}
STEPS = {"hccnn": 80, **{name: 120 for name in models.METHODS if name.startswith("concat")}}


def accuracies(outputs, batch):
    """Returns the accuracy of each task."""
    return {task.name: np.mean(np.argmax(outputs[task.name], axis=1) == batch[task.name]) for task in TASKS}


@pytest.mark.parametrize("name", sorted({*models.METHODS} - {"amfam"}))
def test_sixteen_cases_are_learned_by_heart(name):
    rate = f"optimizer.learning_rate={RATES.get(name, 0.003)}"
    trainer = create_trainer(small_config(*SMALLER, rate, method=name), steps_per_epoch=1)
    batch = random_batch(16, image_size=32)
    dataset = tf.data.Dataset.from_tensors(batch).cache().repeat()
    for stage in trainer.network.stages:
        trainer.enter_stage(stage)
        trainer.fit(dataset, steps_per_epoch=STEPS.get(name, 50), epochs=1, verbose=0, shuffle=False)
    network = trainer.network
    pair = {key: tf.constant(batch[key]) for key in MODALITIES}
    assert accuracies(network(pair), batch) == {task.name: 1.0 for task in TASKS}
    if name == "inception-combined":  # each image alone has classifiers of its own
        for key in MODALITIES:
            alone = network.inference_model((key,))({key: pair[key]})
            assert np.mean(list(accuracies(alone, batch).values())) > 0.9
