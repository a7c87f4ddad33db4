"""The moving average of the weights: what is validated, kept and exported, while training goes on without it."""

import keras
import numpy as np
import pandas as pd
import pytest
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import random_batch, small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT
from amfam_tf.training.optimizers import averaged
from amfam_tf.training.run import create_trainer, fit

MOMENTUM = 0.75
AVERAGE = f"optimizer.weight_average={MOMENTUM}"
# Stages, a schedule and dropout: all that a resumed run has to repeat.
FAST = ("training.epochs=4", "training.pretraining_epochs=3", "training.batch_size=8", "optimizer.learning_rate=0.01")


@pytest.fixture(autouse=True)
def staged_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)


@pytest.fixture
def recycled():
    with recycled_trainers() as trainers:
        yield trainers


def staged_config(*overrides):
    return small_config(*FAST, *overrides, method="staged")


def values_of(network):
    return [variable.numpy() for variable in network.trainable_variables]


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_average_by_hand(mode, precision):
    overrides = (f"optimizer.weight_decay_mode={mode}", f"training.precision={precision}")
    with_it, without = (
        create_trainer(staged_config(*overrides, *more), steps_per_epoch=3, card=DERM7PT) for more in ((AVERAGE,), ())
    )
    batch = {name: keras.ops.convert_to_tensor(value) for name, value in random_batch(8).items()}
    expected = None
    for seed in range(3):
        for trainer in (with_it, without):
            keras.utils.set_random_seed(seed)
            trainer.train_step(batch)
        weights = values_of(with_it.network)
        for ours, theirs in zip(weights, values_of(without.network), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        pairs = zip(expected or weights, weights, strict=True)
        expected = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in pairs]
    with averaged(with_it.optimizer):
        for ours, by_hand in zip(values_of(with_it.network), expected, strict=True):
            np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-7)
    for ours, before in zip(values_of(with_it.network), weights, strict=True):
        np.testing.assert_array_equal(ours, before)
    with averaged(without.optimizer):
        np.testing.assert_array_equal(values_of(without.network)[0], weights[0])


@pytest.mark.usefixtures("recycled")
def test_a_run_keeps_the_average_and_resumes_exactly(drawn, tmp_path, monkeypatch):
    config = staged_config(AVERAGE)
    die_at_write(monkeypatch, "epoch-0002.weights.h5")
    with pytest.raises(Killed):
        fit(drawn, tmp_path / "run", config, Console(quiet=True))
    monkeypatch.undo()
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    for name in ("run", "unbroken"):
        fit(drawn, tmp_path / name, config, Console(quiet=True))
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("run", "unbroken")]
    assert histories[0] == histories[1]
    plain = fit(drawn, tmp_path / "plain", staged_config(), Console(quiet=True))
    ours, theirs = (pd.read_csv(tmp_path / name / "history.csv") for name in ("run", "plain"))
    assert plain.epochs == 4
    # The same steps are taken; what is validated is another network.
    np.testing.assert_array_equal(ours["loss"], theirs["loss"])
    assert (ours["val_loss"] != theirs["val_loss"]).all()
    state = RunFolder(tmp_path / "run").read_state()
    trainer = create_trainer(config, steps_per_epoch=2, card=DERM7PT)
    trainer.load_weights(tmp_path / "run/checkpoints" / state.weights)
    assert state.best_epoch == 3  # the only one of the last stage
    with averaged(trainer.optimizer):
        last = values_of(trainer.network)
    kept = values_of(keras.saving.load_model(tmp_path / "run/model.keras"))
    for ours, theirs in zip(kept, last, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any((ours != theirs).any() for ours, theirs in zip(kept, values_of(trainer.network), strict=True))
