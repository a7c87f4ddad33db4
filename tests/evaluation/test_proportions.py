"""Intervals of shares: scipy's where it has them, and how often they hold the true share."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm, t

from amfam_tf.evaluation import proportions


@pytest.mark.parametrize(("right", "cases"), [(0, 8), (8, 8), (3, 8), (1, 1), (298, 395)])
def test_exact_and_wilsons_are_scipys(right, cases):
    test = binomtest(right, cases)
    for found, method in (
        (proportions.exact(right, cases), "exact"),
        (proportions.wilson(right / cases, cases), "wilson"),
    ):
        expected = test.proportion_ci(0.95, method)
        assert found == pytest.approx((expected.low, expected.high), abs=1e-9)
    answers = np.arange(cases) < right
    assert proportions.of_cases(answers) == proportions.exact(right, cases)


def test_none_of_eight_has_a_width_and_no_case_no_interval():
    assert proportions.of_cases(np.zeros(8, bool)) == pytest.approx((0.0, 0.3694), abs=1e-4)
    assert np.isnan(proportions.of_cases(np.zeros(0, bool))).all()


@pytest.mark.parametrize("cases", [5, 8, 19, 101])
def test_exact_intervals_hold_every_share(cases):
    ends = [proportions.exact(right, cases) for right in range(cases + 1)]
    for share in np.linspace(0.01, 0.99, 50):
        holds = [low <= share <= high for low, high in ends]
        assert binom.pmf(np.arange(cases + 1), cases, share)[holds].sum() >= 0.95


def test_twins_count_once():
    right = np.arange(40) < 30
    twins, owners = np.tile(right, 2), np.tile(np.arange(40), 2)
    number = 40 * 39 / 40 * (norm.ppf(0.975) / t.ppf(0.975, 39)) ** 2
    assert proportions.of_cases(twins, owners) == pytest.approx(proportions.exact(0.75 * number, number))
    apart = proportions.of_cases(twins)
    alone = proportions.of_cases(twins, owners)
    assert apart[1] - apart[0] < 0.8 * (alone[1] - alone[0])


def test_groups_that_are_all_right_count_as_one_case_each():
    number = 5 * (norm.ppf(0.975) / t.ppf(0.975, 4)) ** 2
    found = proportions.of_cases(np.ones(20, bool), np.arange(20) // 4)
    assert found == pytest.approx(proportions.exact(number, number))
    # One group says nothing.
    assert proportions.of_cases(np.ones(20, bool), np.zeros(20)) == (0.0, 1.0)


def test_shares_in_groups_are_held_by_their_intervals():
    """Patients of 4 lesions, of which one is right much more often than another."""
    generator, holds, plain = np.random.default_rng(5), [], []
    owners = np.arange(60) // 4
    for _ in range(500):
        right = generator.random(60) < np.repeat(generator.beta(1.6, 0.4, 15), 4)
        for found, interval in ((holds, proportions.of_cases(right, owners)), (plain, proportions.of_cases(right))):
            found.append(interval[0] <= 0.8 <= interval[1])
    assert np.mean(holds) >= 0.93
    assert np.mean(plain) < 0.9


def test_effective_numbers():
    assert proportions.effective_number(0.5, 0.01, 100) == 25
    assert proportions.effective_number(0.5, 0.001, 100) == 100
    assert proportions.effective_number(0.5, 0.0, 100) == 100
    assert proportions.effective_number(1.0, 0.01, 100) == 100


def test_an_estimate_needs_a_variance_and_a_degree_of_freedom():
    found = proportions.of_estimate(0.8, 0.004, 100, 12)
    assert found == proportions.wilson(0.8, 0.16 / 0.004, t.ppf(0.975, 12))
    assert proportions.of_estimate(0.8, 0.004, 100, np.inf) == proportions.wilson(0.8, 40.0)
    for value, variance, most, freedom in (
        (np.nan, 0.1, 9, 8),
        (0.5, np.nan, 9, 8),
        (0.5, 0.1, 0, 8),
        (0.5, 0.1, 1, 0),
    ):
        assert np.isnan(proportions.of_estimate(value, variance, most, freedom)).all()
