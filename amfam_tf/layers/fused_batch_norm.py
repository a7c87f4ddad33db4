"""Batch normalisation by TensorFlow's fused kernel in training: one pass, where Keras' layer makes many."""

import contextlib
import contextvars
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import layers

FUSED_TYPES = ("float32", "bfloat16", "float16")
_averages_move = contextvars.ContextVar("averages_move", default=True)


@contextlib.contextmanager
def keeping_averages() -> Iterator[None]:
    """Within it, no moving average moves: for a part that is computed a second time."""
    token = _averages_move.set(False)
    try:
        yield
    finally:
        _averages_move.reset(token)


@keras.saving.register_keras_serializable(package="amfam_tf")
class BatchNormalization(layers.BatchNormalization):
    """Keras' BatchNormalization, to rounding, with less time and memory per training step.

    Images [B, h, w, c] with the channels last go through the fused kernel, which keeps nothing but its input for the
    gradient. Whatever that kernel cannot do (other axes, statistics over several devices, masks, float64) and all of
    inference are left to Keras. Statistics are float32 under any policy; the moving variance is, as Keras', that of the
    batch without Bessel's correction.

    It has the name of Keras' class because that is part of the layout of weight files.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable) or mask is not None or not self._can_be_fused(inputs):
            return self._call_of_keras(inputs, training, mask)
        channels = (inputs.shape[-1],)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=self.epsilon)
        if _averages_move.get():
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, variance * _without_bessel(inputs))
        return outputs

    def _call_of_keras(self, inputs, training, mask):
        moves = training and self.trainable and not _averages_move.get()
        kept = [(average, tf.convert_to_tensor(average)) for average in self.non_trainable_variables] if moves else []
        outputs = super().call(inputs, training=training, mask=mask)
        for average, value in kept:
            average.assign(value)
        return outputs

    def _can_be_fused(self, inputs) -> bool:
        last = self.axis in (-1, 3) and inputs.shape.rank == 4
        together = self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync > 1
        return last and not (together or self.renorm) and inputs.dtype.name in FUSED_TYPES

    def _update(self, average: keras.Variable, value: tf.Tensor) -> None:
        average.assign(average * self.momentum + tf.cast(value, average.dtype) * (1.0 - self.momentum))


def _without_bessel(inputs: tf.Tensor) -> tf.Tensor:
    """Returns (n - 1) / n for the n values of a channel: the kernel divides by n - 1."""
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    return (count - 1.0) / count


def fuse_batch_norms(model: keras.Model) -> None:
    """Makes the batch normalisations of a model, directly in it, fused ones; weights, names and graph stay.

    For networks that a library builds: a copy of the graph would lose what the library's class knows about it.
    """
    for layer in model.layers:
        if type(layer) is layers.BatchNormalization:
            layer.__class__ = BatchNormalization
