"""Mean, deviation, intervals and paired differences against computations that share no code with them."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import random_table
from scipy.stats import t
from sklearn.metrics import accuracy_score, roc_auc_score

from amfam_tf.comparison import results
from amfam_tf.comparison.measures import AUC, AVERAGE, MAIN_AUC, measures_of
from amfam_tf.comparison.results import summarise, two_sided_p
from amfam_tf.errors import DataError
from amfam_tf.evaluation import compare_runs, intervals, predictions
from amfam_tf.tasks import DERM7PT, TASKS

METRICS = tuple(measures_of(DERM7PT).by_name)
RESAMPLES = 40
FEW = 4


def fellows(cases: int, seed: int, groups: tuple[tuple[str, int], ...]) -> dict[str, dict[int, pd.DataFrame]]:
    """Returns tables on the same labels: group -> seed -> table."""
    first = random_table(cases, seed, skill=1.5)
    generator = np.random.default_rng(seed + 1)

    def table() -> pd.DataFrame:
        labels, probabilities = {}, {}
        for task in TASKS:
            labels[task.name] = predictions.true_labels(first, task)
            values = predictions.task_probabilities(first, task)
            values = values * np.exp(generator.normal(size=values.shape))
            probabilities[task.name] = values / values.sum(axis=1, keepdims=True)
        return predictions.to_frame(first["case_num"].to_numpy(), labels, probabilities, DERM7PT)

    return {name: {number: table() for number in range(seeds)} for name, seeds in groups}


def plain_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Returns every metric by scikit-learn."""
    found, areas = {}, []
    for task in TASKS:
        truth = table[f"{task.name}_true"]
        found[task.name] = accuracy_score(truth, table[f"{task.name}_pred"])
        present = [name for name in task.classes if (truth == name).any() and not (truth == name).all()]
        areas.append(np.mean([roc_auc_score(truth == name, table[f"{task.name}_{name}"]) for name in present]))
    found[AVERAGE] = np.mean(list(found.values()))
    return found | {AUC: np.mean(areas), MAIN_AUC: areas[0]}


def test_values_are_means_over_the_seeds_of_scikit_learns():
    tables = fellows(120, 0, (("one", 3), ("other", 1)))
    for result in summarise(tables, resamples=RESAMPLES, card=DERM7PT):
        assert result.seeds == tuple(tables[result.name])
        expected = [plain_metrics(table) for table in tables[result.name].values()]
        for metric in METRICS:
            values = [row[metric] for row in expected]
            assert result.values[metric].by_seed == pytest.approx(values)
            assert result.values[metric].mean == pytest.approx(sum(values) / len(values))
            if len(values) == 1:
                assert np.isnan(result.values[metric].deviation)
            else:
                squares = sum((value - np.mean(values)) ** 2 for value in values)
                assert result.values[metric].deviation == pytest.approx((squares / (len(values) - 1)) ** 0.5)


def test_mean_and_deviation_by_hand():
    value = results.Value((0.70, 0.74, 0.78), 0.6, 0.8)
    assert value.mean == pytest.approx(0.74)
    assert value.deviation == pytest.approx(0.04)


def test_intervals_and_differences_equal_a_loop_over_resampled_rows():
    """Each resample as a table with its rows repeated, measured by scikit-learn."""
    tables = fellows(60, 3, (("amfam", 2), ("concat", 2), ("other", 1)))
    found = {result.name: result for result in summarise(tables, "amfam", resamples=FEW, card=DERM7PT)}
    (counts,) = intervals.resample_blocks(60, FEW)
    drawn = {}
    for group, runs in tables.items():
        weights = results.seed_weights(group, len(runs), FEW)
        drawn[group] = pd.DataFrame(
            [
                sum(
                    weight * pd.Series(plain_metrics(table.loc[table.index.repeat(row.astype(int))]))
                    for weight, table in zip(weights[number], runs.values(), strict=True)
                    if weight
                )
                for number, row in enumerate(counts)
            ]
        )
    means = {group: pd.DataFrame([plain_metrics(table) for table in runs.values()]) for group, runs in tables.items()}
    for metric in METRICS:
        for group, result in found.items():
            variance = drawn[group][metric].var(ddof=0) * 60 / 59
            ends = wilson_by_variance(result.values[metric].mean, variance, 60, 8 if metric in (AVERAGE, AUC) else 1)
            assert (result.values[metric].low, result.values[metric].high) == pytest.approx(ends)
        for group in ("concat", "other"):
            change = (drawn[group] - drawn["amfam"])[metric]
            difference = found[group].differences[metric]
            assert difference.value == pytest.approx(means[group][metric].mean() - means["amfam"][metric].mean())
            assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(change, [0.025, 0.975])))
            # Two seeds and one do not tell how much another training would differ.
            assert difference.cases_alone
            assert np.isnan([difference.p, difference.p_holm]).all()
    assert found["amfam"].differences == {}


def wilson_by_variance(value: float, variance: float, cases: int, tasks: int = 1) -> tuple[float, float]:
    """Returns where (value - p)^2 = t^2 p (1 - p) / n, of the n with this variance, at most the answers."""
    number = cases if variance == 0 else min(cases * tasks, value * (1 - value) / variance)
    squared = t.ppf(0.975, cases - 1) ** 2 / number
    roots = np.roots([1 + squared, -(2 * value + squared), value**2])
    return float(roots.min()), float(roots.max())


