"""TensorFlow's side of benchmarks/gpu.py: as train_step's, but it waits for the device once per turn, not per step."""

import time

import tensorflow as tf

from benchmarks import tensorflow_step, wire


class TrainStep(tensorflow_step.TrainStep):
    """A trainer and one batch, on which steps are made."""

    def seconds_per_step(self, count: int) -> float:
        """Returns the seconds of a step, of `count` made without waiting for each; a multiple of those of one call."""
        function = self.trainer.make_train_function() or self.trainer.train_function
        per_call = self.config.training.steps_per_execution
        if count % per_call:
            raise ValueError(f"count must be a multiple of {per_call}. Received: {count}")
        started = time.perf_counter()
        for _ in range(count // per_call):
            results = function(self.batches)
        # Waits for the last step, and with it for all.
        float(results["loss"])
        return (time.perf_counter() - started) / count


def describe() -> str:
    """Returns version and GPUs."""
    names = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]
    return f"TensorFlow {tf.__version__} on {', '.join(names) or 'the processor'}"


def main() -> None:
    side = TrainStep()
    wire.answer(
        {
            "start": side.start,
            "peer_config": side.peer_config,
            "seconds_per_step": side.seconds_per_step,
            "describe": describe,
        }
    )


if __name__ == "__main__":
    main()
