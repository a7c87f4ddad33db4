"""Paired comparison: McNemar, DeLong and Holm against independent computations."""

from math import comb

import numpy as np
import pandas as pd
import pytest
from prediction_tables import random_table
from scipy import stats

from amfam_tf.errors import DataError
from amfam_tf.evaluation import compare_runs, intervals, predictions
from amfam_tf.report import rates
from amfam_tf.tasks import DERM7PT, TASK_BY_NAME, TASKS


def _pair(cases=150, seed=0):
    """Returns two tables on the same labels, the first one better."""
    first = random_table(cases, seed, skill=2.0)
    generator = np.random.default_rng(seed + 1)
    labels, probabilities = {}, {}
    for task in TASKS:
        labels[task.name] = predictions.true_labels(first, task)
        noise = np.exp(generator.normal(size=(cases, len(task.classes))))
        values = predictions.task_probabilities(first, task) * noise
        probabilities[task.name] = values / values.sum(axis=1, keepdims=True)
    return first, predictions.to_frame(first["case_num"].to_numpy(), labels, probabilities, DERM7PT)


def test_mcnemar_by_counting_coin_throws():
    """9 against 2: P(at most 2 or at least 9 heads in 11)."""
    tail = sum(comb(11, k) for k in range(3)) / 2**11
    exact, middle = compare_runs.mcnemar_p_values(9, 2)
    assert exact == pytest.approx(2 * tail)
    assert middle == pytest.approx(2 * (tail - comb(11, 2) / 2**11 / 2))
    assert compare_runs.mcnemar_p_values(2, 9) == pytest.approx((exact, middle))


def test_mcnemar_without_any_difference_is_one():
    assert compare_runs.mcnemar_p_values(0, 0) == (1.0, 1.0)
    assert compare_runs.mcnemar_p_values(5, 5) == (1.0, 1.0)


def test_mcnemar_counts_discordant_cases_and_which_run_is_right():
    first, second = _pair()
    task = TASK_BY_NAME["PN"]
    counted = compare_runs.mcnemar(first, second, task)
    right = [(table["PN_true"] == table["PN_pred"]).to_numpy() for table in (first, second)]
    assert counted["only_first_right"] == sum(a and not b for a, b in zip(*right, strict=True))
    assert counted["only_second_right"] == sum(b and not a for a, b in zip(*right, strict=True))
    assert counted["only_first_right"] > counted["only_second_right"]


def _delong_by_pairs(truth, scores):
    """Returns difference and standard error by the definition: a loop over all pairs of a true and another case."""
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    kernel = np.zeros((2, len(positives), len(negatives)))
    for run in range(2):
        for i, positive in enumerate(positives):
            for j, negative in enumerate(negatives):
                one, other = scores[run][positive], scores[run][negative]
                kernel[run, i, j] = 1.0 if one > other else 0.5 if one == other else 0.0
    areas = kernel.mean(axis=(1, 2))
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    variance = 0.0
    for values, count in ((v10, len(positives)), (v01, len(negatives))):
        centred = values - areas[:, None]
        s = centred @ centred.T / (count - 1)
        variance += (s[0, 0] - 2 * s[0, 1] + s[1, 1]) / count
    return areas[0] - areas[1], variance**0.5


def test_delong_equals_its_definition_with_ties():
    generator = np.random.default_rng(0)
    truth = generator.random(60) < 0.4
    scores = np.round(generator.normal(size=(2, 60)) + truth, 1)
    difference, error, p_value = compare_runs.delong(truth, scores)
    expected = _delong_by_pairs(truth, scores)
    assert difference == pytest.approx(expected[0])
    assert error == pytest.approx(expected[1])
    assert p_value == pytest.approx(2 * stats.norm.sf(abs(expected[0]) / expected[1]))


def test_delong_error_agrees_with_the_bootstrap():
    generator = np.random.default_rng(1)
    truth = np.arange(400) < 120
    scores = generator.normal(size=(2, 400)) + truth * np.array([[1.5], [1.0]])

    def measure(counts):
        return {"d": np.subtract(*(rates.weighted_auc(truth, row, counts) for row in scores))}

    replicates = intervals.replicates_of(measure, 400, 4000)["d"]
    assert compare_runs.delong(truth, scores)[1] == pytest.approx(replicates.std(), rel=0.05)


def test_delong_of_equal_orders_and_of_too_few_cases():
    scores = np.array([[0.1, 0.2, 0.8, 0.9], [0.1, 0.3, 0.5, 0.6]])
    assert compare_runs.delong(np.array([False, False, True, True]), scores) == (0.0, 0.0, 1.0)
    assert np.isnan(compare_runs.delong(np.array([False, False, False, True]), scores)).all()


