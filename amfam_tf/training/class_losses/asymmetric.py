"""Asymmetric loss: of the classes that a case does not have only the likely ones count, by a focusing of their own."""

import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.class_balanced_focal import SMALLEST, focal


def asymmetric(
    labels: tf.Tensor,
    logits: tf.Tensor,
    counts: tf.Tensor,  # noqa: ARG001  (every loss for rare classes has this signature)
    values: LossConfig,
) -> tf.Tensor:
    """Returns -(1 - p_y)^g log p_y - sum_(k != y) q_k^h log(1 - q_k) of each case, [B], with q = max(p - m, 0).

    Published for labels that do not exclude each other, with a sigmoid for each; p is the softmax here. With g = 0 and
    m = 1 it is the cross-entropy; with g = h = m = 0 the sum of the binary cross-entropies of all p.

    Args:
        labels: y, int [B].
        logits: float32 [B, classes]; p is their softmax.
        counts: not needed, for it is the label that tells the two sides apart.
        values: focusing (g), focusing_others (h), shift (m).

    Source: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", Sec. 2.
    """
    shifted = tf.maximum(tf.nn.softmax(logits) - values.shift, 0.0)
    others = -tf.math.log(tf.maximum(1.0 - shifted, SMALLEST))
    if values.focusing_others:
        # The power of an exact 0 would have an infinite gradient for h below 1.
        others *= tf.maximum(shifted, SMALLEST) ** values.focusing_others
    others *= 1.0 - tf.one_hot(labels, logits.shape[-1])
    return focal(labels, logits, values.focusing) + tf.reduce_sum(others, axis=-1)
