import math

import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.tasks import MODALITIES, TASKS
from amfam_tf.training.losses import (
    adversarial_loss,
    build_losses,
    classification_loss,
    reconstruction_loss,
)

# One 2 x 2 image; squared errors summed over colours: 0.14, 1, 0, 0.25.
IMAGE = tf.zeros((1, 2, 2, 3))
RECONSTRUCTION = tf.constant([[[[0.1, 0.2, 0.3], [1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.3, 0.4]]]])
ATTENTION = tf.constant([[[[0.0], [1.0]], [[0.5], [0.25]]]])


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("none", (0.14 + 1.0 + 0.0 + 0.25) / 4),
        ("linear", (0.0 * 0.14 + 1.0 * 1.0 + 0.5 * 0.0 + 0.25 * 0.25) / 4),
        ("exponential", (1.0 * 0.14 + math.e * 1.0 + 0.0 + math.exp(0.25) * 0.25) / 4),
    ],
)
def test_equation_2_by_hand(weighting, expected):
    for attention in (ATTENTION, ATTENTION[..., 0]):
        loss = reconstruction_loss(IMAGE, RECONSTRUCTION, attention, weighting)
        assert loss.shape == ()
        assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_equation_2_is_a_mean_over_images():
    two = [tf.concat([tensor, tensor], axis=0) for tensor in (IMAGE, RECONSTRUCTION, ATTENTION)]
    one = reconstruction_loss(IMAGE, RECONSTRUCTION, ATTENTION, "exponential")
    assert float(reconstruction_loss(*two, "exponential")) == pytest.approx(float(one))


def test_no_attention_is_needed_without_weighting():
    assert float(reconstruction_loss(IMAGE, RECONSTRUCTION, None, "none")) == pytest.approx(1.39 / 4)


def test_unknown_weighting_is_refused():
    with pytest.raises(ValueError, match="one of none, linear, exponential. Received: 'cubic'"):
        reconstruction_loss(IMAGE, RECONSTRUCTION, ATTENTION, "cubic")


def test_equation_1_by_hand():
    clinical = tf.constant([[math.log(3.0), 0.0], [0.0, 0.0]])  # D = 3/4, 1/2
    dermoscopic = tf.constant([[math.log(4.0), 0.0], [0.0, math.log(9.0)]])  # D = 4/5, 1/10
    expected = -(math.log(3 / 4) + math.log(1 / 2)) / 2 - (math.log(1 - 4 / 5) + math.log(1 - 1 / 10)) / 2
    assert float(adversarial_loss(clinical, dermoscopic)) == pytest.approx(expected, rel=1e-6)


