"""The whole step: gradients of every parameter group, the reversed sign, the smaller ablations, and overfitting."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config
from tiny_backbone import TINY_BACKBONE

from amfam_tf.models import backbones
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer

LAMBDA, GAMMA = 0.8, 0.4
WEIGHTS = (f"loss.adversarial={LAMBDA}", f"loss.reconstruction={GAMMA}")

# What each group minimises, as weights of the named losses. G descends on everything but ascends on L_D (Eq. 1).
RECONSTRUCTION = {"reconstruction_clinical": GAMMA, "reconstruction_dermoscopic": GAMMA}
OBJECTIVES = {
    "G": {"classification": 1.0, "adversarial": -LAMBDA, **RECONSTRUCTION},
    "D": {"adversarial": LAMBDA},
    "C": {"classification": 1.0},
    "RC": {"reconstruction_clinical": GAMMA},
    "RD": {"reconstruction_dermoscopic": GAMMA},
    "AC": {"reconstruction_clinical": GAMMA},
    "AD": {"reconstruction_dermoscopic": GAMMA},
}


@pytest.fixture(scope="module")
def trainer():
    return create_trainer(small_config(*WEIGHTS), steps_per_epoch=1, card=DERM7PT)


@pytest.fixture(scope="module")
def batch():
    return {name: tf.constant(value) for name, value in random_batch(4).items()}


@pytest.fixture(scope="module")
def gradients(trainer, batch):
    """Of the sum, by the variable's id; no test leaves the variables other than they were."""
    return gradients_of(trainer, batch)


@pytest.fixture(scope="module")
def outputs(trainer, batch):
    return forward(trainer, batch)


def gradients_of(trainer, batch, name="loss"):
    with tf.GradientTape() as tape:
        loss = trainer.compute_losses(batch, training=True)[name]
    variables = trainer.trainable_variables
    found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {id(variable): gradient.numpy() for variable, gradient in zip(variables, found, strict=True)}


def forward(trainer, batch):
    outputs = trainer.network({name: batch[name] for name in MODALITIES}, training=True)
    return {name: value.numpy() for name, value in outputs.items()}


def test_sums_are_added_in_an_order_that_does_not_depend_on_time(trainer, batch):
    """Equal seeds, equal bits, however busy the machine is.

    AddN adds into the first of its terms that nobody else reads any more. Two terms may change places, three may not:
    of three and more the first must have no other reader, and a buffer of its own.
    """
    of_others = {"Identity", "Reshape", "Snapshot", "Squeeze", "ExpandDims"}
    graph = tf.function(trainer.train_step).get_concrete_function(batch).graph
    sums = [op for op in graph.get_operations() if op.type == "AddN" and len(op.inputs) > 2]
    firsts = [op.inputs[0] for op in sums]
    assert sorted(len(op.inputs) for op in sums) == [5, 5, 8], "of both pictures' features, and of the pooled"
    assert [first.op.name for first in firsts if len(first.consumers()) > 1 or first.op.type in of_others] == []


@pytest.mark.parametrize("group", OBJECTIVES)
def test_gradient_of_each_group_is_the_slope_of_its_objective(trainer, batch, gradients, group):
    """Central difference of the group's own objective along its gradient; for G the adversarial sign is turned."""
    variables = trainer.network.parameter_groups()[group]
    found = [gradients[id(variable)] for variable in variables]
    norm = np.sqrt(sum(float(np.sum(gradient.astype(np.float64) ** 2)) for gradient in found))
    assert norm > 0
    step = 1e-3 / max(norm, 1.0) ** 0.5
    start = [variable.numpy() for variable in variables]

    def objective(sign):
        for variable, value, gradient in zip(variables, start, found, strict=True):
            variable.assign(value + sign * step * gradient / norm)
        losses = trainer.compute_losses(batch, training=True)
        return sum(weight * float(losses[name]) for name, weight in OBJECTIVES[group].items())

    slope = (objective(+1) - objective(-1)) / (2 * step)
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    assert slope == pytest.approx(norm, rel=0.05)


def test_last_layers_against_numpy(trainer, batch, gradients, outputs):
    """dL/dlogits of softmax cross-entropy is (p - y) / B: the last kernels' gradients follow by hand."""
    network = trainer.network
    pooled = np.concatenate(
        [outputs[f"features_{name}"].mean(axis=(1, 2)) for name in ("clinical", "dermoscopic")], axis=-1
    )
    for task in TASKS:
        hidden, _, last = (layer for layer in network.parts["C"] if f"_{task.name}_" in layer.name)
        kernel, bias = (weight.numpy() for weight in hidden.weights)
        activations = np.maximum(pooled @ kernel + bias, 0.0)
        error = softmax(outputs[task.name]) - np.eye(len(task.classes))[batch[task.name].numpy()]
        np.testing.assert_allclose(gradients[id(last.kernel)], activations.T @ error / 4, atol=1e-4)


