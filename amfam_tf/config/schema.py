"""What can be chosen: one frozen dataclass tree, each value with its default, its range and what it has to fit.

Every point that the paper leaves open is a field here; docs/method.md lists them with reasons.
"""

import math
import os
import re
from dataclasses import dataclass, field, fields
from typing import Literal

from amfam_tf.ranges import Range, bounded, check, require

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
TASK_WEIGHT = Range(0, 1_000_000)
UNSMOOTHED = ("class_balanced_focal", "asymmetric")
"""Of `loss.classification`, those in which a label is not smoothed."""
LAYERS = Range(1, 16)
"""How many layers a list of sizes may describe."""


def without_home(path: str) -> str:
    """Returns a path with the user's home folder for a leading ~; a name that only begins so (~$list.csv) stays.

    Raises:
        ConfigError: the home folder is not known.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111  (a URL and an empty text stay as they are)
    known = expanded != path or not (path == "~" or path.startswith("~/"))
    require(known, f"{path}: the home folder is not known (HOME is not set): write the path out")
    return expanded


@dataclass(frozen=True)
class DataConfig:
    """How files become images of [image_size, image_size, 3].

    Attributes:
        image_size: side of the square that each picture is resized to, pixels (Sec. 4.2).
        border_crop: pixels cut from every side before resizing; 25 is common for dermoscopic borders.
        drop_shared_files: leave out cases whose clinical file is the dermoscopic one.
        fold: number of the fold that is the test split, from 0, of those that the data's card deals out; null for the
            splits as they are.
        several_pictures: of a case with several pictures of a view: "all" draws one pair an epoch in training,
            validation and evaluation average the answers to all pairs; "first" takes the first picture of each view.
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
    fold: int | None = bounded(None, 0, 99)
    several_pictures: Literal["all", "first"] = "all"
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
        require(
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
        brightness: largest change, of white; like those of all below in either direction, and 0 for none.
        contrast: largest change of its factor around the mean colour.
        saturation: largest change of its factor.
        hue: largest change, in turns of the colour wheel.
        sharpness: largest share of the difference to the smoothed picture that is added or taken.
        mixup: alpha of the shares, Beta(alpha, alpha), in which a case is mixed with another one; 0 for no mixing.
        cutmix: alpha likewise, for the area that a case keeps where a box of another one covers the rest; with both,
            each in half of the cases.
    """

    enabled: bool = True
    pad: int = bounded(20, 0, 4096)
    rotation_degrees: float = bounded(45.0, 0, 180)
    rotation_interpolation: Literal["bilinear", "nearest"] = "bilinear"
    vertical_flip: float = bounded(0.5, 0, 1)
    horizontal_flip: float = bounded(0.0, 0, 1)
    brightness: float = bounded(0.0, 0, 1)
    contrast: float = bounded(0.0, 0, 1)
    saturation: float = bounded(0.0, 0, 1)
    hue: float = bounded(0.0, 0, 0.5)
    sharpness: float = bounded(0.0, 0, 1)
    mixup: float = bounded(0.0, 0, 100)
    cutmix: float = bounded(0.0, 0, 100)

    def __post_init__(self) -> None:
        check(self, "augmentation")
        for name in ("brightness", "contrast", "saturation", "hue", "sharpness", "mixup", "cutmix"):
            require(
                self.enabled or not getattr(self, name),
                f"augmentation.{name} does nothing with augmentation.enabled=false: leave it out",
            )


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
        modality_dropout: probability that one of the two pictures of a training case, either as often, is taken as
            missing; above 0 there is a learned token for each, and the network answers for one picture or both.
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
        metadata: columns of the data's card given to the network, in this order; none by default. Of Derm7pt,
            "management" and "level_of_diagnostic_difficulty" are decided from the diagnosis.
        metadata_fusion: how they join the image features: "concatenation" beside them, "film" and "metablock" change
            each channel.
        embedding_units: hidden units of the embedding network (embeddingnet).
        embedding_dropout: dropout after each of its layers.
        fuse_predictions: inception-combined answers with its heads on "both" images, or with the "mean" of the
            softmaxes of its combinations.
        average_flips: answers of the trained network are means over the four flips of the pictures, both flipped alike.
    """

    backbone: Literal[
        "resnet14_narrow",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "inception_v3",
        "inception_narrow",
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
    ] = "resnet50"
    weights: str = "imagenet"
    modalities: tuple[Literal["clinical", "dermoscopic"], ...] = ("clinical", "dermoscopic")
    batch_statistics: Literal["joint", "per_modality"] = "joint"
    modality_dropout: float = bounded(0.0, 0, BELOW_ONE)
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
    metadata: tuple[str, ...] = ()
    metadata_fusion: Literal["concatenation", "film", "metablock"] = "concatenation"
    embedding_units: tuple[int, ...] = bounded((1024, 512), 1, MOST_UNITS, length=LAYERS)
    embedding_dropout: float = bounded(0.5, 0, BELOW_ONE)
    fuse_predictions: Literal["both", "mean"] = "both"
    average_flips: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", without_home(self.weights))
        check(self, "model")
        require(len(self.modalities) > 0, "model.modalities must name at least one modality")
        require(
            len(set(self.modalities)) == len(self.modalities),
            f"model.modalities names a modality twice. Received: {list(self.modalities)}",
        )
        require(
            not self.adversarial or len(self.modalities) == 2,
            "model.adversarial needs both modalities: set model.adversarial=false or name both in model.modalities",
        )
        require(
            not self.modality_dropout or len(self.modalities) == 2,
            "model.modality_dropout needs both modalities: set it to 0 or name both in model.modalities",
        )
        require(
            self.attention == "none" or self.reconstruction,
            "model.attention weights the reconstruction: set model.reconstruction=true or model.attention=none",
        )
        require(
            len(self.decoder_scales) == len(self.decoder_channels),
            "model.decoder_scales and model.decoder_channels must have the same length. "
            f"Received: {list(self.decoder_scales)} and {list(self.decoder_channels)}",
        )
        require(
            len(set(self.metadata)) == len(self.metadata),
            f"model.metadata names a column twice. Received: {list(self.metadata)}",
        )
        for activation in (*self.attention_activations, self.classifier_activation):
            known = ", ".join(ACTIVATIONS)
            require(activation in ACTIVATIONS, f"model: an activation must be one of {known}. Received: {activation!r}")


@dataclass(frozen=True)
class LossConfig:
    """Weights of Eq. 4: L = L_P + adversarial * L_D + reconstruction * (L_RC + L_RD).

    Attributes:
        adversarial: lambda.
        reconstruction: gamma.
        classification: what L_P sums over the tasks; all but "cross_entropy" are for rare classes, by the class counts
            of the training split.
        adjustment: tau of "logit_adjustment".
        focusing: gamma of "class_balanced_focal" and "large_margin_focal"; of the label in "asymmetric".
        focusing_others: gamma of the other classes in "asymmetric".
        shift: probability of another class up to which "asymmetric" does not count it.
        effective_samples: beta of "class_balanced_focal" and of `reweighted_after`.
        margin: of the rarest class in "ldam" and "large_margin_focal", in logits.
        reweighted_after: epochs of "ldam" after which each case is weighted by its class, as in "class_balanced_focal";
            null never does.
        class_weights: of the cross-entropy (Eq. 3): "none", or "batch" for max_count / count of the case's class,
            counted in each task and batch (Kawahara et al. 2018).
        label_smoothing: share of a case's label that the cross-entropy gives to all classes alike.
        task_weighting: what a task counts in L_P: "fixed", or "uncertainty" for a weight that is learned with the
            network.
        task_weights: the fixed ones, each as TASK=NUMBER; the others are 1.
        teacher: folder of a finished run with the same questions, an ensemble or any other, whose answers are learned
            beside the labels (Hinton et al. 2015); null for none.
        teacher_answers: "whole" has each case answered by the whole of the teacher; "out_of_fold" by those members of
            an ensemble that left the case's fold out.
        distillation: share w of the teacher: (1 - w) of the loss of the labels, and w of the divergence from its
            answers.
        distillation_temperature: T, that both answers are softened with.
    """

    adversarial: float = bounded(0.8, 0, 1e6)
    reconstruction: float = bounded(0.4, 0, 1e6)
    classification: Literal[
        "cross_entropy",
        "balanced_softmax",
        "logit_adjustment",
        "class_balanced_focal",
        "ldam",
        "large_margin_focal",
        "asymmetric",
    ] = "cross_entropy"
    adjustment: float = bounded(1.0, 0, 100)
    focusing: float = bounded(2.0, 0, 100)
    focusing_others: float = bounded(4.0, 0, 100)
    shift: float = bounded(0.05, 0, 1)
    effective_samples: float = bounded(0.999, 0, BELOW_ONE)
    margin: float = bounded(0.5, 0, 100)
    reweighted_after: int | None = bounded(None, 0, MOST_EPOCHS)
    class_weights: Literal["none", "batch"] = "none"
    label_smoothing: float = bounded(0.0, 0, BELOW_ONE)
    task_weighting: Literal["fixed", "uncertainty"] = "fixed"
    task_weights: tuple[str, ...] = ()
    teacher: str | None = None
    teacher_answers: Literal["whole", "out_of_fold"] = "whole"
    distillation: float = bounded(0.5, 0, 1)
    distillation_temperature: float = bounded(2.0, 0.01, 100)

    def __post_init__(self) -> None:
        if self.teacher is not None:
            object.__setattr__(self, "teacher", without_home(self.teacher))
        check(self, "loss")
        require(
            self.reweighted_after is None or self.classification == "ldam",
            f"loss.reweighted_after does nothing in loss.classification={self.classification}: leave it out",
        )
        require(
            not self.task_weights or self.task_weighting == "fixed",
            "loss.task_weights are the fixed ones: leave them out, or set loss.task_weighting=fixed",
        )
        names = [name for name, _ in self.weights_by_task()]
        require(
            len(set(names)) == len(names),
            f"loss.task_weights names a task twice. Received: {list(self.task_weights)}",
        )
        require(
            not self.label_smoothing or self.classification not in UNSMOOTHED,
            f"loss.label_smoothing does nothing in loss.classification={self.classification}: leave it out",
        )

    @property
    def taught(self) -> bool:
        """Whether a teacher is asked."""
        return self.teacher is not None and self.distillation > 0

    def weights_by_task(self) -> list[tuple[str, float]]:
        """Returns the name and the number of each of `task_weights`.

        Raises:
            ConfigError: one is not of this form, or its number not in TASK_WEIGHT.
        """
        found = []
        for place, text in enumerate(self.task_weights):
            name, _, number = text.partition("=")
            weight = float(number) if re.fullmatch(r"\d+(\.\d*)?(e[+-]?\d+)?", number) else math.nan
            require(
                name != "" and weight in TASK_WEIGHT,
                f"loss.task_weights[{place}] must be like TASK=2, with a number {TASK_WEIGHT}. Received: {text!r}",
            )
            found.append((name, weight))
        return found


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
        backbone_rate: learning rate of the backbones, as a multiple of that of all else.
        layer_decay: learning rate of a backbone's first layer, as a multiple of that of its last; geometric between.
        weight_average: momentum of the moving average of the weights that is validated, kept and exported in their
            place; 0 for none.
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
    backbone_rate: float = bounded(1.0, 1e-6, 1e3)
    layer_decay: float = bounded(1.0, 1e-6, 1)
    weight_average: float = bounded(0.0, 0, BELOW_ONE)

    def __post_init__(self) -> None:
        check(self, "optimizer")


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how to train.

    Attributes:
        batch_size: cases in a batch (each is a pair of images).
        epochs: at most this many.
        monitor: measure of the validation cases that the best epoch and `patience` are judged by: "headline", the
            accuracy of the headline's task or else "accuracy"; "accuracy", "balanced_accuracy", "macro_f1" or "auc"
            (macro), each a mean over the tasks; or "loss", the lower the better.
        patience: epochs without a better one before training stops; null never stops early.
        precision: Keras dtype policy.
        jit_compile: compile the train step with XLA; "auto" decides by device.
        steps_per_execution: steps in one call of the compiled function.
        recompute: decoders and the first stages of G are computed again for their gradient instead of being kept.
        picture_every: epochs between two pictures of inputs, attention maps and reconstructions; 0 for none.
        pretraining_epochs: of `epochs`, those of the first stage of a method that trains in two; null is half.
        frozen_epochs: first epochs in which the backbones stay as they are, batch statistics too.
        frozen_stages: of a backbone of stages, how many stay as they are in these epochs, which may be all; null for
            the whole backbone.
        frozen_batch_statistics: batch norm of the backbones normalises with the moving averages that it begins with,
            and keeps them; scale and offset are trained.
    """

    batch_size: int = bounded(8, 1, 65_536)
    epochs: int = bounded(150, 1, MOST_EPOCHS)
    monitor: Literal["headline", "accuracy", "balanced_accuracy", "macro_f1", "auc", "loss"] = "headline"
    patience: int | None = bounded(20, 1, MOST_EPOCHS)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: Literal["auto", "on", "off"] = "auto"
    steps_per_execution: int = bounded(1, 1, 100_000)
    recompute: bool = False
    picture_every: int = bounded(5, 0, MOST_EPOCHS)
    pretraining_epochs: int | None = bounded(None, 1, MOST_EPOCHS)
    frozen_epochs: int = bounded(0, 0, MOST_EPOCHS)
    frozen_stages: int | None = bounded(None, 1, 5)
    frozen_batch_statistics: bool = False

    def __post_init__(self) -> None:
        check(self, "training")
        require(
            self.pretraining_epochs is None or self.pretraining_epochs < self.epochs,
            f"training.pretraining_epochs must be less than training.epochs, or null. "
            f"Received: {self.pretraining_epochs} of {self.epochs}",
        )
        require(
            self.frozen_stages is None or self.frozen_epochs > 0,
            "training.frozen_stages needs training.frozen_epochs, the epochs in which they are frozen",
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
        require(
            self.loss.teacher_answers == "whole" or self.data.fold is None,
            "loss.teacher_answers=out_of_fold: the members that answer have learned from the cases of data.fold, the "
            "test split: leave data.fold out",
        )


OF_TRAINING = frozenset(
    f"{section}.{item.name}"
    for section, kind in (
        ("augmentation", AugmentationConfig),
        ("loss", LossConfig),
        ("optimizer", OptimizerConfig),
        ("training", TrainingConfig),
    )
    for item in fields(kind)
) - {"training.batch_size", "training.precision"}
"""What only methods read that are trained by steps."""
OF_METHODS = (
    OF_TRAINING
    | {f"model.{item.name}" for item in fields(ModelConfig)}
    | {"method", "data.sampling", "data.cases_per_label"}
)
"""What a method may set itself or not read; each method reads all other keys as they are."""
