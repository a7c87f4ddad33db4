"""Evaluation of a run folder: the stable files, their notes, and what is refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from releases import TinyRelease
from small_runs import write_run

from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import predictions, run
from amfam_tf.tasks import TASKS

# Keras 3.15 converts its variables the way that NumPy 2 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Returns the folder of a tiny release: 12 cases, 3 in the test split."""
    return TinyRelease().write(tmp_path_factory.mktemp("data") / "release")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, release):
    """Returns a finished run on that release."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", release)


@pytest.fixture(scope="module")
def evaluation(finished, release):
    """Returns its evaluation on the test split."""
    return run.evaluate_run(finished, release, "test")


def _refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_metrics_json_has_the_stable_shape_and_no_nan(evaluation):
    text = (evaluation.folder / "metrics.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=_refuse_constant)
    assert content["split"] == "test"
    assert content["cases"] == 3
    assert 0 <= content["average"]["accuracy"] <= 1
    assert list(content["tasks"]) == [task.name for task in TASKS]
    for task in TASKS:
        values = content["tasks"][task.name]
        low, high = values["accuracy_ci95"]
        assert 0 <= low <= values["accuracy"] <= high <= 1
        assert list(values["classes"]) == list(task.classes)
        for row in values["classes"].values():
            assert {"sensitivity", "specificity", "precision", "auc", "support"} <= set(row)
            assert isinstance(row["support"], int)
            assert row["auc"] is None or 0 <= row["auc"] <= 1


def test_absent_classes_are_null_and_said(evaluation):
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    absent = [name for name, row in content["tasks"]["DIAG"]["classes"].items() if row["support"] == 0]
    assert absent  # 3 cases cannot have 5 classes
    for name in absent:
        assert content["tasks"]["DIAG"]["classes"][name]["sensitivity"] is None
        assert {"task": "DIAG", "class": name, "metric": "sensitivity", "reason": "no case has this class"} in content[
            "undefined"
        ]
    assert any("no case of the split test has" in note and f"DIAG {absent[0]}" in note for note in content["notes"])


def test_predictions_are_those_of_the_split_and_can_be_read_back(evaluation):
    back = predictions.read(evaluation.folder / "predictions.csv", evaluation.cases)
    pd.testing.assert_frame_equal(back, evaluation.table, check_exact=True)
    assert list(back["case_num"]) == list(evaluation.cases["case_num"])


def test_accuracy_of_the_file_is_that_of_the_predictions(evaluation):
    back = predictions.read(evaluation.folder / "predictions.csv")
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    for task in TASKS:
        expected = np.mean(back[f"{task.name}_true"] == back[f"{task.name}_pred"])
        assert content["tasks"][task.name]["accuracy"] == pytest.approx(expected)


def test_same_data_give_no_note_and_other_data_do(evaluation, finished, tmp_path):
    assert not [note for note in evaluation.notes if "trained on" in note]
    other = read_release(TinyRelease(cases=16).write(tmp_path / "other"))
    assert "not the data that the run was trained on" in run.fingerprint_notes(finished, other)[0]
    assert "does not say which data" in run.fingerprint_notes(tmp_path, other)[0]


def test_unfinished_run_is_refused(finished, release, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "unfinished")
    (copy / "model.keras").unlink()
    with pytest.raises(RunError, match=r"has not finished training: it has no model\.keras"):
        run.evaluate_run(copy, release)


def test_folder_that_is_no_run_is_refused(release, tmp_path):
    with pytest.raises(RunError, match=r"is no run folder: it has no config\.yaml"):
        run.evaluate_run(tmp_path, release)


def test_damaged_model_file_is_refused_by_name(finished, release, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "damaged")
    (copy / "model.keras").write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        run.evaluate_run(copy, release)


def test_split_without_cases_is_refused(finished, tmp_path):
    empty = TinyRelease()
    empty.indexes["train"] += empty.indexes.pop("test")
    empty.indexes["test"] = []
    with pytest.raises(DataError, match="test"):
        run.evaluate_run(finished, empty.write(tmp_path / "empty"))


def test_unknown_split_is_refused(finished, release):
    with pytest.raises(DataError, match="unknown split 'valid'"):
        run.evaluate_run(finished, release, "valid")