def test_equation_3_by_hand():
    logits = {task.name: tf.zeros((2, len(task.classes))) for task in TASKS}
    labels = {task.name: tf.constant([0, 1]) for task in TASKS}
    # Uniform probabilities: ln of the number of classes for each task.
    expected = math.log(5) + 5 * math.log(3) + 2 * math.log(2)
    assert float(classification_loss(labels, logits)) == pytest.approx(expected, rel=1e-6)
    logits["BWV"] = tf.constant([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    changed = expected - math.log(2) - (math.log(3 / 4) + math.log(1 / 4)) / 2
    assert float(classification_loss(labels, logits)) == pytest.approx(changed, rel=1e-6)


def test_every_classification_loss_and_no_other_is_smoothed():
    names = [f"modality_logits_{key}" for key in MODALITIES]
    batch, outputs = {}, {}
    for task in TASKS:
        batch[task.name] = tf.constant([0, 1])
        outputs[task.name] = tf.random.stateless_normal((2, len(task.classes)), (0, len(task.name)))
        outputs[f"clinical_{task.name}"] = outputs[task.name] + 1.0
    outputs |= {name: tf.random.stateless_normal((2, 2), (3, 4)) for name in names}
    plain, smooth = (
        {
            loss.name: float(loss(batch, outputs))
            for loss in build_losses(list(outputs), weights, "none", TASKS, ("", "clinical"))
        }
        for weights in (LossConfig(), LossConfig(label_smoothing=0.2))
    )
    assert {name for name in plain if plain[name] != smooth[name]} == {"classification", "classification_clinical"}


def test_class_weights_of_a_batch_by_hand():
    """Three cases of class 0, one of class 1: the last one counts three times, the mean is over four cases."""
    logits = {"BWV": tf.constant([[math.log(3.0), 0.0]] * 4)}
    labels = {"BWV": tf.constant([0, 0, 0, 1])}
    plain = -(3 * math.log(3 / 4) + math.log(1 / 4)) / 4
    weighted = -(3 * math.log(3 / 4) + 3 * math.log(1 / 4)) / 4
    assert float(classification_loss(labels, logits)) == pytest.approx(plain, rel=1e-6)
    assert float(classification_loss(labels, logits, "batch")) == pytest.approx(weighted, rel=1e-6)
    with pytest.raises(ValueError, match="one of none, batch. Received: 'inverse'"):
        classification_loss(labels, logits, "inverse")


def test_class_weights_of_a_batch_with_fewer_cases_than_classes():
    """The five classes are those of the task, not as many as the batch has cases; the single one weighs twice."""
    logits = {"DIAG": tf.constant([[math.log(2.0), 0.0, 0.0, 0.0, 0.0]] * 3)}
    labels = {"DIAG": tf.constant([4, 0, 4])}
    expected = (math.log(6) + 2 * math.log(3) + math.log(6)) / 3
    assert float(classification_loss(labels, logits, "batch")) == pytest.approx(expected, rel=1e-6)


def test_each_branch_has_a_loss_of_its_own():
    names = [f"{branch}{task.name}" for branch in ("", "joint_") for task in TASKS]
    logits = {name: tf.zeros((1, len(task.classes))) for name, task in zip(names, TASKS * 2, strict=True)}
    logits["joint_BWV"] = tf.constant([[math.log(3.0), 0.0]])
    labels = {task.name: tf.constant([0]) for task in TASKS}
    losses = {
        loss.name: float(loss(labels, logits))
        for loss in build_losses(names, LossConfig(), "none", branches=("", "joint"), tasks=TASKS)
    }
    assert list(losses) == ["classification", "classification_joint"]
    assert losses["classification_joint"] - losses["classification"] == pytest.approx(
        math.log(4 / 3) - math.log(2), rel=1e-5
    )
    assert [loss.name for loss in build_losses(names, LossConfig(), "none", branches=("joint",), tasks=TASKS)] == [
        "classification_joint"
    ]


def test_equation_3_needs_a_shared_task():
    with pytest.raises(ValueError, match="share no task"):
        classification_loss({"DIAG": tf.constant([0])}, {"PN": tf.zeros((1, 3))})


def test_terms_of_equation_4_follow_the_outputs():
    every = ["DIAG", "modality_logits_clinical", "modality_logits_dermoscopic", "reconstruction_clinical"]
    weights = LossConfig(adversarial=0.8, reconstruction=0.4)
    terms = {loss.name: loss.weight for loss in build_losses(every, weights, "exponential", TASKS)}
    assert terms == {"classification": 1.0, "adversarial": 0.8, "reconstruction_clinical": 0.4}
    assert [loss.name for loss in build_losses(["DIAG"], weights, "none", TASKS)] == ["classification"]


def test_losses_are_float32_for_16_bit_outputs():
    logits = {task.name: tf.zeros((1, len(task.classes)), tf.bfloat16) for task in TASKS}
    labels = {task.name: tf.constant([0]) for task in TASKS}
    assert classification_loss(labels, logits).dtype == tf.float32
    half = tf.cast(RECONSTRUCTION, tf.bfloat16)
    np.testing.assert_allclose(reconstruction_loss(IMAGE, half, ATTENTION, "none"), 1.39 / 4, rtol=1e-2)


def test_each_term_of_equation_4_reads_its_own_pictures_maps_and_logits():
    """Every tensor is another, and so is every term: none can take the place of another."""
    generator = np.random.default_rng(0)

    def draw(*shape):
        return tf.constant(generator.random(shape), tf.float32)

    batch = {name: draw(2, 4, 4, 3) for name in MODALITIES} | {task.name: tf.constant([0, 1]) for task in TASKS}
    outputs = {task.name: draw(2, len(task.classes)) for task in TASKS}
    for name in MODALITIES:
        outputs |= {f"reconstruction_{name}": draw(2, 4, 4, 3), f"attention_{name}": draw(2, 4, 4, 1)}
        outputs[f"modality_logits_{name}"] = draw(2, 2)
    expected = {"classification": classification_loss(batch, outputs)}
    expected["adversarial"] = adversarial_loss(
        outputs["modality_logits_clinical"], outputs["modality_logits_dermoscopic"]
    )
    for name in MODALITIES:
        squared = ((outputs[f"reconstruction_{name}"] - batch[name]).numpy() ** 2).sum(axis=-1)
        weights = np.exp(outputs[f"attention_{name}"].numpy()[..., 0])
        expected[f"reconstruction_{name}"] = (weights * squared).mean()
    weights = LossConfig(adversarial=0.8, reconstruction=0.4)
    losses = build_losses(list(outputs), weights, "exponential", TASKS)
    assert [loss.weight for loss in losses] == [1.0, 0.8, 0.4, 0.4]
    found = {loss.name: float(loss(batch, outputs)) for loss in losses}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)
    assert len({round(value, 4) for value in found.values()}) == 4


def test_means_are_over_the_pictures_that_are_there_and_0_without_any():
    first, second = tf.constant([[2.0, 0.0], [0.5, 1.0], [9.0, 1.0]]), tf.constant([[1.0, 3.0], [0.0, 0.0], [4.0, 5.0]])
    given = tf.constant([1.0, 0.0, 0.0]), tf.constant([0.0, 1.0, 1.0])
    expected = adversarial_loss(first[:1], second[1:])
    assert float(adversarial_loss(first, second, *given)) == pytest.approx(float(expected), rel=1e-6)
    assert float(adversarial_loss(first, second, tf.zeros(3), tf.zeros(3))) == 0.0
    images, found = tf.concat([IMAGE, IMAGE + 9], axis=0), tf.concat([RECONSTRUCTION, RECONSTRUCTION], axis=0)
    maps = tf.concat([ATTENTION, ATTENTION], axis=0)
    alone = reconstruction_loss(IMAGE, RECONSTRUCTION, ATTENTION, "exponential")
    both = reconstruction_loss(images, found, maps, "exponential", tf.constant([1.0, 0.0]))
    assert float(both) == pytest.approx(float(alone), rel=1e-6)
    assert float(reconstruction_loss(images, found, maps, "exponential", tf.zeros(2))) == 0.0
