"""Deferred re-weighting: after some epochs the cases of rare classes count more."""

import tensorflow as tf


class DeferredWeights:
    """The weight of each case: 1 in the first epochs, then that of its class.

    Whether they are over is a variable, which `enter` sets: a function of the epoch's number only.

    Args:
        after: epochs without weights.

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", Algorithm 1.
    """

    def __init__(self, after: int):
        self._after = after
        self._over = tf.Variable(float(after == 0), trainable=False, name="weights_deferred_until_now")

    def enter(self, epoch: int) -> None:
        """Tells the number of the epoch that begins, from 0."""
        self._over.assign(float(epoch >= self._after))

    def weigh(self, losses: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the weighted losses of the cases, [B].

        Args:
            losses: float32 [B].
            labels: int [B].
            weights: of the classes, float32 [classes].
        """
        return losses * tf.where(self._over > 0, tf.gather(weights, labels), 1.0)
