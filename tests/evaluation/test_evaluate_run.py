"""Evaluation of a run folder: the stable files, their notes, and what is refused."""

import hashlib
import html
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from releases import TinyRelease
from small_runs import write_run

from amfam_tf.cli import main as command_line
from amfam_tf.data.cases import data_fingerprint
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import calibration, predictions, run
from amfam_tf.files import json_file
from amfam_tf.files.digests import file_digest
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.tasks import DERM7PT, TASKS


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
    back = predictions.read(evaluation.folder / "predictions.csv", evaluation.cases, card=DERM7PT)
    pd.testing.assert_frame_equal(back, evaluation.table, check_exact=True)
    assert list(back["case_num"]) == list(evaluation.cases["case_num"])


def test_accuracy_of_the_file_is_that_of_the_predictions(evaluation):
    back = predictions.read(evaluation.folder / "predictions.csv", card=DERM7PT)
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    for task in TASKS:
        expected = np.mean(back[f"{task.name}_true"] == back[f"{task.name}_pred"])
        assert content["tasks"][task.name]["accuracy"] == pytest.approx(expected)


def test_results_carry_the_digests_of_weights_data_and_predictions(evaluation, finished, release):
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    assert content["model_sha256"] == hashlib.sha256((finished / "model.keras").read_bytes()).hexdigest()
    assert content["data_fingerprint"] == data_fingerprint(read_release(release), card=DERM7PT)
    predicted = (evaluation.folder / "predictions.csv").read_bytes()
    assert content["predictions_sha256"] == hashlib.sha256(predicted).hexdigest()
    assert content["trained_on_these_data"] is True
    fitted = json.loads((finished / "calibration.json").read_text(encoding="utf-8"))
    assert fitted["model_sha256"] == content["model_sha256"]
    assert fitted["data_fingerprint"] == content["data_fingerprint"]


def test_same_data_give_no_note(evaluation):
    assert not [note for note in evaluation.notes if "trained on" in note]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("environment", "flag", "note"),
    [
        (
            '{"data_fingerprint": "0"}',
            False,
            "these are not the data that the run was trained on: a case of this split",
        ),
        ("{}", None, "environment.json does not say which data the run was trained on"),
    ],
)
def test_other_data_are_said_on_the_terminal_in_the_report_and_in_the_metrics(
    finished, release, tmp_path, capsys, environment, flag, note
):
    copy = shutil.copytree(finished, tmp_path / "run")
    (copy / "environment.json").write_text(environment, encoding="utf-8")
    assert command_line.main(["evaluate", str(copy), "--data", str(release), "--split", "validate"]) == 0
    assert f"\nnote: {note}" in capsys.readouterr().out
    folder = copy / "evaluation" / "validate"
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert content["trained_on_these_data"] is flag
    assert [line for line in content["notes"] if line.startswith(note)]
    assert note in html.unescape((folder / "report.html").read_text(encoding="utf-8"))


def replace_model(folder, by):
    """Puts another model into a run, with a time stamp before that of the results."""
    shutil.copy(by / "model.keras", folder / "model.keras")
    os.utime(folder / "model.keras", (1, 1))


def test_predictions_of_a_former_model_are_made_again(evaluation, finished, release, tmp_path):
    former = shutil.copytree(finished, tmp_path / "former")
    changed = write_run(tmp_path / "changed", release, seed=1)
    run.evaluate_run(changed, release, "test")
    # Nothing is left to do for a run whose results hold.
    before = (changed / "evaluation/test/predictions.csv").stat().st_mtime_ns
    expected = run.compare_with(evaluation, changed, release)
    assert (changed / "evaluation/test/predictions.csv").stat().st_mtime_ns == before
    replace_model(former, changed)
    found = run.compare_with(evaluation, former, release)
    # NaN is not equal to itself.
    assert json_file.plain(found | {"second": "changed"}) == json_file.plain(expected)
    content = json.loads((former / "evaluation/test/metrics.json").read_text(encoding="utf-8"))
    assert content["model_sha256"] == file_digest(changed / "model.keras")
    assert FinishedRun.open(former).calibration.model_sha256 == content["model_sha256"]


@pytest.mark.parametrize("missing", ["model_sha256", "data_fingerprint", "predictions_sha256", None])
def test_predictions_that_do_not_say_what_they_are_of_are_made_again(evaluation, finished, release, tmp_path, missing):
    other = shutil.copytree(finished, tmp_path / "other")
    path = other / "evaluation/test/metrics.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if missing is None:
        path.unlink()
    else:
        path.write_text(json.dumps({key: value for key, value in content.items() if key != missing}))
    run.compare_with(evaluation, other, release)
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_weights_that_fit_has_not_written_are_said(finished, release, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "run")
    (copy / "checkpoints").mkdir(exist_ok=True)
    state = {"model_sha256": "0" * 64, "diverged": "the loss is no longer a finite number in epoch 2, step 1"}
    (copy / "checkpoints/state.json").write_text(json.dumps(state), encoding="utf-8")
    notes = run.evaluate_run(copy, release).notes
    assert "model.keras is not the file that this run's fit wrote: history and curves are of other weights" in notes
    assert f"the training ended early ({state['diverged']}): these are its best weights before" in notes


