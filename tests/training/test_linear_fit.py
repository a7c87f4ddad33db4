"""Methods that are fitted and not trained: scikit-learn's answers, a run folder like any other, export, resuming."""

import io
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import SMALL_FOR_ANY, small_config
from small_pairs import COMPLETE_HOSPITAL, draw_picture, hospital_rows, write_complete_hospital, write_hospital

from amfam_tf import models
from amfam_tf.card.inputs import inputs_of
from amfam_tf.data import pipeline, several
from amfam_tf.data.cases import read
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.explain.run import explain_run
from amfam_tf.export.export import export_run
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import RunFolder
from amfam_tf.training import linear_fit
from amfam_tf.training.distribution import Distribution
from amfam_tf.training.run import fit

pytestmark = pytest.mark.usefixtures("tiny_backbone")
SEVERAL = COMPLETE_HOSPITAL.replace('derm*.png"', 'derm*.png", several: allowed')


def config_of(*overrides, method="probe"):
    return small_config(*overrides, method=method, sizes=SMALL_FOR_ANY)


def fitted(data, run, *overrides, method="probe"):
    console = Console(record=True, width=300, force_terminal=False, file=io.StringIO())
    result = fit(data, run, config_of(*overrides, method=method), console)
    return result, console.export_text()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Ten cases with some unknown diagnoses and an unknown age; L5 and L8 have two dermoscopic pictures."""
    rows = [row for row in hospital_rows() if row[0] not in ("L0", "L1")]
    rows[4] = (*rows[4][:5], "", rows[4][6])
    root = write_hospital(tmp_path_factory.mktemp("data") / "hospital", rows, SEVERAL)
    for number in (5, 8):
        draw_picture(root / "pictures" / f"L{number}" / "derm1.png")
    return root


@pytest.fixture(scope="module")
def run(hospital, tmp_path_factory):
    """A finished run of `probe` with metadata."""
    path = tmp_path_factory.mktemp("runs") / "probe"
    return path, *fitted(hospital, path, "model.metadata=[age]")


def vectors_of(network, rows, config, card):
    """Returns what the classifiers of a network take, of each row, float64."""
    model = keras.Model(network.input, network.linear.vector)
    batches = pipeline.evaluation_dataset(rows, config, card=card)
    return np.concatenate([model({name: batch[name] for name in network.input}).numpy() for batch in batches])


def expected_answers(network, config, found, task, strength, asked):
    """Returns scikit-learn's probabilities of the present classes for rows, fitted by itself to the training cases."""
    training = several.rows_of_pairs(found.cases[found.cases["split"] == "train"], config)
    known = (training[task.name] >= 0).to_numpy()
    weights = 1 / training.groupby("case_num")["case_num"].transform("size").to_numpy()
    vectors = vectors_of(network, training, config, found.card).astype(np.float64)
    scaler = StandardScaler().fit(vectors, sample_weight=weights)
    model = LogisticRegression(C=strength, max_iter=10_000)
    model.fit(scaler.transform(vectors[known]), training[task.name][known], sample_weight=weights[known])
    given = vectors_of(network, asked, config, found.card).astype(np.float64)
    return make_pipeline(scaler, model).predict_proba(given), model.classes_


def test_the_runs_answers_are_scikit_learns_on_the_pooled_features(hospital, run):
    path, result, told = run
    assert (result.epochs, result.best_epoch) == (1, 0)
    assert "C, chosen on the validation split: " in told
    finished, found = FinishedRun.open(path), read(hospital)
    history = pd.read_csv(path / "history.csv")
    rows = several.rows_of_pairs(found.cases, finished.config)
    assert len(rows) == len(found.cases) + 2
    batches = pipeline.evaluation_dataset(rows, finished.config, card=found.card)
    network = finished.network
    outputs = [network({name: batch[name] for name in network.input}) for batch in batches]
    for task in found.card.tasks:
        strength = float(history[f"C_{task.name}"][0])
        expected, classes = expected_answers(network, finished.config, found, task, strength, rows)
        answers = np.concatenate([tf.nn.softmax(one[task.name]).numpy() for one in outputs])
        np.testing.assert_allclose(answers[:, classes], expected, atol=1e-5)
    assert network.linear.vector.shape == (None, 16 + 16 + 2)


