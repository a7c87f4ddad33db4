import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small import IMAGE_SIZE, make_weights_all_different, random_batch, small_config

from amfam_tf import models
from amfam_tf.models.amfam import create_decoder, create_discriminator
from amfam_tf.tasks import MODALITIES, TASKS


@pytest.fixture(scope="module")
def network():
    """AMFAM with weights that are all different."""
    built = models.create("amfam", small_config())
    make_weights_all_different(built)
    return built


def images(cases, seed=0):
    batch = random_batch(cases, seed)
    return {name: batch[name] for name in MODALITIES}


def test_outputs_have_every_quantity_by_name(network):
    shapes = {name: tuple(value.shape) for name, value in network(images(3)).items()}
    expected = {task.name: (3, len(task.classes)) for task in TASKS}
    for name in MODALITIES:
        expected |= {
            f"features_{name}": (3, 2, 2, 512),
            f"modality_logits_{name}": (3, 2),
            f"attention_{name}": (3, IMAGE_SIZE, IMAGE_SIZE, 1),
            f"reconstruction_{name}": (3, IMAGE_SIZE, IMAGE_SIZE, 3),
        }
    assert shapes == expected


def test_resnet50_at_299_gives_the_feature_maps_of_the_paper():
    backbone = models.backbones.create_backbone("resnet50", 299)
    assert backbone.output_shape == (None, 10, 10, 2048)
    assert backbone.count_params() == 23_561_152


def test_attention_is_in_the_unit_range(network):
    outputs = network(images(4))
    for name in MODALITIES:
        maps = outputs[f"attention_{name}"].numpy()
        assert maps.min() == 0.0
        assert maps.max() == 1.0


def test_swapping_the_inputs_changes_the_answer(network):
    pair = images(2)
    swapped = {"clinical": pair["dermoscopic"], "dermoscopic": pair["clinical"]}
    model = network.inference_model()
    assert not np.allclose(model(pair)["DIAG"], model(swapped)["DIAG"], atol=1e-2)


def test_what_belongs_to_one_modality_depends_on_its_image_only(network):
    pair = images(2)
    before = network(pair)
    for changed, other in (MODALITIES, MODALITIES[::-1]):
        after = network({**pair, changed: 1.0 - pair[changed]})
        for quantity in ("features", "modality_logits", "attention", "reconstruction"):
            np.testing.assert_allclose(
                after[f"{quantity}_{other}"], before[f"{quantity}_{other}"], rtol=1e-4, atol=1e-4
            )
            assert not np.allclose(
                after[f"{quantity}_{changed}"], before[f"{quantity}_{changed}"], rtol=1e-2, atol=1e-3
            )


def test_a_prediction_does_not_depend_on_its_batch_neighbours(network):
    model = network.inference_model()
    pair, others = images(5), images(5, seed=1)
    alone = model({name: pair[name][:1] for name in MODALITIES})
    among = model({name: np.concatenate([pair[name][:1], others[name]]) for name in MODALITIES})
    for task in TASKS:
        np.testing.assert_allclose(alone[task.name][0], among[task.name][0], rtol=1e-4, atol=1e-4)


def test_inference_model_has_the_classifier_and_nothing_else(network):
    groups = network.parameter_groups()
    kept = {id(variable) for variable in network.inference_model().trainable_variables}
    assert kept == {id(variable) for name in ("G", "C") for variable in groups[name]}
    assert {"D", "RC", "RD", "AC", "AD"} == set(groups) - {"G", "C"}


def test_inference_model_costs_what_backbone_and_classifier_cost(network):
    specs = {name: tf.TensorSpec((1, IMAGE_SIZE, IMAGE_SIZE, 3), name=name) for name in MODALITIES}

    def count(model):
        operations = tf.function(model).get_concrete_function(specs).graph.get_operations()
        return sum(operation.type == "Conv2D" for operation in operations)

    backbone = sum("Conv2D" in type(layer).__name__ for layer in network.parts["G"][0].layers)
    assert count(network.inference_model()) == backbone
    assert count(network) > backbone


