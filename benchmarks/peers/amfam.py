"""AMFAM in PyTorch, of the same mathematics and parameter shapes as amfam_tf's; channels_last throughout.

Layers have the names that Keras gives them, so that weights and gradients are compared by name. Where PyTorch differs
by default, Keras' way is taken: SAME padding, epsilon 1.001e-5 in the backbone and 1e-3 in the decoders, momentum.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

MODALITIES = ("clinical", "dermoscopic")
BACKBONE_EPSILON, DECODER_EPSILON = 1.001e-5, 1e-3
KERAS_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns TensorFlow's SAME padding before and after one axis."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(images: torch.Tensor, kernel: int, stride: int, value: float = 0.0) -> tuple[torch.Tensor, int]:
    """Returns images [B, c, h, w], h = w, and the symmetric padding to give to the layer; pads itself if it is not."""
    before, after = same_padding(images.shape[-1], kernel, stride)
    if before == after:
        return images, before
    return functional.pad(images, (before, after, before, after), value=value), 0


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Returns bfloat16 as float32, and what is wider as it is."""
    return values.float() if values.dtype == torch.bfloat16 else values


class Backbone(nn.Module):
    """ResNet of bottlenecks, stride in the first 1 x 1 convolution and in the shortcut, no biases."""

    def __init__(self, filters: list[int], blocks: list[int], momentum: float):
        super().__init__()
        self.filters, self.blocks, self.momentum = filters, blocks, momentum
        self._add("conv1_conv", "conv1_bn", 3, 64, 7, 2)
        channels = 64
        for stack, (width, count) in enumerate(zip(filters, blocks, strict=True)):
            for block in range(1, count + 1):
                name = f"v2_stack_{stack}_block{block}"
                stride = 2 if stack > 0 and block == 1 else 1
                if block == 1:
                    self._add(f"{name}_0_conv", f"{name}_0_bn", channels, 4 * width, 1, stride)
                self._add(f"{name}_1_conv", f"{name}_1_bn", channels, width, 1, stride)
                self._add(f"{name}_2_conv", f"{name}_2_bn", width, width, 3, 1)
                self._add(f"{name}_3_conv", f"{name}_3_bn", width, 4 * width, 1, 1)
                channels = 4 * width

    def _add(self, convolution: str, norm: str, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        padding = 1 if kernel == 3 else 0
        setattr(self, convolution, nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False))
        setattr(self, norm, nn.BatchNorm2d(outputs, eps=BACKBONE_EPSILON, momentum=self.momentum))

    def _convolve(self, name: str, number: int, values: torch.Tensor) -> torch.Tensor:
        return getattr(self, f"{name}_{number}_bn")(getattr(self, f"{name}_{number}_conv")(values))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images, padding = pad_same(images, 7, 2)
        values = self.conv1_bn(functional.conv2d(images, self.conv1_conv.weight, self.conv1_conv.bias, 2, padding))
        values, padding = pad_same(functional.relu(values, inplace=True), 3, 2, -torch.inf)
        values = functional.max_pool2d(values, 3, 2, padding)
        for stack, count in enumerate(self.blocks):
            for block in range(1, count + 1):
                name = f"v2_stack_{stack}_block{block}"
                shortcut = self._convolve(name, 0, values) if block == 1 else values
                values = functional.relu(self._convolve(name, 1, values), inplace=True)
                values = functional.relu(self._convolve(name, 2, values), inplace=True)
                values = functional.relu(self._convolve(name, 3, values).add_(shortcut), inplace=True)
        return values

    def fold(self) -> None:
        """Puts the batch norms into the convolutions before them; for inference only."""
        for name, convolution in list(self.named_children()):
            if name.endswith("_conv"):
                norm = f"{name.removesuffix('_conv')}_bn"
                setattr(self, name, fuse_conv_bn_eval(convolution, getattr(self, norm)))
                setattr(self, norm, nn.Identity())


