"""Mixup and cutmix: a training case becomes a mixture with the one before it in the epoch's order.

The order is drawn anew in each epoch, so the other case is any case; the first one of an epoch stays as it is. Both
pictures and all tasks of a case get the same share, and the same box. What is drawn is a function of (config.seed,
epoch, case number), with the number of the draw where an epoch draws a case more than once: a resumed run repeats it.

Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Yun et al. 2019, "CutMix", Sec. 3.
"""

import tensorflow as tf

from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import AugmentationConfig, Config
from amfam_tf.data.augment import augmentation_seed
from amfam_tf.data.pictures import Tensors, without_autograph

SHARE = "mixing.share"
"""Key of a batch: the share of a case's own labels, float32 [B]; absent if nothing is mixed."""
FOLDS = (2, 3)
"""Make other keys of that of a picture, see `augment.augmentation_seed`."""


def other_label(task: str) -> str:
    """Returns the key of a batch for the labels of the other case, int32 [B], or for what else stands under a key."""
    return f"mixing.{task}"


def mixes(config: AugmentationConfig) -> bool:
    """Returns whether cases are mixed."""
    return config.mixup > 0 or config.cutmix > 0


def with_previous(cases: tf.data.Dataset) -> tf.data.Dataset:
    """Returns each case with the one before it, the first one with itself."""

    @without_autograph
    def step(state: tuple, case: tuple) -> tuple:  # type: ignore[type-arg]
        begun, before = state
        other = tf.nest.map_structure(lambda old, own: tf.where(begun, old, own), before, case)
        return (tf.constant(True), case), (case, other)

    blank = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), cases.element_spec)
    return cases.scan((tf.constant(False), blank), step)


def mix(own: Tensors, other: Tensors, epoch: tf.Tensor, config: Config, occurrence: tf.Tensor | int = 0) -> Tensors:
    """Returns the mixture of two cases, with `SHARE` and the other one's labels.

    Args:
        own: a case of a batch, its pictures float32 [S, S, 3].
        other: likewise.
        epoch: 0-based.
        config: of the run.
        occurrence: how often the own case came before in this epoch.
    """
    key = augmentation_seed(config.seed, epoch, own["case_num"], MODALITIES[0], occurrence)
    share, weights = draw(key, config.data.image_size, config.augmentation)
    mixed = {name: _between(own[name], other[name], weights) for name in MODALITIES}
    if "metadata" in own:
        mixed["metadata"] = _between(own["metadata"], other["metadata"], share)
    labels = own.keys() - {*MODALITIES, "metadata", "case_num"}
    return own | mixed | {SHARE: share} | {other_label(name): other[name] for name in sorted(labels)}


def _between(own: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns share * own + (1 - share) * other, exactly the own for share 1 and for two that are the same."""
    return own + (1.0 - share) * (other - own)


def draw(key: tf.Tensor, size: int, config: AugmentationConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the own share of a case, float32 [], and of each of its pixels, [S, S, 1]; the former is their mean.

    Where both are on, each is drawn in half of the cases.

    Args:
        key: of its first picture.
        size: S.
        config: alpha of mixup and of cutmix, for shares from Beta(alpha, alpha).
    """
    place, amount = (tf.random.experimental.stateless_fold_in(key, fold, alg="philox") for fold in FOLDS)
    which, row, column = tf.unstack(tf.random.stateless_uniform((3,), place, alg="philox"))
    cuts = config.cutmix > 0 and (config.mixup == 0 or which < 0.5)
    alpha = tf.where(cuts, config.cutmix, config.mixup)
    parts = tf.random.stateless_gamma((2,), amount, tf.cast(alpha, tf.float64), dtype=tf.float64)
    # Both may be too small for a number.
    share = tf.where(tf.reduce_sum(parts) > 0, tf.math.divide_no_nan(parts[0], tf.reduce_sum(parts)), 1.0)
    share = tf.cast(share, tf.float32)
    outside = 1.0 - box(row, column, tf.sqrt(1.0 - share), size)
    weights = tf.where(cuts, outside, tf.fill((size, size, 1), share))
    return tf.where(cuts, tf.reduce_mean(outside), share), weights


def box(row: tf.Tensor, column: tf.Tensor, side: tf.Tensor, size: int) -> tf.Tensor:
    """Returns 1 inside of a square and 0 outside, float32 [S, S, 1]; what lies beyond the picture is cut off.

    Args:
        row, column: of its centre, [0, 1) of the picture.
        side: [0, 1] of that of the picture.
        size: S.
    """
    pixels = tf.range(size, dtype=tf.float32)
    half = side * size / 2
    down, across = (
        (pixels >= tf.floor(centre * size - half)) & (pixels < tf.floor(centre * size + half))
        for centre in (row, column)
    )
    return tf.cast(down[:, tf.newaxis] & across, tf.float32)[..., tf.newaxis]
