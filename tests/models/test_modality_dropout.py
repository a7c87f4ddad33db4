"""Networks that answer for one picture or both: laws of every method with tokens for a missing picture."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import make_weights_all_different, random_batch, small_config

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.config import ModelConfig
from amfam_tf.data.mixing import SHARE, other_label
from amfam_tf.errors import ConfigError
from amfam_tf.models.ensemble import Ensemble
from amfam_tf.models.lesion_model import Stage
from amfam_tf.models.reads import refuse_unread
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.callbacks import EpochSeeds
from amfam_tf.training.losses import build_losses
from amfam_tf.training.run import create_trainer
from amfam_tf.training.trainer import Trainer

METHODS = ("amfam", "concat", "concat-recon", "embeddingnet", "inception-unbalanced")
WITHOUT = ("clinical-only", "dermoscopic-only", "triplenet", "hccnn", "inception-combined", "probe", "metadata-only")
OF_METHOD = {"inception-unbalanced": ("data.image_size=75",)}

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def network_of(method, *overrides, rate=0.5):
    overrides = (f"model.modality_dropout={rate}", *OF_METHOD.get(method, ()), *overrides)
    network = models.create(method, small_config(*overrides, method=method))
    make_weights_all_different(network)
    return network


def without_tokens(network):
    tokens = {variable.path for variable in network.get_layer("missing_views").weights}
    return [variable for variable in network.weights if variable.path not in tokens]


def batch_for(network, cases=3, seed=0):
    return random_batch(cases, seed, network.image_size)


def pictures(batch, missing=None):
    return {name: np.zeros_like(batch[name]) if name == missing else batch[name] for name in MODALITIES}


def logits(network, given):
    answers = network(given, training=False)
    return np.concatenate([np.asarray(answers[task.name]) for task in TASKS], axis=1)


@pytest.mark.parametrize("method", METHODS)
def test_both_pictures_are_answered_as_by_a_network_without_tokens_bit_for_bit(method):
    network, plain = network_of(method), network_of(method, rate=0)
    layer = network.get_layer("missing_views")
    assert not any(isinstance(one, type(layer)) for one in plain._flatten_layers())
    for variable, own in zip(plain.weights, without_tokens(network), strict=True):
        assert variable.path == own.path
        variable.assign(own)
    batch = pictures(batch_for(network))
    expected, found = plain(batch, training=False), network(batch, training=False)
    assert expected.keys() == found.keys() - {f"given_{name}" for name in MODALITIES}
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_first_weights_are_those_of_a_network_without_tokens():
    config = [small_config(f"model.modality_dropout={rate}", "model.classifier_dropout=0.2") for rate in (0, 0.3)]
    plain, network = (models.create("amfam", one) for one in config)
    for one, other in zip(plain.weights, without_tokens(network), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("missing", MODALITIES)
@pytest.mark.parametrize("method", METHODS)
def test_one_picture_is_answered_with_the_token_of_the_other_one(method, missing):
    network = network_of(method)
    batch, (there,) = batch_for(network), set(MODALITIES) - {missing}
    both, one = logits(network, pictures(batch)), logits(network, pictures(batch, missing))
    assert not np.allclose(both, one)
    model = network.inference_model((there,))
    assert list(model.input) == [there]
    alone = logits(model, {there: batch[there]})
    np.testing.assert_allclose(alone, one, rtol=1e-5, atol=1e-5)
    layer = network.get_layer("missing_views")
    layer.tokens[missing].assign_add(np.ones(layer.tokens[missing].shape))
    assert not np.allclose(logits(network, pictures(batch, missing)), one)
    np.testing.assert_array_equal(logits(network, pictures(batch)), both)


@pytest.mark.parametrize("missing", MODALITIES)
def test_the_pixels_of_a_picture_that_training_takes_as_missing_get_no_gradient(missing):
    """A batch of one case, and statistics of each modality of its own: nothing else hangs on its pixels."""
    network = network_of("amfam", "model.batch_statistics=per_modality", rate=0.99)
    config = small_config().loss
    losses = build_losses(list(network.output), config, "exponential", TASKS)
    trainer = Trainer(network, losses)
    batch = {name: tf.constant(value) for name, value in batch_for(network, 1).items()}
    layer = network.get_layer("missing_views")
    (there,) = set(MODALITIES) - {missing}
    for seed in range(20):
        layer.seed_generator.state.assign([seed, 0])
        if network(pictures(batch), training=True)[f"given_{missing}"][0] == 0:
            break
    layer.seed_generator.state.assign([seed, 0])
    with tf.GradientTape() as tape:
        tape.watch([batch[name] for name in MODALITIES])
        total = trainer.compute_losses(batch, training=True)["loss"]
    gradients = dict(zip(MODALITIES, tape.gradient(total, [batch[name] for name in MODALITIES]), strict=True))
    assert np.count_nonzero(gradients[missing]) == 0
    assert np.count_nonzero(gradients[there]) > 0


def test_discriminator_and_reconstruction_are_judged_on_the_pictures_that_are_there():
    network = network_of("amfam")
    batch = batch_for(network, 4)
    batch["clinical"][[0, 2]] = 0.0
    batch["dermoscopic"][1] = 0.0
    losses = build_losses(list(network.output), small_config().loss, "exponential", TASKS)
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    outputs = network(pictures(batch), training=False)
    found = {loss.name: float(loss(tensors, outputs)) for loss in losses}
    there = {"clinical": [1, 3], "dermoscopic": [0, 2, 3]}
    expected = 0.0
    for number, (name, cases) in enumerate(there.items()):
        of_modality = np.asarray(outputs[f"modality_logits_{name}"], np.float64)[cases]
        expected += np.mean(np.log(np.exp(of_modality).sum(axis=1)) - of_modality[:, number])
        error = np.sum((np.asarray(outputs[f"reconstruction_{name}"]) - batch[name]) ** 2, axis=-1, dtype=np.float64)
        weighted = (error * np.exp(np.asarray(outputs[f"attention_{name}"]))[..., 0])[cases]
        np.testing.assert_allclose(found[f"reconstruction_{name}"], weighted.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["adversarial"], expected, rtol=1e-5)


def test_a_saved_network_keeps_its_tokens(tmp_path):
    network = network_of("concat")
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.takes_one_picture
    given = pictures(batch_for(network), "clinical")
    np.testing.assert_array_equal(logits(again, given), logits(network, given))


@pytest.mark.parametrize("missing", MODALITIES)
def test_answers_to_one_picture_are_averaged_over_flips(missing):
    network = network_of("concat", "model.average_flips=true")
    (there,) = set(MODALITIES) - {missing}
    model, batch = network.inference_model((there,)), batch_for(network)
    flipped = {there: batch[there][:, :, ::-1]}
    np.testing.assert_array_equal(logits(model, flipped), logits(model, {there: batch[there]}))
    whole = logits(network.inference_model(), pictures(batch, missing))
    np.testing.assert_allclose(logits(model, {there: batch[there]}), whole, rtol=1e-4, atol=1e-5)


def test_an_ensemble_takes_one_picture_if_all_its_members_do():
    with_tokens, plain = network_of("concat"), network_of("concat", rate=0)
    both = Ensemble.of([with_tokens, network_of("embeddingnet")])
    assert both.takes_one_picture
    batch = batch_for(both)
    alone = both.inference_model(("dermoscopic",))
    expected = logits(both, pictures(batch, "clinical"))
    np.testing.assert_allclose(logits(alone, {"dermoscopic": batch["dermoscopic"]}), expected, rtol=1e-4, atol=1e-5)
    mixed = Ensemble.of([with_tokens, plain])
    assert not mixed.takes_one_picture
    with pytest.raises(ValueError, match="needs the clinical image"):
        mixed.inference_model(("dermoscopic",))


def test_no_picture_at_all_and_one_of_a_network_without_tokens_are_refused():
    with pytest.raises(ValueError, match="needs the clinical image"):
        network_of("concat").inference_model(())
    with pytest.raises(ValueError, match="concat needs the clinical image"):
        network_of("concat", rate=0).inference_model(("dermoscopic",))


@pytest.mark.parametrize("method", WITHOUT)
def test_methods_without_tokens_refuse_the_key(method):
    asked = configuration.load("tiny", ["model.modality_dropout=0.3"], {"method": method})
    assert models.resolve(asked).model.modality_dropout == 0
    with pytest.raises(ConfigError) as caught:
        refuse_unread([asked], ["model.modality_dropout"])
    reason = f"model.modality_dropout would be of no use: method {method} sets it to 0.0 itself: leave it out"
    assert str(caught.value) == reason


def test_one_modality_cannot_be_dropped():
    with pytest.raises(ConfigError, match=r"model\.modality_dropout needs both modalities"):
        ModelConfig(adversarial=False, modalities=("clinical",), modality_dropout=0.1)


def test_the_tokens_of_embeddingnet_are_trained_with_its_embedding():
    network = network_of("embeddingnet")
    tokens = {variable.path for variable in network.get_layer("missing_views").trainable_variables}
    assert tokens <= {variable.path for variable in network.parameter_groups()["E"]}
    assert len(tokens) == 2


def test_what_an_epoch_drops_follows_from_seed_and_epoch():
    network = network_of("concat")
    generator = network.get_layer("missing_views").seed_generator
    callback, batch = EpochSeeds(network, 3), pictures(batch_for(network, 40))
    assert any(one is generator for one in callback._generators)

    def dropped(epoch):
        callback.on_epoch_begin(epoch)
        return np.asarray(network(batch, training=True)["given_clinical"])

    first, second = dropped(0), dropped(1)
    assert (first != second).any()
    np.testing.assert_array_equal(dropped(0), first)


@pytest.mark.parametrize(("method", "compiled"), [("amfam", False), ("concat", True)])
def test_a_step_trains_the_tokens_with_mixed_cases_and_metadata(method, compiled):
    config = small_config(
        *("model.modality_dropout=0.8", "augmentation.mixup=0.4", "model.metadata=[sex]"),
        method=method,
    )
    trainer = create_trainer(models.resolve(config), 4, DERM7PT)
    layer = trainer.network.get_layer("missing_views")
    batch = batch_for(trainer.network, 8)
    batch |= {other_label(task.name): np.roll(batch[task.name], 1) for task in TASKS}
    batch |= {SHARE: np.linspace(0.3, 1.0, 8, dtype=np.float32), "metadata": np.ones((8, 3), np.float32)}
    batch["metadata"] = batch["metadata"][:, : trainer.network.input["metadata"].shape[-1]]
    step = tf.function(trainer.train_step, jit_compile=True) if compiled else trainer.train_step
    logs = step({name: tf.constant(value) for name, value in batch.items()})
    assert all(np.isfinite(value) for value in logs.values())
    for name in MODALITIES:
        assert np.abs(np.asarray(layer.tokens[name])).max() > 0


def test_frozen_backbones_leave_the_tokens_to_learn():
    trainer = create_trainer(models.resolve(small_config("model.modality_dropout=0.8", method="concat")), 4, DERM7PT)
    before = [np.asarray(value) for value in trainer.network.parameter_groups()["G"]]
    trainer.enter_stage(Stage("frozen", frozen=trainer.network.backbones))
    batch = batch_for(trainer.network, 8)
    trainer.train_step({name: tf.constant(value) for name, value in batch.items()})
    trainer.enter_stage(Stage("all"))
    for one, other in zip(before, trainer.network.parameter_groups()["G"], strict=True):
        np.testing.assert_array_equal(other, one)
    tokens = trainer.network.get_layer("missing_views").tokens
    assert all(np.abs(np.asarray(token)).max() > 0 for token in tokens.values())
