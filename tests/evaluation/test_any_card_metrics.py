"""Predictions and metrics of cards with other tasks: unknown labels, groups, the MILK10k score."""

import numpy as np
import pandas as pd
import pytest
from other_cards import ALL, MILK10K, PARTLY, WARD, cases_of
from prediction_tables import random_table
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from amfam_tf.card import cards
from amfam_tf.card.cards import CardError
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import DataError
from amfam_tf.evaluation import intervals, metrics, predictions
from amfam_tf.evaluation.report import build_report
from amfam_tf.tasks import DERM7PT


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_a_table_comes_back_from_its_file(tmp_path, card):
    table, path = random_table(30, 1, card=card), tmp_path / "predictions.csv"
    assert any((table[f"{task.name}_true"] == "").any() for task in card.tasks) == (card != MILK10K)
    predictions.write(table, path, card)
    assert path.read_text().splitlines()[0].split(",") == ["case_num", *table.columns[1:]]
    back = predictions.read(path, cases_of(table, card), card=card)
    pd.testing.assert_frame_equal(back, table, check_exact=True)


def test_an_unknown_label_is_an_empty_field_of_a_task_that_may_have_one(tmp_path):
    path, table = tmp_path / "predictions.csv", random_table(4, 0, card=WARD, unknown=1.0)
    predictions.write(table, path, WARD)
    assert path.read_text().splitlines()[1].split(",")[1] == ""
    assert (predictions.true_labels(predictions.read(path, card=WARD), WARD.tasks[0]) == UNKNOWN).all()
    for task, column in ((WARD.tasks[1], "NET_true"), (WARD.tasks[0], "ULC_pred")):
        predictions.write(table.assign(**{column: ""}), path, WARD)
        with pytest.raises(DataError, match=rf"row 0 .*column {column}: '' is no class of {task.name} \("):
            predictions.read(path, card=WARD)


def test_a_known_label_that_the_data_do_not_know_is_told(tmp_path):
    path, table = tmp_path / "predictions.csv", random_table(3, 0, card=PARTLY, unknown=0.0)
    predictions.write(table, path, PARTLY)
    cases = cases_of(table, PARTLY).assign(ONE=[*predictions.true_labels(table, PARTLY.tasks[0])[:2], -1])
    with pytest.raises(DataError, match=r"row 2 .*ONE_true: [ABC] differs from the data set's label unknown"):
        predictions.read(path, cases, card=PARTLY)


@pytest.mark.parametrize("card", [WARD, PARTLY], ids=lambda card: card.name)
def test_unknown_labels_leave_a_case_out_of_the_metrics_of_that_task_alone(card):
    table = random_table(80, 2, card=card)
    found = metrics.all_metrics(table, card)
    for task in card.tasks:
        known = table[table[f"{task.name}_true"] != ""]
        alone = metrics.task_metrics(
            predictions.true_labels(known, task), predictions.task_probabilities(known, task), task
        )
        values = found["tasks"][task.name]
        assert values.get("labelled") == (len(known) if task.missing else None)
        assert {name: values[name] for name in alone} == alone
        assert sum(row["support"] for row in values["classes"].values()) == len(known)
    mean = np.mean([values["accuracy"] for values in found["tasks"].values()])
    assert found["average"]["accuracy"] == pytest.approx(mean)


def test_resamples_leave_unknown_labels_out_too():
    table, task = random_table(60, 3, card=PARTLY), PARTLY.tasks[1]
    drawn = intervals.bootstrap(table, 7, card=PARTLY)["tasks", "TWO", "accuracy"]
    (counts,) = intervals.resample_blocks(60, 7)
    known = (table["TWO_true"] != "").to_numpy()
    right = predictions.predicted_labels(table, task) == predictions.true_labels(table, task)
    np.testing.assert_allclose(drawn, (counts * (right & known)).sum(axis=1) / counts[:, known].sum(axis=1))


def test_a_task_without_labels_is_undefined_and_counts_in_no_average():
    table = random_table(40, 4, card=PARTLY).assign(TWO_true="")
    report = build_report(table, "test", cases=cases_of(table, PARTLY), card=PARTLY)
    values = report["tasks"]["TWO"]
    assert values["labelled"] == 0
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_auc", "f1_at_half"):
        assert np.isnan(values[name])
        assert np.isnan(values[f"{name}_ci95"]).all()
        assert report["average"][name] == report["tasks"]["ONE"][name]
    assert np.isnan(values["accuracy_wilson95"]).all()
    assert report["majority_baseline"]["evaluated"]["tasks"]["TWO"]["class"] == ""
    baseline = report["majority_baseline"]["evaluated"]
    assert baseline["average"] == baseline["tasks"]["ONE"]["accuracy"]
    assert metrics.absent_classes(table, PARTLY) == []


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_eleven_classes_are_scikit_learns(seed):
    (task,), table = MILK10K.tasks, random_table(150, seed, 2.0, MILK10K)
    truth, values = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
    predicted = values.argmax(axis=1)
    found = metrics.all_metrics(table, MILK10K)["tasks"]["DIAG"]
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["macro_auc"] == pytest.approx(roc_auc_score(truth, values, multi_class="ovr", average="macro"))
    official = f1_score(np.eye(11)[truth], values > 0.5, average="macro", zero_division=1.0)
    assert found["f1_at_half"] == pytest.approx(official)


