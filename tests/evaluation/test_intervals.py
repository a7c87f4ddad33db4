"""Bootstrap: equal to the plain metrics without resampling, to scipy's bootstrap where it has the same statistic."""

import time

import numpy as np
import pandas as pd
import pytest
from prediction_tables import random_table
from scipy import stats

from amfam_tf.evaluation import intervals, metrics, predictions
from amfam_tf.report import rates
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, TASKS


def test_counts_of_a_case_are_the_same_as_repeating_it():
    table = random_table(30, 3)
    counts = np.random.default_rng(0).integers(0, 4, 30)
    repeated = table.loc[np.repeat(np.arange(30), counts)].reset_index(drop=True)
    expected = metrics.measure_of(repeated, DERM7PT)(np.ones((1, len(repeated))))
    found = metrics.measure_of(table, DERM7PT)(counts[None].astype(float))
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, atol=1e-12, err_msg=str(path))


def test_tied_scores_count_half():
    truth, scores = np.array([True, False, True, False]), np.array([0.5, 0.5, 0.9, 0.1])
    counts = np.array([[1, 1, 1, 1], [2, 1, 0, 1]], float)
    np.testing.assert_allclose(rates.weighted_auc(truth, scores, counts), [3.5 / 4, (2 * 1.5) / 4])


def test_cases_are_drawn_whatever_they_are():
    """Multinomial counts: mean 1, variance 1 - 1/N, and a correlation of -1/(N - 1) between any two cases."""
    counts = np.concatenate(list(intervals.resample_blocks(8, 20_000, seed=1)))
    assert counts.shape == (20_000, 8)
    assert (counts.sum(axis=1) == 8).all()
    assert counts.mean(axis=0) == pytest.approx([1] * 8, abs=0.03)
    assert counts.var(axis=0) == pytest.approx([7 / 8] * 8, rel=0.05)
    # A part of three cases does not keep its number.
    assert counts[:, :3].sum(axis=1).var() == pytest.approx(8 * 3 / 8 * 5 / 8, rel=0.05)


