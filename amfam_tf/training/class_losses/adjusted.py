"""What several of these losses are made of: the cross-entropy of each case, of logits that may have been changed."""

import tensorflow as tf


def log_prior(counts: tf.Tensor) -> tf.Tensor:
    """Returns the logarithm of each class' share of the training cases, [classes].

    Args:
        counts: float32 [classes], at least 1.
    """
    return tf.math.log(counts) - tf.math.log(tf.reduce_sum(counts))


def adjusted_cross_entropy(labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Returns the cross-entropy of each case, [B], its label smoothed.

    With smoothing e, a case's target is (1 - e) of its label and e of the mean of all K classes:
    (1 - e) (-log p_y) + e / K sum_k (-log p_k) (Szegedy et al. 2016, Sec. 7).

    Args:
        labels: int [B].
        logits: float32 [B, classes].
        smoothing: e, in [0, 1).
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if smoothing:
        of_all = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
        losses = (1.0 - smoothing) * losses + smoothing * of_all
    return losses
