"""Thresholds per class: found by hand, nothing without need, judged only on folds that they were not fitted to."""

import dataclasses
import json

import numpy as np
import pytest
from other_cards import PARTLY, WARD
from prediction_tables import random_table

from amfam_tf.errors import RunError
from amfam_tf.evaluation import predictions, tables, thresholds
from amfam_tf.evaluation.metrics import all_metrics
from amfam_tf.runs import thresholds as stored

SHA = "a" * 64


def test_of_three_cases_the_threshold_that_gets_all_right_is_found():
    """The first class has 0.6 and 0.7 where it is right, 0.55 where the second is: it needs 0.55 to 0.6 of weight."""
    labels = np.array([0, 0, 1])
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.55, 0.45]])
    for measure in thresholds.FITTED:
        weights = thresholds.fit_weights(labels, probabilities, measure)
        assert thresholds.decide(probabilities, weights).tolist() == [0, 0, 1]
        # Midway on the scale of logarithms between what turns the third case and what would turn the first.
        assert np.log(weights[1] / weights[0]) == pytest.approx((np.log(0.55 / 0.45) + np.log(0.6 / 0.4)) / 2)
        assert np.prod(weights) == pytest.approx(1)


@pytest.mark.parametrize("measure", thresholds.FITTED)
def test_what_cannot_be_better_stays_as_it_is(measure):
    labels = np.array([0, 1, 2, 2])
    np.testing.assert_array_equal(thresholds.fit_weights(labels, np.eye(3)[labels] * 0.4 + 0.2, measure), np.ones(3))


def test_equal_weights_decide_as_the_probabilities_do():
    table = random_table(50, seed=1, card=WARD)
    for value in (1.0, 0.3):
        weights = {task.name: dict.fromkeys(task.classes, value) for task in WARD.tasks}
        for task in WARD.tasks:
            chosen = thresholds.decided(table, weights, WARD)[task.name]
            np.testing.assert_array_equal(chosen, predictions.predicted_labels(table, task))


def test_the_measures_are_those_of_an_evaluation():
    table = random_table(80, seed=2, card=WARD)
    expected = all_metrics(table, WARD)["tasks"]
    for task in WARD.tasks:
        known = table[predictions.labelled(table, task)]
        answers = (predictions.true_labels(known, task), predictions.predicted_labels(known, task))
        for name, value in thresholds.measures_of(*answers, len(task.classes)).items():
            assert value == pytest.approx(expected[task.name][name])


@pytest.mark.parametrize("measure", thresholds.FITTED)
def test_no_weight_of_one_class_is_better(measure):
    table = random_table(60, seed=3, card=WARD)
    task = WARD.task("DX")
    labels, probabilities = predictions.true_labels(table, task), predictions.task_probabilities(table, task)

    def value(weights):
        answers = thresholds.decide(probabilities, weights)
        return thresholds.measures_of(labels, answers, len(task.classes))[measure]

    found = thresholds.fit_weights(labels, probabilities, measure)
    assert value(found) > value(np.ones(4))
    for number in range(4):
        for factor in np.geomspace(0.05, 20, 201):
            assert value(found * np.where(np.arange(4) == number, factor, 1)) <= value(found) + 1e-12


def test_on_noise_the_nested_estimate_shows_no_gain():
    """Fitted weights look better on their own cases by points; on the other folds' they are not."""
    apparent, nested = [], []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        labels, probabilities = draw.integers(0, 3, 60), draw.dirichlet(np.ones(3), 60)
        plain = thresholds.measures_of(labels, probabilities.argmax(axis=1), 3)["balanced_accuracy"]
        weights = thresholds.fit_weights(labels, probabilities, "balanced_accuracy")
        folds = np.arange(60) % 5
        for kind, answers in (
            (apparent, thresholds.decide(probabilities, weights)),
            (nested, thresholds.nested(labels, probabilities, folds, "balanced_accuracy")),
        ):
            kind.append(thresholds.measures_of(labels, answers, 3)["balanced_accuracy"] - plain)
    assert np.mean(apparent) > 0.04
    assert abs(np.mean(nested)) < 0.02


