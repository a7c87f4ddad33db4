"""Under a 16-bit policy everything runs, variables and logits stay float32, and results stay near."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from everything import LAYERS, METHOD_NAMES, layer_input
from small import random_batch, small_config

from amfam_tf import models
from amfam_tf.models.lesion_model import FINAL, output_name
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, policy):
    case = LAYERS[name]
    plain, mixed = case.create(), case.create(dtype=policy)
    x = layer_input(case)
    expected = plain(x)
    mixed(x)
    for ours, theirs in zip(mixed.weights, plain.weights, strict=True):
        assert ours.dtype == "float32"
        ours.assign(theirs)
    outputs = mixed(x)
    assert outputs.dtype in (tf.float32, keras.DTypePolicy(policy).compute_dtype)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=0.1)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_method(name):
    """Features in 16 bits, every set of logits and every variable in 32, answers near those of 32 bits."""
    plain, mixed = (
        models.create(name, small_config(f"training.precision={precision}", method=name))
        for precision in ("float32", "mixed_bfloat16")
    )
    assert {variable.dtype for variable in mixed.trainable_variables} == {"float32"}
    pair = {key: tf.constant(value) for key, value in random_batch(2).items() if key in MODALITIES}
    expected, found = plain(pair), mixed(pair)
    logits = [output_name(branch, task.name) for branch in {*mixed.branches, FINAL} for task in TASKS]
    assert {found[key].dtype for key in logits} == {tf.float32}
    features = {value.dtype for key, value in found.items() if key.startswith("features_")}
    assert features == ({tf.bfloat16} if name != "metadata-only" else set())
    for key in logits:
        np.testing.assert_allclose(found[key], expected[key], atol=0.05 * max(1.0, float(np.abs(expected[key]).max())))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["amfam"])
def test_train_step(name, precision):
    assert name in METHOD_NAMES
    trainer = create_trainer(
        small_config(f"training.precision={precision}", method=name), steps_per_epoch=1, card=DERM7PT
    )
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "mixed_float16")
    before = [variable.numpy() for variable in trainer.trainable_variables]
    batch = {key: tf.constant(value) for key, value in random_batch(4).items()}
    # In float16 the loss scale starts high; steps whose gradients overflow are left out while it is halved.
    for _ in range(10 if precision == "mixed_float16" else 1):
        result = {key: float(value) for key, value in trainer.train_step(batch).items()}
    assert np.isfinite(list(result.values())).all()
    after = [variable.numpy() for variable in trainer.trainable_variables]
    changed = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert np.mean(changed) > 0.9
    assert all(value.dtype == np.float32 for value in after)
    outputs = trainer.network({key: batch[key] for key in ("clinical", "dermoscopic")})
    assert {outputs[task.name].dtype for task in TASKS} == {tf.float32}
    assert outputs["features_clinical"].dtype.name == precision.removeprefix("mixed_")
