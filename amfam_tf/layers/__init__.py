"""The method's own layers, one file each."""

from amfam_tf.layers.attention_map import AttentionMap
from amfam_tf.layers.bicubic import bicubic_matrix, normalize_min_max, resize_bicubic
from amfam_tf.layers.fused_batch_norm import BatchNormalization, fuse_batch_norms, keep_batch_statistics
from amfam_tf.layers.gradient_reversal import GradientReversal
from amfam_tf.layers.missing_views import MissingViews, without_gradient_of_missing
from amfam_tf.layers.standardise import Standardise
from amfam_tf.layers.upsample_conv import UpsampleConv2D

__all__ = [
    "AttentionMap",
    "BatchNormalization",
    "GradientReversal",
    "MissingViews",
    "Standardise",
    "UpsampleConv2D",
    "bicubic_matrix",
    "fuse_batch_norms",
    "keep_batch_statistics",
    "normalize_min_max",
    "resize_bicubic",
    "without_gradient_of_missing",
]
