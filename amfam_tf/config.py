"""The configuration: one frozen dataclass tree, presets as YAML, overrides as `section.key=value`.

Every point that the paper leaves open is a field here with its default; docs/method.md lists them with reasons.
Unknown keys and impossible values raise ConfigError before any data is read.
"""

import dataclasses
import importlib.resources
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from amfam_tf import strict_yaml
from amfam_tf.errors import ConfigError
from amfam_tf.ranges import Range, bounded, check
from amfam_tf.strict_yaml import shown

PAPER_IMAGE_SIZE = 299
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "linear", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh")
LARGEST_SEED = 2**32 - 1
"""NumPy's and Keras' generators take no larger one."""
MOST_PIXELS = 2**27
"""TensorFlow's decoders take fewer than 2**29 values, in up to 4 channels."""
BELOW_ONE = 0.9999999
"""What float32 still tells from 1."""
MOST_UNITS = 65_536
MOST_EPOCHS = 1_000_000
LAYERS = Range(1, 16)
"""How many layers a list of sizes may describe."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def without_home(path: str) -> str:
    """Returns a path with the user's home folder for a leading ~; a name that only begins so (~$list.csv) stays.

    Raises:
        ConfigError: the home folder is not known.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111  (a URL and an empty text stay as they are)
    known = expanded != path or not (path == "~" or path.startswith("~/"))
    _require(known, f"{path}: the home folder is not known (HOME is not set): write the path out")
    return expanded


@dataclass(frozen=True)
class DataConfig:
    """How files become images of [image_size, image_size, 3].

    Attributes:
        image_size: side of the square that each picture is resized to, pixels (Sec. 4.2).
        border_crop: pixels cut from every side before resizing; 25 is common for dermoscopic borders.
        drop_shared_files: leave out cases whose clinical file is the dermoscopic one.
        cache: where decoded images are kept between epochs; "file" needs `cache_directory`.
        cache_directory: folder of the file cache.
        shuffle_buffer: cases among which the order is drawn; memory is bounded by it.
        max_pixels: a picture with more pixels is refused before it is decoded.
        sampling: order of the training cases: "shuffled" has each case once per epoch; "balanced" fills each batch by
            label, `cases_per_label` cases for each of the 24 labels (Kawahara et al. 2018), and
            `training.batch_size` then counts for validation and evaluation only.
        cases_per_label: cases drawn for each label of a balanced batch.
    """

    image_size: int = bounded(PAPER_IMAGE_SIZE, 32, 4096)
    border_crop: int = bounded(0, 0, 10_000)
    drop_shared_files: bool = False
    cache: Literal["none", "memory", "file"] = "memory"
    cache_directory: str | None = None
    shuffle_buffer: int = bounded(2048, 1, 10**9)
    max_pixels: int = bounded(50_000_000, 1, MOST_PIXELS)
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    cases_per_label: int = bounded(1, 1, 1024)

    def __post_init__(self) -> None:
        if self.cache_directory is not None:
            object.__setattr__(self, "cache_directory", without_home(self.cache_directory))
        check(self, "data")
        _require(
            self.cache != "file" or self.cache_directory is not None,
            "data.cache=file needs data.cache_directory, the folder to keep the decoded images in",
        )


@dataclass(frozen=True)
class AugmentationConfig:
    """Training augmentation of Sec. 4.2, for each picture independently.

    Attributes:
        enabled: False leaves the resized pictures as they are.
        pad: zero pixels added on each side before the random crop back to image_size.
        rotation_degrees: rotation drawn from [-rotation_degrees, rotation_degrees].
        rotation_interpolation: how rotated pixels are read.
        vertical_flip: probability of turning the picture upside down.
        horizontal_flip: probability of mirroring it (0 in the paper).
    """

    enabled: bool = True
    pad: int = bounded(20, 0, 4096)
    rotation_degrees: float = bounded(45.0, 0, 180)
    rotation_interpolation: Literal["bilinear", "nearest"] = "bilinear"
    vertical_flip: float = bounded(0.5, 0, 1)
    horizontal_flip: float = bounded(0.0, 0, 1)

    def __post_init__(self) -> None:
        check(self, "augmentation")


