"""PyTorch's side of benchmarks/train_step.py."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks import wire
from benchmarks.peers.amfam import AMFAM, load_keras_weights, to_keras_layout, torch_name


class TrainStep:
    """A model, its optimiser and one batch, on which steps are made."""

    def start(
        self,
        config: Mapping[str, Any],
        arrays: str,
        bfloat16: bool = False,
        compiled: bool = False,
        float64: bool = False,
    ) -> None:
        """Makes the model and loads weights ("weights/<path>") and batch ("batch/<key>") from an .npz file."""
        with np.load(arrays) as stored:
            groups = {name: stored[name] for name in stored.files}
        self.model = AMFAM(config).train()
        self.weights = {name.removeprefix("weights/"): groups[name] for name in groups if name.startswith("weights/")}
        load_keras_weights(self.model, self.weights)
        self.batch = {
            name.removeprefix("batch/"): to_tensor(array) for name, array in groups.items() if name.startswith("batch/")
        }
        self.bfloat16 = bfloat16
        if float64:
            self.model.double()
            self.batch = {
                key: value.double() if value.is_floating_point() else value for key, value in self.batch.items()
            }
        settings = config["optimizer"]
        # fused: PyTorch's fastest; weight_decay of Adam (not AdamW) is L2 in the gradient.
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=settings["learning_rate"],
            betas=(settings["beta_1"], settings["beta_2"]),
            eps=settings["epsilon"],
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        self.losses = torch.compile(self.model.losses) if compiled else self.model.losses

    def gradients(self, to: str) -> dict[str, float]:
        """Returns every loss; writes the gradients in Keras' layout and under Keras' names to an .npz file."""
        losses = self._backward()
        parameters = dict(self.model.named_parameters())
        arrays = {}
        for path in self.weights:
            if (name := torch_name(path, self.model.state_dict())) in parameters:
                arrays[path] = to_keras_layout(path, parameters[name].grad.numpy())
        np.savez(to, **arrays)
        self.optimizer.zero_grad(set_to_none=True)
        return {name: value.item() for name, value in losses.items()}

    def steps(self, count: int) -> list[float]:
        """Returns the seconds of each of `count` steps."""
        return [self._step() for _ in range(count)]

    def _step(self) -> float:
        started = time.perf_counter()
        losses = self._backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].item()
        return time.perf_counter() - started

    def _backward(self) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            losses = self.losses(self.batch)
        losses["loss"].backward()
        return losses


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Returns images [B, S, S, 3] as channels_last [B, 3, S, S], class numbers as int64."""
    if array.ndim == 4:
        return torch.from_numpy(array).permute(0, 3, 1, 2)
    return torch.from_numpy(array.astype(np.int64))


def main() -> None:
    side = TrainStep()
    wire.answer(
        {
            "start": side.start,
            "gradients": side.gradients,
            "steps": side.steps,
            "peak_memory_gib": wire.peak_memory_gib,
            "version": lambda: f"PyTorch {torch.__version__}",
        }
    )


if __name__ == "__main__":
    main()