class Reverse(torch.autograd.Function):
    """Identity whose gradient changes sign."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, scale: float) -> torch.Tensor:
        context.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -context.scale * upstream, None


class Discriminator(nn.Module):
    """Feature maps [B, c, h, w] -> modality logits [B, 2]."""

    def __init__(self, channels: int, units: int, scale: float):
        super().__init__()
        self.scale = scale
        self.hidden, self.logits = nn.Linear(channels, units), nn.Linear(units, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.logits(functional.relu(self.hidden(Reverse.apply(features.mean((2, 3)), self.scale))))


class Decoder(nn.Module):
    """Feature maps [B, c, h, w] -> RGB [B, 3, S, S]."""

    def __init__(self, channels: int, config: Mapping[str, Any], size: int):
        super().__init__()
        self.scales, self.slope, self.size = config["decoder_scales"], config["leaky_relu_slope"], size
        for number, width in enumerate(config["decoder_channels"], start=1):
            setattr(self, f"upsample_conv_{number}", nn.Conv2d(channels, width, 3, padding=1))
            norm = nn.BatchNorm2d(width, eps=DECODER_EPSILON, momentum=1 - config["batch_norm_momentum"])
            setattr(self, f"norm_{number}", norm)
            channels = width
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for number, scale in enumerate(self.scales, start=1):
            values = functional.interpolate(values, scale_factor=scale, mode="nearest")
            values = getattr(self, f"norm_{number}")(getattr(self, f"upsample_conv_{number}")(values))
            values = functional.leaky_relu(values, self.slope, inplace=True)
        return functional.interpolate(at_least_float32(self.to_rgb(values)), (self.size, self.size), mode="bilinear")


class Attention(nn.Module):
    """Feature maps [B, c, h, w] -> m [B, S, S] in [0, 1], float32."""

    def __init__(self, channels: int, side: int, size: int):
        super().__init__()
        self.size = size
        self.pooling = nn.Conv2d(channels, channels, side, groups=channels)
        self.dense_1, self.dense_2 = nn.Linear(channels, channels), nn.Linear(channels, channels // 2)
        self.dense_3 = nn.Linear(channels // 2, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        vector = torch.einsum("bchw,chw->bc", features, self.pooling.weight[:, 0]) + self.pooling.bias
        vector = functional.relu(self.dense_2(functional.relu(self.dense_1(vector))))
        maps = torch.einsum("bchw,bc->bhw", features, torch.sigmoid(self.dense_3(vector)))
        maps = at_least_float32(maps)
        # With antialiasing PyTorch takes Keys' coefficient -0.5, as TensorFlow does; enlarging, nothing is smoothed.
        maps = functional.interpolate(maps[:, None], (self.size, self.size), mode="bicubic", antialias=True)[:, 0]
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        constant = high - low <= 1e-5 * torch.maximum(low.abs(), high.abs())
        span = torch.where(constant, torch.ones_like(low), high - low)
        return torch.where(constant, torch.zeros_like(maps), (maps - low) / span)


class AMFAM(nn.Module):
    """The network and Eq. 4.

    Args:
        config: {"filters", "blocks", "image_size", "tasks": {name: classes}, "adversarial", "reconstruction", and the
            fields of amfam_tf's ModelConfig}.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config, self.tasks = config, config["tasks"]
        size, channels = config["image_size"], 4 * config["filters"][-1]
        side = -(-size // 32)
        units = config["classifier_units"]
        self.backbone = Backbone(config["filters"], config["blocks"], 1 - config["batch_norm_momentum"])
        for name, classes in self.tasks.items():
            setattr(self, f"classifier_{name}_hidden", nn.Linear(len(MODALITIES) * channels, units))
            setattr(self, f"classifier_{name}_logits", nn.Linear(units, classes))
        self.discriminator = Discriminator(channels, config["discriminator_units"], config["reversal_scale"])
        for key in MODALITIES:
            setattr(self, f"decoder_{key}", Decoder(channels, config, size))
            setattr(self, f"attention_{key}", Attention(channels, side, size))
        self.to(memory_format=torch.channels_last)

    def classify(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns logits [B, classes] by task for the feature maps of both images."""
        pooled = torch.cat([values.mean((2, 3)) for values in features], 1)
        return {
            name: getattr(self, f"classifier_{name}_logits")(
                functional.relu(getattr(self, f"classifier_{name}_hidden")(pooled))
            )
            for name in self.tasks
        }

    def forward(self, pair: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns logits by task for images [B, 3, S, S] in [0, 1]; what a prediction needs."""
        return self.classify(list(self.features(pair)))

    def features(self, pair: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Returns the last feature maps of both images, from one batch of 2B."""
        return self.backbone(torch.cat([pair[key] for key in MODALITIES])).chunk(2)

    def losses(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns {"loss": Eq. 4, and each of its terms by name}."""
        features = dict(zip(MODALITIES, self.features(batch), strict=True))
        logits = self.classify(list(features.values()))
        entropies = [functional.cross_entropy(at_least_float32(logits[name]), batch[name]) for name in self.tasks]
        terms = {"classification": sum(entropies)}
        domains = [at_least_float32(self.discriminator(features[key])) for key in MODALITIES]
        terms["adversarial"] = sum(
            functional.cross_entropy(values, torch.full(values.shape[:1], label))
            for label, values in enumerate(domains)
        )
        total = terms["classification"] + self.config["adversarial"] * terms["adversarial"]
        for key in MODALITIES:
            error = (getattr(self, f"decoder_{key}")(features[key]) - batch[key]).square().sum(1)
            attention = getattr(self, f"attention_{key}")(features[key])
            terms[f"reconstruction_{key}"] = (error * attention.exp()).mean()
            total = total + self.config["reconstruction"] * terms[f"reconstruction_{key}"]
        return {"loss": total, **terms}


def load_keras_weights(model: AMFAM, weights: Mapping[str, np.ndarray]) -> None:
    """Sets every parameter and statistic from Keras' arrays by path; KeyError if a name or shape is left over."""
    state = model.state_dict()
    missing = set(state) - {name for name in state if name.endswith("num_batches_tracked")}
    for path, array in weights.items():
        name = torch_name(path, state)
        if tuple(state[name].shape) != (value := to_torch_layout(path, array)).shape:
            raise KeyError(f"{path} has shape {array.shape}, {name} has {tuple(state[name].shape)}")
        state[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
        missing.discard(name)
    if missing:
        raise KeyError(f"no weights for {sorted(missing)}")


def torch_name(path: str, names: Mapping[str, Any]) -> str:
    """Returns the parameter for a Keras path such as "conv1_bn/gamma"."""
    *layers, own = path.split("/")
    name = ".".join([*layers, KERAS_NAMES.get(own, "bias" if own == "bias" else "weight")])
    return name if name in names else f"backbone.{name}"


def to_torch_layout(path: str, array: np.ndarray) -> np.ndarray:
    """Returns a Keras array in PyTorch's order of axes."""
    if array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if "/pooling/" in path else (3, 2, 0, 1))
    return array.T


def to_keras_layout(path: str, array: np.ndarray) -> np.ndarray:
    """Returns a PyTorch array in Keras' order of axes."""
    if array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if "/pooling/" in path else (2, 3, 1, 0))
    return array.T
