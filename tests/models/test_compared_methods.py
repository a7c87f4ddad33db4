"""The six compared methods: the parts, losses and gradient paths of their descriptions, and no others."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import make_weights_all_different, random_batch, small_config
from tiny_method import TINY

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.errors import ConfigError
from amfam_tf.models.triplenet import class_activation_weights
from amfam_tf.tasks import MODALITIES, TASKS
from amfam_tf.training.losses import build_losses

IMAGES = {"G_clinical", "G_dermoscopic"}
ALONE = {f"classification_{key}": {f"G_{key}", f"C_{key}"} for key in MODALITIES}
REACHED = {
    "inception-unbalanced": {"classification": IMAGES | {"C"}},
    "inception-combined": ALONE | {"classification_both": IMAGES | {"C_both"}},
    "triplenet": ALONE | {"classification_joint": IMAGES | {"G_joint", "C_joint"}},
    "embeddingnet": ALONE | {"classification": IMAGES | {"E", "C"}},
    "hccnn": ALONE | {"classification_hyper": IMAGES | {"H", "C_hyper"}, "classification": IMAGES | {"H", "C"}},
}
"""For each method, the parts that each of its losses trains; inception-balanced has the network of -unbalanced."""
METADATA = "model.metadata=[elevation,location,sex]"


@pytest.fixture(scope="module")
def networks():
    """Returns a function from a method's name (and overrides) to its network, weights all different; built once."""
    built = {}

    def get(name, *overrides):
        if (name, overrides) not in built:
            network = models.create(name, small_config(*overrides, method=name))
            make_weights_all_different(network)
            built[name, overrides] = network
        return built[name, overrides]

    return get


def pair(cases=3, seed=0):
    batch = random_batch(cases, seed)
    return {name: tf.constant(batch[name]) for name in MODALITIES}


def losses_of(network, config):
    return build_losses(
        list(network.output), config.loss, network.model_config.attention, network.tasks, network.branches
    )


def parts_with_gradient(network, gradients):
    """Returns the parts of which at least one variable has a gradient that is not zero."""
    groups = network.parameter_groups()
    return {
        name
        for name, variables in groups.items()
        if any(gradients.get(id(one)) is not None and np.any(gradients[id(one)]) for one in variables)
    }


def gradients_by_loss(network, config):
    batch = random_batch(3)
    variables = network.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        outputs = network({key: tf.constant(batch[key]) for key in network.input}, training=True)
        values = {loss.name: loss(batch, outputs) for loss in losses_of(network, config)}
    found = {name: tape.gradient(value, variables) for name, value in values.items()}
    return {
        name: {id(one): None if g is None else np.asarray(g) for one, g in zip(variables, gradients, strict=True)}
        for name, gradients in found.items()
    }


@pytest.mark.parametrize("name", REACHED)
def test_each_loss_trains_the_parts_of_the_description_and_no_others(name, networks):
    network = networks(name)
    assert set(network.parts) == set().union(*REACHED[name].values())
    found = gradients_by_loss(network, small_config(method=name))
    assert {loss: parts_with_gradient(network, gradients) for loss, gradients in found.items()} == REACHED[name]


@pytest.mark.parametrize("name", REACHED)
def test_every_variable_belongs_to_one_part(name, networks):
    network = networks(name)
    inside = [id(one) for part in network.parts.values() for layer in part for one in layer.variables]
    assert len(inside) == len(set(inside))
    assert {id(one) for one in network.variables if "seed_generator" not in one.path} <= set(inside)


@pytest.mark.parametrize("name", REACHED)
def test_each_image_has_weights_of_its_own(name, networks):
    network = networks(name)
    before = network(pair())
    for changed, other in (MODALITIES, MODALITIES[::-1]):
        after = network({**pair(), changed: pair(seed=1)[changed]})
        np.testing.assert_allclose(after[f"features_{other}"], before[f"features_{other}"], rtol=1e-4, atol=1e-4)
        assert not np.allclose(after[f"features_{changed}"], before[f"features_{changed}"], rtol=1e-2)
        assert not np.allclose(after["DIAG"], before["DIAG"], rtol=1e-3)


