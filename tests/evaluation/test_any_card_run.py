"""`evaluate` on data sets with a card of their own, from pictures to pages."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from releases import TinyRelease
from small_pairs import COMPLETE_HOSPITAL, draw_picture, write_hospital, write_milk10k
from small_runs import write_run

from amfam_tf.card import cards
from amfam_tf.cli import main as command_line
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import calibration, predictions, run
from amfam_tf.files.digests import file_digest
from amfam_tf.runs.calibration import read as read_calibration


def rows(count=120):
    """Lesions of patients with two each; every fourth has no known diagnosis."""
    found = []
    for number in range(count):
        diagnosis = ["Melanom", "Naevus", "Nävus", "unklar"][(number + number // 8) % 4]
        row = (f"K{number}", f"P{number // 2}", f"uebersicht_{number}.png", diagnosis, ["ja", "nein"][number // 3 % 2])
        found.append((*row, "" if number % 9 == 0 else f"{20 + number % 60},5", "wm"[number % 2]))
    return found


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    card = COMPLETE_HOSPITAL.replace("train: 0.6, validate: 0.2, test: 0.2", "train: 0.2, validate: 0.4, test: 0.4")
    return write_hospital(tmp_path_factory.mktemp("data") / "hospital", rows(), card)


@pytest.fixture(scope="module")
def milk(tmp_path_factory):
    return write_milk10k(tmp_path_factory.mktemp("data") / "milk", 60)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, hospital, milk):
    root = tmp_path_factory.mktemp("runs")
    made = {"hospital": (hospital, 0), "other": (hospital, 1), "milk": (milk, 0)}
    return {name: write_run(root / name, data, seed, 16) for name, (data, seed) in made.items()}


@pytest.fixture(scope="module")
def evaluation(runs, hospital):
    return run.evaluate_run(runs["hospital"], hospital)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "labelled"), [("hospital", True), ("milk", False)])
def test_the_verb_writes_everything_for_any_card(name, labelled, runs, hospital, milk, capsys):
    data = {"hospital": hospital, "milk": milk}[name]
    assert command_line.main(["evaluate", str(runs[name]), "--data", str(data)]) == 0
    output = capsys.readouterr().out
    folder = runs[name] / "evaluation" / "test"
    card = run.FinishedRun.open(runs[name]).card
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert content["card"] == card.name
    assert "published" not in content
    assert content["trained_on_these_data"] is True
    assert list(content["tasks"]) == [task.name for task in card.tasks]
    assert ("labelled" in output) == labelled
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Melanoma or not" in page
    assert "Wang et al" not in page + output
    table = predictions.read(folder / "predictions.csv", card=card)
    assert len(table) == content["cases"]
    assert set(json.loads((runs[name] / "calibration.json").read_text())["temperatures"]) == set(content["tasks"])


def test_unknown_labels_are_left_out_and_counted(evaluation):
    table, content = evaluation.table, evaluation.report
    known = table[table["DX_true"] != ""]
    assert 0 < len(known) < len(table) == content["cases"]
    assert content["tasks"]["DX"]["labelled"] == len(known)
    assert content["tasks"]["DX"]["accuracy"] == np.mean(known["DX_true"] == known["DX_pred"])
    assert content["tasks"]["ULC"]["accuracy"] == pytest.approx(np.mean(table["ULC_true"] == table["ULC_pred"]))
    assert "labelled" not in content["tasks"]["ULC"]
    assert "whole groups (patient) drawn" in content["intervals"]
    assert {row["variable"] for row in content["subgroups"]} == {"age", "sex"}


def test_temperatures_are_those_of_the_labelled_validation_cases(evaluation, hospital):
    fitted = read_calibration(evaluation.run / "calibration.json", evaluation.card.tasks)
    finished = run.FinishedRun.open(evaluation.run)
    validation = evaluation.used[evaluation.used["split"] == "validate"].reset_index(drop=True)
    table = run.predict_cases(finished.inference_model(), validation, finished.config, card=evaluation.card)
    assert (table["DX_true"] == "").any()
    expected = calibration.fit(table, finished.model_sha256, card=evaluation.card).temperatures
    assert fitted.temperatures == pytest.approx(expected)
    known = table[table["DX_true"] != ""]
    task = evaluation.card.tasks[0]
    alone = calibration.fit_temperature(
        predictions.true_labels(known, task), predictions.task_probabilities(known, task)
    )
    assert fitted.temperatures["DX"] == pytest.approx(alone)
    again, _ = run.calibrate_run(evaluation.run, hospital)
    assert again == fitted


def test_two_runs_are_compared_with_whole_patients_drawn(evaluation, runs, hospital, monkeypatch):
    groups = []
    compare = run.compare_runs.compare
    monkeypatch.setattr(
        run.compare_runs, "compare", lambda *tables, **more: groups.append(more["groups"]) or compare(*tables, **more)
    )
    found = run.compare_with(evaluation, runs["other"], hospital)
    assert list(groups[0]) == list(evaluation.cases["group"])
    assert found["tasks"]["DX"]["accuracy"]["first"] == evaluation.report["tasks"]["DX"]["accuracy"]
    digest = file_digest(runs["other"] / "evaluation" / "test" / "predictions.csv")
    again = run.compare_with(evaluation, runs["other"], hospital)
    assert again == found
    assert file_digest(runs["other"] / "evaluation" / "test" / "predictions.csv") == digest


def test_answers_to_several_pictures_of_a_view_are_averaged(evaluation, hospital, tmp_path):
    data, copy = shutil.copytree(hospital, tmp_path / "data"), shutil.copytree(evaluation.run, tmp_path / "run")
    case = evaluation.cases.iloc[1]
    folder = data / "pictures" / case["case_id"]
    for number in (1, 2):
        draw_picture(folder / f"derm{number}.png")
    card = (data / cards.FILE).read_text(encoding="utf-8").replace('derm*.png"', 'derm*.png", several: allowed')
    (data / cards.FILE).write_text(card, encoding="utf-8")
    found = run.evaluate_run(copy, data, calibrate=False).table
    finished = run.FinishedRun.open(copy)
    pairs = evaluation.cases.iloc[[1] * 3].assign(
        dermoscopic=[str(folder / f"derm{number}.png") for number in range(3)]
    )
    pairs = pairs.reset_index(drop=True).drop(columns=["clinical_all", "dermoscopic_all"])
    alone = run.predict_pairs(finished.inference_model(), pairs, finished.config, card=evaluation.card)
    values = predictions.probability_columns(evaluation.card.tasks[0])
    assert alone[values[0]].nunique() == 3
    row = found[found["case_num"] == case["case_num"]].iloc[0]
    np.testing.assert_allclose(row[values].astype(float), alone[values].mean(), rtol=1e-6)
    assert list(found["case_num"]) == list(evaluation.cases["case_num"])
    temperatures = read_calibration(copy / "calibration.json", evaluation.card.tasks).temperatures
    tempered = run.evaluate_run(copy, data).table
    row = tempered[tempered["case_num"] == case["case_num"]].iloc[0]
    # As a served version does: each answer first, then their mean.
    expected = calibration.apply(alone, temperatures, evaluation.card)[values].mean()
    assert abs(temperatures["DX"] - 1) > 0.01
    np.testing.assert_allclose(row[values].astype(float), expected, rtol=1e-6)
    config = (copy / "config.yaml").read_text(encoding="utf-8")
    (copy / "config.yaml").write_text(config.replace("several_pictures: all", "several_pictures: first"))
    first = run.evaluate_run(copy, data, calibrate=False).table
    row = first[first["case_num"] == case["case_num"]].iloc[0]
    np.testing.assert_allclose(row[values].astype(float), alone[values].iloc[0], rtol=1e-6)


def test_runs_with_other_questions_are_not_compared(evaluation, runs, hospital):
    with pytest.raises(RunError) as caught:
        run.compare_with(evaluation, runs["milk"], hospital)
    assert str(caught.value) == (
        f"{runs['milk']} is trained on data with the card milk10k, {evaluation.run} with hospital: their tasks or "
        "classes differ, so they cannot be compared"
    )


def test_data_with_other_questions_are_refused(runs, milk, tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    for name, data, cards_ in (("hospital", milk, ("milk10k", "hospital")), ("milk", release, ("derm7pt", "milk10k"))):
        with pytest.raises(DataError) as caught:
            run.evaluate_run(runs[name], data)
        assert str(caught.value) == (
            f"{data} has the card {cards_[0]}, whose tasks or classes are not those of {cards_[1]}, which {runs[name]} "
            "is trained on: evaluate it on data with the same questions"
        )


def test_the_card_of_the_run_reads_data_without_one_and_a_given_card_goes_before(runs, hospital, tmp_path):
    bare = shutil.copytree(hospital, tmp_path / "bare")
    (bare / cards.FILE).unlink()
    copy = shutil.copytree(runs["hospital"], tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    assert run.evaluate_run(copy, bare, calibrate=False).card == cards.read(copy / cards.FILE)
    text = (copy / cards.FILE).read_text(encoding="utf-8").replace("title: naevus", "title: nevus of another name")
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    given = run.evaluate_run(copy, bare, calibrate=False, card=tmp_path / "own.yaml")
    assert given.card.tasks[0].class_titles[1] == "nevus of another name"


def test_a_split_without_labels_of_a_task_is_said(evaluation, hospital, tmp_path):
    data = shutil.copytree(hospital, tmp_path / "data")
    table = pd.read_csv(data / "hospital.csv", sep=";", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    # Dealt by a column: another label must not change who is in the test split.
    table["split"] = np.where(table["lesion"].isin(evaluation.cases["case_id"]), "test", "train")
    table.loc[table["split"] == "test", "Diagnose"] = "unklar"
    table.to_csv(data / "hospital.csv", sep=";", index=False)
    before, after = (cards.FILE, "split: {column: {name: split}}")
    lines = (data / before).read_text(encoding="utf-8").splitlines()
    kept = [after if line.startswith("split:") else line for line in lines]
    (data / before).write_text("\n".join(kept), encoding="utf-8")
    copy = shutil.copytree(evaluation.run, tmp_path / "run")
    found = run.evaluate_run(copy, data, calibrate=False)
    said = "no case of the split test has a label of DX: its metrics are undefined (null) and in no average"
    assert said in found.notes and said in found.report["notes"]
    assert found.report["average"]["accuracy"] == found.report["tasks"]["ULC"]["accuracy"]
    assert found.report["targets"] == {}
