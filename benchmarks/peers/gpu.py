"""PyTorch's side of benchmarks/gpu.py: the AMFAM of train_step, on the GPU if there is one."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks import wire
from benchmarks.peers import train_step

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class TrainStep(train_step.TrainStep):
    """A model, its optimiser and one batch, on which steps are made."""

    def start(self, config: Mapping[str, Any], arrays: str, bfloat16: bool = False, compiled: bool = False) -> None:
        """As the step on the processor; parameters, batch and what the losses make are on the device."""
        torch.set_default_device(DEVICE)
        # PyTorch's fastest: TensorFlow multiplies float32 in TF32 too, by default; sizes never change.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        super().start(config, arrays, bfloat16=bfloat16, compiled=compiled)
        self.batch = {key: value.to(DEVICE) for key, value in self.batch.items()}

    def seconds_per_step(self, count: int) -> float:
        """Returns the seconds of a step, of `count` made without waiting for each."""
        started = time.perf_counter()
        for _ in range(count):
            losses = self._backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        # Waits for the last step, and with it for all.
        losses["loss"].item()
        return (time.perf_counter() - started) / count

    def _backward(self) -> dict[str, torch.Tensor]:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.bfloat16):
            losses = self.losses(self.batch)
        losses["loss"].backward()
        return losses


def describe() -> str:
    """Returns version and GPU."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the processor"
    return f"PyTorch {torch.__version__} on {device}"


def main() -> None:
    side = TrainStep()
    wire.answer({"start": side.start, "seconds_per_step": side.seconds_per_step, "describe": describe})


if __name__ == "__main__":
    main()