@dataclass(frozen=True)
class ModelConfig:
    """What the network is made of.

    Attributes:
        backbone: G; in AMFAM one parameter set for both modalities. "resnet14_narrow" and "inception_narrow" are for
            small experiments only.
        weights: "imagenet", "none", or the path of a local weight file.
        modalities: which pictures are used (ablations 1 and 2 use one).
        batch_statistics: "joint" sends both modalities through G as one batch of 2B; "per_modality" one after the
            other.
        batch_norm: what several replicas (`fit --strategy`) normalise with while training: "synchronised", the
            statistics of the whole batch as on one device, or "per_replica", each those of its own part.
        batch_norm_momentum: of the moving averages that inference uses, in G and the decoders.
        adversarial: with D and its gradient reversal (Eq. 1).
        reversal_scale: coefficient of the gradient reversal.
        reversal_schedule: "constant", or "ramp" for Ganin's 2 / (1 + exp(-10 p)) - 1 times reversal_scale.
        discriminator_units: hidden units of D.
        reconstruction: with the decoders RC and RD.
        decoder_scales: upsampling of each decoder block.
        decoder_channels: channels of each decoder block.
        leaky_relu_slope: negative slope in the decoder blocks.
        upsampling: how a decoder block enlarges its input.
        attention: how the attention map m weights the squared error (Eq. 2): "none" 1, "linear" m, "exponential"
            exp(m).
        attention_activations: activations of the layers c, c/2, c of the attention branch.
        stop_attention_gradient: no gradient through m.
        classifier_units: hidden units of each of the eight classifiers.
        classifier_activation: their activation.
        classifier_dropout: dropout before each softmax layer.
        metadata: columns given to the network as one-hots, in this order, by methods that take metadata; none by
            default. "management" and "level_of_diagnostic_difficulty" are decided from the diagnosis.
        embedding_units: hidden units of the embedding network (embeddingnet).
        embedding_dropout: dropout after each of its layers.
        fuse_predictions: inception-combined answers with its heads on "both" images, or with the "mean" of the
            softmaxes of its combinations.
    """

    backbone: Literal[
        "resnet14_narrow", "resnet18", "resnet34", "resnet50", "resnet101", "inception_v3", "inception_narrow"
    ] = "resnet50"
    weights: str = "imagenet"
    modalities: tuple[Literal["clinical", "dermoscopic"], ...] = ("clinical", "dermoscopic")
    batch_statistics: Literal["joint", "per_modality"] = "joint"
    batch_norm: Literal["synchronised", "per_replica"] = "synchronised"
    batch_norm_momentum: float = bounded(0.99, 0, BELOW_ONE)
    adversarial: bool = True
    reversal_scale: float = bounded(1.0, 1e-6, 1e6)
    reversal_schedule: Literal["constant", "ramp"] = "constant"
    discriminator_units: int = bounded(512, 1, MOST_UNITS)
    reconstruction: bool = True
    decoder_scales: tuple[int, ...] = bounded((4, 4, 2), 1, 64, length=LAYERS)
    decoder_channels: tuple[int, ...] = bounded((128, 128, 64), 1, MOST_UNITS, length=LAYERS)
    leaky_relu_slope: float = bounded(0.01, 0, 1)
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    attention: Literal["none", "linear", "exponential"] = "exponential"
    attention_activations: tuple[str, str, str] = ("relu", "relu", "sigmoid")
    stop_attention_gradient: bool = False
    classifier_units: int = bounded(512, 1, MOST_UNITS)
    classifier_activation: str = "relu"
    classifier_dropout: float = bounded(0.0, 0, BELOW_ONE)
    metadata: tuple[Literal["elevation", "location", "sex", "management", "level_of_diagnostic_difficulty"], ...] = ()
    embedding_units: tuple[int, ...] = bounded((1024, 512), 1, MOST_UNITS, length=LAYERS)
    embedding_dropout: float = bounded(0.5, 0, BELOW_ONE)
    fuse_predictions: Literal["both", "mean"] = "both"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", without_home(self.weights))
        check(self, "model")
        _require(len(self.modalities) > 0, "model.modalities must name at least one modality")
        _require(
            len(set(self.modalities)) == len(self.modalities),
            f"model.modalities names a modality twice. Received: {list(self.modalities)}",
        )
        _require(
            not self.adversarial or len(self.modalities) == 2,
            "model.adversarial needs both modalities: set model.adversarial=false or name both in model.modalities",
        )
        _require(
            self.attention == "none" or self.reconstruction,
            "model.attention weights the reconstruction: set model.reconstruction=true or model.attention=none",
        )
        _require(
            len(self.decoder_scales) == len(self.decoder_channels),
            "model.decoder_scales and model.decoder_channels must have the same length. "
            f"Received: {list(self.decoder_scales)} and {list(self.decoder_channels)}",
        )
        _require(
            len(set(self.metadata)) == len(self.metadata),
            f"model.metadata names a column twice. Received: {list(self.metadata)}",
        )
        for activation in (*self.attention_activations, self.classifier_activation):
            known = ", ".join(ACTIVATIONS)
            _require(
                activation in ACTIVATIONS, f"model: an activation must be one of {known}. Received: {activation!r}"
            )