@pytest.mark.parametrize("name", REACHED)
def test_grad_cam_has_a_path_from_the_prediction_to_both_feature_maps(name, networks):
    model = networks(name).explanation_model()
    with tf.GradientTape() as tape:
        inputs = pair()
        tape.watch(inputs)
        outputs = model(inputs)
        target = tf.reduce_sum(outputs["DIAG"][:, 2])
    for gradient in tape.gradient(target, [outputs[f"features_{key}"] for key in MODALITIES]):
        assert np.all(np.abs(gradient).max(axis=(1, 2, 3)) > 0)


@pytest.mark.parametrize("name", [name for name in REACHED if name != "inception-combined"])
def test_a_method_that_needs_both_images_says_so(name, networks):
    with pytest.raises(ValueError, match="needs the dermoscopic image"):
        networks(name).inference_model(("clinical",))


# Inception.


def test_balanced_differs_from_unbalanced_in_sampling_and_weights_only():
    unbalanced, balanced = (
        models.resolve(small_config(method=f"inception-{name}")) for name in ("unbalanced", "balanced")
    )
    assert configuration.differences(unbalanced, balanced) == [
        "method: inception-unbalanced -> inception-balanced",
        "data.sampling: shuffled -> balanced",
        "loss.class_weights: none -> batch",
    ]
    assert models.METHODS["inception-balanced"].network is models.METHODS["inception-unbalanced"].network


def test_class_weights_reach_the_loss_of_every_branch(networks):
    config = models.resolve(small_config(method="inception-combined"))
    plain = dataclasses.replace(config, loss=dataclasses.replace(config.loss, class_weights="none"))
    network = networks("inception-combined")
    batch = random_batch(8) | {task.name: np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int32) for task in TASKS}
    outputs = network({key: batch[key] for key in MODALITIES})
    weights = np.array([1, 1, 1, 1, 1, 1, 3, 3])
    for ours, theirs in zip(losses_of(network, config), losses_of(network, plain), strict=True):
        per_case = [theirs({key: value[i : i + 1] for key, value in batch.items()}, row(outputs, i)) for i in range(8)]
        assert float(ours(batch, outputs)) == pytest.approx(np.mean(weights * np.array(per_case)), rel=1e-4)


def row(outputs, index):
    return {name: value[index : index + 1] for name, value in outputs.items()}


# Inception-combined.


@pytest.mark.parametrize("known", MODALITIES)
def test_combined_answers_with_one_image_and_the_missing_one_has_no_influence(known, networks):
    network = networks("inception-combined")
    model = network.inference_model((known,))
    assert set(model.input) == {known}
    answers = model({known: pair()[known]})
    other = next(key for key in MODALITIES if key != known)
    for missing in (pair()[other], pair(seed=5)[other]):
        branch = network({known: pair()[known], other: missing})
        for task in TASKS:
            np.testing.assert_allclose(answers[task.name], branch[f"{known}_{task.name}"], rtol=1e-5, atol=1e-5)
    assert not np.allclose(answers["DIAG"], network(pair())["DIAG"], rtol=1e-2)
    kept = {id(variable) for variable in model.trainable_variables}
    groups = network.parameter_groups()
    assert kept == {id(variable) for part in (f"G_{known}", f"C_{known}") for variable in groups[part]}


def test_combined_needs_at_least_one_image(networks):
    with pytest.raises(ValueError, match="at least one image"):
        networks("inception-combined").inference_model(())


def softmax(logits):
    return np.asarray(tf.nn.softmax(tf.cast(logits, tf.float64)))


@pytest.mark.parametrize(
    ("name", "overrides", "branches"),
    [
        ("triplenet", (), ("clinical", "dermoscopic", "joint")),
        ("inception-combined", ("model.fuse_predictions=mean",), ("clinical", "dermoscopic", "both")),
    ],
)
def test_prediction_is_the_mean_of_the_branches_softmaxes(name, overrides, branches, networks):
    network = networks(name, *overrides)
    outputs = network(pair())
    for task in TASKS:
        mean = np.mean([softmax(outputs[f"{branch}_{task.name}"]) for branch in branches], axis=0)
        np.testing.assert_allclose(softmax(outputs[task.name]), mean, atol=1e-5)
    assert network.branches == branches


