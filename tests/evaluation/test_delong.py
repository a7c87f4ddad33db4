"""The interval of an area: by formulas that share no code with it, and how often it holds the true area."""

import numpy as np
import pytest
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from amfam_tf.evaluation import delong, proportions


def drawn(positives: int, negatives: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = np.arange(positives + negatives) < positives
    return truth, np.round(generator.normal(size=len(truth)) + 1.2 * truth, 1)


def pairs(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns 1, 1/2 or 0 for each positive and negative, [positives, negatives]."""
    difference = scores[truth][:, None] - scores[~truth][None, :]
    return (difference > 0) + (difference == 0) / 2


def test_placements_are_means_over_the_pairs():
    truth, scores = drawn(7, 11, 0)
    of_positives, of_negatives = delong.placements(truth, scores)
    np.testing.assert_allclose(of_positives, pairs(truth, scores).mean(axis=1))
    np.testing.assert_allclose(of_negatives, pairs(truth, scores).mean(axis=0))
    assert of_positives.mean() == pytest.approx(roc_auc_score(truth, scores))


def test_variance_of_hanley_and_mcneil_is_that_of_exponential_scores():
    generator = np.random.default_rng(7)
    of_positives, of_negatives = generator.exponential(4, (6000, 8, 1)), generator.exponential(1, (6000, 1, 15))
    areas = (of_positives > of_negatives).mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(0.8, abs=0.01)
    assert delong.hanley_mcneil(0.8, 8, 15) == pytest.approx(areas.var(), rel=0.06)


@pytest.mark.parametrize(("positives", "negatives"), [(6, 30), (40, 90)])
def test_the_interval_solves_wilsons_equation(positives, negatives):
    """(A - a)^2 = t^2 a (1 - a) / n at both ends."""
    truth, scores = drawn(positives, negatives, 1)
    both = pairs(truth, scores)
    area = both.mean()
    parts = [both.mean(axis=1).var(ddof=1) / positives, both.mean(axis=0).var(ddof=1) / negatives]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (positives - 1) + parts[1] ** 2 / (negatives - 1))
    variance = max(sum(parts), delong.hanley_mcneil(area, positives, negatives))
    number = area * (1 - area) / variance
    for end in delong.interval(truth, scores):
        assert (area - end) ** 2 == pytest.approx(t.ppf(0.975, freedom) ** 2 * end * (1 - end) / number)


def test_separated_scores_have_an_interval_of_width_and_the_other_way_round_its_mirror():
    truth = np.arange(30) < 5
    low, high = delong.interval(truth, truth.astype(float))
    assert 0.4 < low < 0.8 and high == 1.0
    assert delong.interval(truth, -truth.astype(float)) == pytest.approx((0.0, 1 - low))
    # More positives say more.
    assert delong.interval(np.arange(60) < 20, np.arange(60)[::-1])[0] > low


@pytest.mark.parametrize("positives", [0, 1, 19, 20])
def test_two_cases_of_either_kind_are_needed(positives):
    truth = np.arange(20) < positives
    assert np.isnan(delong.interval(truth, np.arange(20.0))).all()
    groups = np.where(np.arange(20) < 10, "one", np.arange(20).astype(str))
    assert np.isnan(delong.interval(np.arange(20) < 10, np.arange(20.0), groups)).all()


def test_twins_in_groups_have_the_interval_of_one_of_them():
    truth, scores = drawn(12, 40, 2)
    alone = delong.interval(truth, scores)
    twice = (np.tile(truth, 2), np.tile(scores, 2))
    assert delong.interval(*twice, np.tile(np.arange(52), 2)) == pytest.approx(alone)
    apart = delong.interval(*twice)
    assert apart[1] - apart[0] < 0.8 * (alone[1] - alone[0])


def test_a_group_with_both_kinds_counts_what_they_share():
    """Pairs of a positive and a negative that go up together: less spread by the parts than by the groups."""
    generator = np.random.default_rng(3)
    truth, of_group = np.tile([True, False], 30), np.repeat(np.arange(30), 2)
    scores = generator.normal(size=60) + truth
    parts = delong.placements(truth, scores)
    variance, freedom = delong.variance_of(parts, truth, of_group)
    alone, same = delong.variance_of(parts, truth)
    area = parts[0].mean()
    influence = np.zeros(30)
    np.add.at(influence, of_group[truth], (parts[0] - area) / 30)
    np.add.at(influence, of_group[~truth], (parts[1] - area) / 30)
    assert variance == pytest.approx(max(alone, 30 / 29 * (influence**2).sum()))
    assert freedom == pytest.approx(same)


@pytest.mark.parametrize("area", [0.75, 0.9, 0.98])
@pytest.mark.parametrize("positives", [5, 16])
def test_the_interval_holds_the_true_area(positives, area):
    """At least 93 % of 400 draws, but for their noise (1.3 points); the percentile bootstrap held 77 to 90."""
    generator = np.random.default_rng(positives)
    truth, shift = np.arange(200) < positives, np.sqrt(2) * norm.ppf(area)
    holds = []
    for _ in range(400):
        low, high = delong.interval(truth, generator.normal(size=200) + shift * truth)
        holds.append(low <= area <= high)
    assert np.mean(holds) >= 0.93


def test_equal_areas_of_two_scores_have_no_variance():
    truth, scores = drawn(8, 20, 4)
    parts = delong.placements(truth, np.stack([scores, scores]))
    same = tuple(part[0] - part[1] for part in parts)
    assert delong.variance_of(same, truth)[0] == 0
    assert delong.interval(truth, np.zeros(28)) == pytest.approx(
        proportions.wilson(0.5, 0.25 / delong.hanley_mcneil(0.5, 8, 20), t.ppf(0.975, 7))
    )
