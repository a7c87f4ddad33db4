"""PyTorch's side of benchmarks/input.py: a DataLoader with Pillow, the operations of preset paper's training input."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from benchmarks import wire

WORKERS = 2


class Pairs(Dataset):
    """Augmented pairs of pictures, float32 [3, S, S] in [0, 1].

    Args:
        pairs: paths of each case's two files.
        settings: "size", "pad", "degrees", "flip".
        cached: decode and resize once, here, and keep the squares (the workers share them).
        augmented: False for the squares as they are.
    """

    def __init__(
        self, pairs: Sequence[Sequence[str]], settings: Mapping[str, Any], cached: bool, augmented: bool = True
    ):
        self.pairs, self.settings, self.augmented = pairs, settings, augmented
        self.squares = [[self.decode(path) for path in pair] for pair in pairs] if cached else None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        squares = self.squares[number] if self.squares else [self.decode(path) for path in self.pairs[number]]
        return [to_tensor(self.augment(square) if self.augmented else square) for square in squares]

    def decode(self, path: str) -> Image.Image:
        """Returns a file's picture as a square."""
        size = self.settings["size"]
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return upright.resize((size, size), Image.Resampling.BILINEAR)

    def augment(self, image: Image.Image) -> Image.Image:
        """Returns a square shifted, rotated and flipped at random, black where nothing is left."""
        pad, size = self.settings["pad"], self.settings["size"]
        x, y = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
        # A crop that reaches over the edge is filled with black: padding and cropping in one step.
        image = image.crop((x - pad, y - pad, x - pad + size, y - pad + size))
        degrees = random.uniform(-self.settings["degrees"], self.settings["degrees"])
        image = image.rotate(degrees, Image.Resampling.BILINEAR)
        return ImageOps.flip(image) if random.random() < self.settings["flip"] else image


def to_tensor(image: Image.Image) -> torch.Tensor:
    """Returns a picture as float32 [3, S, S] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


class Input:
    """Batches without end, and how fast they come."""

    def start(self, pairs: list[list[str]], settings: dict[str, Any], cached: bool) -> None:
        """Makes the data set and its workers; takes one epoch."""
        self.pairs, self.settings = pairs, settings
        self.loader = DataLoader(
            Pairs(pairs, settings, cached),
            batch_size=settings["batch"],
            shuffle=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )
        for _ in self.loader:
            pass
        self.batches = self._forever()

    def _forever(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self.loader

    def rate(self, seconds: float) -> float:
        """Returns images per second."""
        images, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            images += sum(len(values) for values in next(self.batches))
        return images / (time.perf_counter() - started)

    def sample(self, to: str) -> None:
        """Writes the first pair, not augmented, as [2, S, S, 3]."""
        pair = Pairs(self.pairs[:1], self.settings, cached=False, augmented=False)[0]
        np.save(to, torch.stack(pair).permute(0, 2, 3, 1).numpy())


def main() -> None:
    # Workers decode side by side: threads of their own would only get in each other's way.
    torch.set_num_threads(1)
    side = Input()
    wire.answer({"start": side.start, "rate": side.rate, "sample": side.sample})


if __name__ == "__main__":
    main()