def test_prediction_of_combined_is_that_of_both_images_by_default(networks):
    outputs = networks("inception-combined")(pair())
    for task in TASKS:
        np.testing.assert_array_equal(outputs[task.name], outputs[f"both_{task.name}"])


# TripleNet.


def test_joint_network_takes_the_features_before_the_last_stage(networks):
    network = networks("triplenet")
    gradients = gradients_by_loss(network, small_config(method="triplenet"))["classification_joint"]
    for key in MODALITIES:
        (backbone,) = network.parts[f"G_{key}"]
        last = [one for one in backbone.trainable_variables if "stack_3" in one.path]
        rest = [one for one in backbone.trainable_variables if "stack_3" not in one.path]
        assert last
        assert all(gradients[id(one)] is None or not np.any(gradients[id(one)]) for one in last)
        assert any(np.any(gradients[id(one)]) for one in rest)
    assert network.output["features_clinical"].shape[1:] == (4, 4, 256)


def test_class_activation_weights_by_hand():
    """Two positions; only DIAG differs: NEV is predicted, and its logit is larger at the second position."""
    logits = {task.name: np.zeros((1, 1, 2, len(task.classes)), np.float32) for task in TASKS}
    logits["DIAG"][0, 0, :, 1] = [4.0, 8.0]
    p = np.exp(6.0) / (np.exp(6.0) + 4.0)
    expected = 1 / (1 + np.exp(-(8.0 - 4.0) * p / 8))
    weights = np.asarray(class_activation_weights({name: tf.constant(value) for name, value in logits.items()}))
    assert weights.shape == (1, 1, 2, 1)
    np.testing.assert_allclose(weights[0, 0, :, 0], [1 - expected, expected], rtol=1e-5)


def test_saliency_is_positive_and_sums_to_one(networks):
    saliency = networks("triplenet")(pair())["saliency"].numpy()
    assert saliency.min() > 0
    np.testing.assert_allclose(saliency.sum(axis=(1, 2, 3)), 1.0, rtol=1e-5)


# EmbeddingNet.


def test_embedding_stages_train_the_image_networks_and_then_what_is_on_top(networks):
    network = networks("embeddingnet")
    alone, top = network.stages
    assert alone.losses == ("classification_clinical", "classification_dermoscopic")
    assert top.losses == ("classification",)
    assert set(alone.frozen) == {"E", "C"}
    assert set(top.frozen) == IMAGES | {"C_clinical", "C_dermoscopic"}


def test_embedding_has_the_configured_units(networks):
    (embedding,) = networks("embeddingnet").parts["E"]
    dense = [layer.units for layer in embedding.layers if isinstance(layer, keras.layers.Dense)]
    dropout = [layer.rate for layer in embedding.layers if isinstance(layer, keras.layers.Dropout)]
    assert dense == [1024, 512]
    assert dropout == [0.5, 0.5]
    assert embedding.input_shape == (None, 2 * 512)


# HcCNN.


def stages_of(network):
    return {key: network.parts[f"G_{key}"][0](pair()[key]) for key in MODALITIES}


def run_hyper_branch(network, stages):
    hyper = []
    for number, module in enumerate(network.parts["H"]):
        hyper = [module([stages["clinical"][number], stages["dermoscopic"][number], *hyper])]
    return hyper[0]


def test_hyper_branch_is_fed_by_both_branches_at_every_stage(networks):
    network = networks("hccnn")
    stages = stages_of(network)
    expected = network(pair())["hyper_features"]
    np.testing.assert_allclose(run_hyper_branch(network, stages), expected, rtol=1e-4, atol=1e-4)
    scale = float(np.abs(expected).max())
    for key in MODALITIES:
        for stage in range(4):
            changed = {name: list(maps) for name, maps in stages.items()}
            changed[key][stage] = changed[key][stage] * 2.0
            assert np.abs(run_hyper_branch(network, changed) - expected).max() > 1e-3 * scale, (key, stage)
        changed[key] = [*stages[key][:4], stages[key][4] * 2.0]
        changed[key][3] = stages[key][3]
        np.testing.assert_array_equal(run_hyper_branch(network, changed), run_hyper_branch(network, stages))


