"""How right answers are, for counts [R, N]: how often each of N cases is in each of R samples; undefined is NaN.

Of 2,000 resamples a few matrix products and cumulative sums. `amfam_tf.evaluation.metrics` says what is measured of
which task; training judges its epochs by the same functions.
"""

from dataclasses import dataclass

import numpy as np


def weighted_confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Returns confusion matrices, [R, classes, classes], rows labels and columns predictions."""
    cells = np.eye(classes * classes)[np.asarray(y_true) * classes + np.asarray(y_pred)]
    return (counts @ cells).reshape(len(counts), classes, classes)


@dataclass(frozen=True)
class Ranking:
    """Cases in the order of a score; made once, for any number of resamples.

    Attributes:
        order: of the cases by score, ascending, int [N].
        starts: where in it each distinct score begins, int [scores].
        truth: of the cases in this order, bool [N].
    """

    order: np.ndarray
    starts: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, scores: np.ndarray) -> "Ranking":
        """Returns the ranking of cases by scores [N], higher for true; truth is bool [N]."""
        order = np.argsort(scores, kind="stable")
        ordered = np.asarray(scores)[order]
        # Without any case there is no score either.
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(order)])
        return cls(order, starts, np.asarray(truth, bool)[order])

    def totals(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the counts, of [R, N], of true and of other cases at each distinct score, each [R, scores]."""
        drawn = counts[:, self.order]
        positives = drawn * self.truth
        drawn -= positives
        if len(self.starts) == len(self.order):
            return positives, drawn
        return np.add.reduceat(positives, self.starts, axis=1), np.add.reduceat(drawn, self.starts, axis=1)


def weighted_auc(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the area under the ROC curve in each resample, [R]; a tie counts half; NaN without both kinds of case.

    Args:
        truth: bool [N].
        scores: [N], higher for true.
        counts: [R, N].
    """
    return _auc(*totals_per_score(truth, scores, counts))


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Returns the area, [R], from the counts of both kinds at each score, ascending, [R, scores]."""
    below = np.cumsum(negatives, axis=1)
    below -= negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return divide(np.einsum("rs,rs->r", positives, below), pairs)


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Returns the average precision, [R], from the counts of both kinds at each score, ascending, [R, scores]."""
    positives, negatives = positives[:, ::-1], negatives[:, ::-1]
    found, others = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    others += found
    # Where nothing is drawn yet nothing is found either, and 0 / 1 is the 0 that it has to be.
    np.maximum(others, 1, out=others)
    precision = np.divide(found, others, out=others)
    return divide(np.einsum("rs,rs->r", positives, precision), positives.sum(axis=1))


def totals_per_score(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the counts of true and of other cases at each distinct score, ascending, each [R, scores]."""
    return Ranking.of(truth, scores).totals(counts)


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns the quotient, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def mean_of_defined(columns: np.ndarray) -> np.ndarray:
    """Returns the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(columns)
    return divide(np.where(defined, columns, 0).sum(axis=-1), defined.sum(axis=-1))


@dataclass(frozen=True)
class Answers:
    """What is said about N cases, made once for any number of samples.

    Attributes:
        y_true, y_pred: class numbers, [N].
        rankings: of the cases by the probability of each class.
        likely: whether each class has a probability above 0.5, bool [N, classes].
    """

    y_true: np.ndarray
    y_pred: np.ndarray
    rankings: tuple[Ranking, ...]
    likely: np.ndarray

    @classmethod
    def of(cls, y_true: np.ndarray, probabilities: np.ndarray) -> "Answers":
        """Returns the answers of probabilities [N, classes]; the argmax, the first one of equals, is the prediction."""
        rankings = tuple(Ranking.of(y_true == number, scores) for number, scores in enumerate(probabilities.T))
        return cls(y_true, probabilities.argmax(axis=1), rankings, probabilities > 0.5)

    def confusion(self, counts: np.ndarray) -> np.ndarray:
        """Returns the confusion matrices of counts [R, N], [R, classes, classes]."""
        return weighted_confusion(self.y_true, self.y_pred, len(self.rankings), counts)

    def rates(self, counts: np.ndarray, confusion: np.ndarray) -> dict[str, np.ndarray]:
        """Returns each metric of a class, [R, classes], by name, and `support`, the cases of each class."""
        right = np.diagonal(confusion, axis1=1, axis2=2)
        support, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
        negatives = confusion.sum(axis=(1, 2))[:, None] - support
        areas, precisions = [], []
        for ranking in self.rankings:
            totals = ranking.totals(counts)
            areas.append(_auc(*totals))
            precisions.append(_average_precision(*totals))
        return {
            "sensitivity": divide(right, support),
            "specificity": divide(negatives - (predicted - right), negatives),
            "precision": divide(right, predicted),
            "auc": np.stack(areas, axis=1),
            "support": support,
            "f1": divide(2 * right, support + predicted),
            "average_precision": np.stack(precisions, axis=1),
        }

    def f1_at_half(self, counts: np.ndarray) -> np.ndarray:
        """Returns the mean over the classes of the F1 of "its probability is above 0.5" in each resample, [R].

        The score of the MILK10k challenge: by its code a class without any true, predicted or missed case counts 1, so
        the mean is over all classes; one that has cases and is never predicted counts 0.
        """
        truth = np.eye(len(self.rankings))[self.y_true]
        right, given = counts @ (truth * self.likely), counts @ truth + counts @ self.likely
        score = np.where(given > 0, divide(2 * right, given), 1.0).mean(axis=1)
        return np.where(counts.sum(axis=1) > 0, score, np.nan)


def kappa_of(confusion: np.ndarray) -> np.ndarray:
    """Returns Cohen's kappa, [R]; NaN if labels and predictions are all of one and the same class."""
    total = confusion.sum(axis=(1, 2))
    observed = divide(np.trace(confusion, axis1=1, axis2=2), total)
    expected = divide((confusion.sum(axis=1) * confusion.sum(axis=2)).sum(axis=1), total**2)
    return divide(observed - expected, 1 - expected)