def test_weights_that_are_no_numbers_are_refused_by_task(finished, release, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "run")
    network = FinishedRun.open(copy).network
    network.get_layer("VS").bias.assign(np.array([0, np.nan, np.inf]))
    network.save(copy / "model.keras")
    assert command_line.main(["evaluate", str(copy), "--data", str(release)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == (
        f"error: {copy / 'model.keras'} cannot be used: 2 of 3 values of VS/bias are no finite numbers, on which the "
        "answers of VS depend; the training has diverged: fit again with a lower optimizer.learning_rate or with "
        "optimizer.clip_norm"
    )


def test_intervals_hold_their_values_and_say_their_method(evaluation):
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    assert "Clopper and Pearson's for shares of cases" in content["intervals"]
    assert "2000 resamples, seed 0" in content["intervals"]
    low, high = content["average"]["accuracy_ci95"]
    assert low <= content["average"]["accuracy"] <= high
    assert len(content["tasks"]["PN"]["accuracy_wilson95"]) == 2


def test_too_few_validation_cases_leave_the_temperatures_at_one(finished, evaluation):
    content = json.loads((finished / "calibration.json").read_text(encoding="utf-8"))
    assert set(content["temperatures"].values()) == {1.0}
    assert any("fewer than 30 validation cases (3)" in note for note in evaluation.notes)


def test_published_values_are_said_to_be_of_other_data(evaluation):
    published = evaluation.report["published"]
    assert published["row"] == "AMFAM"
    assert published["comparable"] is False
    assert "these are other data (its class counts are not those of Table 1" in published["note"]


def test_subgroups_are_marked_too_small(evaluation):
    assert all(row["too_small"] for row in evaluation.report["subgroups"])
    assert sum(row["cases"] for row in evaluation.report["subgroups"] if row["variable"] == "sex") == 3


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Returns a data set with 40 validation cases and a finished run on it."""
    folder = tmp_path_factory.mktemp("larger")
    release = TinyRelease(cases=160, pixels=(64, 64)).write(folder / "release")
    return release, write_run(folder / "run", release, batch_size=20)


def test_temperatures_come_from_the_validation_split_only(larger):
    release, finished = larger
    evaluation = run.evaluate_run(finished, release, "test")
    opened = FinishedRun.open(finished)
    fitted = opened.calibration
    cases = read_release(release)
    validation = cases[cases["split"] == "validate"].reset_index(drop=True)
    raw = run.predict_cases(opened.inference_model(), validation, opened.config, DERM7PT)
    assert fitted.temperatures == pytest.approx(calibration.fit(raw, "", card=DERM7PT).temperatures)
    assert fitted.cases == 40
    assert not np.allclose(list(fitted.temperatures.values()), 1)
    assert evaluation.report["calibration"]["temperatures"] == fitted.temperatures
    before, after = (
        evaluation.report["calibration"]["before"]["tasks"]["DIAG"],
        evaluation.report["calibration"]["tasks"]["DIAG"],
    )
    assert before["brier_score"] != after["brier_score"]
    # once fitted they stay, whatever is evaluated next
    time_of_change = (finished / "calibration.json").stat().st_mtime_ns
    again, _ = run.calibrate_run(finished, release)
    assert again == fitted
    assert (finished / "calibration.json").stat().st_mtime_ns == time_of_change


def test_other_data_do_not_fit_temperatures(larger, tmp_path):
    release, finished = larger
    copy = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("calibration.json"))
    (copy / "environment.json").write_text('{"data_fingerprint": "another"}', encoding="utf-8")
    fitted, notes = run.calibrate_run(copy, release)
    assert fitted is None
    assert any("no temperature is applied" in note for note in notes)
    assert not (copy / "calibration.json").exists()


def test_comparison_with_another_run(evaluation, release, tmp_path):
    other = write_run(tmp_path / "other", release, seed=1)
    comparison = run.compare_with(evaluation, other, release)
    assert (comparison["first"], comparison["second"]) == ("run", "other")
    content = json.loads((evaluation.folder / "against_other.json").read_text(encoding="utf-8"))
    assert content["cases"] == 3
    second = json.loads((other / "evaluation/test/metrics.json").read_text(encoding="utf-8"))
    difference = content["average"]["accuracy"]["difference"]
    assert difference == pytest.approx(evaluation.report["average"]["accuracy"] - second["average"]["accuracy"])


def test_runs_of_one_name_are_told_by_the_folder_above(tmp_path):
    names = run.short_names(tmp_path / "a" / "run", tmp_path / "b" / "run")
    assert names == ("a/run", "b/run")
    assert run.against_file(names[1]) == "against_b_run.json"


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
