"""Balanced softmax: the cross-entropy under the class frequencies of training."""

import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy, log_prior


def balanced_softmax(labels: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, values: LossConfig) -> tf.Tensor:
    """Returns -log(n_y exp(z_y) / sum_k n_k exp(z_k)) of each case, [B].

    A network that minimises it answers as if all classes were as frequent. With equal counts it is the cross-entropy.

    Args:
        labels: y, int [B].
        logits: z, float32 [B, classes].
        counts: n, training cases of each class, float32 [classes], at least 1.
        values: label_smoothing.

    Source: Ren et al. 2020, "Balanced Meta-Softmax for Long-Tailed Visual Recognition", Eq. 4.
    """
    return adjusted_cross_entropy(labels, logits + log_prior(counts), values.label_smoothing)