def test_last_layer_of_the_discriminator_against_numpy_is_not_reversed(trainer, gradients, outputs):
    discriminator = trainer.network.parts["D"][0]
    expected = 0.0
    for label, name in enumerate(("clinical", "dermoscopic")):
        kernel, bias = (weight.numpy() for weight in discriminator.get_layer("hidden").weights)
        activations = np.maximum(outputs[f"features_{name}"].mean(axis=(1, 2)) @ kernel + bias, 0.0)
        error = softmax(outputs[f"modality_logits_{name}"]) - np.eye(2)[[label] * 4]
        expected = expected + LAMBDA * activations.T @ error / 4
    np.testing.assert_allclose(gradients[id(discriminator.get_layer("logits").kernel)], expected, atol=1e-5)


def test_last_layer_of_a_decoder_against_numpy(trainer, batch, gradients, outputs):
    """At 64 pixels the final resize is the identity: dL/dbias = gamma * 2 * mean of exp(m) * (xhat - x) per channel."""
    for symbol, name in (("RC", "clinical"), ("RD", "dermoscopic")):
        difference = outputs[f"reconstruction_{name}"] - batch[name].numpy()
        expected = GAMMA * 2 * (np.exp(outputs[f"attention_{name}"]) * difference).mean(axis=(0, 1, 2))
        bias = trainer.network.parts[symbol][0].get_layer("to_rgb").bias
        np.testing.assert_allclose(gradients[id(bias)], expected, rtol=1e-3, atol=1e-5)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_without_lambda_and_gamma_the_gradients_are_those_of_concat(batch):
    full = create_trainer(small_config("loss.adversarial=0", "loss.reconstruction=0"), steps_per_epoch=1, card=DERM7PT)
    concat = create_trainer(small_config(method="concat"), steps_per_epoch=1, card=DERM7PT)
    full_groups, concat_groups = full.network.parameter_groups(), concat.network.parameter_groups()
    assert set(concat_groups) == {"G", "C"}
    for name, variables in concat_groups.items():
        for ours, theirs in zip(variables, full_groups[name], strict=True):
            ours.assign(theirs)
    full_gradients, concat_gradients = gradients_of(full, batch), gradients_of(concat, batch)
    for name, variables in concat_groups.items():
        for ours, theirs in zip(variables, full_groups[name], strict=True):
            np.testing.assert_allclose(full_gradients[id(theirs)], concat_gradients[id(ours)], rtol=1e-5, atol=1e-7)
    for name in set(full_groups) - {"G", "C"}:
        for variable in full_groups[name]:
            assert not full_gradients[id(variable)].any()


def test_total_is_the_weighted_sum_and_every_part_is_logged(trainer, batch):
    losses = {name: float(value) for name, value in trainer.compute_losses(batch, training=False).items()}
    assert list(losses) == [
        "loss",
        "classification",
        "adversarial",
        "reconstruction_clinical",
        "reconstruction_dermoscopic",
    ]
    total = losses["classification"] + LAMBDA * losses["adversarial"]
    total += GAMMA * (losses["reconstruction_clinical"] + losses["reconstruction_dermoscopic"])
    assert losses["loss"] == pytest.approx(total, rel=1e-5)
    names = [metric.name for metric in trainer.metrics]
    assert names == [*losses, "accuracy", *(f"accuracy_{task.name}" for task in TASKS)]


def test_logged_means_count_cases_not_batches(trainer):
    batches = [random_batch(4, seed=1), random_batch(1, seed=2)]
    both = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    dataset = tf.data.Dataset.from_tensor_slices(both).batch(4)
    uneven = trainer.evaluate(dataset, return_dict=True, verbose=0)
    whole = trainer.evaluate(tf.data.Dataset.from_tensors(both), return_dict=True, verbose=0)
    assert uneven["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert uneven["accuracy"] == pytest.approx(whole["accuracy"], rel=1e-5)
    per_task = [uneven[f"accuracy_{task.name}"] for task in TASKS]
    assert uneven["accuracy"] == pytest.approx(np.mean(per_task), rel=1e-5)


def test_sixteen_cases_are_learned_by_heart(monkeypatch):
    # As with the other methods: tests/models/test_overfitting.py.
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    config = small_config("data.image_size=32", "optimizer.learning_rate=0.01", "optimizer.schedule=constant")
    trainer = create_trainer(config, steps_per_epoch=1, card=DERM7PT)
    dataset = tf.data.Dataset.from_tensors(random_batch(16, image_size=32)).cache()
    trainer.fit(dataset.repeat(), steps_per_epoch=100, epochs=1, verbose=0, shuffle=False)
    result = trainer.evaluate(dataset, return_dict=True, verbose=0)
    assert {task.name: result[f"accuracy_{task.name}"] for task in TASKS} == {task.name: 1.0 for task in TASKS}
