"""Standardises the numbers of a metadata vector with mean and deviation of the training cases."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="amfam_tf")
class Standardise(keras.layers.Layer):
    """(x - mean) / deviation at some places of a vector [B, n]; what is at the others stays as it is.

    Behind each place stands 1 if the number is unknown: it becomes 0 then, the mean. Mean 0 and deviation 1 until
    `adapt`; both are weights, so that a saved network has them.

    Args:
        places: of the numbers, from 0.
    """

    def __init__(self, places: Sequence[int], **kwargs: Any):
        # A number of a thousand has no digits after the point in a type of 16 bits.
        super().__init__(autocast=False, **kwargs)
        self.places = tuple(places)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        size = (input_shape[-1],)
        options = {"shape": size, "trainable": False, "dtype": "float32", "autocast": False}
        self.mean = self.add_weight(name="mean", initializer="zeros", **options)
        self.deviation = self.add_weight(name="deviation", initializer="ones", **options)
        unknown = np.zeros((size[0], size[0]), np.float32)
        for place in self.places:
            unknown[place + 1, place] = 1.0
        self._unknown = unknown

    def adapt(self, vectors: np.ndarray) -> None:
        """Takes mean and deviation from the vectors of the training cases, float32 [cases, n], where they are known."""
        mean, deviation = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
        for place in self.places:
            known = vectors[vectors[:, place + 1] == 0, place].astype(np.float64)
            if len(known):
                mean[place] = known.mean()
                # All the same: there is nothing to scale.
                deviation[place] = known.std() or 1.0
        self.mean.assign(mean)
        self.deviation.assign(deviation)

    def call(self, inputs: Any) -> Any:
        known = 1.0 - ops.matmul(ops.cast(inputs, "float32"), self._unknown)
        scaled = (ops.cast(inputs, "float32") - self.mean) / self.deviation
        return ops.cast(scaled * known, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": list(self.places)}
