"""Training in stages: what each stage changes, what it leaves, what counts, and that any interruption resumes."""

import io
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import random_batch, small_config
from staged_method import STAGED, STAGES
from tiny_backbone import TINY_BACKBONE, TINY_STAGED_BACKBONE

from amfam_tf import models
from amfam_tf.config import TrainingConfig
from amfam_tf.errors import ConfigError
from amfam_tf.models import backbones
from amfam_tf.models.lesion_model import Stage
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT
from amfam_tf.training import callbacks
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.run import create_trainer, fit
from amfam_tf.training.stages import plan_stages
from amfam_tf.training.trainer import Trainer

# 16 training cases in batches of 8; cosine, dropout and augmentation: all that a resumed run has to repeat.
FAST = (
    "training.epochs=4",
    "training.pretraining_epochs=2",
    "training.batch_size=8",
    "optimizer.learning_rate=0.01",
    "optimizer.weight_decay=0.1",
)


@pytest.fixture(autouse=True)
def staged_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)


def staged_config(*overrides):
    return small_config(*FAST, *overrides, method="staged")


def quiet():
    return Console(quiet=True)


def values_of(layers):
    return [weight.numpy() for layer in layers for weight in layer.weights]


def parts_of(network):
    return {name: values_of(part) for name, part in network.parts.items()}


def changed(before, after):
    """Returns the names of the parts of which any weight, moving averages included, differs in any bit."""
    return {
        name
        for name in before
        if any(old.tobytes() != new.tobytes() for old, new in zip(before[name], after[name], strict=True))
    }


def batches():
    return tf.data.Dataset.from_tensors(random_batch(8)).repeat()


# The plan.


@pytest.mark.parametrize(
    ("epochs", "pretraining", "starts"), [(10, None, (0, 5)), (5, None, (0, 2)), (2, None, (0, 1)), (9, 7, (0, 7))]
)
def test_the_last_stage_begins_after_the_pretraining_epochs(epochs, pretraining, starts):
    plan = plan_stages(STAGES, TrainingConfig(epochs=epochs, pretraining_epochs=pretraining), ("G",))
    assert plan.starts == starts
    assert [plan.index(epoch) for epoch in range(epochs)] == [0] * starts[1] + [1] * (epochs - starts[1])
    assert [plan.is_judged(epoch) for epoch in range(epochs)] == [False] * starts[1] + [True] * (epochs - starts[1])
    assert plan.stage(starts[1]).name == "embedding"


def test_a_method_of_one_stage_is_in_it_from_the_first_epoch():
    plan = plan_stages([Stage("all")], TrainingConfig(epochs=3, pretraining_epochs=2), ("G",))
    assert (plan.starts, plan.staged, plan.is_judged(0)) == ((0,), False, True)


@pytest.mark.parametrize(
    ("stages", "frozen", "expected", "first_judged"),
    [
        (1, 2, [(("G",), 0), ((), 2)], 0),
        (1, 6, [(("G",), 0)], 0),
        (2, 1, [(("G",), 0), ((), 1), (("G", "B"), 3)], 3),
        (2, 3, [(("G",), 0), (("G", "B"), 3)], 3),
    ],
)
def test_the_first_epochs_may_freeze_the_backbone(stages, frozen, expected, first_judged):
    chosen = STAGES if stages == 2 else [Stage("all")]
    plan = plan_stages(chosen, TrainingConfig(epochs=6, frozen_epochs=frozen), ("G",))
    assert [(stage.frozen, start) for stage, start in zip(plan.stages, plan.starts, strict=True)] == expected
    assert plan.stages[0].name == f"{chosen[0].name}, backbone frozen"
    assert plan.stages[0].losses == chosen[0].losses
    assert [plan.is_judged(epoch) for epoch in range(6)] == [epoch >= first_judged for epoch in range(6)]


def test_more_frozen_epochs_than_the_first_stage_has_are_refused():
    with pytest.raises(ConfigError, match=r"frozen_epochs must be at most the 3 epochs of stage branch\. Received: 4"):
        plan_stages(STAGES, TrainingConfig(epochs=6, frozen_epochs=4), ("G",))
    with pytest.raises(ConfigError, match=r"frozen_epochs must be at most the 6 epochs of stage all\. Received: 7"):
        plan_stages([Stage("all")], TrainingConfig(epochs=6, frozen_epochs=7), ("G",))


