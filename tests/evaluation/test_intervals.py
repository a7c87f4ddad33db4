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


def test_each_stratum_keeps_its_number_of_cases():
    strata = np.array([0] * 5 + [1] * 2 + [2])
    counts = np.concatenate(list(intervals.resample_blocks(strata, 200, seed=1)))
    assert counts.shape == (200, 8)
    assert (counts[:, :5].sum(axis=1) == 5).all()
    assert (counts[:, 5:7].sum(axis=1) == 2).all()
    assert (counts[:, 7] == 1).all()
    assert counts[:, 0].std() > 0.5


def test_same_seed_same_counts_and_blocks_bound_the_memory(monkeypatch):
    strata = np.zeros(10)
    first = np.concatenate(list(intervals.resample_blocks(strata, 50, seed=1)))
    again = np.concatenate(list(intervals.resample_blocks(strata, 50, seed=1)))
    other = np.concatenate(list(intervals.resample_blocks(strata, 50, seed=2)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    monkeypatch.setattr(intervals, "LARGEST_BLOCK", 70)
    assert [len(block) for block in intervals.resample_blocks(strata, 20, seed=1)] == [7, 7, 6]


def test_accuracy_interval_is_scipys():
    """Plain bootstrap of a mean: 9,999 resamples each, so the ends differ by at most a case."""
    table = random_table(200, 4)
    right = (table["PN_true"] == table["PN_pred"]).to_numpy(float)
    expected = stats.bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(5)).confidence_interval
    values = intervals.replicates_of(lambda counts: {"accuracy": counts @ right / 200}, np.zeros(200), 9999)
    found = intervals.percentile_interval(values["accuracy"])
    np.testing.assert_allclose(found, [expected.low, expected.high], atol=1 / 200 + 1e-9)


def test_auc_interval_stratified_by_class_is_scipys():
    """scipy resamples the two samples on their own, which is what a stratum per class does."""
    generator = np.random.default_rng(6)
    truth = np.arange(150) < 40
    scores = np.round(generator.normal(size=150) + truth, 1)

    def area(positive, negative, axis):
        difference = positive[..., :, None] - negative[..., None, :]
        assert axis == -1
        return ((difference > 0) + (difference == 0) / 2).mean(axis=(-1, -2))

    samples = (scores[truth], scores[~truth])
    options = {"method": "percentile", "n_resamples": 4000, "batch": 500, "rng": np.random.default_rng(7)}
    expected = stats.bootstrap(samples, area, vectorized=True, **options)
    values = intervals.replicates_of(
        lambda counts: {"auc": rates.weighted_auc(truth, scores, counts)}, truth, 4000, seed=8
    )
    interval = intervals.percentile_interval(values["auc"])
    np.testing.assert_allclose(interval, list(expected.confidence_interval), atol=0.006)
    assert np.std(values["auc"], ddof=1) == pytest.approx(expected.standard_error, rel=0.05)


def test_wilson_by_its_formula():
    z = stats.norm.ppf(0.975)
    centre = (298 / 395 + z**2 / (2 * 395)) / (1 + z**2 / 395)
    half = z / (1 + z**2 / 395) * np.sqrt(298 / 395 * 97 / 395 / 395 + z**2 / (4 * 395**2))
    np.testing.assert_allclose(intervals.wilson(298, 395), [centre - half, centre + half])
    assert half == pytest.approx(0.043, abs=0.001)  # errata point 6


def test_bootstrap_and_wilson_agree_on_395_cases():
    table = random_table(395, 9)
    resampled = intervals.bootstrap(table, card=DERM7PT)
    for task in TASKS:
        right = int((table[f"{task.name}_true"] == table[f"{task.name}_pred"]).sum())
        found = resampled.interval("tasks", task.name, "accuracy")
        np.testing.assert_allclose(found, intervals.wilson(right, 395), atol=0.012)


def test_interval_needs_95_percent_of_the_resamples():
    values = np.concatenate([np.linspace(0, 1, 96), np.full(4, np.nan)])
    np.testing.assert_allclose(intervals.percentile_interval(values), [0.025, 0.975])
    assert np.isnan(intervals.percentile_interval(np.append(values, [np.nan, np.nan]))).all()


def test_class_with_one_case_has_no_interval_outside_of_what_is_stratified():
    table = random_table(40, 10)
    table["VS_true"] = ["IR", *["ABS"] * 39]
    resampled = intervals.bootstrap(table, 400, card=DERM7PT)
    assert np.isnan(resampled.interval("tasks", "VS", "classes", "IR", "sensitivity")).all()
    assert not np.isnan(resampled.interval("tasks", "VS", "classes", "ABS", "sensitivity")).any()


def test_add_intervals_puts_one_beside_every_metric():
    table = random_table(50, 11)
    measured = metrics.all_metrics(table, DERM7PT)
    report = {"average": measured["average"], "tasks": measured["tasks"]}
    intervals.add_intervals(report, intervals.bootstrap(table, 100, card=DERM7PT))
    values = report["tasks"]["DIAG"]
    low, high = values["accuracy_ci95"]
    assert low <= values["accuracy"] <= high
    assert len(values["classes"]["MEL"]["auc_ci95"]) == 2
    assert len(report["average"]["macro"]["auc_ci95"]) == 2
    assert "support_ci95" not in values["classes"]["MEL"]


def test_all_metrics_of_395_cases_take_at_most_20_seconds():
    table = random_table(395, 12)
    assert isinstance(table, pd.DataFrame)
    began = time.process_time()
    resampled = intervals.bootstrap(table, 2000, card=DERM7PT)
    seconds = time.process_time() - began
    assert len(resampled.replicates[("average", "accuracy")]) == 2000
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
