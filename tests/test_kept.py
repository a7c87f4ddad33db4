"""A run folder and an exported version that older code has made: they open, and answer as they did; see kept/."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_backbone import tiny_backbone

from amfam_tf import config as configuration
from amfam_tf.cli import main as command_line
from amfam_tf.data import images
from amfam_tf.evaluation.predict import probabilities_of
from amfam_tf.export import samples
from amfam_tf.export.source import read_source
from amfam_tf.models import backbones
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.tasks import TASKS, task_names

KEPT = Path(__file__).parent / "kept"
ANSWERS = json.loads((KEPT / "answers.json").read_text(encoding="utf-8"))
CONFIGURATION = (
    "data.image_size=64",
    "model.decoder_channels=[4, 4, 4]",
    "model.discriminator_units=4",
    "model.classifier_units=8",
    "training.epochs=2",
    "training.batch_size=16",
    "training.picture_every=0",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Returns the folder that holds the run and the version."""
    folder = tmp_path_factory.mktemp("kept")
    with zipfile.ZipFile(KEPT / "kept.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def _its_backbone(monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", backbones.BackboneSpec("resnet", tiny_backbone))


def sample_of(version: Path, signature: str) -> tuple[dict, dict]:
    """Returns inputs and outputs, as arrays, of what a version keeps for a signature."""
    (found,) = [pair for pair in samples.read_samples(version) if pair[0].model_spec.signature_name == signature]
    inputs, outputs = found[0].inputs, found[1].outputs
    return tuple({name: tf.make_ndarray(value) for name, value in one.items()} for one in (inputs, outputs))


def probabilities(model, temperatures, pair) -> dict[str, np.ndarray]:
    squares = {name: images.resize_to_square(pair[name], model.input[name].shape[1]) for name in model.input}
    logits = model({name: images.to_unit_range(square) for name, square in squares.items()}, training=False)
    return {name: probabilities_of(logits[name].numpy(), temperatures[name]) for name in task_names()}


def assert_kept_answers(found: dict[str, np.ndarray]) -> None:
    for task in TASKS:
        np.testing.assert_allclose(found[task.name], [ANSWERS[task.name]], rtol=0, atol=1e-5, err_msg=task.name)


@pytest.mark.usefixtures("_its_backbone")
def test_a_kept_run_opens_and_answers_as_it_did(kept):
    run = FinishedRun.open(kept / "run")
    assert run.config == configuration.load("tiny", CONFIGURATION)
    fitted = run.own_calibration
    assert fitted.cases == 40
    assert all(value != 1 for value in fitted.temperatures.values())
    assert fitted.data_fingerprint == run.data_fingerprint == run.environment["data_fingerprint"]
    assert fitted.model_sha256 == run.state.model_sha256 == run.model_sha256
    pair, _ = sample_of(kept / "lesions" / "1", "predict_images")
    assert_kept_answers(probabilities(run.inference_model(), fitted.temperatures, pair))


@pytest.mark.usefixtures("_its_backbone")
def test_a_kept_run_can_be_exported(kept):
    source = read_source(kept / "run")
    assert (source.state.epochs, source.state.finished, source.notes) == (2, True, ())
    assert source.state.model_sha256 == source.model_sha256
    assert source.environment["data_counts"] == {"train": 80, "test": 40, "validate": 40}
    assert list(source.metrics) == ["test"]
    pair, _ = sample_of(kept / "lesions" / "1", "predict_images")
    assert_kept_answers(probabilities(source.network.inference_model(), source.temperatures, pair))


def test_a_kept_version_is_whole_and_answers_as_it_did(kept, capsys):
    assert command_line.main(["export", "--verify", str(kept / "lesions")]) == 0
    assert capsys.readouterr().out == f"{kept / 'lesions' / '1'} is whole: lesions version 1, 5 files\n"
    version = kept / "lesions" / "1"
    inputs, outputs = sample_of(version, "predict_images")
    found = tf.saved_model.load(str(version)).signatures["predict_images"](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )
    assert_kept_answers({name: found[name].numpy() for name in task_names()})
    assert_kept_answers(outputs)
