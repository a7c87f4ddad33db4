"""Learning rates of the backbone apart from those of all else: exact multiples, of the update and of the decay."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config
from tiny_method import TINY

from amfam_tf import models
from amfam_tf.tasks import DERM7PT
from amfam_tf.training.run import create_trainer

COMMON = ("optimizer.learning_rate=0.01", "optimizer.weight_decay=0.1", "training.batch_size=4")


@pytest.fixture(autouse=True)
def tiny_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "tiny", TINY)


def step(*overrides):
    """Returns {path: change} of the trainable variables in the first step, and which of them are the backbone's."""
    trainer = create_trainer(small_config(*COMMON, *overrides, method="tiny"), steps_per_epoch=1, card=DERM7PT)
    network = trainer.network
    before = {variable.path: variable.numpy() for variable in network.trainable_variables}
    trainer.train_step({name: tf.constant(value) for name, value in random_batch(4).items()})
    of_backbone = [variable.path for variable in network.parameter_groups()["G"]]
    return {one.path: one.numpy() - before[one.path] for one in network.trainable_variables}, of_backbone


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_step_of_the_backbone_is_a_multiple_of_what_it_would_be(mode, precision):
    chosen = (f"optimizer.weight_decay_mode={mode}", f"training.precision={precision}")
    plain, of_backbone = step(*chosen)
    slow, _ = step(*chosen, "optimizer.backbone_rate=0.25")
    assert 0 < len(of_backbone) < len(plain)
    for path, change in plain.items():
        if path in of_backbone:
            np.testing.assert_allclose(slow[path], 0.25 * change, rtol=1e-3, atol=2e-7, err_msg=path)
            assert np.abs(change).max() > 1e-3
        else:
            np.testing.assert_array_equal(slow[path], change, err_msg=path)


def test_the_rate_falls_from_the_last_layer_of_the_backbone_to_the_first():
    plain, of_backbone = step()
    falling, _ = step("optimizer.layer_decay=0.01", "optimizer.backbone_rate=0.5")
    layers = list(dict.fromkeys(path.rpartition("/")[0] for path in of_backbone))
    assert len(layers) == 2
    for layer, expected in zip(layers, (0.5 * 0.01, 0.5), strict=True):
        for path in (path for path in of_backbone if path.rpartition("/")[0] == layer):
            np.testing.assert_allclose(falling[path], expected * plain[path], rtol=1e-2, atol=3e-7, err_msg=path)
