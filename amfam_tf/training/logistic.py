"""Logistic regression of one task with scikit-learn, its strength chosen on other cases: arrays to arrays.

For features x, standardised by mean and deviation of the training rows, and a grid of C, it minimises

    C * sum_i s_i CE(y_i, softmax(W x_i + b)) + |W|^2 / 2,

s_i the weight of a row; of the grid, the C with the smallest log loss on the validation cases is taken, the smallest C
of equals. A small C shrinks W to 0 and leaves b, the share of each class.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from amfam_tf.data.pair_labels import UNKNOWN

STRENGTHS = tuple(10.0 ** (number / 2) for number in range(-10, 3))
"""The grid of C, in order: 1e-5 to 10, two to a factor of ten."""
ABSENT = -20.0
"""Logit of a class without a training case. Those of the others have mean 0, so that its probability is below e^-20."""
STEPS = 10_000
"""Of the solver, at most."""


@dataclass(frozen=True)
class Rows:
    """Features of a split, a row for each pair of pictures.

    Attributes:
        vectors: float64 [rows, c].
        cases: number of each row's case, int [rows]; a case has one row, or several.
    """

    vectors: np.ndarray
    cases: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Returns one over the rows of a row's case, [rows]: each case counts once."""
        _, inverse, counts = np.unique(self.cases, return_inverse=True, return_counts=True)
        return 1.0 / counts[inverse]


@dataclass(frozen=True)
class FittedTask:
    """A classifier of vectors as they are, not standardised.

    Attributes:
        kernel: float64 [c, classes].
        bias: float64 [classes].
        strength: C; None if there was nothing to choose.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float | None = None

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Returns the logits [rows, classes] of vectors [rows, c]."""
        return vectors @ self.kernel + self.bias


def fit_task(training: Rows, labels: np.ndarray, validation: Rows, truth: np.ndarray, classes: int) -> FittedTask:
    """Returns the classifier of one task.

    Cases of unknown label are left out. A class without a training case has the logit ABSENT; without a training case
    of any class all logits are 0. Without a validation case the smallest C is taken.

    Args:
        training: its features; mean and deviation are of all its rows.
        labels: class number of each training row, `UNKNOWN` where nobody knows.
        validation: its features.
        truth: class number of each validation row.
        classes: how many the task has.
    """
    size = training.vectors.shape[1]
    present = np.unique(labels[labels != UNKNOWN])
    if len(present) < 2:
        bias = np.full(classes, ABSENT if len(present) else 0.0)
        bias[present] = 0.0
        return FittedTask(np.zeros((size, classes)), bias)
    scaler = StandardScaler().fit(training.vectors, sample_weight=training.weights)
    known = labels != UNKNOWN
    vectors, weights = scaler.transform(training.vectors[known]), training.weights[known]
    best, lowest = None, np.inf
    for strength in STRENGTHS:
        # Not begun where the one before ended: what is found depends on C alone.
        model = LogisticRegression(C=strength, max_iter=STEPS)
        # Each sum is small: several threads wait for each other longer than they add, on busy cores a hundred times.
        with threadpool_limits(1):
            model.fit(vectors, labels[known], sample_weight=weights)
        found = _unscaled(model, scaler, present, classes, strength)
        loss = log_loss(found.logits(validation.vectors), validation.cases, truth)
        if best is None or loss < lowest:
            best, lowest = found, loss
    assert best is not None
    return best


def _unscaled(
    model: LogisticRegression, scaler: StandardScaler, present: np.ndarray, classes: int, strength: float
) -> FittedTask:
    """Returns a fitted model as a classifier of vectors that are not standardised, with mean logits of 0."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:
        # Of two classes it has the difference of the logits.
        coefficients, intercepts = (np.concatenate([-one / 2, one / 2]) for one in (coefficients, intercepts))
    coefficients = (coefficients - coefficients.mean(axis=0)) / scaler.scale_
    kernel, bias = np.zeros((coefficients.shape[1], classes)), np.full(classes, ABSENT)
    kernel[:, present] = coefficients.T
    bias[present] = intercepts - intercepts.mean() - coefficients @ scaler.mean_
    return FittedTask(kernel, bias, strength)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the probabilities of logits [rows, classes]."""
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def mean_answers(logits: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Returns the mean of the probabilities of each case's rows, [cases, classes], by ascending number of the case."""
    _, inverse, counts = np.unique(cases, return_inverse=True, return_counts=True)
    total = np.zeros((len(counts), logits.shape[1]))
    np.add.at(total, inverse, np.exp(log_softmax(logits)))
    return total / counts[:, None]


def log_loss(logits: np.ndarray, cases: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean over the cases of known label of -log of the mean probability of it; 0 without such a case."""
    known = truth != UNKNOWN
    if not known.any():
        return 0.0
    # By way of logarithms: a probability may be too small for a float.
    own = log_softmax(logits[known])[np.arange(known.sum()), truth[known]]
    _, inverse, counts = np.unique(cases[known], return_inverse=True, return_counts=True)
    means = np.full(len(counts), -np.inf)
    np.logaddexp.at(means, inverse, own)
    return float(-np.mean(means - np.log(counts)))
