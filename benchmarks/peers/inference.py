"""PyTorch's and ONNX Runtime's side of benchmarks/inference.py."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import wire

WARM_UP = 3


class Inference:
    """A network that answers pairs of pictures, uint8 [B, S, S, 3], with probabilities [B, classes] by task."""

    def start_torch(self, config: Mapping[str, Any], weights: str, bfloat16: bool) -> None:
        """Makes PyTorch's network, batch norm folded, with weights from an .npz file."""
        import torch

        from benchmarks.peers.amfam import AMFAM, MODALITIES, load_keras_weights

        model = AMFAM(config).eval()
        with np.load(weights) as arrays:
            load_keras_weights(model, arrays)
        with torch.no_grad():
            model.backbone.fold()
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        model = model.to(dtype=dtype, memory_format=torch.channels_last)
        temperatures = config["temperatures"]

        def answer(pair: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            with torch.inference_mode():
                images = {
                    key: torch.from_numpy(pair[key]).permute(0, 3, 1, 2).to(dtype).div_(255) for key in MODALITIES
                }
                logits = model(images).items()
                return {name: (values.float() / temperatures[name]).softmax(1).numpy() for name, values in logits}

        self.tasks, self.answer_pair = list(config["tasks"]), answer

    def start_onnx(self, config: Mapping[str, Any], path: str) -> None:
        """Loads an exported ONNX file."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.tasks = list(config["tasks"])

        def answer(pair: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return dict(zip(self.tasks, session.run(self.tasks, dict(pair)), strict=True))

        self.answer_pair: Callable = answer

    def load(self, pictures: str) -> None:
        """Reads the pictures to answer, {modality: uint8 [N, S, S, 3]}, from an .npz file."""
        with np.load(pictures) as arrays:
            self.pictures = {name: arrays[name] for name in arrays.files}

    def answers(self, to: str) -> None:
        """Writes the probabilities of all pictures, asked 8 at a time."""
        count = len(next(iter(self.pictures.values())))
        parts = [self.answer_pair(self._rows(start, 8)) for start in range(0, count, 8)]
        np.savez(to, **{name: np.concatenate([part[name] for part in parts]) for name in self.tasks})

    def seconds(self, batch: int, calls: int) -> float:
        """Returns the median seconds of an answer to the first `batch` pairs."""
        rows, times = self._rows(0, batch), []
        for _ in range(calls + WARM_UP):
            started = time.perf_counter()
            self.answer_pair(rows)
            times.append(time.perf_counter() - started)
        return float(np.median(times[WARM_UP:]))

    def _rows(self, start: int, count: int) -> dict[str, np.ndarray]:
        return {name: array[start : start + count] for name, array in self.pictures.items()}


def main() -> None:
    side = Inference()
    wire.answer(
        {
            "start_torch": side.start_torch,
            "start_onnx": side.start_onnx,
            "load": side.load,
            "answers": side.answers,
            "seconds": side.seconds,
        }
    )


if __name__ == "__main__":
    main()
