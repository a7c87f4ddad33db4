"""PyTorch's side of benchmarks/lite_step.py: EfficientNet-Lite 0, channels_last, from the same weight file."""

import time
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import wire

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first, expansion, channels."""
EPSILON, MOMENTUM = 1e-3, 0.01


class Convolution(nn.Conv2d):
    """Pads as TensorFlow's SAME does: for even sizes at stride 2, more below and right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (kernel, _), (stride, _), size = self.kernel_size, self.stride, x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        if total % 2 == 0:
            return functional.conv2d(x, self.weight, None, stride, total // 2, 1, self.groups)
        before, after = total // 2, total - total // 2
        padded = functional.pad(x, (before, after, before, after))
        return functional.conv2d(padded, self.weight, None, stride, 0, 1, self.groups)


def convolve(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Convolution:
    return Convolution(inputs, outputs, kernel, stride, groups=groups, bias=False)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, EPSILON, MOMENTUM)


class Block(nn.Module):
    """An inverted residual block without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = convolve(inputs, inner, 1), norm(inner)
        self._depthwise_conv, self._bn1 = convolve(inner, inner, kernel, stride, inner), norm(inner)
        self._project_conv, self._bn2 = convolve(inner, outputs, 1), norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return y + x if self.adds else y


class EfficientNetLite0(nn.Module):
    """RGB in [0, 1] [B, 3, S, S] -> feature maps [B, 1280, S / 32, S / 32]; the names are those of the weight file."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = convolve(3, 32, 3, 2), norm(32)
        blocks, inputs = [], 32
        for count, kernel, stride, expansion, outputs in STAGES:
            for number in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = convolve(inputs, 1280, 1), norm(1280)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self._bn0(self._conv_stem((255 * x - 127) / 128)), inplace=True)
        return functional.relu6(self._bn1(self._conv_head(self._blocks(x))), inplace=True)


class LiteStep:
    """The network and one batch of pictures; a step is forward and backward."""

    def start(self, arrays: str, weights: str, bfloat16: bool = False, float64: bool = False) -> None:
        """Loads the weight file, and the pictures and the direction of the loss from an .npz file."""
        stored = torch.load(weights, weights_only=True)
        kept = OrderedDict((name, value) for name, value in stored.items() if not name.startswith("_fc."))
        self.network = EfficientNetLite0()
        self.network.load_state_dict(kept)
        self.network.to(memory_format=torch.channels_last).train()
        with np.load(arrays) as found:
            self.pictures, self.direction = (
                torch.from_numpy(found[name]).permute(0, 3, 1, 2) for name in ("pictures", "direction")
            )
        if float64:
            self.network.double()
            self.pictures, self.direction = self.pictures.double(), self.direction.double()
        self.bfloat16 = bfloat16

    def gradients(self, to: str) -> float:
        """Returns the loss; writes the gradients by the file's names, in PyTorch's layout, to an .npz file."""
        loss = self._backward()
        np.savez(to, **{name: value.grad.numpy() for name, value in self.network.named_parameters()})
        self.network.zero_grad(set_to_none=True)
        return loss

    def steps(self, count: int) -> list[float]:
        """Returns the seconds of each of `count` steps."""
        return [self._step() for _ in range(count)]

    def _step(self) -> float:
        started = time.perf_counter()
        self._backward()
        self.network.zero_grad(set_to_none=True)
        return time.perf_counter() - started

    def _backward(self) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            features = self.network(self.pictures)
        loss = (features.to(self.direction.dtype) * self.direction).mean()
        loss.backward()
        return loss.item()


def main() -> None:
    side = LiteStep()
    wire.answer({"start": side.start, "gradients": side.gradients, "steps": side.steps})


if __name__ == "__main__":
    main()
