"""The control of runs with metadata: whole rows change hands, once each, and the numbers are those of that."""

import numpy as np
import pandas as pd
import pytest
from exported_runs import write_run
from small import SMALL_FOR_ANY
from small_pairs import COMPLETE_HOSPITAL, hospital_rows, write_complete_hospital, write_hospital

from amfam_tf.card import cards
from amfam_tf.data import several
from amfam_tf.evaluation import html_report, predictions, shuffled, tables
from amfam_tf.evaluation.run import evaluate_run, predict_cases
from amfam_tf.report import results
from amfam_tf.runs.finished import FinishedRun

CARD = cards.parse(COMPLETE_HOSPITAL, "hospital")
pytestmark = pytest.mark.usefixtures("tiny_backbone", "undrawn")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_backbone):  # noqa: ARG001
    path = tmp_path_factory.mktemp("runs") / "run"
    write_run(path, "model.metadata=[age,sex]", method="probe", card=CARD, sizes=SMALL_FOR_ANY)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_complete_hospital(tmp_path_factory.mktemp("data") / "hospital")


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_each_case_gives_once_and_none_keeps_its_own(count):
    numbers = np.random.default_rng(count).permutation(10_000)[:count]
    places = shuffled.givers(numbers)
    assert sorted(places) == list(range(count))
    assert count == 1 or not (places == np.arange(count)).any()


def test_who_gives_to_whom_depends_on_the_cases_alone():
    numbers = np.arange(1, 8)
    given = dict(zip(numbers, numbers[shuffled.givers(numbers)], strict=True))
    assert given == {1: 7, 2: 6, 3: 2, 4: 3, 5: 1, 6: 5, 7: 4}
    other = np.random.default_rng(0).permutation(numbers)
    assert dict(zip(other, other[shuffled.givers(other)], strict=True)) == given


def test_whole_rows_change_hands_and_nothing_else_does():
    cases = pd.DataFrame({"case_num": [3, 5, 9], "DX": [0, 1, 0], "age": ["1", "2", "3"], "sex": ["a", "b", "c"]})
    found = shuffled.with_others_metadata(cases, ["age", "sex"])
    places = shuffled.givers(np.array([3, 5, 9]))
    for name in ("age", "sex"):
        assert found[name].tolist() == cases[name].to_numpy()[places].tolist()
    pd.testing.assert_frame_equal(found[["case_num", "DX"]], cases[["case_num", "DX"]])
    assert cases["age"].tolist() == ["1", "2", "3"]


def test_the_pictures_of_a_case_stay_together(tmp_path):
    card = COMPLETE_HOSPITAL.replace('derm*.png"', 'derm*.png", several: allowed')
    root = write_hospital(tmp_path / "data", [row for row in hospital_rows() if row[0] != "L1"], card)
    from amfam_tf.data.cases import read

    rows = several.all_pairs(shuffled.with_others_metadata(read(root).cases, ["age"]))
    assert len(rows) == 13
    assert (rows.groupby("case_num")["age"].nunique() == 1).all()


def test_the_control_is_the_run_on_the_others_metadata(run, data):
    evaluation = evaluate_run(run, data, "train", calibrate=False)
    found = evaluation.report["shuffled_metadata"]
    assert (found["columns"], found["seed"], found["cases"]) == (["age", "sex"], 0, len(evaluation.table))
    finished = FinishedRun.open(run)
    asked = shuffled.with_others_metadata(evaluation.cases, ["age", "sex"])
    assert (asked["age"] != evaluation.cases["age"]).any()
    table = predict_cases(finished.inference_model(), asked, finished.config, evaluation.card)
    assert not np.allclose(predictions.task_probabilities(table, CARD.tasks[0]), own(evaluation), atol=1e-4)
    for task in CARD.tasks:
        known = predictions.labelled(table, task)
        right = predictions.true_labels(table, task) == predictions.predicted_labels(table, task)
        change = found["tasks"][task.name]["accuracy"]
        assert change["second"] == pytest.approx(right[known].mean())
        assert change["first"] == pytest.approx(evaluation.report["tasks"][task.name]["accuracy"])
        assert change["difference"] == pytest.approx(change["first"] - change["second"])
    assert results.read(evaluation.folder / "metrics.json")["shuffled_metadata"]["columns"] == ["age", "sex"]
    shown = tables.shuffled_table(evaluation.report, CARD)
    assert [row.cells[0] for row in shown.rows] == ["DX", "ULC", "average"]
    assert shown.headings[1:3] == ["own metadata", "another case's"]
    assert shown.caption in [table.caption for table in tables.terminal_tables(evaluation.report, CARD)]
    assert shown.caption.startswith("Accuracy with the metadata (age, sex) of each case")
    assert "another case&#39;s" in page_of(evaluation)


def page_of(evaluation):
    html_report.write_report(evaluation)
    return (evaluation.folder / "report.html").read_text(encoding="utf-8")


def own(evaluation):
    return predictions.task_probabilities(evaluation.table, CARD.tasks[0])


def test_metadata_that_are_all_the_same_make_no_difference(run, tmp_path):
    rows = [(*row[:5], "40,5", "w") for row in hospital_rows() if row[0] not in ("L0", "L1")]
    root = write_hospital(tmp_path / "data", rows, COMPLETE_HOSPITAL)
    report = evaluate_run(run, root, "train", calibrate=False).report
    for part in (report["shuffled_metadata"]["average"], report["shuffled_metadata"]["tasks"]["DX"]):
        assert part["accuracy"]["first"] == part["accuracy"]["second"]
        assert part["accuracy"]["ci95"] == [0.0, 0.0]


def test_a_run_without_metadata_has_no_control(tmp_path, data):
    write_run(tmp_path / "run", method="probe", card=CARD, sizes=SMALL_FOR_ANY)
    evaluation = evaluate_run(tmp_path / "run", data, "train", calibrate=False)
    assert "shuffled_metadata" not in evaluation.report
    assert not tables.shuffled_table(evaluation.report, CARD).rows
    assert "another case" not in page_of(evaluation)
