"""Class-balanced focal loss: classes weighted by their effective number of cases, easy cases by less."""

import tensorflow as tf

from amfam_tf.config import LossConfig

SMALLEST = 1e-7
"""Of 1 - p_y in the focal factor."""


def class_balanced_focal(labels: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, values: LossConfig) -> tf.Tensor:
    """Returns -w_y (1 - p_y)^gamma log p_y of each case, [B], with `effective_weights` w.

    With gamma = 0 and equal counts, or beta = 0, it is the cross-entropy.

    Args:
        labels: y, int [B].
        logits: float32 [B, classes]; p is their softmax.
        counts: training cases of each class, float32 [classes], at least 1.
        values: focusing (gamma), effective_samples (beta).

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", Eq. 10; Lin et al. 2017.
    """
    weights = tf.gather(effective_weights(counts, values.effective_samples), labels)
    return weights * focal(labels, logits, values.focusing)


def focal(labels: tf.Tensor, logits: tf.Tensor, gamma: float) -> tf.Tensor:
    """Returns -(1 - p_y)^gamma log p_y of each case, [B]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    # 1 - p_y without cancellation; the power of an exact 0 would have an infinite gradient for gamma below 1.
    others = tf.maximum(-tf.math.expm1(-losses), SMALLEST)
    return others**gamma * losses if gamma else losses


def effective_weights(counts: tf.Tensor, beta: float) -> tf.Tensor:
    """Returns (1 - beta) / (1 - beta^n) of each class, times what makes their mean over the classes 1, [classes]."""
    weights = (1.0 - beta) / (1.0 - beta**counts)
    return weights / tf.reduce_mean(weights)
