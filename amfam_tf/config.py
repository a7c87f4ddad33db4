"""The configuration: one frozen dataclass tree, presets as YAML, overrides as `section.key=value`.

Every point that the paper leaves open is a field here with its default; docs/method.md lists them with reasons.
Unknown keys and impossible values raise ConfigError before any data is read.
"""

import dataclasses
import importlib.resources
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from amfam_tf.errors import ConfigError

PAPER_IMAGE_SIZE = 299
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "linear", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_positive(section: str, values: Mapping[str, float]) -> None:
    for key, value in values.items():
        _require(value > 0, f"{section}.{key} must be greater than 0. Received: {value}")


def _require_not_negative(section: str, values: Mapping[str, float]) -> None:
    for key, value in values.items():
        _require(value >= 0, f"{section}.{key} must not be negative. Received: {value}")


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

    image_size: int = PAPER_IMAGE_SIZE
    border_crop: int = 0
    drop_shared_files: bool = False
    cache: Literal["none", "memory", "file"] = "memory"
    cache_directory: str | None = None
    shuffle_buffer: int = 2048
    max_pixels: int = 50_000_000
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    cases_per_label: int = 1

    def __post_init__(self) -> None:
        keys = ("shuffle_buffer", "max_pixels", "cases_per_label")
        _require(self.image_size >= 32, f"data.image_size must be at least 32. Received: {self.image_size}")
        _require_positive("data", {key: getattr(self, key) for key in keys})
        _require_not_negative("data", {"border_crop": self.border_crop})
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
    pad: int = 20
    rotation_degrees: float = 45.0
    rotation_interpolation: Literal["bilinear", "nearest"] = "bilinear"
    vertical_flip: float = 0.5
    horizontal_flip: float = 0.0

    def __post_init__(self) -> None:
        _require_not_negative("augmentation", {"pad": self.pad})
        _require(
            0 <= self.rotation_degrees <= 180,
            f"augmentation.rotation_degrees must be in [0, 180]. Received: {self.rotation_degrees}",
        )
        for key in ("vertical_flip", "horizontal_flip"):
            value = getattr(self, key)
            _require(0 <= value <= 1, f"augmentation.{key} must be a probability in [0, 1]. Received: {value}")


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
    batch_norm_momentum: float = 0.99
    adversarial: bool = True
    reversal_scale: float = 1.0
    reversal_schedule: Literal["constant", "ramp"] = "constant"
    discriminator_units: int = 512
    reconstruction: bool = True
    decoder_scales: tuple[int, ...] = (4, 4, 2)
    decoder_channels: tuple[int, ...] = (128, 128, 64)
    leaky_relu_slope: float = 0.01
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    attention: Literal["none", "linear", "exponential"] = "exponential"
    attention_activations: tuple[str, str, str] = ("relu", "relu", "sigmoid")
    stop_attention_gradient: bool = False
    classifier_units: int = 512
    classifier_activation: str = "relu"
    classifier_dropout: float = 0.0
    metadata: tuple[Literal["elevation", "location", "sex", "management", "level_of_diagnostic_difficulty"], ...] = ()
    embedding_units: tuple[int, ...] = (1024, 512)
    embedding_dropout: float = 0.5
    fuse_predictions: Literal["both", "mean"] = "both"

    def __post_init__(self) -> None:
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
            len(self.decoder_scales) == len(self.decoder_channels) > 0,
            "model.decoder_scales and model.decoder_channels must have the same length, at least 1. "
            f"Received: {list(self.decoder_scales)} and {list(self.decoder_channels)}",
        )
        _require(
            len(set(self.metadata)) == len(self.metadata),
            f"model.metadata names a column twice. Received: {list(self.metadata)}",
        )
        _require(len(self.embedding_units) > 0, "model.embedding_units must have at least one layer")
        for key in ("decoder_scales", "decoder_channels", "embedding_units"):
            _require(min(getattr(self, key)) > 0, f"model.{key} must be greater than 0")
        units = {key: getattr(self, key) for key in ("discriminator_units", "classifier_units", "reversal_scale")}
        _require_positive("model", units)
        _require_not_negative("model", {"leaky_relu_slope": self.leaky_relu_slope})
        for activation in (*self.attention_activations, self.classifier_activation):
            known = ", ".join(ACTIVATIONS)
            _require(
                activation in ACTIVATIONS, f"model: an activation must be one of {known}. Received: {activation!r}"
            )
        for key in ("batch_norm_momentum", "classifier_dropout", "embedding_dropout"):
            value = getattr(self, key)
            _require(0 <= value < 1, f"model.{key} must be in [0, 1). Received: {value}")