def test_the_challenges_score_counts_an_absent_class_1_and_a_never_predicted_one_0():
    """Of three classes: A is found, B has a case and no prediction, C has neither a case nor a prediction."""
    task = PARTLY.tasks[0]
    probabilities = {"ONE": np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1]]), "TWO": np.array([[1.0, 0], [0, 1]])}
    table = predictions.to_frame(np.arange(2), {"ONE": [0, 1], "TWO": [0, 1]}, probabilities, PARTLY)
    # 0.5 is not above 0.5: B is never predicted.
    assert metrics.all_metrics(table, PARTLY)["tasks"]["ONE"]["f1_at_half"] == pytest.approx((1 + 0 + 1) / 3)
    truth = np.eye(3)[predictions.true_labels(table, task)]
    judged = precision_recall_fscore_support(truth, probabilities["ONE"] > 0.5, zero_division=1.0)[2]
    assert judged.tolist() == [1, 0, 1]


def test_the_challenges_score_of_resamples_is_that_of_the_drawn_cases():
    table = random_table(70, 5, 2.0, MILK10K)
    resampled = intervals.bootstrap(table, 5, card=MILK10K)
    (counts,) = intervals.resample_blocks(70, 5)
    for row, drawn in enumerate(counts.astype(int)):
        again = metrics.all_metrics(table.loc[np.repeat(table.index, drawn)], MILK10K)["tasks"]["DIAG"]
        for name in metrics.MORE_OVERALL:
            assert resampled["tasks", "DIAG", name][row] == pytest.approx(again[name])


def test_only_derm7pt_has_the_papers_averages_and_only_others_the_newer_metrics():
    ours = metrics.all_metrics(random_table(40, 0), DERM7PT)
    assert {"paper_criteria", "paper_diagnosis"} <= ours["average"].keys()
    assert not set(metrics.MORE_OVERALL) & (ours["average"].keys() | ours["tasks"]["DIAG"].keys())
    for card in ALL:
        average = metrics.all_metrics(random_table(40, 0, card=card), card)["average"]
        assert list(average) == [*metrics.OVERALL, *metrics.MORE_OVERALL, "macro"]
        assert metrics.averages_over(card).keys() == average.keys()
    assert metrics.averages_over(DERM7PT).keys() == ours["average"].keys()


def test_a_headline_is_a_metric_that_there_is():
    with pytest.raises(CardError, match=r"headline: there is no metric 'auc'; known here: accuracy, balanced_accuracy"):
        cards.parse(cards.to_yaml(PARTLY) + "headline: average.auc\n", "card")


def test_whole_groups_are_drawn_where_the_card_has_them():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    (counts,) = intervals.resample_blocks(6, 2000, 1, groups)
    for name in "abc":
        of_group = counts[:, groups == name]
        assert (of_group == of_group[:, :1]).all()
    drawn = counts[:, [0, 1, 3]]
    assert (drawn.sum(axis=1) == 3).all()
    assert drawn.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.06)


def test_intervals_of_twins_are_those_of_half_as_many_cases():
    """Every case stands twice, as one patient's: each interval is nearly that of one of the twins, not narrower."""
    one = random_table(60, 6, card=WARD)
    twice = pd.concat([one, one.assign(case_num=one["case_num"] + 100)], ignore_index=True)
    cases = cases_of(twice, WARD).assign(group=[*range(60), *range(60)])
    alone = build_report(one, "test", cases=cases_of(one, WARD).assign(group=[*range(60)]), card=WARD)
    report = build_report(twice, "test", cases=cases, card=WARD)
    assert "whole groups (patient) drawn with replacement" in report["intervals"]
    apart = metrics.all_metrics(twice, WARD)
    intervals.add_intervals(apart, twice, intervals.bootstrap(twice, card=WARD), WARD)
    of_alone, of_twins, of_apart = (
        dict(values_with_intervals(content["tasks"]["DX"])) for content in (alone, report, apart)
    )
    assert len(of_alone) > 15
    for place, found in of_twins.items():
        # Those of resamples are of the same draws of patients.
        assert found == pytest.approx(of_alone[place], abs=0.02), place
        assert np.ptp(found) > 1.2 * np.ptp(of_apart[place]), place


def values_with_intervals(node, *path):
    """Yields the place and the ends of everything that has an interval."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from values_with_intervals(value, *path, key)
        elif key.endswith("_ci95") and not np.isnan(value).any():
            yield (*path, key), value


def test_how_intervals_are_made_is_said():
    assert intervals.method(DERM7PT) == intervals.method(PARTLY)
    assert "Clopper and Pearson's for shares of cases; " in intervals.method(DERM7PT)
    assert "bootstrap, cases drawn with replacement, 2000 resamples, seed 0" in intervals.method(DERM7PT)
    assert "of the effective number of cases in groups (patient); " in intervals.method(WARD)
