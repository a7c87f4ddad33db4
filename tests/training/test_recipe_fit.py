"""The recipe of few cases as a whole: a fit that is killed goes on bit for bit, and a step is the same by every way."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import SMALL_FOR_ANY, small_config

from amfam_tf.data import pipeline
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.mixing import SHARE
from amfam_tf.tasks import DERM7PT
from amfam_tf.training.run import create_trainer, fit

pytestmark = pytest.mark.usefixtures("tiny_backbone")
MIXED = (
    *("augmentation.mixup=0.4", "augmentation.cutmix=1", "augmentation.brightness=0.1", "augmentation.contrast=0.2"),
    *("augmentation.saturation=0.2", "augmentation.hue=0.05", "augmentation.sharpness=0.5"),
)
RECIPE = (
    *(*MIXED, "loss.label_smoothing=0.05", "model.classifier_dropout=0.2", "optimizer.weight_average=0.8"),
    *("optimizer.backbone_rate=0.5", "optimizer.layer_decay=0.8", "optimizer.learning_rate=0.01"),
    *("training.epochs=4", "training.frozen_epochs=2", "training.batch_size=8"),
)


@pytest.fixture(scope="module", autouse=True)
def recycled():
    with recycled_trainers() as trainers:
        yield trainers


def recipe():
    return small_config(*RECIPE, method="concat", sizes=SMALL_FOR_ANY)


@pytest.fixture(scope="module")
def unbroken(drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "unbroken"
    fit(drawn, path, recipe(), Console(quiet=True))
    return path


@pytest.mark.parametrize("written", ["epoch-0001.weights.h5", "epoch-0002.weights.h5"])
def test_a_fit_killed_while_frozen_or_afterwards_ends_with_the_same_bits(
    written, drawn, unbroken, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        die_at_write(patch, written)
        with pytest.raises(Killed):
            fit(drawn, tmp_path / "run", recipe(), Console(quiet=True))
    fit(drawn, tmp_path / "run", recipe(), Console(quiet=True))
    assert (tmp_path / "run/history.csv").read_bytes() == (unbroken / "history.csv").read_bytes()
    ours, theirs = (keras.saving.load_model(run / "model.keras") for run in (tmp_path / "run", unbroken))
    for weight, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)


@pytest.fixture(scope="module")
def batches(drawn):
    """Two mixed batches of six cases, the same for every way to take a step."""
    cases = read_release(drawn)
    config = small_config(*MIXED, "training.batch_size=6")
    training = cases[cases["split"] == "train"].head(12)
    given = pipeline.training_dataset(training, config, DERM7PT).take(2).cache()
    shares = np.concatenate([batch[SHARE] for batch in given])
    assert ((shares > 0) & (shares < 1)).sum() >= 10
    return given


def losses_of(batches, *overrides):
    """Returns what two steps log, [2] by name; the second is of weights that the first has changed."""
    config = small_config(*MIXED, "optimizer.learning_rate=1e-3", *overrides)
    trainer = create_trainer(config, steps_per_epoch=1, card=DERM7PT)
    told = trainer.fit(batches, steps_per_epoch=1, epochs=2, verbose=0, shuffle=False)
    return {name: np.array(values, np.float64) for name, values in told.history.items()}


@pytest.fixture(scope="module")
def eager(batches):
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        return losses_of(batches, "training.jit_compile=off")
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.mark.parametrize(
    ("override", "tolerance", "steps"),
    [
        ("training.jit_compile=on", 1e-4, 2),
        ("training.precision=mixed_bfloat16", 0.03, 2),
        # Its loss scale begins too high: the first step is left out, and the second one is of the same weights.
        ("training.precision=mixed_float16", 0.01, 1),
    ],
)
def test_a_step_on_mixed_cases_is_the_same_by_every_way(override, tolerance, steps, batches, eager):
    found = losses_of(batches, override)
    assert found.keys() == eager.keys()
    for name in ("loss", "classification", "adversarial", "reconstruction_clinical", "reconstruction_dermoscopic"):
        assert np.isfinite(found[name]).all(), name
        np.testing.assert_allclose(found[name][:steps], eager[name][:steps], rtol=tolerance, err_msg=name)