def test_a_rare_class_that_is_always_second_is_found_on_other_folds():
    draw = np.random.default_rng(0)
    labels = (draw.random(300) < 0.15).astype(int)
    rare = np.clip(0.2 + 0.15 * labels + 0.05 * draw.normal(size=300), 0.01, 0.49)
    probabilities = np.stack([1 - rare, rare], axis=1)
    answers = thresholds.nested(labels, probabilities, np.arange(300) % 5, "balanced_accuracy")
    judged = thresholds.judge(labels, np.zeros(300, int), answers, 2, "balanced_accuracy", None)
    assert judged["plain"]["balanced_accuracy"] == 0.5
    assert judged["decided"]["balanced_accuracy"] > 0.85
    low, high = judged["gain_ci95"]
    assert 0.3 < low < judged["decided"]["balanced_accuracy"] - 0.5 < high


def test_the_fold_itself_does_not_count_in_its_own_thresholds():
    """The labels of a fold are turned round: what is decided for its cases stays the same."""
    table = random_table(60, seed=4, card=WARD)
    task = WARD.task("DX")
    labels, probabilities = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
    folds = np.arange(60) % 3
    before = thresholds.nested(labels, probabilities, folds, "macro_f1")
    other = np.where(folds == 1, 3 - labels, labels)
    after = thresholds.nested(other, probabilities, folds, "macro_f1")
    np.testing.assert_array_equal(before[folds == 1], after[folds == 1])
    assert (before != after).any()


def fitted(cases=120, card=PARTLY):
    table = random_table(cases, seed=5, card=card, unknown=0.5)
    return table, thresholds.fit(table, np.arange(cases) % 4, "balanced_accuracy", card, SHA, "b" * 64)


def test_unknown_labels_do_not_count_and_too_few_cases_change_nothing():
    table, found = fitted()
    for task in PARTLY.tasks:
        known = predictions.labelled(table, task)
        assert found.judged[task.name]["cases"] == known.sum() < 120
        labels, values = predictions.true_labels(table[known], task), predictions.task_probabilities(table[known], task)
        expected = thresholds.fit_weights(labels, values, "balanced_accuracy")
        assert list(found.weights[task.name].values()) == pytest.approx(expected)
    assert found.notes == ()
    table, few = fitted(cases=40)
    assert few.weights["ONE"] == {"A": 1.0, "B": 1.0, "C": 1.0}
    assert few.judged["ONE"]["plain"] == few.judged["ONE"]["decided"]
    assert "ONE: 22 cases of 4 folds have a label, 30 of two are needed: its thresholds change nothing" in few.notes


def test_they_are_stored_and_damage_is_said(tmp_path):
    path, (_, found) = tmp_path / stored.FILE, fitted()
    assert stored.read(path, PARTLY.tasks) is None
    stored.write(path, found)
    assert stored.read(path, PARTLY.tasks) == found
    content = json.loads(path.read_text())
    assert (content["fitted_on"], content["measure"], content["folds"]) == (
        "out-of-fold predictions",
        "balanced_accuracy",
        4,
    )
    for change in ({"weights": {}}, {"weights": content["weights"] | {"TWO": {"NO": 0, "YES": 1}}}):
        path.write_text(json.dumps(content | change))
        with pytest.raises(RunError, match="thresholds.json is damaged"):
            stored.read(path, PARTLY.tasks)


def test_the_table_has_both_columns_and_the_gain():
    table, found = fitted()
    part = thresholds.measured(table, found, PARTLY)
    shown = tables.decided_table({"decided": part})
    assert shown.headings[:3] == ["task", "accuracy", "decided"]
    for row in shown.rows:
        values = part["tasks"][row.cells[0]]
        cells = [values[kind][name] for name in thresholds.MEASURES for kind in ("plain", "decided")]
        assert row.cells[1:7] == [f"{100 * value:.1f}" for value in cells]
    changed = dataclasses.replace(found, weights={task.name: dict.fromkeys(task.classes, 1.0) for task in PARTLY.tasks})
    for values in thresholds.measured(table, changed, PARTLY)["tasks"].values():
        assert values["plain"] == values["decided"]
        assert values["gain_ci95"] == [0, 0]
