"""Melanoma or not: scores, operating points, decision curve and subgroups by hand."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import random_table
from sklearn.metrics import roc_auc_score, roc_curve

from amfam_tf.evaluation import clinical, predictions, subgroups
from amfam_tf.tasks import CRITERIA, DERM7PT, METADATA, TASKS, seven_point_score

ONE = np.ones((1, 5))


def test_seven_point_score_is_that_of_the_checklist():
    table = random_table(40, 0)
    for row, (predicted, labelled) in enumerate(
        zip(clinical.points(table, DERM7PT), clinical.points(table, of_labels=True, card=DERM7PT), strict=True)
    ):
        classes = {task.name: predictions.predicted_labels(table, task)[row] for task in CRITERIA}
        assert predicted == seven_point_score(classes)
        classes = {task.name: predictions.true_labels(table, task)[row] for task in CRITERIA}
        assert labelled == seven_point_score(classes)


def test_expected_score_of_certain_predictions_is_the_score():
    table = random_table(20, 1)
    certain = {task.name: np.eye(len(task.classes))[predictions.predicted_labels(table, task)] for task in TASKS}
    labels = {task.name: predictions.true_labels(table, task) for task in TASKS}
    sure = predictions.to_frame(table["case_num"].to_numpy(), labels, certain, DERM7PT)
    np.testing.assert_allclose(clinical.expected_points(sure, DERM7PT), clinical.points(sure, DERM7PT))


def test_operating_points_by_hand():
    """Melanomas 0.9 0.4, others 0.6 0.3 0.1. From 0.9 on: 1/2 and 3/3; from 0.4 on: 2/2 and 2/3."""
    truth, scores = np.array([1, 1, 0, 0, 0], bool), np.array([0.9, 0.4, 0.6, 0.3, 0.1])
    assert clinical.sensitivity_at(truth, scores, 0.8, ONE)[0] == 0.5
    assert clinical.sensitivity_at(truth, scores, 2 / 3, ONE)[0] == 1.0
    assert clinical.specificity_at(truth, scores, 0.9, ONE)[0] == pytest.approx(2 / 3)
    assert clinical.specificity_at(truth, scores, 0.5, ONE)[0] == 1.0
    assert clinical.threshold_for(truth, scores, 0.8, of_specificity=True) == 0.9
    assert clinical.threshold_for(truth, scores, 0.9, of_specificity=False) == 0.4


def test_suspecting_nobody_is_the_last_resort():
    truth, scores = np.array([0, 0, 0, 1, 1], bool), np.array([1.0, 1.0, 1.0, 0.2, 0.1])
    assert clinical.sensitivity_at(truth, scores, 0.95, ONE)[0] == 0
    assert clinical.threshold_for(truth, scores, 0.95, of_specificity=True) == np.inf


def test_operating_points_without_melanomas_are_undefined():
    truth = np.zeros(5, bool)
    assert np.isnan(clinical.sensitivity_at(truth, np.arange(5.0), 0.8, ONE)[0])
    assert np.isnan(clinical.threshold_for(truth, np.arange(5.0), 0.8, of_specificity=True))


@pytest.mark.parametrize("target", clinical.TARGETS)
def test_operating_points_lie_on_scikit_learns_roc_curve(target):
    generator = np.random.default_rng(2)
    truth = generator.random(300) < 0.25
    scores = np.round(generator.normal(size=300) + truth, 1)
    false_alarms, found, _ = roc_curve(truth, scores, drop_intermediate=False)
    ones = np.ones((1, 300))
    expected = found[1 - false_alarms >= target - 1e-12].max()
    assert clinical.sensitivity_at(truth, scores, target, ones)[0] == pytest.approx(expected)
    expected = (1 - false_alarms)[found >= target - 1e-12].max()
    assert clinical.specificity_at(truth, scores, target, ones)[0] == pytest.approx(expected)


def test_threshold_reaches_its_operating_point():
    generator = np.random.default_rng(3)
    truth, scores = generator.random(200) < 0.3, generator.random(200)
    threshold = clinical.threshold_for(truth, scores, 0.9, of_specificity=True)
    suspected = scores >= threshold
    assert (~suspected[~truth]).mean() >= 0.9
    assert suspected[truth].mean() == clinical.sensitivity_at(truth, scores, 0.9, np.ones((1, 200)))[0]


def test_net_benefit_by_hand():
    truth = np.array([True, True, False, False, False])
    suspected = np.array([True, False, True, False, False])
    assert clinical.net_benefit(truth, suspected, 0.2) == pytest.approx(1 / 5 - 1 / 5 * 0.25)
    everybody = np.ones(5, bool)
    assert clinical.net_benefit(truth, everybody, 0.4) == pytest.approx(0)  # at the prevalence it is worth nothing
    assert clinical.net_benefit(truth, ~everybody, 0.2) == 0
    assert clinical.net_benefit(truth, truth, 0.3) == pytest.approx(0.4)


def test_decision_curve_compares_all_four_policies():
    curve = clinical.decision_curve(random_table(200, 4, skill=2.0), card=DERM7PT)
    assert len(curve["thresholds"]) == 50
    assert all(len(values) == 50 for values in curve.values())
    assert curve["melanoma_probability"][20] > max(curve["everybody"][20], 0)


def test_melanoma_report():
    table = random_table(300, 5, skill=1.5)
    report = clinical.target_report(table, resamples=300, card=DERM7PT)
    truth = (table["DIAG_true"] == "MEL").to_numpy()
    assert report["melanomas"] == truth.sum()
    own = report["scores"]["melanoma_probability"]
    assert own["auc"] == pytest.approx(roc_auc_score(truth, table["DIAG_MEL"]))
    assert own["auc_ci95"][0] < own["auc"] < own["auc_ci95"][1]
    assert [row["target"] for row in own["sensitivity_at_specificity"]] == [0.8, 0.9, 0.95]
    values = [row["value"] for row in own["sensitivity_at_specificity"]]
    assert values == sorted(values, reverse=True)
    rule = report["rules"][0]
    suspected = (table["DIAG_pred"] == "MEL").to_numpy()
    assert rule["sensitivity"] == pytest.approx(suspected[truth].mean())
    assert rule["specificity"] == pytest.approx((~suspected[~truth]).mean())
    difference = report["auc_differences"][0]
    assert difference["difference"] == pytest.approx(own["auc"] - report["scores"]["seven_point_score"]["auc"])
    assert difference["delong_p"] < 0.01  # these criteria say nothing about the diagnosis


def _metadata(cases, seed=0):
    generator = np.random.default_rng(seed)
    return pd.DataFrame({name: generator.choice(METADATA[name], cases) for name in subgroups.variables(DERM7PT)})


def test_subgroups_count_each_case_once_per_variable():
    table, cases = random_table(300, 6), _metadata(300)
    rows = pd.DataFrame(subgroups.subgroup_report(table, cases, resamples=200, card=DERM7PT))
    assert (rows.groupby("variable")["cases"].sum() == 300).all()
    assert set(rows["variable"]) == {"sex", "location", "elevation", "level_of_diagnostic_difficulty"}
    female = rows[rows["value"] == "female"].iloc[0]
    inside = (cases["sex"] == "female").to_numpy()
    assert female["diagnosis_accuracy"] == pytest.approx((table["DIAG_true"] == table["DIAG_pred"])[inside].mean())
    expected = roc_auc_score((table["DIAG_true"] == "MEL")[inside], table["DIAG_MEL"][inside])
    assert female["melanoma_auc"] == pytest.approx(expected)
    per_task = [(table[f"{task.name}_true"] == table[f"{task.name}_pred"])[inside].mean() for task in TASKS]
    assert female["accuracy"] == pytest.approx(np.mean(per_task))
    assert female["accuracy_ci95"][0] < female["accuracy"] < female["accuracy_ci95"][1]


def test_cells_under_ten_cases_are_too_small_and_have_no_values():
    table, cases = random_table(100, 7), _metadata(100)
    cases["location"] = ["acral"] * 9 + ["chest"] * 10 + ["back"] * 81
    rows = {row["value"]: row for row in subgroups.subgroup_report(table, cases, resamples=50, card=DERM7PT)}
    assert rows["acral"]["too_small"] is True
    assert rows["acral"]["cases"] == 9
    assert np.isnan([rows["acral"][name] for name in subgroups.Names.of(DERM7PT).values]).all()
    assert rows["chest"]["too_small"] is False
    assert not np.isnan(rows["chest"]["accuracy"])
    assert np.isnan(rows["chest"]["melanoma_auc"])  # fewer than 10 melanomas
    assert "buttocks" not in rows


def test_thresholds_of_the_decision_curve_are_whole_percents():
    assert tuple(step / 100 for step in range(1, 51)) == clinical.THRESHOLDS


def test_every_operating_point_of_the_report_is_reached_by_its_threshold():
    table = random_table(300, 5, skill=1.5)
    truth, scores = clinical.has_target(table, DERM7PT), clinical.scores_of(table, DERM7PT)
    report = clinical.target_report(table, resamples=20, card=DERM7PT)
    for name, values in report["scores"].items():
        for measure in ("sensitivity_at_specificity", "specificity_at_sensitivity"):
            for row in values[measure]:
                suspected = scores[name] >= row["threshold"]
                sensitivity, specificity = suspected[truth].mean(), (~suspected[~truth]).mean()
                of_specificity = measure == "sensitivity_at_specificity"
                value, bound = (sensitivity, specificity) if of_specificity else (specificity, sensitivity)
                assert row["value"] == pytest.approx(value)
                assert bound >= row["target"] - 1e-9
                assert row["ci95"][0] <= row["value"] <= row["ci95"][1]


@pytest.mark.parametrize("truth", [np.zeros(5, bool), np.ones(5, bool)])
def test_operating_points_need_both_kinds_of_case(truth):
    for measure in (clinical.sensitivity_at, clinical.specificity_at):
        assert np.isnan(measure(truth, np.arange(5.0), 0.8, ONE)[0])
    for of_specificity in (True, False):
        assert np.isnan(clinical.threshold_for(truth, np.arange(5.0), 0.8, of_specificity))
