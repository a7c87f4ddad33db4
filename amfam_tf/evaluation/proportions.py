"""95 % intervals of a proportion, and of what is like one, that hold at the ends of the scale.

| what | interval |
| --- | --- |
| share of cases | Clopper and Pearson 1934: covers at least 95 %, whatever the true share and the number of cases |
| share of cases in groups | the same with an effective number of cases, Korn and Graubard 1998 |
| any estimate in [0, 1] with a variance | Wilson 1927 with an effective number of cases and a quantile of Student's t |

The effective number of cases is that of which a plain proportion would have the same variance, p (1 - p) / variance; it
is never more than there are, and where the estimate is 0 or 1, which leaves no variance to be seen, just that.
Measured coverage: docs/evaluation.md.
"""

import numpy as np
from scipy.stats import beta, norm, t

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
NORMAL = float(norm.ppf(1 - TAIL))
NONE = (np.nan, np.nan)

Interval = tuple[float, float]
"""Lower and upper end; NaN where there is none."""


def exact(successes: float, cases: float) -> Interval:
    """Returns Clopper and Pearson's interval, in [0, 1]; both numbers may be fractions, `cases` above 0."""
    low = 0.0 if successes <= 0 else beta.ppf(TAIL, successes, cases - successes + 1)
    high = 1.0 if successes >= cases else beta.ppf(1 - TAIL, successes + 1, cases - successes)
    return float(low), float(high)


def wilson(value: float, cases: float, quantile: float = NORMAL) -> Interval:
    """Returns Wilson's interval of a share `value` of `cases`, which may be a fraction, in [0, 1]."""
    squared = quantile**2 / cases
    centre = (value + squared / 2) / (1 + squared)
    half = np.sqrt(squared * (value * (1 - value) + squared / 4)) / (1 + squared)
    # At the ends exactly, whatever the rounding.
    low = 0.0 if value <= 0 else max(0.0, centre - half)
    return float(low), 1.0 if value >= 1 else float(min(1.0, centre + half))


def of_cases(right: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """Returns the interval of the share of cases that are right.

    Args:
        right: bool [N]; without any there is no interval.
        groups: of each case, [N]; a single one says nothing, and its interval is the whole range.
    """
    if not len(right):
        return NONE
    if groups is None:
        return exact(int(right.sum()), len(right))
    share = float(right.mean())
    sums = sums_of(right - share, groups)
    count = len(sums)
    if count < 2:
        return 0.0, 1.0
    variance = count / (count - 1) * float(sums @ sums) / len(right) ** 2
    # Where all are right, or none, it is not seen how much alike the cases of a group are: it counts as one.
    number = effective_number(share, variance, len(right) if variance > 0 else count)
    number *= (NORMAL / quantile_of(count - 1)) ** 2
    return exact(share * number, number)


def sums_of(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Returns the sum over the cases of each group, float64 [groups]; without groups the values, [N], as they are."""
    return values if groups is None else np.bincount(np.unique(groups, return_inverse=True)[1], values)


def effective_number(value: float, variance: float, most: float) -> float:
    """Returns how many cases have this variance of a share, at most `most`."""
    return min(most, value * (1 - value) / variance) if variance > 0 and 0 < value < 1 else most


def quantile_of(freedom: float) -> float:
    """Returns the upper quantile of Student's t; infinite degrees of freedom are those of the normal distribution."""
    return float(t.ppf(1 - TAIL, freedom))


def of_estimate(value: float, variance: float, most: float, freedom: float) -> Interval:
    """Returns the interval of an estimate.

    Args:
        value: in [0, 1].
        variance: of it.
        most: cases (or groups) that it rests on, the largest effective number.
        freedom: degrees of freedom of the variance; below 1 there is no interval.
    """
    if np.isnan(value) or np.isnan(variance) or most < 1 or not freedom >= 1:
        return NONE
    number = max(effective_number(value, variance, most), np.finfo(float).tiny)
    return wilson(value, number, quantile_of(freedom))
