"""Networks whose decoders and first stages are computed again for their gradient: less memory, more arithmetic.

Only the way that a training step computes changes; weights, names, saved files, and the numbers to rounding do not.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from amfam_tf.errors import ConfigError
from amfam_tf.layers.recompute import recomputed
from amfam_tf.models.backbones import stage_segments
from amfam_tf.models.lesion_model import LesionModel

FIRST_STAGES = (1, 2)
"""Stages at which a segment that is computed again ends: what they keep per image is the most, their arithmetic a
third of the backbone's."""


class _RecomputedDecoder:
    """Goes before the class of a decoder."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        call = functools.partial(super().call, training=training, mask=mask)  # type: ignore[misc]
        return recomputed(call, inputs) if training else call(inputs)


class _RecomputedStages:
    """Goes before the class of a backbone of stages."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not training:
            return super().call(inputs, training=training, mask=mask)  # type: ignore[misc]
        *first, rest = stage_segments(self, FIRST_STAGES)
        for segment in first:
            inputs = recomputed(functools.partial(segment, training=True), inputs)
        return rest(inputs, training=True)


def recompute_parts(network: LesionModel) -> None:
    """Makes the decoders RC and RD and the first stages of G recompute in training steps.

    Raises:
        ConfigError: the network has neither.
    """
    called = {id(layer) for layer in network.layers}
    layers = [layer for part in network.parts.values() for layer in part if id(layer) in called]
    backbones = [layer for layer in layers if hasattr(layer, "pyramid_level_inputs")]
    decoders = [layer for layer in layers if type(layer) is keras.Sequential and layer.name.startswith("decoder_")]
    if not backbones and not decoders:
        raise ConfigError(f"training.recompute=true: method {network.name} has no part that could be computed again")
    for layer in backbones:
        _put_before(layer, _RecomputedStages)
    for layer in decoders:
        _put_before(layer, _RecomputedDecoder)


def _put_before(layer: keras.Model, way: type) -> None:
    """Gives a layer another way to be called; under the same class name, which is part of the layout of saved files."""
    layer.__class__ = type(type(layer).__name__, (way, type(layer)), {})
