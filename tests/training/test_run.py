"""Fitting into a run folder: what it writes, what it refuses, and that an interrupted run ends as an unbroken one."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from PIL import Image
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import small_config
from tiny_backbone import TINY_BACKBONE

from amfam_tf import config as configuration
from amfam_tf.data.cases import read
from amfam_tf.errors import DataError, RunError, WeightsError
from amfam_tf.files.writing import PARTIAL
from amfam_tf.models import backbones
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import TASKS
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.run import fit, split_cases
from amfam_tf.training.trainer import Trainer

# Dropout and augmentation on: both draw random numbers that a resumed run must draw again.
FAST = ("training.epochs=2", "training.batch_size=8", "model.classifier_dropout=0.3")
NARROW = backbones.BACKBONES["resnet14_narrow"]


def fast_config(*overrides, method="concat"):
    return small_config(*FAST, *overrides, method=method)


def quiet():
    return Console(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def tiny_backbone():
    """What a run folder goes through does not depend on the depth of the backbone, which most of a fit's time does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        yield


@pytest.fixture(scope="module", autouse=True)
def recycled():
    with recycled_trainers() as trainers:
        yield trainers


@pytest.fixture(scope="module")
def unbroken(drawn, tmp_path_factory):
    """A run that nothing interrupted."""
    path = tmp_path_factory.mktemp("runs") / "unbroken"
    fit(drawn, path, fast_config(), quiet())
    return path


def weights_of(run: Path) -> list[np.ndarray]:
    return keras.saving.load_model(run / "model.keras").get_weights()