@dataclass(frozen=True)
class LossConfig:
    """Weights of Eq. 4: L = L_P + adversarial * L_D + reconstruction * (L_RC + L_RD).

    Attributes:
        adversarial: lambda.
        reconstruction: gamma.
        class_weights: of the cross-entropy (Eq. 3): "none", or "batch" for max_count / count of the case's class,
            counted in each task and batch (Kawahara et al. 2018).
    """

    adversarial: float = 0.8
    reconstruction: float = 0.4
    class_weights: Literal["none", "batch"] = "none"

    def __post_init__(self) -> None:
        _require_not_negative("loss", {"adversarial": self.adversarial, "reconstruction": self.reconstruction})


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

    learning_rate: float = 1e-5
    weight_decay: float = 1e-4
    weight_decay_mode: Literal["coupled", "decoupled"] = "coupled"
    exclude_norm_and_bias: bool = False
    clip_norm: float | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: int = 0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_positive("optimizer", {"learning_rate": self.learning_rate, "epsilon": self.epsilon})
        _require_not_negative("optimizer", {"weight_decay": self.weight_decay, "warmup_epochs": self.warmup_epochs})
        _require(
            self.clip_norm is None or self.clip_norm > 0,
            f"optimizer.clip_norm must be greater than 0 or null. Received: {self.clip_norm}",
        )
        for key in ("beta_1", "beta_2"):
            value = getattr(self, key)
            _require(0 <= value < 1, f"optimizer.{key} must be in [0, 1). Received: {value}")


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

    batch_size: int = 8
    epochs: int = 150
    patience: int | None = 20
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: Literal["auto", "on", "off"] = "auto"
    steps_per_execution: int = 1
    recompute: bool = False
    picture_every: int = 5
    pretraining_epochs: int | None = None

    def __post_init__(self) -> None:
        keys = ("batch_size", "epochs", "steps_per_execution")
        _require_positive("training", {key: getattr(self, key) for key in keys})
        _require_not_negative("training", {"picture_every": self.picture_every})
        _require(
            self.patience is None or self.patience > 0,
            f"training.patience must be greater than 0 or null. Received: {self.patience}",
        )
        _require(
            self.pretraining_epochs is None or 0 < self.pretraining_epochs < self.epochs,
            f"training.pretraining_epochs must be greater than 0 and less than training.epochs, or null. "
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
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        _require(self.seed >= 0, f"seed must not be negative. Received: {self.seed}")


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
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def read(path: Path) -> Config:
    """Returns the configuration of a YAML file.

    Raises:
        ConfigError: the file cannot be read or has unknown keys or impossible values; names the file.
    """
    try:
        return from_dict(_read_yaml(path.read_text(encoding="utf-8"), str(path)))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def differences(old: Config, new: Config) -> list[str]:
    """Returns one line "key: old -> new" for each value that differs."""
    old_flat, new_flat = _flatten(to_dict(old)), _flatten(to_dict(new))
    return [f"{key}: {old_flat[key]} -> {new_flat[key]}" for key in old_flat if old_flat[key] != new_flat[key]]


def _read_preset(preset: str) -> dict[str, Any]:
    if preset in preset_names():
        resource = importlib.resources.files("amfam_tf") / "presets" / f"{preset}.yaml"
        return _read_yaml(resource.read_text(encoding="utf-8"), f"preset {preset}")
    path = Path(preset)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return _read_yaml(path.read_text(encoding="utf-8"), str(path))
    raise ConfigError(f"unknown preset {preset!r}: it is none of {', '.join(preset_names())} and no YAML file")


def _read_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    _require(isinstance(tree, dict), f"{source} must be a mapping of sections. Received: {type(tree).__name__}")
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    _require(bool(separator) and bool(key), f"override {override!r} is not of the form section.key=value")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from error
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
    """Returns `value` as `kind`, strictly: no silent conversion but int to float and 1e-5 style strings to float."""
    if dataclasses.is_dataclass(kind):
        return _structure_section(value, kind, key)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else structure(value, inner, key)
    if origin is Literal:
        allowed = ", ".join(map(str, arguments))
        if isinstance(value, bool) and {"on", "off"} <= set(arguments):
            value = "on" if value else "off"  # YAML 1.1 reads a bare on or off as a truth value.
        _require(value in arguments, f"{key} must be one of {allowed}. Received: {value!r}")
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
        _require(name in names, f"unknown configuration key {prefix}{name}; known here: {known}")
    return kind(**{name: structure(item, hints[name], f"{prefix}{name}") for name, item in value.items()})


def _structure_tuple(value: Any, arguments: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), f"{key} must be a list. Received: {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(structure(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value))
    _require(len(value) == len(arguments), f"{key} must have {len(arguments)} values. Received: {value!r}")
    pairs = zip(value, arguments, strict=True)
    return tuple(structure(item, kind, f"{key}[{index}]") for index, (item, kind) in enumerate(pairs))


def _structure_scalar(value: Any, kind: type, key: str) -> Any:
    if kind is float:
        return _structure_float(value, key)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    _require(fits, f"{key} must be of type {kind.__name__}. Received: {value!r}")
    return value


def _structure_float(value: Any, key: str) -> float:
    # YAML 1.1 reads 1e-5 (no dot) as a string; to a person it is a number.
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    _require(math.isfinite(number), f"{key} must be a finite number. Received: {value!r}")
    return number
