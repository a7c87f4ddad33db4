"""Area under the ROC curve: placement values, their variance (DeLong et al. 1988), and an interval that holds.

DeLong's variance is 0 where all positives are above all negatives, too small near there, and with few positives itself
uncertain. So the interval is Wilson's with an effective number of cases (`amfam_tf.evaluation.proportions`), the
smaller one by two variances: DeLong's, and that of Hanley and McNeil 1982 for exponential scores, which is never 0. The
quantile is of Student's t with Welch and Satterthwaite's degrees of freedom, as in Brunner and Munzel 2000. Coverage of
this and of others: docs/evaluation.md.
"""

import numpy as np
from scipy.stats import rankdata

from amfam_tf.evaluation.proportions import NONE, Interval, effective_number, quantile_of, sums_of, wilson

FEWEST = 2
"""Cases (or groups) of either kind, for a variance."""


def placements(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which share of the negatives is below each positive, and of the positives above each negative.

    Args:
        truth: bool [N].
        scores: [..., N], higher for true; a tie counts half.

    Returns:
        [..., positives] and [..., negatives], by midranks (Sun and Xu 2014); the mean of either is the area.
    """
    ranks = rankdata(scores, axis=-1)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    of_positives = (ranks[..., truth] - rankdata(scores[..., truth], axis=-1)) / negatives
    return of_positives, 1 - (ranks[..., ~truth] - rankdata(scores[..., ~truth], axis=-1)) / positives


def hanley_mcneil(area: float, positives: float, negatives: float) -> float:
    """Returns the variance of an area by Hanley and McNeil 1982, for exponential scores."""
    both, other = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (both - area**2) + (negatives - 1) * (other - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def interval(truth: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """Returns the 95 % interval of an area; none with fewer than two cases, or groups, of either kind.

    Args:
        truth: bool [N].
        scores: [N], higher for true.
        groups: of each case, [N], whose cases are alike; None takes every case for itself.
    """
    truth, scores = np.asarray(truth, bool), np.asarray(scores, np.float64)
    counts = [int(truth.sum()), int((~truth).sum())]
    if min(counts) < FEWEST:
        return NONE
    parts = placements(truth, scores)
    area = float(parts[0].mean())
    variance, freedom = variance_of(parts, truth, groups)
    if np.isnan(variance):
        return NONE
    numbers = [len(np.unique(groups[kind])) for kind in (truth, ~truth)] if groups is not None else counts
    # The scores turned round have the mirrored interval; half a pair off the end, there is a variance.
    moved = min(max(area, 1 - area), 1 - 1 / (2 * numbers[0] * numbers[1]))
    most = effective_number(moved, hanley_mcneil(moved, *numbers), np.inf)
    return wilson(area, effective_number(area, variance, most), quantile_of(freedom))


def variance_of(
    parts: tuple[np.ndarray, np.ndarray], truth: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """Returns the variance of an area, or of a difference of two, and its degrees of freedom.

    Args:
        parts: placements of the positives and of the negatives, or differences of them, with the same mean.
        truth: bool [N].
        groups: of each case, [N]; None takes every case for itself.

    Returns:
        NaN, NaN with fewer than two cases, or groups, of either kind.

    Source: DeLong et al. 1988; of groups the sums over each (Obuchowski 1997); Welch and Satterthwaite.
    """
    shares = [(part - part.mean()) / len(part) for part in parts]
    kinds = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    owners = [None if groups is None else groups[kind] for kind in kinds]
    sums = [sums_of(*one) for one in zip(shares, owners, strict=True)]
    numbers = [len(part) for part in sums]
    if min(numbers) < FEWEST:
        return np.nan, np.nan
    variances = [_variance(part) for part in sums]
    variance, freedom = sum(variances), float(min(numbers) - 1)
    if variance > 0:
        freedom = variance**2 / sum(one**2 / (number - 1) for one, number in zip(variances, numbers, strict=True))
    if groups is not None:
        # A group may have cases of both kinds, which then go up and down together.
        variance = max(variance, _variance(sums_of(np.concatenate(shares), groups[np.concatenate(kinds)])))
    return variance, freedom


def _variance(sums: np.ndarray) -> float:
    """Returns the variance of the total of independent sums."""
    return len(sums) / (len(sums) - 1) * float(sums @ sums)
