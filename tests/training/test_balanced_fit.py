"""Fitting with balanced batches, batch class weights and metadata: resumable, checked before the start, warned of."""

import io

import keras
import pytest
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from releases import TinyRelease
from rich.console import Console
from small import small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.errors import DataError
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.run import fit

OVERRIDES = (
    "training.epochs=3",
    "training.pretraining_epochs=1",
    "training.batch_size=5",
    "data.sampling=balanced",
    "loss.class_weights=batch",
    "model.metadata=[management, sex]",
)
WARNING = "warning: the network is given management, decided from the diagnosis"


@pytest.fixture(autouse=True)
def staged_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """30 training cases, so two batches of 24; all labels in each split."""
    return TinyRelease(60, pixels=(72, 64)).write(tmp_path_factory.mktemp("data") / "release")


def recorder():
    return Console(record=True, width=300, force_terminal=False, file=io.StringIO())


def test_a_killed_run_ends_as_an_unbroken_one_and_warns_once_per_fit(release, tmp_path, monkeypatch):
    config = small_config(*OVERRIDES, method="staged")
    console = recorder()
    with recycled_trainers():
        fit(release, tmp_path / "unbroken", config, console)
        assert console.export_text().count(WARNING) == 1
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at_write(patch, "epoch-0002.weights.h5")
            fit(release, tmp_path / "killed", config, recorder())
    console = recorder()
    fit(release, tmp_path / "killed", config, console)
    assert "resuming after epoch 2 of 3" in console.export_text(clear=False)
    assert console.export_text().count(WARNING) == 1
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("unbroken", "killed")]
    assert histories[0] == histories[1]
    weights = [
        keras.saving.load_model(tmp_path / name / "model.keras").get_weights() for name in ("unbroken", "killed")
    ]
    assert [value.tobytes() for value in weights[0]] == [value.tobytes() for value in weights[1]]


def test_the_dry_run_shows_a_balanced_batch_and_warns_once(release):
    console = recorder()
    dry_run(release, small_config(*OVERRIDES, method="staged"), console)
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert "input metadata (24, 5) float32" in lines
    assert "input clinical (24, 64, 64, 3) float32" in lines
    assert sum(line.startswith(WARNING) for line in lines) == 1
    assert "30 training cases, 15 validation cases, 2 steps an epoch" in lines


def test_harmless_metadata_are_not_warned_of(release):
    console = recorder()
    config = small_config(*OVERRIDES, "model.metadata=[elevation, location, sex]", method="staged")
    dry_run(release, config, console)
    assert "warning" not in console.export_text()


def test_a_missing_label_is_told_before_the_folder_is_claimed(tmp_path):
    release = TinyRelease(60, pixels=(72, 64))
    release.meta.loc[release.meta["diagnosis"] == "seborrheic keratosis", "diagnosis"] = "melanoma"
    data = release.write(tmp_path / "release")
    with pytest.raises(DataError, match=r"data.sampling=balanced needs .* none with DIAG SK: "):
        fit(data, tmp_path / "run", small_config(*OVERRIDES, method="staged"), recorder())
    assert not (tmp_path / "run/config.yaml").exists()