def test_fewer_epochs_than_stages_are_refused_before_the_folder_is_claimed(drawn, tmp_path):
    config = small_config("training.epochs=1", method="staged")
    with pytest.raises(ConfigError, match=r"2 stages \(branch, embedding\): training.epochs must be at least 2"):
        fit(drawn, tmp_path / "run", config, quiet())
    assert not (tmp_path / "run/config.yaml").exists()


# A step.


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_a_stage_changes_what_its_losses_reach_and_freezes_the_rest(mode):
    """Weight decay of 0.1 would show in every variable that the optimiser touches, gradient or not."""
    trainer = create_trainer(staged_config(f"optimizer.weight_decay_mode={mode}"), steps_per_epoch=2, card=DERM7PT)
    network = trainer.network
    states = [parts_of(network)]
    for stage in (*STAGES, STAGES[0]):
        trainer.enter_stage(stage)
        trainer.fit(batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
        states.append(parts_of(network))
    assert changed(states[0], states[1]) == {"G", "B"}
    assert changed(states[1], states[2]) == {"E", "C"}
    assert changed(states[2], states[3]) == {"G", "B"}


def test_batch_normalisation_of_a_frozen_part_uses_its_moving_averages():
    trainer = create_trainer(staged_config(), steps_per_epoch=2, card=DERM7PT)
    batch = {name: tf.constant(value) for name, value in random_batch(8).items()}
    branch = "clinical_DIAG"
    trainer.enter_stage(STAGES[1])
    frozen = trainer(batch, training=True)[branch].numpy()
    np.testing.assert_allclose(frozen, trainer(batch, training=False)[branch].numpy(), rtol=1e-5)
    trainer.enter_stage(STAGES[0])
    assert not np.allclose(trainer(batch, training=True)[branch].numpy(), frozen, rtol=1e-2)


def test_the_sum_is_of_the_losses_of_the_stage_and_all_are_logged():
    trainer = create_trainer(staged_config(), steps_per_epoch=2, card=DERM7PT)
    batch = {name: tf.constant(value) for name, value in random_batch(4).items()}
    for stage, name in zip(STAGES, ("classification_clinical", "classification"), strict=True):
        trainer.enter_stage(stage)
        losses = trainer.compute_losses(batch, training=False)
        assert set(losses) == {"loss", "classification", "classification_clinical"}
        assert float(losses["loss"]) == float(losses[name])
    assert float(losses["classification"]) != float(losses["classification_clinical"])


def test_a_stage_that_names_what_there_is_not_is_refused(monkeypatch):
    trainer = create_trainer(staged_config(), steps_per_epoch=2, card=DERM7PT)
    monkeypatch.setattr(trainer.network, "_stages", (Stage("wrong", losses=("classificatoin",), frozen=("F",)),))
    with pytest.raises(ValueError, match=r"Stage 'wrong' .* Received: \['F', 'classificatoin'\]"):
        Trainer(trainer.network, tuple(trainer.losses_by_name.values()))


# The whole training.


@pytest.fixture(scope="module", autouse=True)
def recycled():
    with recycled_trainers() as trainers:
        yield trainers


@pytest.fixture(scope="module")
def unbroken(drawn, tmp_path_factory):
    """A run that nothing interrupted; beside it `first.weights.h5`, the checkpoint at the end of the first stage."""
    path = tmp_path_factory.mktemp("runs") / "unbroken"

    def keep(source, target):
        original(source, target)
        if Path(target).name == "epoch-0001.weights.h5":
            shutil.copy(target, path.parent / "first.weights.h5")

    original = os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "staged", STAGED)
        patch.setattr(os, "replace", keep)
        fit(drawn, path, staged_config(), quiet())
    return path


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_run_killed_in_either_stage_ends_as_an_unbroken_one(epoch, drawn, unbroken, recycled, tmp_path, monkeypatch):
    """Killed while the checkpoint of an epoch is written: in the first stage, at its end, and in the last one."""
    die_at_write(monkeypatch, f"epoch-{epoch:04d}.weights.h5")
    with pytest.raises(Killed):
        fit(drawn, tmp_path / "run", staged_config(), quiet())
    assert RunFolder(tmp_path / "run").read_state().epochs == epoch
    monkeypatch.undo()
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    if epoch == 1:
        recycled.forget()
    fit(drawn, tmp_path / "run", staged_config(), quiet())
    assert (tmp_path / "run/history.csv").read_bytes() == (unbroken / "history.csv").read_bytes()
    ours, theirs = (keras.saving.load_model(run / "model.keras").get_weights() for run in (tmp_path / "run", unbroken))
    assert [weight.tobytes() for weight in ours] == [weight.tobytes() for weight in theirs]