@dataclass(frozen=True)
class LossConfig:
    """Weights of Eq. 4: L = L_P + adversarial * L_D + reconstruction * (L_RC + L_RD).

    Attributes:
        adversarial: lambda.
        reconstruction: gamma.
        class_weights: of the cross-entropy (Eq. 3): "none", or "batch" for max_count / count of the case's class,
            counted in each task and batch (Kawahara et al. 2018).
    """

    adversarial: float = bounded(0.8, 0, 1e6)
    reconstruction: float = bounded(0.4, 0, 1e6)
    class_weights: Literal["none", "batch"] = "none"

    def __post_init__(self) -> None:
        check(self, "loss")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam with L2 (Sec. 4.2).

    Attributes:
        learning_rate: at the start (after warm-up).
        weight_decay: coefficient of L2.
        weight_decay_mode: "coupled" adds L2 to the gradient before Adam's moments; "decoupled" is AdamW.
        exclude_norm_and_bias: no weight decay on batch-norm parameters and biases.
        clip_norm: global gradient norm to clip at; null for no clipping.
        schedule: "constant", or "cosine" down to 0 over all epochs.
        warmup_epochs: epochs of linear warm-up.
        beta_1, beta_2, epsilon: Adam's.
    """

    learning_rate: float = bounded(1e-5, 1e-12, 100)
    weight_decay: float = bounded(1e-4, 0, 100)
    weight_decay_mode: Literal["coupled", "decoupled"] = "coupled"
    exclude_norm_and_bias: bool = False
    clip_norm: float | None = bounded(None, 1e-12, 1e9)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: int = bounded(0, 0, MOST_EPOCHS)
    beta_1: float = bounded(0.9, 0, BELOW_ONE)
    beta_2: float = bounded(0.999, 0, BELOW_ONE)
    epsilon: float = bounded(1e-8, 1e-30, 1)

    def __post_init__(self) -> None:
        check(self, "optimizer")


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how to train.

    Attributes:
        batch_size: cases in a batch (each is a pair of images).
        epochs: at most this many.
        patience: epochs without a better mean validation accuracy before training stops; null never stops early.
        precision: Keras dtype policy.
        jit_compile: compile the train step with XLA; "auto" decides by device.
        steps_per_execution: steps in one call of the compiled function.
        recompute: decoders and the first stages of G are computed again for their gradient instead of being kept.
        picture_every: epochs between two pictures of inputs, attention maps and reconstructions; 0 for none.
        pretraining_epochs: of `epochs`, those of the first stage of a method that trains in two; null is half.
    """

    batch_size: int = bounded(8, 1, 65_536)
    epochs: int = bounded(150, 1, MOST_EPOCHS)
    patience: int | None = bounded(20, 1, MOST_EPOCHS)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: Literal["auto", "on", "off"] = "auto"
    steps_per_execution: int = bounded(1, 1, 100_000)
    recompute: bool = False
    picture_every: int = bounded(5, 0, MOST_EPOCHS)
    pretraining_epochs: int | None = bounded(None, 1, MOST_EPOCHS)

    def __post_init__(self) -> None:
        check(self, "training")
        _require(
            self.pretraining_epochs is None or self.pretraining_epochs < self.epochs,
            f"training.pretraining_epochs must be less than training.epochs, or null. "
            f"Received: {self.pretraining_epochs} of {self.epochs}",
        )


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, beside the data.

    Attributes:
        method: registry name, see `amfam_tf.models.registry`.
        seed: of initial weights, order, augmentation and dropout.
    """

    method: str = "amfam"
    seed: int = bounded(0, 0, LARGEST_SEED)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        check(self, "")


def preset_names() -> tuple[str, ...]:
    """Returns the names of the presets that come with the package."""
    folder = importlib.resources.files("amfam_tf") / "presets"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(preset: str = "paper", overrides: Iterable[str] = (), changes: Mapping[str, Any] | None = None) -> Config:
    """Returns the configuration of a preset with `changes` and then `section.key=value` overrides applied.

    Args:
        preset: a name from `preset_names()`, or the path of a YAML file.
        overrides: strings such as "training.epochs=3"; the value is read as YAML.
        changes: nested mapping of the same shape as the YAML; applied before `overrides`.

    Raises:
        ConfigError: unknown preset, key or impossible value.
    """
    tree = _merge(_read_preset(preset), changes or {})
    for override in overrides:
        tree = _merge(tree, _parse_override(override))
    return from_dict(tree)


def from_dict(tree: Mapping[str, Any]) -> Config:
    """Returns the configuration of a nested mapping; absent keys take their defaults.

    Raises:
        ConfigError: unknown key or impossible value; names the dotted key.
    """
    return structure(dict(tree), Config, "")


def to_dict(config: Config) -> dict[str, Any]:
    """Returns the configuration as plain dicts, lists and scalars, complete, in the order of definition."""
    return _tuples_to_lists(dataclasses.asdict(config))


def dump(config: Config) -> str:
    """Returns the configuration as YAML, complete, in the order of definition."""
    return strict_yaml.dump(to_dict(config))


def read(path: Path) -> Config:
    """Returns the configuration of a YAML file.

    Raises:
        ConfigError: the file cannot be read or has unknown keys or impossible values; names the file.
    """
    return from_dict(_read_yaml(read_text(path), str(path)))


def read_text(path: Path) -> str:
    """Returns the text of a configuration file.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def differences(old: Config, new: Config) -> list[str]:
    """Returns one line "key: old -> new" for each value that differs."""
    old_flat, new_flat = _flatten(to_dict(old)), _flatten(to_dict(new))
    return [f"{key}: {old_flat[key]} -> {new_flat[key]}" for key in old_flat if old_flat[key] != new_flat[key]]


