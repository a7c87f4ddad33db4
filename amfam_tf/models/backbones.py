"""Backbones G from keras-cv, keras.applications and here, their sizes, their stages, and their first weights.

This module and `efficientnet_lite` alone know keras-cv's and keras.applications' models. Inputs are RGB in [0, 1]:
keras-cv trained its ImageNet weights behind a division by 255 and no other normalisation; the ranges of Inception-V3
and EfficientNet-Lite are made inside.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from amfam_tf.errors import ConfigError, WeightsError
from amfam_tf.layers import fuse_batch_norms
from amfam_tf.models.backbone_weights import check_weight_file, load_weight_file
from amfam_tf.models.efficientnet_lite import SCALES, efficientnet_lite, find_file, imagenet_weights
from amfam_tf.models.narrow_inception import narrow_inception

RESNET, INCEPTION, EFFICIENTNET_LITE = "resnet", "inception", "efficientnet_lite"
STAGED = (RESNET, EFFICIENTNET_LITE)
"""Families that are made of stages."""

STAGES = 5
"""Of a ResNet: the stem with its pooling (0), and four stacks (1 to 4). Of EfficientNet-Lite: what is computed at
strides 2, 4, 8, 16 and 32."""


@dataclass(frozen=True)
class Pretrained:
    """ImageNet weights of a backbone that a library downloads on first use.

    Attributes:
        name: of the weights, for messages.
        fetch: returns a model with the backbone's weights in order.
        save: Python that does the same and writes them to a file `{path}`.
    """

    name: str
    fetch: Callable[[], keras.Model]
    save: str

    def check(self) -> None:
        """Checks what can be checked without a network: nothing."""

    def load(self, backbone: str, _: keras.Model) -> list[np.ndarray]:
        """Returns the weights of a backbone in order.

        Raises:
            WeightsError: they cannot be downloaded.
        """
        path = f"{backbone}.weights.h5"
        try:
            return self.fetch().get_weights()
        except Exception as error:  # the loaders raise whatever their HTTP library raised
            raise WeightsError(
                f"cannot download the ImageNet weights {self.name} ({type(error).__name__}): where the network is "
                f'open, run python -c "{self.save.format(path=path)}", copy the file here and set '
                f"model.weights={path}; or train from random weights with model.weights=none"
            ) from error


@dataclass(frozen=True)
class Installed:
    """ImageNet weights of EfficientNet-Lite, which are installed as a package.

    Attributes:
        number: of the network.
    """

    number: int

    def check(self) -> None:
        """Checks that the package is there.

        Raises:
            WeightsError: it is not.
        """
        find_file(self.number)

    def load(self, _: str, model: keras.Model) -> list[np.ndarray]:
        """Returns the weights of a backbone in order.

        Raises:
            WeightsError: see `efficientnet_lite.imagenet_weights`.
        """
        return imagenet_weights(self.number, model)


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone.

    Attributes:
        family: RESNET, INCEPTION or EFFICIENTNET_LITE; methods ask for some.
        build: from image size and name to the model, random weights.
        pretrained: ImageNet weights, or None where there are none.
        smallest_image: pixels.
    """

    family: str
    build: Callable[[int, str], keras.Model]
    pretrained: Pretrained | Installed | None = None
    smallest_image: int = 32


def _resnet(filters: Sequence[int], blocks: Sequence[int], block_type: str, image_size: int, title: str) -> keras.Model:
    """Returns a ResNet; "block" is a bottleneck with 4 x filters channels at its end, "basic_block" two 3 x 3."""
    # keras-cv takes seconds to import.
    from keras_cv.models import ResNetBackbone

    return ResNetBackbone(
        stackwise_filters=list(filters),
        stackwise_blocks=list(blocks),
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        block_type=block_type,
        input_shape=(image_size, image_size, 3),
        name=title,
    )


def _load_resnet50() -> keras.Model:
    from keras_cv.models import ResNetBackbone

    return ResNetBackbone.from_preset("resnet50_imagenet")