def test_history_says_the_stage_and_the_best_epoch_is_of_the_last(unbroken):
    history = pd.read_csv(unbroken / "history.csv")
    assert list(history.columns[:2]) == ["epoch", "stage"]
    assert list(history["stage"]) == ["branch", "branch", "embedding", "embedding"]
    # In each stage, the sum is the loss of that stage.
    minimised = [*history["classification_clinical"][:2], *history["classification"][2:]]
    np.testing.assert_allclose(history["loss"], minimised, rtol=1e-6)
    state = RunFolder(unbroken).read_state()
    assert state.best_epoch == 2 + int(np.argmax(history["val_accuracy"][2:]))
    assert state.best_accuracy == history["val_accuracy"][state.best_epoch]


def test_the_first_stage_leaves_the_embedding_untrained_and_the_last_leaves_the_branch(unbroken):
    """The finished model has the branch as the first stage left it, although its best epoch is a later one."""
    trainer = create_trainer(staged_config(), steps_per_epoch=2, card=DERM7PT)
    initial = parts_of(trainer.network)
    trainer.load_weights(unbroken.parent / "first.weights.h5")
    after_first = parts_of(trainer.network)
    assert changed(initial, after_first) == {"G", "B"}
    finished = parts_of(keras.saving.load_model(unbroken / "model.keras"))
    assert changed(after_first, finished) == {"E", "C"}


def test_a_fit_with_frozen_epochs_leaves_the_backbone_until_they_are_over(drawn, tmp_path, monkeypatch):
    """Killed after them, it goes on as an unbroken one."""
    config = staged_config("training.epochs=3", "training.frozen_epochs=1")
    trainer = create_trainer(config, steps_per_epoch=2, card=DERM7PT)
    states = [parts_of(trainer.network)]
    die_at_write(monkeypatch, "epoch-0001.weights.h5")
    with pytest.raises(Killed):
        fit(drawn, tmp_path / "run", config, quiet())
    checkpoints = tmp_path / "run/checkpoints"
    trainer.load_weights(checkpoints / "epoch-0000.weights.h5")
    states.append(parts_of(trainer.network))
    assert changed(*states) == {"B"}
    monkeypatch.undo()
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    for name in ("run", "unbroken"):
        fit(drawn, tmp_path / name, config, quiet())
    ours, theirs = ((tmp_path / name / "history.csv").read_bytes() for name in ("run", "unbroken"))
    assert ours == theirs
    stages = ["branch, backbone frozen", "branch", "embedding"]
    assert list(pd.read_csv(tmp_path / "run/history.csv")["stage"]) == stages
    trainer.load_weights(checkpoints / "epoch-0002.weights.h5")
    assert changed(states[1], parts_of(trainer.network)) == {"G", "B", "E", "C"}


