"""Batch normalisation by the fused kernel in training, one pass where Keras makes many; over several replicas, too."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from amfam_tf.layers.shared_moments import replica_among_others, whiten_over_replicas

TYPES = ("float32", "bfloat16", "float16")
_averages_move = contextvars.ContextVar("averages_move", default=True)


@contextlib.contextmanager
def keeping_averages() -> Iterator[None]:
    """Within it, no moving average moves: for a part that is computed a second time.

    Only of layers that need nothing of Keras in training; another one raises a ValueError.
    """
    token = _averages_move.set(False)
    try:
        yield
    finally:
        _averages_move.reset(token)


@keras.saving.register_keras_serializable(package="amfam_tf")
class BatchNormalization(layers.BatchNormalization):
    """Keras' BatchNormalization, to rounding, with less time and memory per training step.

    Images [B, h, w, c] with the channels last go through the fused kernel, which keeps nothing but its input for the
    gradient. With `synchronized`, several replicas of a network use the statistics of what all of them see, images or
    vectors [B, c], see `shared_moments`. Whatever these two cannot do (other axes, masks, float64) and all of inference
    are left to Keras. Statistics are float32 under any policy; the moving variance is, as Keras', that of the batch
    without Bessel's correction.

    It has the name of Keras' class because that is part of the layout of weight files.
    """

    keeps_statistics = False
    """In training, too, use the moving averages and leave them as they are."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not (training and self.trainable) or self.keeps_statistics:
            return super().call(inputs, training=False, mask=mask)
        together = self.synchronized and replica_among_others() is not None
        if mask is not None or not self._is_computed_here(inputs, together):
            if not _averages_move.get():
                raise ValueError(f"Layer {self.name} cannot be computed again: Keras would move its averages twice.")
            return super().call(inputs, training=training, mask=mask)
        channels = (inputs.shape[-1],)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        if together:
            white, mean, variance = whiten_over_replicas(inputs, self.epsilon)
            outputs = tf.cast(white * gamma + beta, inputs.dtype)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=self.epsilon)
            variance *= _without_bessel(inputs)
        if _averages_move.get():
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, variance)
        return outputs

    def _is_computed_here(self, inputs: tf.Tensor, together: bool) -> bool:
        rank = inputs.shape.rank
        last = self.axis in (-1, rank - 1) and (together or rank == 4)
        return last and not self.renorm and inputs.dtype.name in TYPES

    def _update(self, average: keras.Variable, value: tf.Tensor) -> None:
        average.assign(average * self.momentum + tf.cast(value, average.dtype) * (1.0 - self.momentum))


def _without_bessel(inputs: tf.Tensor) -> tf.Tensor:
    """Returns (n - 1) / n for the n values of a channel: the kernel divides by n - 1."""
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    return (count - 1.0) / count


def keep_batch_statistics(model: keras.Model) -> None:
    """Makes the batch normalisations of a model keep their statistics, see `BatchNormalization`.

    Raises:
        ValueError: one is Keras' own.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            if not isinstance(layer, BatchNormalization):
                raise ValueError(f"Layer {layer.name} must be a fused one.")
            layer.keeps_statistics = True


def fuse_batch_norms(model: keras.Model) -> None:
    """Makes the batch normalisations of a model, directly in it, fused ones; weights, names and graph stay.

    For networks that a library builds: a copy of the graph would lose what the library's class knows about it.
    """
    for layer in model.layers:
        if type(layer) is layers.BatchNormalization:
            layer.__class__ = BatchNormalization