def test_joint_statistics_are_those_of_one_batch_of_both_modalities():
    pair = images(4)
    joint = models.create("concat", small_config())
    separate = models.create("concat", small_config("model.batch_statistics=per_modality"))
    separate.set_weights(joint.get_weights())
    backbone = joint.parts["G"][0]
    both = backbone(np.concatenate([pair[name] for name in MODALITIES]), training=True)
    outputs = joint(pair, training=True)
    np.testing.assert_allclose(outputs["features_clinical"], both[:4], atol=1e-5)
    np.testing.assert_allclose(outputs["features_dermoscopic"], both[4:], atol=1e-5)
    alone = separate(pair, training=True)["features_clinical"]
    np.testing.assert_allclose(alone, separate.parts["G"][0](pair["clinical"], training=True), atol=1e-5)
    assert not np.allclose(alone, both[:4], atol=1e-2)


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("clinical-only", {"G", "C"}),
        ("dermoscopic-only", {"G", "C"}),
        ("concat", {"G", "C"}),
        ("concat-recon", {"G", "C", "RC", "RD"}),
        ("concat-recon-att-linear", {"G", "C", "RC", "RD", "AC", "AD"}),
        ("concat-recon-att", {"G", "C", "RC", "RD", "AC", "AD"}),
        ("concat-adv", {"G", "C", "D"}),
        ("amfam", {"G", "C", "D", "RC", "RD", "AC", "AD"}),
    ],
)
def test_ablations_have_the_parts_of_their_description_only(method, parts):
    network = models.create(method, small_config())
    assert set(network.parts) == parts
    features = {name for name in network.output if name.startswith("features_")}
    used = [method.removesuffix("-only")] if method.endswith("-only") else MODALITIES
    assert features == {f"features_{name}" for name in used}


def test_one_modality_ignores_the_other():
    network = models.create("clinical-only", small_config())
    pair = images(2)
    changed = {**pair, "dermoscopic": 1.0 - pair["dermoscopic"]}
    np.testing.assert_array_equal(network(pair)["DIAG"], network(changed)["DIAG"])
    changed = {**pair, "clinical": 1.0 - pair["clinical"]}
    assert not np.allclose(network(pair)["DIAG"], network(changed)["DIAG"], atol=1e-4)


def test_discriminator_gradient_is_reversed_before_it_and_not_inside():
    discriminator = create_discriminator(small_config().model)
    features = tf.Variable(np.random.default_rng(0).normal(size=(4, 2, 2, 8)).astype(np.float32))
    discriminator(features)
    plain_layers = [layer for layer in discriminator.layers if layer.name != "gradient_reversal"]

    def plain(x):
        for layer in plain_layers:
            x = layer(x)
        return x

    gradients = []
    for function in (discriminator, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(function(features)))
        gradients.append(tape.gradient(loss, [features, *discriminator.trainable_variables]))
    (with_reversal, *own_with), (without, *own_without) = gradients
    np.testing.assert_allclose(with_reversal, -without, rtol=1e-5, atol=1e-7)
    for ours, theirs in zip(own_with, own_without, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_merged_and_plain_upsampling_have_the_same_sizes():
    config = small_config().model
    bilinear = dataclasses.replace(config, upsampling="bilinear")
    features = np.zeros((1, 2, 2, 16), np.float32)
    decoders = [create_decoder(choice, 70, "decoder") for choice in (config, bilinear)]
    assert [decoder(features).shape for decoder in decoders] == [(1, 70, 70, 3)] * 2
    assert decoders[0].count_params() == decoders[1].count_params()


def test_same_seed_same_weights_other_seed_others():
    first, again = (models.create("amfam", small_config("seed=3")) for _ in range(2))
    other = models.create("amfam", small_config("seed=4"))
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [model.parts["G"][0].get_layer("conv1_conv").kernel.numpy() for model in (first, other)]
    assert not np.allclose(*kernels)


def test_unknown_method_is_an_error_that_lists_the_known_ones():
    with pytest.raises(models.registry.ConfigError, match="unknown method 'nothing'; known: clinical-only, .*, amfam"):
        models.create("nothing", small_config())
