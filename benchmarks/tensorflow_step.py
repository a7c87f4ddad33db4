"""TensorFlow's side of benchmarks/train_step.py: amfam_tf's own trainer on one batch."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf.config import Config
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer
from benchmarks import wire
from benchmarks.work import step_gflop

STEPS_PER_EPOCH = 100
MATRIX_SIDE = 2048
PATCHES = 6
"""Random colours along each side of an image."""


class TrainStep:
    """A trainer and one batch, on which steps are made."""

    def start(self, preset: str, overrides: Sequence[str], arrays: str, make: bool = False) -> None:
        """Makes the trainer; loads weights and batch from an .npz file, or makes both and writes it."""
        self.config = configuration.load(preset, overrides)
        self.trainer = create_trainer(self.config, STEPS_PER_EPOCH, DERM7PT)
        network = self.trainer.network
        if make:
            _vary(network)
            weights = {f"weights/{variable.path}": variable.numpy() for variable in _weights(network)}
            batch = {f"batch/{key}": value for key, value in random_batch(self.config).items()}
            np.savez(arrays, **weights, **batch)
        with np.load(arrays) as stored:
            for variable in _weights(network):
                variable.assign(stored[f"weights/{variable.path}"])
            names = [name for name in stored.files if name.startswith("batch/")]
            self.batch = {name.removeprefix("batch/"): tf.constant(stored[name]) for name in names}
        self.batches = iter(tf.data.Dataset.from_tensors(self.batch).repeat())

    def peer_config(self) -> dict[str, Any]:
        """Returns what the PyTorch model is built from."""
        backbone = self.trainer.network.parts["G"][0]
        return {
            **dataclasses.asdict(self.config.model),
            "filters": list(backbone.stackwise_filters),
            "blocks": list(backbone.stackwise_blocks),
            "images": len(MODALITIES) * self.config.training.batch_size,
            "image_size": self.config.data.image_size,
            "tasks": {task.name: len(task.classes) for task in TASKS},
            "optimizer": dataclasses.asdict(self.config.optimizer),
            "adversarial": self.config.loss.adversarial,
            "reconstruction": self.config.loss.reconstruction,
        }

    def gradients(self, to: str) -> dict[str, float]:
        """Returns every loss; writes the gradients by variable path to an .npz file."""

        @tf.function
        def compute() -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                losses = self.trainer.compute_losses(self.batch, training=True)
            return losses, tape.gradient(losses["loss"], self.trainer.trainable_variables)

        losses, gradients = compute()
        variables = self.trainer.trainable_variables
        np.savez(to, **{one.path: value.numpy() for one, value in zip(variables, gradients, strict=True)})
        return {name: float(value) for name, value in losses.items()}

    def steps(self, count: int) -> list[float]:
        """Returns the seconds of each of `count` steps."""
        function = self.trainer.make_train_function() or self.trainer.train_function
        return [self._step(function) for _ in range(count)]

    def _step(self, function: Any) -> float:
        started = time.perf_counter()
        float(function(self.batches)["loss"])
        return time.perf_counter() - started

    def gflop(self, merged: bool) -> float:
        """Returns the arithmetic of one step."""
        return step_gflop(self.trainer.network, self.config.training.batch_size, merged)


def random_batch(config: Config) -> dict[str, np.ndarray]:
    """Returns random images in [0, 1] and random labels, of the configuration's sizes.

    Images are smooth and of different colours: those of noise are all alike to a deep network, whose gradients are then
    small differences of large numbers.
    """
    random = np.random.default_rng(0)
    cases, size = config.training.batch_size, config.data.image_size
    batch = {}
    for name in MODALITIES:
        coarse = random.random((cases, PATCHES, PATCHES, 3), np.float32) * random.random((cases, 1, 1, 3), np.float32)
        smooth = tf.image.resize(coarse, (size, size), method="bilinear").numpy()
        batch[name] = np.clip(smooth + random.normal(0.0, 0.02, smooth.shape), 0.0, 1.0).astype(np.float32)
    return batch | {task.name: random.integers(len(task.classes), size=cases).astype(np.int32) for task in TASKS}


def _weights(network: tf.Module) -> list:
    return [variable for variable in network.weights if not variable.path.endswith("/coefficient")]


def _vary(network: tf.Module) -> None:
    """Moves biases and batch-norm parameters away from 0 and 1, so that a swapped or missing one is seen."""
    random = np.random.default_rng(0)
    for variable in _weights(network):
        if len(variable.shape) == 1:
            variable.assign_add(random.uniform(0.0, 0.2, variable.shape))


def matrix_gflop_per_second(dtype: str) -> float:
    """Returns the rate of one product of square matrices, in 10^9 additions and multiplications per second."""
    matrix = tf.cast(tf.random.stateless_uniform((MATRIX_SIDE, MATRIX_SIDE), (0, 0)), dtype)
    started = time.perf_counter()
    tf.reduce_sum(tf.matmul(matrix, matrix)).numpy()
    return 2 * MATRIX_SIDE**3 / (time.perf_counter() - started) / 1e9


def main() -> None:
    side = TrainStep()
    wire.answer(
        {
            "start": side.start,
            "peer_config": side.peer_config,
            "gradients": side.gradients,
            "steps": side.steps,
            "gflop": side.gflop,
            "matrix_gflop_per_second": matrix_gflop_per_second,
            "peak_memory_gib": wire.peak_memory_gib,
            "version": lambda: f"TensorFlow {tf.__version__}",
        }
    )


if __name__ == "__main__":
    main()
