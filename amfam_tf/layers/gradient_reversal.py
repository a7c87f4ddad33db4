"""Gradient reversal: identity forward, minus a coefficient times the gradient backward."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@tf.custom_gradient
def reverse_gradient(x: tf.Tensor, coefficient: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Returns `x`; the gradient with respect to `x` is `-coefficient` times the incoming one."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return -tf.cast(coefficient, upstream.dtype) * upstream, None

    return tf.identity(x), gradient


@keras.saving.register_keras_serializable(package="amfam_tf")
class GradientReversal(keras.layers.Layer):
    """Passes its input on unchanged and turns the sign of the gradient.

    The layers behind it learn to minimise their loss; the layers before it receive minus `scale` times that gradient
    and so learn to maximise it (Eq. 1 with one optimiser). `coefficient` is a variable that starts at `scale`, so that
    a schedule can change it during training.

    Input and output: any shape [...], any floating dtype.

    Source: Ganin and Lempitsky 2015; Wang et al. 2022, Sec. 3.2.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if scale <= 0:
            raise ValueError(f"`scale` must be greater than 0. Received: scale={scale}")
        self.scale = scale

    def build(self, input_shape: tuple[Any, ...]) -> None:  # noqa: ARG002
        self.coefficient = self.add_weight(
            name="coefficient",
            shape=(),
            initializer=keras.initializers.Constant(self.scale),
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return reverse_gradient(inputs, tf.convert_to_tensor(self.coefficient.value))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