def overridden_keys(overrides: Iterable[str]) -> list[str]:
    """Returns the dotted keys that overrides give a value, in order.

    Raises:
        ConfigError: an override is not of the form section.key=value.
    """
    return [key for override in overrides for key in _flatten(_parse_override(override))]


def value_at(config: Config, key: str) -> Any:
    """Returns the value of a dotted key that exists, as YAML has it."""
    value: Any = to_dict(config)
    for part in key.split("."):
        value = value[part]
    return value


def as_text(value: Any) -> str:
    """Returns a value of the configuration as an override would take it."""
    return value if isinstance(value, str) else json.dumps(value)


def _read_preset(preset: str) -> dict[str, Any]:
    if preset in preset_names():
        resource = importlib.resources.files("amfam_tf") / "presets" / f"{preset}.yaml"
        return _read_yaml(resource.read_text(encoding="utf-8"), f"preset {preset}")
    path = Path(without_home(preset))
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return _read_yaml(read_text(path), str(path))
    raise ConfigError(f"unknown preset {preset!r}: it is none of {', '.join(preset_names())} and no YAML file")


def _read_yaml(text: str, source: str) -> dict[str, Any]:
    tree = strict_yaml.parse(text, source)
    if tree is None:
        return {}
    _require(isinstance(tree, dict), f"{source} must be a mapping of sections. Received: {type(tree).__name__}")
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    _require(bool(separator) and bool(key), f"override {shown(override)} is not of the form section.key=value")
    value = strict_yaml.parse(text, f"override {shown(override)}: the value")
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _tuples_to_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples_to_lists(item) for key, item in value.items()}
    return [_tuples_to_lists(item) for item in value] if isinstance(value, tuple) else value


def structure(value: Any, kind: Any, key: str) -> Any:
    """Returns `value` as `kind`, strictly: no silent conversion but int to float."""
    if dataclasses.is_dataclass(kind):
        return _structure_section(value, kind, key)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else structure(value, inner, key)
    if origin is Literal:
        allowed = ", ".join(map(str, arguments))
        fits = isinstance(value, str) and value in arguments
        _require(fits, f"{key} must be one of {allowed}. Received: {shown(value)}")
        return value
    if origin is tuple:
        return _structure_tuple(value, arguments, key)
    return _structure_scalar(value, kind, key)


def _structure_section(value: Any, kind: Any, key: str) -> Any:
    _require(isinstance(value, Mapping), f"{key} is a section: set one of its keys, e.g. {key}.KEY=value")
    hints = get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    prefix = f"{key}." if key else ""
    for name in value:
        known = ", ".join(names)
        _require(name in names, f"unknown configuration key {prefix}{_word(name)}; known here: {known}")
    return kind(**{name: structure(item, hints[name], f"{prefix}{name}") for name, item in value.items()})


def _structure_tuple(value: Any, arguments: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), f"{key} must be a list. Received: {shown(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(structure(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value))
    _require(len(value) == len(arguments), f"{key} must have {len(arguments)} values. Received: {shown(value)}")
    pairs = zip(value, arguments, strict=True)
    return tuple(structure(item, kind, f"{key}[{index}]") for index, (item, kind) in enumerate(pairs))


def _structure_scalar(value: Any, kind: type, key: str) -> Any:
    if kind is float:
        return _structure_float(value, key)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    _require(fits, f"{key} must be {_KINDS[kind]}. Received: {shown(value)}")
    if kind is str:
        _require(value.isprintable(), f"{key} must not hold control characters. Received: {shown(value)}")
    return value


_KINDS = {bool: "true or false", int: "a whole number in decimal digits", str: "text (in quotes if it looks like else)"}


def _structure_float(value: Any, key: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    _require(math.isfinite(number), f"{key} must be a finite number. Received: {shown(value)}")
    return number


def _word(key: Any) -> str:
    return key if isinstance(key, str) and key.isprintable() and len(key) < 80 else shown(key)