def _inception_v3(image_size: int, title: str) -> keras.Model:
    """Returns keras.applications' Inception-V3 behind the change of range, its layers numbered from 0."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    scaled = layers.Rescaling(2.0, offset=-1.0, name="to_symmetric_range")(inputs)
    # Keras numbers unnamed layers through the whole process: the second network would have other names than the first.
    original = keras.applications.InceptionV3(include_top=False, weights=None, input_tensor=scaled, name=title)
    names = _names_from_zero(original)
    renamed = keras.models.clone_model(
        original, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"name": names[layer.name]})
    )
    return keras.Model(renamed.inputs[0], renamed.outputs[0], name=title)


def _names_from_zero(model: keras.Model) -> dict[str, str]:
    """Returns {name: new name} of all layers; those that Keras named after their class count from 0."""
    names: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for layer in sorted(model.layers, key=_creation_number):
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            names[layer.name] = f"{kind}_{seen[kind]}"
            seen[kind] += 1
        else:
            names[layer.name] = layer.name
    return names


def _creation_number(layer: layers.Layer) -> int:
    number = re.search(r"_(\d+)$", layer.name)
    return int(number.group(1)) if number else 0


def _load_inception_v3() -> keras.Model:
    return keras.applications.InceptionV3(include_top=False, weights="imagenet")


BACKBONES: dict[str, BackboneSpec] = {
    "resnet14_narrow": BackboneSpec(RESNET, functools.partial(_resnet, (16, 32, 64, 128), (1, 1, 1, 1), "block")),
    "resnet18": BackboneSpec(RESNET, functools.partial(_resnet, (64, 128, 256, 512), (2, 2, 2, 2), "basic_block")),
    "resnet34": BackboneSpec(RESNET, functools.partial(_resnet, (64, 128, 256, 512), (3, 4, 6, 3), "basic_block")),
    "resnet50": BackboneSpec(
        RESNET,
        functools.partial(_resnet, (64, 128, 256, 512), (3, 4, 6, 3), "block"),
        Pretrained(
            "resnet50_imagenet of keras-cv",
            _load_resnet50,
            "from keras_cv.models import ResNetBackbone as R; "
            "R.from_preset('resnet50_imagenet').save_weights('{path}')",
        ),
    ),
    "resnet101": BackboneSpec(RESNET, functools.partial(_resnet, (64, 128, 256, 512), (3, 4, 23, 3), "block")),
    "inception_v3": BackboneSpec(
        INCEPTION,
        _inception_v3,
        Pretrained(
            "InceptionV3 of keras.applications",
            _load_inception_v3,
            "import keras; keras.applications.InceptionV3(include_top=False).save_weights('{path}')",
        ),
        smallest_image=75,
    ),
    "inception_narrow": BackboneSpec(INCEPTION, narrow_inception),
    **{
        f"efficientnet_lite{number}": BackboneSpec(
            EFFICIENTNET_LITE, functools.partial(efficientnet_lite, number), Installed(number)
        )
        for number in SCALES
    },
}

SIZES: tuple[dict[str, str], ...] = (
    {RESNET: "resnet14_narrow", INCEPTION: "inception_narrow"},
    {RESNET: "resnet50", INCEPTION: "inception_v3"},
)
"""Backbones of the two families that stand for each other, about as large."""


def of_families(name: str, families: Sequence[str]) -> str:
    """Returns the backbone of these families that is about as large as the given one; itself if it is of one of them.

    Raises:
        ConfigError: the families have none of that size.
    """
    if BACKBONES[name].family in families:
        return name
    for size in SIZES:
        if name in size.values():
            return next(size[family] for family in families if family in size)
    have = ", ".join(key for key, spec in BACKBONES.items() if spec.family in families)
    raise ConfigError(
        f"model.backbone={name} has no counterpart among the {' and '.join(families)} backbones: set one of {have}"
    )


def check_image_size(name: str, image_size: int) -> None:
    """Checks that a backbone takes images of that size.

    Raises:
        ConfigError: it does not take images as small.
    """
    smallest = BACKBONES[name].smallest_image
    if image_size < smallest:
        raise ConfigError(f"data.image_size must be at least {smallest} for {name}. Received: {image_size}")


def check_weights(name: str, weights: str) -> None:
    """Checks, as far as that needs no network, that a backbone's first weights can be had; see `create_backbone`.

    Raises:
        WeightsError: there are no such ImageNet weights, they are not installed, or there is no such file.
    """
    if weights == "imagenet":
        _pretrained(name).check()
    elif weights != "none":
        check_weight_file(Path(weights))


def create_backbone(
    name: str, image_size: int, weights: str = "none", batch_norm_momentum: float = 0.99, title: str = "backbone"
) -> keras.Model:
    """Returns the backbone: RGB in [0, 1] [B, image_size, image_size, 3] -> last feature maps [B, h, w, c].

    At 299 pixels ResNet-50 gives [B, 10, 10, 2048], Inception-V3 [B, 8, 8, 2048]; at 224 EfficientNet-Lite
    [B, 7, 7, 1280].

    Args:
        name: a key of BACKBONES.
        image_size: side of the input, pixels.
        weights: "none" (random), "imagenet", or the path of a `.weights.h5` file that `Model.save_weights` of such a
            backbone wrote.
        batch_norm_momentum: of the moving averages.
        title: name of the model.

    Raises:
        ConfigError: the backbone does not take images as small.
        WeightsError: ImageNet weights do not exist or cannot be had; the file is missing or does not fit.
    """
    check_image_size(name, image_size)
    spec = BACKBONES[name]
    backbone = spec.build(image_size, title)
    if spec.family in STAGED and hasattr(backbone, "pyramid_level_inputs"):
        backbone.stage_ends = _stage_ends(backbone)
    fuse_batch_norms(backbone)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = batch_norm_momentum  # not all of them take it as an argument
    if weights == "imagenet":
        backbone.set_weights(_pretrained(name).load(name, backbone))
    elif weights != "none":
        load_weight_file(backbone, Path(weights))
    return backbone


def _pretrained(name: str) -> Pretrained | Installed:
    pretrained = BACKBONES[name].pretrained
    if pretrained is None:
        have = ", ".join(key for key, value in BACKBONES.items() if value.pretrained)
        raise WeightsError(
            f"there are no ImageNet weights for {name}, only for {have}: "
            "set model.weights=none, or model.weights to the path of a .weights.h5 file"
        )
    return pretrained


def stage_features(staged: keras.Model, stages: Sequence[int]) -> keras.Model:
    """Returns images -> list of the feature maps after these stages, with the same layers and weights.

    At 299 pixels the stages of ResNet-50 give [75, 75, 64], [75, 75, 256], [38, 38, 512], [19, 19, 1024],
    [10, 10, 2048].

    Args:
        staged: from `create_backbone`, of a family of STAGED.
        stages: numbers from 0 to STAGES - 1.
    """
    outputs = _stage_outputs(staged)
    network = keras.Model(staged.input, [outputs[stage] for stage in stages], name=staged.name)
    network.stage_ends = _stage_ends(staged)[: max(stages) + 1]
    return network


def first_stages(network: keras.Model, stages: int) -> list[layers.Layer]:
    """Returns the layers of the first stages of a backbone, or of what `stage_features` made of it.

    Args:
        network: of any layers; () of one without stages, as the last stage by itself.
        stages: how many.
    """
    ends = getattr(network, "stage_ends", ())[:stages]
    return keras.Model(network.input, network.get_layer(ends[-1]).output).layers if ends else []


def stage_segments(staged: keras.Model, ends: Sequence[int]) -> list[keras.Model]:
    """Returns the network cut after each of these stages, in order; with the same layers and weights."""
    outputs = _stage_outputs(staged)
    cuts = [staged.input, *(outputs[stage] for stage in ends), staged.output]
    return [
        keras.Model(before, after, name=f"{staged.name}_segment_{number}")
        for number, (before, after) in enumerate(zip(cuts, cuts[1:], strict=False))
    ]


def last_stage(staged: keras.Model, title: str) -> keras.Model:
    """Returns a copy of the last stage, weights included: maps after the stage before it -> last feature maps."""
    *_, before, last = _stage_outputs(staged)
    stage = keras.Model(before, last)
    inputs = keras.Input(before.shape[1:], name="maps")
    copy = keras.models.clone_model(stage, input_tensors=inputs)
    copy.set_weights(stage.get_weights())
    return keras.Model(copy.inputs, copy.outputs[0], name=title)


def _stage_ends(staged: keras.Model) -> tuple[str, ...]:
    levels = {"P1": "pool1_pool", **staged.pyramid_level_inputs}  # keras-cv's ResNets do not name theirs
    return tuple(levels[f"P{level}"] for level in range(1, STAGES + 1))


def _stage_outputs(staged: keras.Model) -> list[keras.KerasTensor]:
    return [staged.get_layer(name).output for name in _stage_ends(staged)]
