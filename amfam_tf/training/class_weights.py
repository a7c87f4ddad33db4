"""Class weights of one batch, for losses of unbalanced tasks."""

import tensorflow as tf

from amfam_tf.training.replicas import sum_over_replicas


def batch_class_weights(labels: tf.Tensor, classes: int, shares: tf.Tensor | None = None) -> tf.Tensor:
    """Returns max_count / count_c of each case's class c, counted in this batch; at least 1, no gradient.

    Counted in the whole batch, where several replicas of the network share it.

    The rarest class that is present weighs most, the most frequent one 1, and the cases of every present class together
    weigh the same, max_count. A class that is absent has no case to weigh. The weighted loss is the mean over the batch
    of weight * cross-entropy: divided by the number of cases, not by the sum of the weights, so a batch whose classes
    are uneven also weighs more as a whole.

    Args:
        labels: class numbers, int [B] in [0, classes); a case below 0, of no known class, is not counted
            and may get any finite weight.
        classes: number of classes.
        shares: how much of a case each counts for, float32 [B]; 1 by default.

    Returns:
        float32 [B].

    Source: Kawahara et al. 2018 (weights max_count / count_c on each batch); the division is ours: docs/method.md.
    """
    rows = tf.one_hot(labels, classes, dtype=tf.float32)
    (counts,) = sum_over_replicas([tf.reduce_sum(rows if shares is None else rows * shares[:, None], axis=0)])
    # Without a known label in the batch there is nothing to divide by.
    return tf.math.divide_no_nan(tf.reduce_max(counts), tf.gather(counts, tf.maximum(labels, 0)))
