"""Large margin aware focal loss: half of LDAM and half of the focal loss."""

import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.class_balanced_focal import focal
from amfam_tf.training.class_losses.ldam import ldam


def large_margin_focal(labels: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, values: LossConfig) -> tf.Tensor:
    """Returns (LDAM + focal) / 2 of each case, [B].

    Published with a factor for each; both are 1/2 here, so that margin 0 and gamma 0 give the cross-entropy.

    Args:
        labels: int [B].
        logits: float32 [B, classes].
        counts: training cases of each class, float32 [classes], at least 1.
        values: margin, focusing (gamma), label_smoothing of the first half.

    Source: Sadi et al. 2022, "LMFLOSS: A Hybrid Loss For Imbalanced Medical Image Classification", Eq. 5.
    """
    return 0.5 * (ldam(labels, logits, counts, values) + focal(labels, logits, values.focusing))