def assert_same_result(run: Path, expected: Path) -> None:
    assert (run / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
    for ours, theirs in zip(weights_of(run), weights_of(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "occurrence"),
    [("config.yaml", 0), ("best-0000.weights.h5", 0), ("state.json", 1), ("history.csv", 0), ("model.keras", 0)],
)
def test_a_run_killed_at_a_write_ends_as_an_unbroken_one(
    name, occurrence, drawn, unbroken, recycled, tmp_path, monkeypatch
):
    """The process dies in the middle of writing a file for the first or a later time, leaving half of it behind."""
    die_at_write(monkeypatch, name, occurrence)
    with pytest.raises(Killed):
        fit(drawn, tmp_path / "run", fast_config(), quiet())
    monkeypatch.undo()
    assert list((tmp_path / "run").rglob(f"{PARTIAL}*"))
    if name == "state.json":  # between the epochs, with weights to load: here the trainer is a new one
        recycled.forget()
    result = fit(drawn, tmp_path / "run", fast_config(), quiet())
    assert not result.already_finished
    assert_same_result(tmp_path / "run", unbroken)
    assert not list((tmp_path / "run").rglob(f"{PARTIAL}*"))


def test_folder_of_a_finished_run(unbroken):
    folder = RunFolder(unbroken)
    names = {"config.yaml", "environment.json", "history.csv", "tensorboard", "checkpoints", "model.keras"}
    assert names <= {item.name for item in unbroken.iterdir()}
    assert configuration.read(unbroken / "config.yaml").data.image_size == 64
    environment = json.loads((unbroken / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["tensorflow"] == tf.__version__
    assert len(environment["data_fingerprint"]) == 64
    assert sum(environment["data_counts"].values()) == 40
    history = pd.read_csv(unbroken / "history.csv")
    assert list(history["epoch"]) == [0, 1]
    scalars = ["loss", "classification", "accuracy", *(f"accuracy_{task.name}" for task in TASKS)]
    assert set(history) == {"epoch", *scalars, *(f"val_{name}" for name in scalars)}
    assert folder.read_state().finished


def test_model_holds_the_best_weights_not_the_last(unbroken, drawn, tmp_path):
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(unbroken, folder.path)
    state = folder.read_state()
    assert state.best_epoch == int(pd.read_csv(folder.history_file)["val_accuracy"].idxmax())
    network = keras.saving.load_model(folder.model_file)
    best = [weight + 1.0 for weight in network.get_weights()]
    network.set_weights(best)
    network.save_weights(folder.checkpoints / state.best_weights)
    folder.model_file.unlink()
    folder.write_state(dataclasses.replace(state, finished=False))
    fit(drawn, folder.path, fast_config(), quiet())
    for ours, theirs in zip(weights_of(folder.path), best, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_run_is_left_alone(unbroken, drawn):
    before = (unbroken / "model.keras").stat().st_mtime_ns
    assert fit(drawn, unbroken, fast_config(), quiet()).already_finished
    assert (unbroken / "model.keras").stat().st_mtime_ns == before


def test_curves_have_every_logged_scalar(unbroken):
    tags = {}
    for split in ("train", "validation"):
        events = sorted((unbroken / "tensorboard" / split).iterdir())
        tags[split] = [
            (value.tag, event.step)
            for file in events
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        ]
    expected = {("loss", 0), ("loss", 1), ("accuracy", 1), ("accuracy_DIAG", 1), ("classification", 0)}
    assert expected <= set(tags["train"])
    assert expected <= set(tags["validation"])


def test_another_configuration_is_refused_and_the_difference_shown(unbroken, drawn):
    with pytest.raises(
        RunError, match=r"another configuration \(seed: 0 -> 5; optimizer.learning_rate: 0.001 -> 0.01\)"
    ):
        fit(drawn, unbroken, fast_config("seed=5", "optimizer.learning_rate=0.01"), quiet())


def test_other_data_is_refused(unbroken, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "other")
    picture = sorted((tmp_path / "other").rglob("*.jpg"))[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(RunError, match=r"was begun with other data \(fingerprint [0-9a-f]{12} -> [0-9a-f]{12}\)"):
        fit(tmp_path / "other", unbroken, fast_config(), quiet())


def test_a_folder_in_use_is_refused(unbroken, drawn):
    with RunFolder(unbroken).lock(), pytest.raises(RunError, match="in use by another process"):
        fit(drawn, unbroken, fast_config(), quiet())


def test_a_folder_of_something_else_is_refused(drawn, tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(RunError, match=r"no run folder and not empty \(it holds letter\.txt\)"):
        fit(drawn, tmp_path, fast_config(), quiet())
    assert (tmp_path / "letter.txt").read_text() == "keep me"
    assert not (tmp_path / "config.yaml").exists()


def test_what_cannot_be_built_does_not_claim_the_folder(drawn, tmp_path):
    with pytest.raises(WeightsError, match=r"missing\.weights\.h5 does not exist"):
        fit(drawn, tmp_path / "run", fast_config("model.weights=missing.weights.h5"), quiet())
    assert not (tmp_path / "run/config.yaml").exists()
    assert not (tmp_path / "run/environment.json").exists()


def test_patience_ends_a_run_and_a_resumed_one_stays_ended(drawn, tmp_path):
    # Neither the weights nor the moving averages change to speak of: validation accuracy stays as in epoch 0.
    still = ("optimizer.learning_rate=1e-12", "model.batch_norm_momentum=0.9999999")
    config = fast_config("training.epochs=9", "training.patience=1", *still)
    result = fit(drawn, tmp_path / "run", config, quiet())
    state = RunFolder(tmp_path / "run").read_state()
    assert (result.epochs, state.best_epoch, state.stopped) == (2, 0, True)
    (tmp_path / "run/model.keras").unlink()
    RunFolder(tmp_path / "run").write_state(dataclasses.replace(state, finished=False))
    assert fit(drawn, tmp_path / "run", config, quiet()).epochs == result.epochs
    assert (tmp_path / "run/model.keras").exists()


EXPLODING = ("optimizer.weight_decay_mode=decoupled", "optimizer.weight_decay=100", "optimizer.learning_rate=100")
"""Each step makes every weight ten thousand times larger."""
ADVICE = (
    "; the same would happen again: lower optimizer.learning_rate or set optimizer.clip_norm, "
    "and name another run folder"
)


@pytest.mark.optimized_graphs  # their rounding decides in which epoch the numbers are too large
def test_a_loss_that_is_no_number_ends_the_run_at_its_step_and_keeps_the_best_weights(drawn, tmp_path, monkeypatch):
    # After how many steps the numbers are too large depends on the network.
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", NARROW)
    run = tmp_path / "run"
    config = fast_config(*EXPLODING, "optimizer.schedule=constant", "training.epochs=9", "data.sampling=shuffled")
    with pytest.raises(RunError) as caught:
        fit(drawn, run, config, quiet())
    state = RunFolder(run).read_state()
    begin = r"the loss is no longer a finite number in epoch (\d+), step \d+ \(classification\)"
    said = re.fullmatch(begin, state.diverged)
    kept = f"{run / 'model.keras'} has the weights of epoch {state.best_epoch + 1}, the best before"
    assert str(caught.value) == f"{state.diverged}: {kept}{ADVICE}"
    # The epoch of the step was not completed; the ones before are there.
    assert state.epochs == len(pd.read_csv(run / "history.csv")) == int(said.group(1)) - 1 > 0
    assert (state.finished, state.stopped) == (False, False)
    kept = keras.saving.load_model(run / "model.keras", compile=False)
    best = keras.saving.load_model(run / "model.keras", compile=False)
    best.load_weights(run / "checkpoints" / state.best_weights)
    for ours, theirs in zip(kept.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).all()
    history = (run / "history.csv").read_bytes()
    with pytest.raises(RunError) as again:
        fit(drawn, run, config, quiet())
    assert str(again.value) == str(caught.value)
    assert (run / "history.csv").read_bytes() == history


@pytest.fixture(scope="module")
def counters():
    """How many batches there were, over training and validation, and which one is broken; in the traced step."""
    return tf.Variable(0), tf.Variable(0)


@pytest.fixture
def poison(counters, monkeypatch):
    """Returns a function that makes the classification loss NaN in one batch, counted from 1."""
    original, (calls, broken_call) = Trainer._update_metrics, counters

    def update(self, batch, outputs, losses, of_tasks):
        broken = tf.where(tf.equal(calls.assign_add(1), broken_call), float("nan"), 0.0)
        names = ("loss", "classification")
        return original(self, batch, outputs, {**losses, **{name: losses[name] + broken for name in names}}, of_tasks)

    def choose(call):
        calls.assign(0)
        broken_call.assign(call)

    monkeypatch.setattr(Trainer, "_update_metrics", update)
    return choose


@pytest.mark.parametrize(
    ("epoch", "step", "message"),
    [
        (1, 0, "the loss is no longer a finite number in epoch 1, step 1 (classification): no epoch was complete"),
        (2, 1, "the loss is no longer a finite number in epoch 2, step 2 (classification): {model} has the weights of"),
        (1, -1, "the validation loss is no longer a finite number after epoch 1 (classification): no epoch was"),
        (2, -1, "the validation loss is no longer a finite number after epoch 2 (classification): {model} has the"),
    ],
)
def test_the_step_of_the_first_loss_that_is_no_number_is_named(drawn, tmp_path, poison, epoch, step, message):
    splits = split_cases(read(drawn).cases, ("train", "validate"))
    training, validation = (-(-len(splits[name]) // 8) for name in ("train", "validate"))
    before = (epoch - 1) * (training + validation)
    poison(before + (training if step < 0 else step) + 1)
    shown = io.StringIO()
    with pytest.raises(RunError) as caught:
        fit(drawn, tmp_path / "run", fast_config("training.epochs=3"), Console(file=shown, force_terminal=True))
    model = tmp_path / "run" / "model.keras"
    assert str(caught.value).startswith(message.format(model=model))
    assert str(caught.value).endswith(ADVICE)
    assert model.exists() == (epoch > 1)
    # The progress bar has given the cursor back.
    assert shown.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown.getvalue().rpartition("\x1b[?25l")[2]


def test_a_damaged_picture_is_named(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "data")
    picture = sorted((tmp_path / "data").rglob("*.jpg"))[3]
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(DataError, match=picture.name):
        fit(tmp_path / "data", tmp_path / "run", fast_config(), quiet())


def test_progress_names_every_loss_and_pictures_are_written(drawn, tmp_path):
    console = Console(record=True, width=300, force_terminal=False, file=io.StringIO())
    config = fast_config("training.picture_every=2", method="amfam")
    fit(drawn, tmp_path / "run", config, console)
    text = console.export_text()
    assert "epoch 2/2" in text
    for name in (
        "loss",
        "classification",
        "adversarial",
        "reconstruction_clinical",
        "reconstruction_dermoscopic",
        "validation accuracy",
    ):
        assert name in text
    assert [item.name for item in (tmp_path / "run/pictures").iterdir()] == ["epoch-0001.png"]
    with Image.open(tmp_path / "run/pictures/epoch-0001.png") as picture:
        # Four cases; per modality input, attention map and reconstruction; 4 pixels between; titles of 14 above.
        assert picture.size == (6 * 68, 14 + 4 * 68)


def test_ramp_raises_the_reversal_coefficient(drawn, tmp_path):
    config = fast_config("training.epochs=1", "model.reversal_schedule=ramp", method="concat-adv")
    fit(drawn, tmp_path / "run", config, quiet())
    network = keras.saving.load_model(tmp_path / "run/model.keras")
    coefficient = float(network.parts["D"][0].get_layer("gradient_reversal").coefficient)
    steps = 2  # 16 training cases in batches of 8
    assert coefficient == pytest.approx(2 / (1 + np.exp(-10 * (steps - 1) / steps)) - 1, rel=1e-5)


def test_dry_run_prints_shapes_parameters_and_memory_and_writes_nothing(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=200, quiet=False, file=io.StringIO())
    dry_run(drawn, fast_config(method="amfam"), console)
    text = console.export_text()
    for part in ("output reconstruction_dermoscopic", "(None, 64, 64, 3)", "inference model", "peak memory", "GiB"):
        assert part in text
    assert "nothing was trained and nothing was written" in text
    assert list(tmp_path.iterdir()) == []