def test_hyper_loss_sends_gradients_to_both_branches_at_every_stage_but_the_last(networks):
    network = networks("hccnn")
    stages = {key: [tf.identity(one) for one in maps] for key, maps in stages_of(network).items()}
    with tf.GradientTape() as tape:
        tape.watch(stages)
        target = tf.reduce_sum(tf.square(run_hyper_branch(network, stages)))
    for key, found in tape.gradient(target, stages).items():
        assert all(np.any(gradient) for gradient in found[:4]), key
        assert found[4] is None


def test_hyper_modules_have_the_channels_and_sizes_of_the_next_stage(networks):
    network = networks("hccnn")
    following = network.parts["G_clinical"][0].outputs[1:]
    assert [module.output.shape for module in network.parts["H"]] == [tensor.shape for tensor in following]
    inputs = [[tensor.shape[-1] for tensor in module.inputs] for module in network.parts["H"]]
    assert inputs == [[64, 64], [64, 64, 64], [128, 128, 128], [256, 256, 256]]


# Metadata.


@pytest.mark.parametrize(
    ("name", "branches"),
    [("inception-combined", ("", "clinical_", "dermoscopic_")), ("embeddingnet", ("",))],
)
def test_metadata_goes_in_beside_the_images(name, branches, networks):
    network = networks(name, METADATA)
    assert network.input["metadata"].shape == (None, 14)
    one, other = tf.zeros((3, 14)), tf.eye(14)[:3]
    before, after = network({**pair(), "metadata": one}), network({**pair(), "metadata": other})
    for branch in branches:
        assert not np.allclose(before[f"{branch}DIAG"], after[f"{branch}DIAG"], rtol=1e-3)
    assert "metadata" not in networks(name).input


def test_combined_answers_with_one_image_and_metadata(networks):
    model = networks("inception-combined", METADATA).inference_model(("clinical",))
    assert set(model.input) == {"clinical", "metadata"}


def test_a_method_that_takes_no_metadata_refuses_them(monkeypatch):
    monkeypatch.setitem(models.METHODS, "tiny", TINY)
    with pytest.raises(ConfigError, match=r"^method tiny takes no metadata: set model.metadata=\[\], or .*, hccnn"):
        models.resolve(small_config("model.metadata=[sex]", method="tiny"))


# Configuration.


SIZE_FOR_ALL = 75
"""The smallest picture that every backbone takes."""


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("inception-balanced", "resnet14_narrow", "inception_narrow"),
        ("inception-combined", "resnet50", "inception_v3"),
        ("inception-unbalanced", "inception_v3", "inception_v3"),
        ("hccnn", "inception_narrow", "resnet14_narrow"),
        ("triplenet", "inception_v3", "resnet50"),
        ("embeddingnet", "resnet18", "resnet18"),
        ("amfam", "inception_narrow", "inception_narrow"),
    ],
)
def test_backbone_keeps_its_size_and_takes_the_methods_family(name, given, used):
    config = small_config(f"model.backbone={given}", f"data.image_size={SIZE_FOR_ALL}", method=name)
    assert models.resolve(config).model.backbone == used
    assert models.resolve(models.resolve(config)) == models.resolve(config)


def test_backbone_without_a_counterpart_is_an_error():
    with pytest.raises(ConfigError, match="backbone=resnet18 has no counterpart .* set one of inception_v3, "):
        models.resolve(small_config("model.backbone=resnet18", method="inception-balanced"))


@pytest.mark.parametrize("name", REACHED)
def test_config_of_a_compared_method_names_no_part_of_amfam(name):
    model = models.resolve(small_config(method=name)).model
    assert (model.adversarial, model.reconstruction, model.attention) == (False, False, "none")
    assert model.modalities == MODALITIES