@pytest.mark.parametrize("method", ["concat", "hccnn"])
def test_the_first_stages_alone_may_be_frozen(method, monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_STAGED_BACKBONE)
    config = small_config("training.frozen_epochs=1", "training.frozen_stages=2", "training.epochs=2", method=method)
    trainer = create_trainer(config, steps_per_epoch=2, card=DERM7PT)
    plan = plan_stages(trainer.network.stages, config.training, trainer.network.backbones)
    assert [stage.name for stage in plan.stages] == ["all, stages 1 to 2 frozen", "all"]
    parts = [network for name in trainer.network.backbones for network in trainer.network.parts[name]]
    layers = {f"{part.name}/{one.name}": one for part in parts for one in part.layers if one.weights}
    first = {name for name in layers if name[-1] in "01"}
    states = [{name: values_of([layer]) for name, layer in layers.items()}]
    for stage in plan.stages:
        trainer.enter_stage(stage)
        trainer.fit(batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
        states.append({name: values_of([layer]) for name, layer in layers.items()})
    assert len(first) == 4 * len(parts)
    assert changed(states[0], states[1]) == layers.keys() - first
    assert changed(states[1], states[2]) == layers.keys()


def test_batch_statistics_of_the_backbone_may_stay_as_they_are(monkeypatch):
    """Its moving averages, not its scales and offsets; those of the decoders move."""
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    config = small_config("training.frozen_batch_statistics=true", method="concat-recon")
    trainer = create_trainer(config, steps_per_epoch=2, card=DERM7PT)
    norms = [one for one in trainer.network._flatten_layers() if isinstance(one, keras.layers.BatchNormalization)]
    own = [one for one in norms if one.name.startswith("bn_")]
    for layer in own:
        layer.moving_mean.assign(np.linspace(-0.1, 0.1, layer.moving_mean.shape[0]))
        layer.moving_variance.assign(np.linspace(0.5, 2.0, layer.moving_mean.shape[0]))
    batch = {name: tf.constant(value) for name, value in random_batch(4).items()}
    trained, asked = (trainer(batch, training=training) for training in (True, False))
    for task in DERM7PT.tasks:
        np.testing.assert_allclose(trained[task.name], asked[task.name], rtol=1e-5, atol=1e-6)
    before = [[value.numpy() for value in layer.weights] for layer in norms]
    trainer.fit(batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    assert 0 < len(own) < len(norms)
    for layer, (gamma, beta, mean, variance) in zip(norms, before, strict=True):
        kept = layer in own
        assert np.array_equal(layer.moving_mean, mean) is np.array_equal(layer.moving_variance, variance) is kept
        assert not np.array_equal(layer.gamma, gamma) and not np.array_equal(layer.beta, beta)


def test_stages_that_cannot_be_frozen_are_refused():
    with pytest.raises(ConfigError, match=r"training.frozen_stages needs training.frozen_epochs, the epochs in which"):
        small_config("training.frozen_stages=2")
    config = small_config("training.frozen_epochs=1", "training.frozen_stages=2", method="inception-unbalanced")
    with pytest.raises(ConfigError, match=r"training.frozen_stages: inception_narrow of method .* has no stages"):
        models.resolve(config)


def test_patience_counts_the_last_stage_only(drawn, tmp_path):
    still = ("optimizer.learning_rate=1e-12", "optimizer.weight_decay=0")
    config = staged_config("training.epochs=9", "training.pretraining_epochs=4", "training.patience=1", *still)
    result = fit(drawn, tmp_path / "run", config, quiet())
    # The first stage is as long as it is; the last one has its first epoch as the best and waits for one more.
    assert (result.epochs, result.best_epoch) == (6, 4)


def test_the_optimiser_starts_anew_in_the_last_stage_and_its_rate_goes_on():
    """Adam's first step is as long as the learning rate, whatever the gradient: so is the first step of a stage."""
    rates, moved = [], []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):  # noqa: ARG002
            rates.append(float(self.model.optimizer.learning_rate))
            self.before = parts_of(self.model.network)

        def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
            after = parts_of(self.model.network)
            pairs = [(self.before[name], after[name]) for name in ("E", "C")]
            moved.append(max(np.abs(new - old).max() for old, now in pairs for old, new in zip(old, now, strict=True)))

    config = staged_config("optimizer.schedule=cosine", "optimizer.weight_decay=0")
    trainer = create_trainer(config, steps_per_epoch=2, card=DERM7PT)
    stages = callbacks.Stages(plan_stages(STAGES, config.training, ()), steps=2)
    trainer.fit(batches(), steps_per_epoch=2, epochs=4, callbacks=[stages, Watch()], verbose=0, shuffle=False)
    steps = np.arange(8)
    np.testing.assert_allclose(rates, 0.01 * (1 + np.cos(np.pi * steps / 8)) / 2, rtol=1e-5)
    assert moved[:4] == [0, 0, 0, 0]
    assert moved[4] == pytest.approx(rates[4], rel=1e-3)


def test_other_ways_to_run_a_step_go_through_both_stages(drawn, tmp_path):
    config = staged_config(
        "training.epochs=2",
        "training.pretraining_epochs=1",
        "training.precision=mixed_float16",
        "training.steps_per_execution=2",
    )
    console = Console(record=True, width=200, force_terminal=False, file=io.StringIO())
    assert fit(drawn, tmp_path / "run", config, console).best_epoch == 1
    assert list(pd.read_csv(tmp_path / "run/history.csv")["stage"]) == ["branch", "embedding"]
    text = console.export_text()
    assert "epoch 1/2 (branch)" in text
    assert "epoch 2/2 (embedding)" in text


def test_the_dry_run_tries_each_stage(drawn):
    console = Console(record=True, width=200, file=io.StringIO())
    dry_run(drawn, staged_config(), console)
    text = console.export_text()
    # G has 4 variables, B, E and C 2 each: the embedding is not reached first, the branch is frozen then.
    for words in ("stage branch, from epoch 1:", "gradients: 6 of 10 variables"):
        assert words in text
    for words in ("stage embedding, from epoch 3:", "gradients: 4 of 4 variables"):
        assert words in text