def test_three_seeds_on_both_sides_have_p_values_and_fewer_have_none():
    tables = fellows(60, 7, (("amfam", 3), ("concat", 3), ("other", 3), ("few", 2)))
    found = {result.name: result for result in summarise(tables, "amfam", resamples=FEW, card=DERM7PT)}
    for metric in METRICS:
        three = [found[group].differences[metric] for group in ("concat", "other")]
        assert not any(difference.cases_alone for difference in three)
        # Corrected for two: what has no p-value does not count.
        assert [difference.p_holm for difference in three] == compare_runs.holm([row.p for row in three])
        few = found["few"].differences[metric]
        assert few.cases_alone and np.isnan([few.p, few.p_holm]).all() and few.low <= few.high
    with_few = {**tables, "amfam": dict(list(tables["amfam"].items())[:2])}
    for result in summarise(with_few, "amfam", resamples=FEW, card=DERM7PT)[1:]:
        assert all(row.cases_alone and np.isnan(row.p) for row in result.differences.values())


def test_the_interval_counts_cases_and_seeds():
    """Seeds that are right on all cases or on none: all of the spread is between them."""
    perfect = random_table(50, 0, skill=100.0)
    wrong = perfect.copy()
    for task in TASKS:
        columns = predictions.probability_columns(task)
        wrong[columns] = np.roll(perfect[columns].to_numpy(), 1, axis=1)
        wrong[f"{task.name}_pred"] = np.array(task.classes)[wrong[columns].to_numpy().argmax(axis=1)]
    (both,) = summarise({"both": {0: perfect, 1: wrong}}, card=DERM7PT)
    (one,) = summarise({"both": {0: perfect}}, card=DERM7PT)
    value = both.values[AVERAGE]
    # The variance of a draw of two seeds is 1/8, that of a share of two cases.
    assert value.mean == 0.5
    assert (value.low, value.high) == pytest.approx(wilson_by_variance(0.5, 1 / 8, 50), abs=0.01)
    assert value.deviation == pytest.approx(0.5**0.5)
    # All cases are right: the interval has a width all the same.
    assert one.values[AVERAGE].high == 1.0
    assert one.values[AVERAGE].low == pytest.approx(wilson_by_variance(1.0, 0.0, 50)[0])


def test_seed_weights_are_fair_draws_that_other_groups_do_not_change():
    weights = results.seed_weights("concat", 3, 4000)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert set(np.unique(weights)) == {0, 1 / 3, 2 / 3, 1}
    # Each draw of 3 of 3: the share of a seed has mean 1/3 and variance (1/3)(2/3)/3.
    assert weights.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert weights.var(axis=0) == pytest.approx([2 / 27] * 3, rel=0.1)
    assert not np.array_equal(weights, results.seed_weights("amfam", 3, 4000))
    tables = fellows(40, 5, (("amfam", 2), ("concat", 2)))
    alone = summarise({"concat": tables["concat"]}, resamples=RESAMPLES, card=DERM7PT)[0]
    beside = summarise(tables, resamples=RESAMPLES, card=DERM7PT)[1]
    assert alone.values == beside.values


def test_equal_runs_of_one_seed_do_not_differ():
    tables = fellows(50, 1, (("amfam", 1),))
    found = summarise({**tables, "copy": tables["amfam"]}, "amfam", resamples=RESAMPLES, card=DERM7PT)[1]
    for metric in METRICS:
        difference = found.differences[metric]
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert difference.cases_alone and np.isnan(difference.p)


def test_p_value_by_hand():
    assert two_sided_p(np.array([1.0] * 99)) == pytest.approx(2 * 1 / 100)
    assert two_sided_p(np.array([-1.0] * 4 + [1.0] * 95)) == pytest.approx(2 * 5 / 100)
    assert two_sided_p(np.array([-1.0, 1.0])) == 1.0
    assert np.isnan(two_sided_p(np.array([1.0, np.nan])))


def test_order_of_the_cases_does_not_matter_and_other_cases_are_refused():
    tables = fellows(40, 2, (("amfam", 1), ("concat", 1)))
    shuffled = tables["concat"][0].sample(frac=1, random_state=0)
    straight, mixed = (
        summarise({"amfam": tables["amfam"], "concat": {0: table}}, "amfam", resamples=RESAMPLES, card=DERM7PT)
        for table in (tables["concat"][0], shuffled)
    )
    assert repr(straight) == repr(mixed)  # NaN, the p of one seed, is not equal to itself
    with pytest.raises(DataError, match="not evaluated on the same cases"):
        summarise({"amfam": tables["amfam"], "concat": {0: shuffled.iloc[1:]}}, card=DERM7PT)


def test_no_reference_no_differences():
    tables = fellows(40, 2, (("concat", 1), ("other", 1)))
    assert all(not result.differences for result in summarise(tables, "amfam", resamples=RESAMPLES, card=DERM7PT))


def test_a_class_that_no_case_has_is_left_out_of_the_auc():
    table = random_table(60, 4)
    misc = table["DIAG_true"] == "MISC"
    kept = table[~misc].reset_index(drop=True)
    found = summarise({"one": {0: kept}}, resamples=RESAMPLES, card=DERM7PT)[0].values
    assert found[MAIN_AUC].mean == pytest.approx(plain_metrics(kept)[MAIN_AUC])
    assert np.isfinite([found[MAIN_AUC].low, found[AUC].high]).all()
