"""Computing parts again changes memory, not numbers: losses, gradients, moving averages, saved files."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf.errors import ConfigError
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer

SMALL = ("data.image_size=64", "model.decoder_channels=[8, 8, 8]", "training.batch_size=4", "training.jit_compile=off")


def make_trainer(recompute: bool, method: str = "amfam"):
    keras.utils.set_random_seed(0)
    changes = [*SMALL, f"method={method}", f"training.recompute={str(recompute).lower()}"]
    return create_trainer(configuration.load("tiny", changes), 10, DERM7PT)


def make_batch() -> dict[str, tf.Tensor]:
    random = np.random.default_rng(0)
    images = {name: random.random((4, 64, 64, 3), np.float32) for name in MODALITIES}
    return images | {task.name: random.integers(len(task.classes), size=4) for task in TASKS}


def one_step(trainer) -> tuple[dict, list, Counter]:
    """Returns losses and gradients of the batch, and how often each kind of operation is in the graph."""

    @tf.function
    def compute(batch):
        with tf.GradientTape() as tape:
            losses = trainer.compute_losses(batch, training=True)
        return losses, tape.gradient(losses["loss"], trainer.trainable_variables)

    batch = make_batch()
    losses, gradients = compute(batch)
    operations = compute.get_concrete_function(batch).graph.get_operations()
    return losses, gradients, Counter(operation.type for operation in operations)


@pytest.fixture(scope="module")
def both():
    trainers = make_trainer(recompute=False), make_trainer(recompute=True)
    return trainers, [one_step(trainer) for trainer in trainers]


def test_losses_gradients_and_moving_averages_stay(both):
    trainers, ((losses, gradients, _), (again, gradients_again, _)) = both
    for name, value in losses.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-6, err_msg=name)
    # Sums of many terms in another order; a bias before batch norm has nothing but such rounding for a gradient.
    largest = max(np.abs(one).max() for one in gradients)
    for variable, one, other in zip(trainers[0].trainable_variables, gradients, gradients_again, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5 * largest, err_msg=variable.path)
    averages = [trainer.network.non_trainable_variables for trainer in trainers]
    assert any(np.abs(average).max() > 1e-3 for average in averages[0] if average.name == "moving_mean")
    for one, other in zip(*averages, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7, err_msg=one.path)


def test_first_stages_and_decoders_are_computed_twice(both):
    _, ((_, _, plain), (_, _, twice)) = both
    # Stem, 4 convolutions in each of the two first stages, one to RGB in each decoder.
    assert twice["Conv2D"] - plain["Conv2D"] == 1 + 4 + 4 + 2
    # The same 1 + 4 + 4, and 3 in each decoder.
    assert twice["FusedBatchNormV3"] - plain["FusedBatchNormV3"] == 9 + 6


def test_saved_files_are_those_of_the_plain_network(both, tmp_path):
    (plain, twice), _ = both
    twice.network.save_weights(tmp_path / "network.weights.h5")
    before = plain.network.get_weights()
    plain.network.load_weights(tmp_path / "network.weights.h5")
    for found, wanted in zip(plain.network.get_weights(), twice.network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    plain.network.set_weights(before)
    twice.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = {name: make_batch()[name] for name in MODALITIES}
    found, wanted = (network(images, training=False)["DIAG"] for network in (loaded, twice.network))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_method_without_such_parts_is_refused():
    with pytest.raises(ConfigError, match=r"training\.recompute=true: method hccnn has no part"):
        make_trainer(recompute=True, method="hccnn")
