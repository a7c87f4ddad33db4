"""The attention branch: channel weights from the feature maps, and the map m that they sum up to."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from amfam_tf.layers.bicubic import normalize_min_max, resize_bicubic


@keras.saving.register_keras_serializable(package="amfam_tf")
class AttentionMap(layers.Layer):
    """Where the backbone looks, as an image in [0, 1].

    One depthwise convolution whose kernel covers the whole feature map turns F [B, h, w, c] into a vector [B, c] (it
    starts as global average pooling). Dense layers c, c/2, c turn that into channel weights a. The map
    m = sum_k a_k F_k [B, h, w] is resized bicubically to `size` and scaled per image to [0, 1].

    Input: feature maps [B, h, w, c], h and w static. Output: [B, *size, 1], float32, values in [0, 1]; where a map is
    constant, zeros.

    Example: F [8, 10, 10, 2048] -> vector [8, 2048] -> a [8, 2048] -> m [8, 10, 10] -> [8, 299, 299, 1].

    Source: Wang et al. 2022, Sec. 3.3, Fig. 3; choices where the paper is silent: docs/method.md.
    """

    def __init__(
        self,
        size: tuple[int, int],
        activations: tuple[str, str, str] = ("relu", "relu", "sigmoid"),
        stop_gradient: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        height, width = size
        self.size = (height, width)
        self.activations = tuple(activations)
        self.stop_gradient = stop_gradient

    def build(self, input_shape: tuple[Any, ...]) -> None:
        _, height, width, channels = input_shape
        if height is None or width is None:
            raise ValueError(f"AttentionMap needs a static height and width. Received: input_shape={input_shape}")
        self.pooling = layers.DepthwiseConv2D(
            (height, width),
            depthwise_initializer=keras.initializers.Constant(1.0 / (height * width)),
            dtype=self.dtype_policy,
            name="pooling",
        )
        self.pooling.build(input_shape)
        self.dense: list[layers.Layer] = []
        for units, activation, source in zip(
            (channels, channels // 2, channels), self.activations, (channels, channels, channels // 2), strict=True
        ):
            layer = layers.Dense(
                units, activation=activation, dtype=self.dtype_policy, name=f"dense_{len(self.dense) + 1}"
            )
            layer.build((None, source))
            self.dense.append(layer)

    def channel_weights(self, feature_maps: tf.Tensor) -> tf.Tensor:
        """Returns a [B, c] for feature maps [B, h, w, c]."""
        vector = self._convolve(feature_maps)
        for layer in self.dense:
            vector = layer(vector)
        return vector

    def _convolve(self, feature_maps: tf.Tensor) -> tf.Tensor:
        """Returns what `pooling` gives, [B, c]: there is one place for its kernel, so its convolution is one sum.

        TensorFlow's depthwise convolution with a kernel of that size takes gigabytes for its gradient.
        """
        # [h, w, c, 1] -> [h, w, c]
        kernel = tf.squeeze(tf.convert_to_tensor(self.pooling.kernel), axis=-1)
        # Sums in float32, as those of a convolution are.
        products = tf.cast(feature_maps, tf.float32) * tf.cast(kernel, tf.float32)
        sums = tf.reduce_sum(products, axis=(1, 2)) + tf.cast(tf.convert_to_tensor(self.pooling.bias), tf.float32)
        return tf.cast(sums, feature_maps.dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        weights = self.channel_weights(inputs)
        # float32 from here: min-max over a bfloat16 map would leave few distinct levels.
        maps = tf.cast(tf.einsum("bhwc,bc->bhw", inputs, weights), tf.float32)
        attention = normalize_min_max(resize_bicubic(maps, self.size))[..., None]
        return tf.stop_gradient(attention) if self.stop_gradient else attention

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], *self.size, 1), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "activations": self.activations,
            "stop_gradient": self.stop_gradient,
        }
