"""TensorFlow's side of benchmarks/input.py: amfam_tf's own training input."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf.data import derm7pt, pipeline
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.run import create_trainer
from benchmarks import wire

EPOCHS_WITHOUT_END = 1_000_000


class Input:
    """Batches without end, and how fast they come."""

    def start(self, data: str, overrides: list[str], cached: bool) -> None:
        """Reads the data set and takes one epoch."""
        self.cases = derm7pt.read_release(Path(data))
        overrides = [*overrides, f"data.cache={'memory' if cached else 'none'}", "model.weights=none"]
        self.config = configuration.load("paper", [*overrides, f"training.epochs={EPOCHS_WITHOUT_END}"])
        self.batches = iter(pipeline.training_dataset(self.cases, self.config, DERM7PT))
        for _ in range(pipeline.steps_per_epoch(len(self.cases), self.config, TASKS)):
            next(self.batches)

    def settings(self) -> dict[str, Any]:
        """Returns what PyTorch's side needs to do the same."""
        augmentation = self.config.augmentation
        return {
            "pairs": self.cases[list(MODALITIES)].astype(str).to_numpy().tolist(),
            "settings": {
                "size": self.config.data.image_size,
                "batch": self.config.training.batch_size,
                "pad": augmentation.pad,
                "degrees": augmentation.rotation_degrees,
                "flip": augmentation.vertical_flip,
            },
        }

    def rate(self, seconds: float) -> float:
        """Returns images per second."""
        images, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            batch = next(self.batches)
            images += sum(len(batch[name]) for name in MODALITIES)
        return images / (time.perf_counter() - started)

    def sample(self, to: str) -> None:
        """Writes the first pair, not augmented, as [2, S, S, 3]."""
        batch = next(iter(pipeline.evaluation_dataset(self.cases.head(1), self.config, DERM7PT)))
        np.save(to, np.stack([batch[name][0] for name in MODALITIES]))

    def waiting(self, steps: int) -> list[float]:
        """Returns the seconds that `steps` training steps took, and those of them spent waiting for a batch."""
        trainer = create_trainer(self.config, steps_per_epoch=steps, card=DERM7PT)
        step = tf.function(trainer.train_step)
        float(step(next(self.batches))["loss"])
        waited, started = 0.0, time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - asked
            float(step(batch)["loss"])
        return [time.perf_counter() - started, waited]


def main() -> None:
    side = Input()
    wire.answer(
        {
            "start": side.start,
            "settings": side.settings,
            "rate": side.rate,
            "sample": side.sample,
            "waiting": side.waiting,
        }
    )


if __name__ == "__main__":
    main()
