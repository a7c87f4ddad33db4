"""Logit adjustment: the class frequencies of training with a strength of one's own."""

import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy, log_prior


def logit_adjustment(labels: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, values: LossConfig) -> tf.Tensor:
    """Returns the cross-entropy of z + tau log pi of each case, [B]; pi are the shares of the classes in training.

    With tau = 1 it is `balanced_softmax`; with tau = 0, or equal counts, the cross-entropy.

    Args:
        labels: int [B].
        logits: z, float32 [B, classes].
        counts: training cases of each class, float32 [classes], at least 1.
        values: adjustment (tau), label_smoothing.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", Eq. 10.
    """
    return adjusted_cross_entropy(labels, logits + values.adjustment * log_prior(counts), values.label_smoothing)
