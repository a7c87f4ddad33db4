"""TensorFlow's side of benchmarks/lite_step.py: amfam_tf's own EfficientNet-Lite 0."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from amfam_tf.models import efficientnet_lite
from amfam_tf.models.backbones import create_backbone
from benchmarks import wire


class LiteStep:
    """The network and one batch of pictures; a step is forward and backward."""

    def start(self, arrays: str, bfloat16: bool = False) -> None:
        """Makes the network with its ImageNet weights; loads pictures and the direction of the loss."""
        keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
        with np.load(arrays) as found:
            self.pictures, self.direction = (tf.constant(found[name]) for name in ("pictures", "direction"))
        self.network = create_backbone("efficientnet_lite0", self.pictures.shape[1], "imagenet")

        @tf.function
        def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                features = tf.cast(self.network(self.pictures, training=True), tf.float32)
                loss = tf.reduce_mean(features * self.direction)
            return loss, tape.gradient(loss, self.network.trainable_variables)

        self._backward = step

    def gradients(self, to: str) -> float:
        """Returns the loss; writes the gradients by the file's names, in PyTorch's layout, to an .npz file."""
        loss, gradients = self._backward()
        values = {variable.path: value.numpy() for variable, value in self._by_variable(gradients)}
        names = efficientnet_lite.names_in_file(self.network)
        found = {
            name: values[weight.path] if axes is None else values[weight.path].transpose(np.argsort(axes))
            for weight, name, axes in names
            if weight.path in values
        }
        np.savez(to, **found)
        return float(loss)

    def _by_variable(self, gradients: list[tf.Tensor]) -> Any:
        return zip(self.network.trainable_variables, gradients, strict=True)

    def steps(self, count: int) -> list[float]:
        """Returns the seconds of each of `count` steps."""
        return [self._step() for _ in range(count)]

    def _step(self) -> float:
        started = time.perf_counter()
        loss, gradients = self._backward()
        for value in (loss, *gradients):
            value.numpy()
        return time.perf_counter() - started


def main() -> None:
    side = LiteStep()
    wire.answer({"start": side.start, "gradients": side.gradients, "steps": side.steps})


if __name__ == "__main__":
    main()
