"""A finished run is opened in one place, and what cannot be opened is refused in one way."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest
from small import small_config
from small_pairs import HOSPITAL

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.runs import calibration
from amfam_tf.runs.calibration import Calibration
from amfam_tf.runs.finished import FinishedRun, UnfinishedError
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.tasks import DERM7PT, task_names

TEMPERATURES = {name: 1.5 + number for number, name in enumerate(task_names())}
DIVERGED = "the loss is no longer a finite number in epoch 1, step 2"


@pytest.fixture
def folder(tmp_path):
    """Returns the folder of a run with a model file, which nobody loads here."""
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.begin(small_config(), {"data_fingerprint": "f" * 64}, card=DERM7PT)
    folder.model_file.write_bytes(b"weights")
    return folder


def refusal(folder: RunFolder, kind: type[RunError] = RunError) -> str:
    with pytest.raises(RunError) as caught:
        FinishedRun.open(folder.path)
    assert type(caught.value) is kind
    return str(caught.value)


def test_its_parts_are_those_of_the_folder(folder):
    folder.write_state(RunState(epochs=3, finished=True))
    run = FinishedRun.open(folder.path)
    assert run.path == folder.path
    assert run.config == configuration.read(folder.config_file) == small_config()
    assert run.state == RunState(epochs=3, finished=True)
    assert (run.environment, run.data_fingerprint) == ({"data_fingerprint": "f" * 64}, "f" * 64)
    assert run.model_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert run.calibration is run.own_calibration is None


def test_what_is_no_run_folder_is_said(folder):
    folder.config_file.unlink()
    advice = f"`amfam-tf fit --run {folder.path}` makes one"
    assert refusal(folder) == f"{folder.path} is no run folder: it has no config.yaml; {advice}"


def test_a_configuration_that_cannot_be_is_refused_before_anything_else_is_read(folder):
    folder.config_file.write_text("nonsense: 1\n")
    with pytest.raises(ConfigError, match="nonsense"):
        FinishedRun.open(folder.path)


def test_a_training_that_goes_on_is_said(folder):
    folder.model_file.unlink()
    text = f"{folder.path} has not finished training: it has no model.keras; the same `amfam-tf fit` resumes it"
    assert refusal(folder, UnfinishedError) == text


def test_a_run_that_has_diverged_at_once_is_not_said_to_be_resumed(folder):
    folder.model_file.unlink()
    folder.write_state(RunState(diverged=DIVERGED))
    assert refusal(folder) == (
        f"{DIVERGED}: no epoch was complete; the same would happen again: lower optimizer.learning_rate or set "
        "optimizer.clip_norm, and name another run folder"
    )


def test_the_weights_before_a_divergence_are_a_finished_run(folder):
    folder.write_state(RunState(epochs=1, best_epoch=0, diverged=DIVERGED))
    assert FinishedRun.open(folder.path).state.diverged == DIVERGED


def test_a_folder_that_does_not_say_its_data_has_no_fingerprint(folder):
    folder.environment_file.write_text("{}")
    assert FinishedRun.open(folder.path).data_fingerprint is None
    folder.environment_file.unlink()
    run = FinishedRun.open(folder.path)
    assert run.data_fingerprint is None
    with pytest.raises(RunError, match=rf"cannot read {folder.environment_file}: No such file"):
        _ = run.environment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"epochs": 1', r"is damaged: line 1: Expecting ',' delimiter"),
        ("[1]", "is damaged: it holds no object but list"),
        ('{"epochs": 1, "bits": 8}', "is damaged or of a newer version: unknown key 'bits'"),
    ],
)
def test_a_damaged_state_is_refused_by_name(folder, text, said):
    folder.state_file.write_text(text)
    with pytest.raises(RunError, match=f"{folder.state_file} {said}"):
        _ = FinishedRun.open(folder.path).state


def test_a_state_of_an_older_version_has_the_values_of_a_beginning(folder):
    folder.state_file.write_text(json.dumps({"epochs": 2, "finished": True}))
    assert FinishedRun.open(folder.path).state == RunState(epochs=2, finished=True)


def test_temperatures_are_those_of_these_weights(folder):
    run = FinishedRun.open(folder.path)
    own = Calibration(TEMPERATURES, 40, run.model_sha256, {}, ("a note",), "f" * 64)
    calibration.write(folder.calibration_file, own)
    assert run.calibration == run.own_calibration == own
    calibration.write(folder.calibration_file, dataclasses.replace(own, model_sha256="0" * 64))
    assert run.calibration is None
    with pytest.raises(RunError) as caught:
        _ = run.own_calibration
    assert str(caught.value) == (
        f"{folder.calibration_file} belongs to other weights than those in {folder.path}: amfam-tf evaluate "
        f"{folder.path} --data DATA fits it anew; or remove it, to go without temperatures"
    )


def test_a_file_that_is_no_model_is_refused_by_name(folder):
    with pytest.raises(RunError, match=rf"^{folder.model_file} cannot be loaded: "):
        _ = FinishedRun.open(folder.path).network


def test_opening_a_run_needs_no_tensorflow():
    code = "import sys, amfam_tf.runs.finished; sys.exit(bool({'tensorflow', 'keras'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_run_has_the_card_of_its_data(tmp_path):
    """A folder without a card is of Derm7pt, as all were before there were others."""
    own = cards.parse(HOSPITAL, "card")
    for card, files in ((own, {cards.FILE}), (cards.packaged(cards.DERM7PT), set())):
        folder = RunFolder(tmp_path / card.name)
        folder.checkpoints.mkdir(parents=True)
        folder.begin(small_config(), {"data_fingerprint": "f" * 64}, card)
        folder.model_file.write_bytes(b"weights")
        assert {item.name for item in folder.path.iterdir()} & {cards.FILE} == files
        assert FinishedRun.open(folder.path).card == card


def test_a_damaged_card_of_a_run_is_refused(folder):
    folder.card_file.write_text("name: hospital\nunheard: 1\n")
    with pytest.raises(RunError, match=r"dataset\.yaml: cases: is needed.*must stay as it is"):
        _ = FinishedRun.open(folder.path).card
