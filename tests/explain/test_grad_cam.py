"""Grad-CAM: the mass lies on what decides, and the formula is that of an independent computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import make_weights_all_different, random_batch, small_config

from amfam_tf import models
from amfam_tf.explain.grad_cam import PREDICTED, class_activation, grad_cam
from amfam_tf.tasks import DIAGNOSIS, MELANOMA, MODALITIES, TASKS

SIZE, CELL = 64, 8


@pytest.fixture(scope="module")
def red_detector():
    """Returns a network whose MEL logit grows, and NEV logit falls, with red in the dermoscopic picture alone.

    Channel 0 of the features answers to red, channel 1 to brightness, which no logit depends on.
    """
    inputs = {name: keras.Input((SIZE, SIZE, 3), name=name) for name in MODALITIES}
    convolution = keras.layers.Conv2D(2, CELL, strides=CELL, activation="relu")
    features = {name: convolution(picture) for name, picture in inputs.items()}
    pooled = [keras.layers.GlobalAveragePooling2D()(features[name]) for name in MODALITIES]
    both = keras.layers.Concatenate()(pooled)
    heads = {task.name: keras.layers.Dense(len(task.classes), name=task.name) for task in TASKS}
    outputs = {name: head(both) for name, head in heads.items()}
    model = keras.Model(inputs, outputs | {f"features_{name}": features[name] for name in MODALITIES})
    red = np.broadcast_to([1.0, -0.5, -0.5], (CELL, CELL, 3))
    bright = np.ones((CELL, CELL, 3))
    convolution.set_weights([np.stack([red, bright], axis=-1) / CELL**2, np.zeros(2)])
    kernel = np.zeros((4, len(DIAGNOSIS.classes)))
    kernel[2, MELANOMA], kernel[2, DIAGNOSIS.classes.index("NEV")] = 5.0, -5.0
    heads["DIAG"].set_weights([kernel, np.zeros(len(DIAGNOSIS.classes))])
    return model


def pictures_with_patch(top: int, left: int) -> dict[str, tf.Tensor]:
    """Returns grey noise with a red patch of 16 x 16 pixels in both pictures, [1, SIZE, SIZE, 3]."""
    grey = np.random.default_rng(3).uniform(0.4, 0.6, (1, SIZE, SIZE, 1)).astype(np.float32).repeat(3, axis=-1)
    grey[0, top : top + 16, left : left + 16] = (0.9, 0.1, 0.1)
    return {name: tf.constant(grey) for name in MODALITIES}


def numbers(*values: int) -> tf.Tensor:
    """Returns int32 [B]."""
    return tf.constant(values, tf.int32)


@pytest.mark.parametrize(("top", "left"), [(8, 40), (40, 16), (0, 0)])
def test_mass_lies_on_the_patch_that_decides(red_detector, top, left):
    pictures = pictures_with_patch(top, left)
    maps, _ = grad_cam(red_detector, pictures, numbers(0), numbers(MELANOMA), SIZE, TASKS)
    found = maps["dermoscopic"][0].numpy()
    # Enlarging blurs by half a cell of the feature map.
    rows = slice(max(0, top - CELL // 2), top + 16 + CELL // 2)
    columns = slice(max(0, left - CELL // 2), left + 16 + CELL // 2)
    assert found[rows, columns].sum() > 0.95 * found.sum()
    assert found[top + 4 : top + 12, left + 4 : left + 12].min() > 0.99
    assert found.max() == pytest.approx(1)


def test_patch_in_a_picture_that_does_not_matter_has_no_mass(red_detector):
    maps, _ = grad_cam(red_detector, pictures_with_patch(8, 40), numbers(0), numbers(MELANOMA), SIZE, TASKS)
    assert maps["clinical"].numpy().max() == 0


def test_what_speaks_against_a_class_has_no_mass(red_detector):
    nevus = DIAGNOSIS.classes.index("NEV")
    maps, _ = grad_cam(red_detector, pictures_with_patch(8, 40), numbers(0), numbers(nevus), SIZE, TASKS)
    assert maps["dermoscopic"].numpy().max() == 0


def test_predicted_class_is_the_one_with_the_largest_logit(red_detector):
    pictures = pictures_with_patch(8, 40)
    chosen, logits = grad_cam(red_detector, pictures, numbers(0), numbers(PREDICTED), SIZE, TASKS)
    assert int(np.argmax(logits["DIAG"][0])) == MELANOMA
    expected, _ = grad_cam(red_detector, pictures, numbers(0), numbers(MELANOMA), SIZE, TASKS)
    np.testing.assert_array_equal(chosen["dermoscopic"], expected["dermoscopic"])


@pytest.fixture(scope="module")
def network():
    """Returns a shrunken AMFAM with all-different weights."""
    config = small_config()
    model = models.create("amfam", config)
    make_weights_all_different(model)
    return model


def bilinear(values: np.ndarray, size: int) -> np.ndarray:
    """Returns [h, w] enlarged to [size, size], pixel centres at half numbers, edges repeated."""
    for _ in range(2):
        places = np.clip((np.arange(size) + 0.5) * len(values) / size - 0.5, 0, len(values) - 1)
        values = np.stack([np.interp(places, np.arange(len(values)), column) for column in values.T], axis=1).T
    return values


def expected_map(network, outputs, modality: str, row: int, task_name: str, number: int, size: int) -> np.ndarray:
    """Returns the map by central differences of a classifier written in NumPy, float64.

    logit = W2^T relu(W1^T mean_ij [F^c, F^d] + b1) + b2: moving the mean of channel k by e moves each of its h w
    values by e, so that mean_ij dy/dF_ijk is the difference quotient over e, divided by h w.
    """
    layers = [network.get_layer(f"classifier_{task_name}_{part}") for part in ("hidden", "logits")]
    (hidden, bias), (output, _) = ([np.asarray(value, np.float64) for value in layer.get_weights()] for layer in layers)
    features = {name: np.asarray(outputs[f"features_{name}"][row], np.float64) for name in MODALITIES}

    def logit(means: dict[str, np.ndarray]) -> float:
        pooled = np.concatenate([means[name] for name in MODALITIES])
        return float((np.maximum(pooled @ hidden + bias, 0) @ output)[number])

    means = {name: values.mean(axis=(0, 1)) for name, values in features.items()}
    height, width, channels = features[modality].shape
    step = 1e-6 * np.eye(channels)
    slopes = np.array(
        [
            (logit(means | {modality: means[modality] + e}) - logit(means | {modality: means[modality] - e})) / 2e-6
            for e in step
        ]
    )
    values = bilinear(np.maximum(features[modality] @ slopes / (height * width), 0), size)
    return values / values.max() if values.max() > 0 else values


def test_formula_is_that_of_finite_differences(network):
    size = network.image_size
    batch = random_batch(3, seed=5)
    pictures = {name: tf.constant(batch[name]) for name in MODALITIES}
    model = network.explanation_model()
    questions = [("DIAG", 2), ("PN", 0), ("RS", 1)]  # another task and class for each case
    tasks = numbers(*([task.name for task in TASKS].index(name) for name, _ in questions))
    maps, _ = grad_cam(model, pictures, tasks, numbers(*(number for _, number in questions)), size, TASKS)
    outputs = model(pictures, training=False)
    some = 0
    for row, (name, number) in enumerate(questions):
        for modality in MODALITIES:
            expected = expected_map(network, outputs, modality, row, name, number, size)
            np.testing.assert_allclose(maps[modality][row], expected, atol=2e-4)
            some += expected.max() > 0
    assert some >= 3


def test_weight_of_a_channel_is_the_mean_of_its_gradient():
    # The heads pool first, so their gradients are equal at all positions; these are not.
    random = np.random.default_rng(0)
    features, gradients = random.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    expected = np.zeros((2, 3, 4))
    for case, row, column in np.ndindex(2, 3, 4):
        total = sum(gradients[case, :, :, k].sum() / 12 * features[case, row, column, k] for k in range(5))
        expected[case, row, column] = max(0, total)
    assert 0 < (expected > 0).mean() < 1
    np.testing.assert_allclose(class_activation(tf.constant(features), tf.constant(gradients)), expected, atol=1e-5)


def test_unused_modality_has_a_map_of_zeros():
    config = small_config(method="dermoscopic-only")
    model = models.create("dermoscopic-only", config)
    make_weights_all_different(model)
    batch = random_batch(2)
    pictures = {name: tf.constant(batch[name]) for name in MODALITIES}
    maps, _ = grad_cam(model.explanation_model(), pictures, numbers(0, 0), numbers(2, 2), 64, TASKS)
    assert maps["clinical"].shape == (2, 64, 64)
    assert maps["clinical"].numpy().max() == 0
    assert maps["dermoscopic"].numpy().max() == pytest.approx(1)