def test_the_backbone_stays_as_it_was_and_nothing_of_it_trains(run):
    path, *_ = run
    finished = FinishedRun.open(path)
    begun = models.create("probe", finished.config, finished.card.tasks, inputs_of(finished.card, ["age"]))
    (ours,), (first,) = finished.network.parts["G"], begun.parts["G"]
    assert len(ours.weights) > 4
    for weight, before in zip(ours.weights, first.weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    assert finished.network.parameter_groups()["G"] == []
    assert len(finished.network.trainable_variables) == 2 * len(finished.card.tasks)


def test_history_has_what_evaluation_measures(hospital, run):
    path, result, _ = run
    row = pd.read_csv(path / "history.csv").iloc[0]
    for split, prefix in (("train", ""), ("validate", "val_")):
        report = evaluate_run(path, hospital, split, calibrate=False).report
        for name, values in report["tasks"].items():
            assert row[f"{prefix}accuracy_{name}"] == pytest.approx(values["accuracy"], abs=1e-9)
        assert row[f"{prefix}accuracy"] == pytest.approx(report["average"]["accuracy"], abs=1e-9)
    assert result.best_accuracy == pytest.approx(row["val_accuracy"])


def test_what_is_exported_answers_as_the_run_does(hospital, run, tmp_path):
    path, *_ = run
    exported = export_run(path, tmp_path / "lesions")
    loaded, found = tf.saved_model.load(str(exported.path)), read(hospital)
    cases = found.cases[~found.cases["case_id"].isin(["L5", "L8"])].head(3)
    given = {key: tf.constant([(hospital / file).read_bytes() for file in cases[key]]) for key in models_inputs()}
    ages = tf.constant([np.nan if age == "" else float(age) for age in cases["age"]], tf.float32)
    answers = loaded.signatures["serving_default"](**given, **{metadata_input(loaded): ages})
    finished = FinishedRun.open(path)
    batch = next(iter(pipeline.evaluation_dataset(cases, finished.config, card=found.card)))
    expected = finished.network({name: batch[name] for name in finished.network.input})
    for task in found.card.tasks:
        np.testing.assert_allclose(answers[task.name], tf.nn.softmax(expected[task.name]), atol=1e-5)
    (explanation, *_) = explain_run(path, cases.head(1), found.card.main_task)
    assert {name: value.shape for name, value in explanation.maps.items()} == dict.fromkeys(models_inputs(), (64, 64))


def models_inputs():
    return ("clinical", "dermoscopic")


def metadata_input(loaded):
    """Returns the name of the input that is no picture."""
    _, named = loaded.signatures["serving_default"].structured_input_signature
    (name,) = set(named) - set(models_inputs())
    return name


def test_an_interrupted_fit_begins_anew_or_writes_what_is_missing(hospital, run, tmp_path):
    path, *_ = run
    before = [weight.numpy() for weight in FinishedRun.open(path).network.weights]
    for left in ("nothing", "state"):
        copy = RunFolder(shutil.copytree(path, tmp_path / left))
        copy.model_file.unlink()
        if left == "nothing":
            shutil.rmtree(copy.checkpoints)
            copy.history_file.unlink()
            (copy.path / "checkpoints").mkdir()
        else:
            text = copy.state_file.read_text()
            assert '"finished": true' in text
            copy.state_file.write_text(text.replace('"finished": true', '"finished": false'))
        result, _ = fitted(hospital, copy.path, "model.metadata=[age]")
        assert not result.already_finished
        for weight, expected in zip(FinishedRun.open(copy.path).network.weights, before, strict=True):
            np.testing.assert_array_equal(weight, expected)
        assert copy.history_file.read_text() == (path / "history.csv").read_text()


def test_metadata_alone_are_answered_without_a_look_at_the_pictures(hospital, tmp_path):
    fitted(hospital, tmp_path / "run", "model.metadata=[age]", method="metadata-only")
    finished, found = FinishedRun.open(tmp_path / "run"), read(hospital)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    batch = next(iter(pipeline.evaluation_dataset(found.cases.head(4), finished.config, card=found.card)))
    given = {name: batch[name] for name in finished.network.input}
    answers = finished.network(given)
    other = finished.network(given | {"clinical": 1 - given["clinical"], "dermoscopic": given["clinical"]})
    for task in found.card.tasks:
        np.testing.assert_array_equal(answers[task.name], other[task.name])
        strength = float(history[f"C_{task.name}"][0])
        asked = found.cases.head(4)
        expected, classes = expected_answers(finished.network, finished.config, found, task, strength, asked)
        np.testing.assert_allclose(tf.nn.softmax(answers[task.name]).numpy()[:, classes], expected, atol=1e-5)
    exported = tf.saved_model.load(str(export_run(tmp_path / "run", tmp_path / "lesions").path))
    squares = {key: tf.zeros((2, 64, 64, 3), tf.uint8) for key in models_inputs()}
    served = exported.signatures["predict_images"](**squares, **{metadata_input(exported): tf.constant([40.0, 70.0])})
    assert served["DX"].shape == (2, 2)


def test_without_metadata_the_answer_is_the_share_of_each_class(tmp_path):
    data = write_complete_hospital(tmp_path / "data")
    fitted(data, tmp_path / "run", method="metadata-only")
    found = read(data)
    training = found.cases[found.cases["split"] == "train"]
    table = evaluate_run(tmp_path / "run", data, "test", calibrate=False).table
    for task in found.card.tasks:
        known = training[task.name][training[task.name] >= 0]
        shares = np.bincount(known, minlength=len(task.classes)) / len(known)
        answers = predictions.task_probabilities(table, task)
        np.testing.assert_allclose(answers, np.tile(shares, (len(table), 1)), atol=1e-4)


def test_several_replicas_are_refused(monkeypatch):
    distribution = Distribution("mirrored")
    monkeypatch.setattr(Distribution, "replicas", 2)
    with pytest.raises(
        ConfigError, match="^method probe is fitted and not trained, on one device: leave --strategy out"
    ):
        linear_fit.check_replicas(config_of(), distribution)


def test_features_that_are_no_numbers_end_the_fit(hospital, tmp_path, monkeypatch):
    def broken(backbone, pictures):
        return backbone(pictures) * np.nan

    monkeypatch.setattr("amfam_tf.models.probe.mean_over_flips", broken)
    with pytest.raises(RunError, match=r"^the features of \d of \d pairs of pictures are no finite numbers"):
        fitted(hospital, tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()