def test_holm_by_hand():
    """Sorted 0.01 0.02 0.03 0.04 times 4 3 2 1, never falling."""
    assert compare_runs.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    corrected = compare_runs.holm([0.5, np.nan, 0.02])
    assert corrected[2] == pytest.approx(0.04)
    assert corrected[0] == pytest.approx(0.5)
    assert np.isnan(corrected[1])


def test_differences_are_first_minus_second_with_a_paired_interval():
    first, second = _pair(300)
    result = compare_runs.compare(first, second, resamples=500, card=DERM7PT)
    accuracy = result["tasks"]["PN"]["accuracy"]
    right = [(table["PN_true"] == table["PN_pred"]).to_numpy(float) for table in (first, second)]
    assert accuracy["difference"] == pytest.approx(np.mean(right[0] - right[1]))
    low, high = accuracy["ci95"]
    assert low <= accuracy["difference"] <= high
    unpaired = 2 * 1.96 * np.sqrt(right[0].var() / 300 + right[1].var() / 300)
    assert high - low < 0.9 * unpaired
    assert result["average"]["accuracy"]["difference"] > 0


def test_swapping_the_runs_turns_the_signs():
    first, second = _pair(80)
    one = compare_runs.compare(first, second, resamples=50, card=DERM7PT)
    other = compare_runs.compare(second, first, resamples=50, card=DERM7PT)
    area, mirrored = (result["tasks"]["DIAG"]["classes"]["MEL"]["auc"] for result in (one, other))
    assert area["difference"] == pytest.approx(-mirrored["difference"])
    assert area["delong_p"] == pytest.approx(mirrored["delong_p"])
    assert area["ci95"] == pytest.approx([-end for end in reversed(mirrored["ci95"])])


def test_a_run_against_itself():
    first, _ = _pair(80)
    result = compare_runs.compare(first, first.sample(frac=1, random_state=0), resamples=20, card=DERM7PT)
    assert result["average"]["accuracy"] == {
        "first": result["average"]["accuracy"]["first"],
        "second": result["average"]["accuracy"]["first"],
        "difference": 0.0,
        "ci95": [0.0, 0.0],
    }
    assert result["tasks"]["VS"]["accuracy"]["mcnemar_holm_p"] == 1
    assert result["tasks"]["VS"]["classes"]["IR"]["auc"]["delong_p"] == 1


def test_a_task_of_two_classes_counts_once_in_the_correction(monkeypatch):
    first, second = _pair(100)
    sizes = []

    def counting(p_values):
        sizes.append(len(p_values))
        return [0.5] * len(p_values)

    monkeypatch.setattr(compare_runs, "holm", counting)
    result = compare_runs.compare(first, second, resamples=10, card=DERM7PT)
    assert sizes == [8, 5 + 5 * 3 + 2]
    assert {row["auc"]["delong_holm_p"] for row in result["tasks"]["BWV"]["classes"].values()} == {0.5}


def test_other_cases_or_labels_are_refused():
    first, second = _pair(20)
    with pytest.raises(DataError, match="case 20 is in one of them only"):
        compare_runs.compare(first, second.iloc[:19], card=DERM7PT)
    changed = second.copy()
    changed.loc[4, "RS_true"] = "PRS" if changed.loc[4, "RS_true"] == "ABS" else "ABS"
    with pytest.raises(DataError, match="case 5, task RS"):
        compare_runs.compare(first, changed, card=DERM7PT)
    assert isinstance(changed, pd.DataFrame)


def test_the_first_case_with_another_label_is_named():
    first, second = _pair(20)
    for row in (3, 9, 15):
        second.loc[row, "BWV_true"] = "PRS" if second.loc[row, "BWV_true"] == "ABS" else "ABS"
    with pytest.raises(DataError, match="case 4, task BWV"):
        compare_runs.compare(first, second, card=DERM7PT)


def test_swapping_the_runs_swaps_counts_and_values():
    first, second = _pair(120)
    one, other = (
        compare_runs.compare(*runs, resamples=20, card=DERM7PT) for runs in ((first, second), (second, first))
    )
    for task in one["tasks"]:
        row, mirrored = one["tasks"][task]["accuracy"], other["tasks"][task]["accuracy"]
        assert (row["first"], row["second"]) == (mirrored["second"], mirrored["first"])
        counts = row["only_first_right"], row["only_second_right"]
        assert counts == (mirrored["only_second_right"], mirrored["only_first_right"])
        assert row["mcnemar_exact_p"] == mirrored["mcnemar_exact_p"]
        assert row["first"] - row["second"] == pytest.approx((counts[0] - counts[1]) / 120)
