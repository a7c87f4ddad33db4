"""LDAM: a larger margin for rarer classes."""

import tensorflow as tf

from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy


def ldam(labels: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, values: LossConfig) -> tf.Tensor:
    """Returns the cross-entropy of each case, [B], with its label's logit lowered by that class' margin.

    The margin of class j is C / n_j^(1/4), and `margin` for the rarest class. With margin 0 it is the cross-entropy.
    The published network normalises features and classifiers and scales their cosines by 30; here the logits are the
    classifiers' own.

    Args:
        labels: int [B].
        logits: float32 [B, classes].
        counts: training cases n of each class, float32 [classes], at least 1.
        values: margin, label_smoothing.

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", Eq. 12 and 13.
    """
    margins = values.margin * (tf.reduce_min(counts) / counts) ** 0.25
    lowered = logits - tf.one_hot(labels, logits.shape[-1]) * margins
    return adjusted_cross_entropy(labels, lowered, values.label_smoothing)
