"""Backbones G from keras-cv, and their weights: none, ImageNet, or a local file.

This is the only module that knows keras-cv's models. Inputs are RGB in [0, 1]: keras-cv trained its ImageNet weights
behind a division by 255 and no other normalisation.
"""

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras

from amfam_tf.errors import WeightsError


@dataclass(frozen=True)
class BackboneSpec:
    """Filters, blocks and block type of a ResNet, and the keras-cv preset that has its ImageNet weights.

    Attributes:
        filters: of each stack.
        blocks: in each stack.
        block_type: "basic_block" (two 3 x 3) or "block" (bottleneck, output has 4 x filters channels).
        imagenet_preset: keras-cv preset name, or None where keras-cv has no ImageNet weights.
    """

    filters: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    block_type: str
    imagenet_preset: str | None = None


BACKBONES: dict[str, BackboneSpec] = {
    "resnet14_narrow": BackboneSpec((16, 32, 64, 128), (1, 1, 1, 1), "block"),
    "resnet18": BackboneSpec((64, 128, 256, 512), (2, 2, 2, 2), "basic_block"),
    "resnet34": BackboneSpec((64, 128, 256, 512), (3, 4, 6, 3), "basic_block"),
    "resnet50": BackboneSpec((64, 128, 256, 512), (3, 4, 6, 3), "block", "resnet50_imagenet"),
    "resnet101": BackboneSpec((64, 128, 256, 512), (3, 4, 23, 3), "block"),
}


def create_backbone(
    name: str, image_size: int, weights: str = "none", batch_norm_momentum: float = 0.99
) -> keras.Model:
    """Returns the backbone: RGB in [0, 1] [B, image_size, image_size, 3] -> last feature maps [B, h, w, c].

    At 299 pixels ResNet-50 gives [B, 10, 10, 2048].

    Args:
        name: a key of BACKBONES.
        image_size: side of the input, pixels.
        weights: "none" (random), "imagenet", or the path of a `.weights.h5` file that `Model.save_weights` of such a
            backbone wrote.
        batch_norm_momentum: of the moving averages.

    Raises:
        WeightsError: ImageNet weights do not exist or cannot be had; the file is missing or does not fit.
    """
    # keras-cv takes seconds to import.
    from keras_cv.models import ResNetBackbone

    spec = BACKBONES[name]
    backbone = ResNetBackbone(
        stackwise_filters=list(spec.filters),
        stackwise_blocks=list(spec.blocks),
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        block_type=spec.block_type,
        input_shape=(image_size, image_size, 3),
        name="backbone",
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = batch_norm_momentum  # keras-cv has no argument for it
    if weights == "imagenet":
        _load_imagenet(backbone, name, spec)
    elif weights != "none":
        load_weight_file(backbone, Path(weights))
    return backbone


def _load_imagenet(backbone: keras.Model, name: str, spec: BackboneSpec) -> None:
    if spec.imagenet_preset is None:
        have = ", ".join(key for key, value in BACKBONES.items() if value.imagenet_preset)
        raise WeightsError(
            f"keras-cv has no ImageNet weights for {name}, only for {have}: "
            "set model.weights=none, or model.weights to the path of a .weights.h5 file"
        )
    from keras_cv.models import ResNetBackbone

    try:
        pretrained = ResNetBackbone.from_preset(spec.imagenet_preset)
    except Exception as error:  # kagglehub raises whatever its HTTP library raised
        raise WeightsError(
            f"cannot download the ImageNet weights {spec.imagenet_preset} ({type(error).__name__}): where the network "
            f'is open, run python -c "from keras_cv.models import ResNetBackbone as R; '
            f"R.from_preset('{spec.imagenet_preset}').save_weights('{name}.weights.h5')\", copy the file here and set "
            f"model.weights={name}.weights.h5; or train from random weights with model.weights=none"
        ) from error
    backbone.set_weights(pretrained.get_weights())


def load_weight_file(backbone: keras.Model, path: Path) -> None:
    """Loads a `.weights.h5` file into the backbone, all of it or nothing.

    Raises:
        WeightsError: no such file, not such a file, or the first layer whose weights differ, by name.
    """
    if not path.is_file():
        raise WeightsError(
            f"weight file {path} does not exist: set model.weights to none, imagenet or an existing file"
        )
    if not path.name.endswith(".weights.h5"):
        raise WeightsError(f"weight file {path} must be a Keras weight file whose name ends in .weights.h5")
    try:
        stored = _stored_shapes(path)
    except OSError as error:
        raise WeightsError(f"weight file {path} is damaged or no HDF5 file: {error}") from error
    difference = _first_difference(backbone, stored)
    if difference:
        raise WeightsError(f"weight file {path} does not fit backbone: {difference}")
    with warnings.catch_warnings():
        # Keras warns of containers without weights that its own older files lack; shapes were compared above.
        warnings.filterwarnings("ignore", message="Skipping nested container", category=UserWarning)
        backbone.load_weights(path)


def _stored_shapes(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """Returns, per layer group of the file ("conv2d", "conv2d_1", ...), the shapes of its variables."""
    with h5py.File(path, "r") as file:
        groups = file.get("layers", {})
        return {
            key: [group["vars"][str(index)].shape for index in range(len(group.get("vars", {})))]
            for key, group in groups.items()
        }


def _first_difference(backbone: keras.Model, stored: dict[str, list[tuple[int, ...]]]) -> str | None:
    """Returns what differs in the first layer that does, or None; Keras numbers the groups per layer class."""
    seen: Counter[str] = Counter()
    for layer in backbone.layers:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        key = kind if seen[kind] == 0 else f"{kind}_{seen[kind]}"
        seen[kind] += 1
        expected = [tuple(weight.shape) for weight in layer.weights]
        if expected and stored.get(key) != expected:
            return f"layer {layer.name} expects variables of shapes {expected}, the file has {stored.get(key, 'none')}"
    known = sum(1 for shapes in stored.values() if shapes)
    layers_with_weights = sum(1 for layer in backbone.layers if layer.weights)
    if known > layers_with_weights:
        return f"the file has {known} layers with weights, the backbone {layers_with_weights}"
    return None