def test_same_seed_same_counts_and_blocks_bound_the_memory(monkeypatch):
    first = np.concatenate(list(intervals.resample_blocks(10, 50, seed=1)))
    again = np.concatenate(list(intervals.resample_blocks(10, 50, seed=1)))
    other = np.concatenate(list(intervals.resample_blocks(10, 50, seed=2)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    monkeypatch.setattr(intervals, "LARGEST_BLOCK", 70)
    assert [len(block) for block in intervals.resample_blocks(10, 20, seed=1)] == [7, 7, 6]


def test_accuracy_interval_is_scipys():
    """Plain bootstrap of a mean: 9,999 resamples each, so the ends differ by at most a case."""
    table = random_table(200, 4)
    right = (table["PN_true"] == table["PN_pred"]).to_numpy(float)
    expected = stats.bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(5)).confidence_interval
    values = intervals.replicates_of(lambda counts: {"accuracy": counts @ right / 200}, 200, 9999)
    found = intervals.percentile_interval(values["accuracy"])
    np.testing.assert_allclose(found, [expected.low, expected.high], atol=1 / 200 + 1e-9)


def test_wilson_by_its_formula():
    z = stats.norm.ppf(0.975)
    centre = (298 / 395 + z**2 / (2 * 395)) / (1 + z**2 / 395)
    half = z / (1 + z**2 / 395) * np.sqrt(298 / 395 * 97 / 395 / 395 + z**2 / (4 * 395**2))
    np.testing.assert_allclose(intervals.wilson(298, 395), [centre - half, centre + half])
    assert half == pytest.approx(0.043, abs=0.001)  # errata point 6


def test_bootstrap_and_exact_intervals_agree_on_395_cases():
    table = random_table(395, 9)
    resampled, report = intervals.bootstrap(table, card=DERM7PT), with_intervals(table)
    for task in TASKS:
        exact = report["tasks"][task.name]["accuracy_ci95"]
        found = intervals.percentile_interval(resampled["tasks", task.name, "accuracy"])
        np.testing.assert_allclose(found, exact, atol=0.012)


def with_intervals(table: pd.DataFrame, resamples: int = 400) -> dict:
    """Returns the metrics of a table with an interval beside each."""
    report = metrics.all_metrics(table, DERM7PT)
    intervals.add_intervals(report, table, intervals.bootstrap(table, resamples, card=DERM7PT), DERM7PT)
    return report


def test_each_share_has_the_exact_interval_of_its_cases():
    table = random_table(120, 13, skill=1.0)
    row = with_intervals(table, 50)["tasks"]["DIAG"]
    truth, answer = table["DIAG_true"] == "MEL", table["DIAG_pred"] == "MEL"
    shares = {
        "sensitivity": (truth & answer, truth),
        "specificity": (~truth & ~answer, ~truth),
        "precision": (truth & answer, answer),
    }
    for metric, (right, of) in shares.items():
        expected = stats.binomtest(int(right.sum()), int(of.sum())).proportion_ci(0.95, "exact")
        assert row["classes"]["MEL"][f"{metric}_ci95"] == pytest.approx([expected.low, expected.high]), metric
    union = stats.binomtest(int((truth & answer).sum()), int((truth | answer).sum())).proportion_ci(0.95, "exact")
    assert row["classes"]["MEL"]["f1_ci95"] == pytest.approx([2 * end / (1 + end) for end in (union.low, union.high)])


def test_a_constant_answer_has_an_interval_of_width():
    """Within each diagnosis, its accuracy would be the same in every resample."""
    table = random_table(100, 14)
    table["DIAG_pred"] = "NEV"
    for name in DIAGNOSIS.classes:
        table[f"DIAG_{name}"] = float(name == "NEV")
    row = with_intervals(table)["tasks"]["DIAG"]
    cases = int((table["DIAG_true"] == "NEV").sum())
    exact = stats.binomtest(cases, 100).proportion_ci(0.95, "exact")
    assert row["accuracy_ci95"] == pytest.approx([exact.low, exact.high])
    for metric in ("balanced_accuracy", "kappa"):
        low, high = row[f"{metric}_ci95"]
        assert low < row[metric] < high, metric


def test_nothing_right_and_all_right_have_intervals_of_width():
    table = random_table(40, 15, skill=100.0)
    report = with_intervals(table, 50)
    for name, values in report["tasks"].items():
        places = [(values, metric) for metric in ("accuracy", "balanced_accuracy", "kappa")]
        for row in values["classes"].values():
            places += [(row, metric) for metric in metrics.CLASS_METRICS if row["support"] > 1]
        for row, metric in places:
            assert row[metric] == 1.0
            low, high = row[f"{metric}_ci95"]
            assert low < 0.96 < 1.0 == high, (name, metric)
    assert report["average"]["accuracy_ci95"][0] < 0.96


def test_interval_needs_95_percent_of_the_resamples():
    values = np.concatenate([np.linspace(0, 1, 96), np.full(4, np.nan)])
    np.testing.assert_allclose(intervals.percentile_interval(values), [0.025, 0.975])
    assert np.isnan(intervals.percentile_interval(np.append(values, [np.nan, np.nan]))).all()


def test_class_with_one_case_has_an_interval_where_one_case_says_something():
    table = random_table(40, 10)
    table["VS_true"] = ["IR", *["ABS"] * 39]
    classes = with_intervals(table)["tasks"]["VS"]["classes"]
    low, high = classes["IR"]["sensitivity_ci95"]
    assert (low == 0.0 or high == 1.0) and high - low == pytest.approx(0.975)
    # No variance is seen of one positive.
    assert np.isnan(classes["IR"]["auc_ci95"]).all()
    assert np.isnan(classes["IR"]["average_precision_ci95"]).all()
    assert not np.isnan(classes["ABS"]["sensitivity_ci95"]).any()


def test_add_intervals_puts_one_beside_every_metric():
    report = with_intervals(random_table(50, 11), 100)
    values = report["tasks"]["DIAG"]
    low, high = values["accuracy_ci95"]
    assert low <= values["accuracy"] <= high
    assert len(values["classes"]["MEL"]["auc_ci95"]) == 2
    assert len(report["average"]["macro"]["auc_ci95"]) == 2
    assert "support_ci95" not in values["classes"]["MEL"]


def test_every_interval_holds_its_value():
    def walk(node):
        for key, value in node.items():
            if isinstance(value, dict):
                yield from walk(value)
            elif f"{key}_ci95" in node and not np.isnan(node[f"{key}_ci95"]).any():
                yield key, value, node[f"{key}_ci95"]

    report = with_intervals(random_table(60, 16, skill=1.0), 100)
    found = [*walk(report["average"]), *walk(report["tasks"])]
    assert len(found) > 150
    for key, value, (low, high) in found:
        assert low - 1e-12 <= value <= high + 1e-12, key


def test_all_metrics_of_395_cases_take_at_most_20_seconds():
    table = random_table(395, 12)
    assert isinstance(table, pd.DataFrame)
    began = time.process_time()
    resampled = intervals.bootstrap(table, 2000, card=DERM7PT)
    seconds = time.process_time() - began
    assert len(resampled["average", "accuracy"]) == 2000
    assert len(predictions.true_labels(table, DIAGNOSIS)) == 395
    assert seconds < 20


def test_measure_made_once_holds_for_any_number_of_blocks():
    """What is prepared for all blocks is left as it is by each, and so are the counts."""
    table = random_table(60, 4)
    random = np.random.default_rng(3)
    measure = metrics.measure_of(table, DERM7PT)
    for rows in (1, 5):
        counts = random.integers(0, 4, (rows, 60)).astype(float)
        before = counts.copy()
        expected = metrics.measure_of(table, DERM7PT)(counts)
        found = measure(counts)
        assert found.keys() == expected.keys()
        for path, values in found.items():
            np.testing.assert_array_equal(values, expected[path], err_msg=str(path))
        np.testing.assert_array_equal(counts, before)


def test_a_mean_over_tasks_is_as_wide_as_its_resamples():
    generator = np.random.default_rng(0)
    right = generator.random((8, 156)) < 0.8  # independent tasks: 1,248 answers
    replicates = np.array([right[:, generator.integers(0, 156, 156)].mean() for _ in range(2000)])
    low, high = intervals.spread_interval(float(right.mean()), replicates, 156, 155, tasks=8)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.8 * 0.2 / (8 * 156)), rel=0.1)
    # Without resamples that differ, no more is known than of one task.
    alike = intervals.spread_interval(1.0, np.ones(2000), 156, 155, tasks=8)
    assert alike == intervals.spread_interval(1.0, np.ones(2000), 156, 155)
