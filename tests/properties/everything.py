"""What the property tests run over: every layer with an input for it, and every method."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from small import make_weights_all_different, small_config

from amfam_tf import models
from amfam_tf.layers import AttentionMap, GradientReversal, UpsampleConv2D
from amfam_tf.models import METHODS
from amfam_tf.models.lesion_model import LesionModel


@dataclass(frozen=True)
class LayerCase:
    """A layer as a test makes it.

    Attributes:
        create: makes it, nothing at its default.
        shape: of its input, without the batch.
    """

    create: Callable[..., keras.layers.Layer]
    shape: tuple[int, ...]


LAYERS = {
    "GradientReversal": LayerCase(lambda **more: GradientReversal(0.3, **more), (5,)),
    "UpsampleConv2D-2": LayerCase(lambda **more: UpsampleConv2D(6, 2, **more), (3, 5, 4)),
    "UpsampleConv2D-4": LayerCase(
        lambda **more: UpsampleConv2D(3, 4, kernel_initializer="he_normal", **more), (2, 3, 4)
    ),
    "AttentionMap": LayerCase(
        lambda **more: AttentionMap((9, 7), activations=("tanh", "relu", "softmax"), stop_gradient=True, **more),
        (3, 4, 6),
    ),
}
METHOD_NAMES = tuple(METHODS)
OVERRIDES = ("model.leaky_relu_slope=0.3", "model.attention_activations=[tanh, relu, relu]")
"""Of what a network is made with; not the defaults."""


@functools.cache
def network_of(name: str) -> LesionModel:
    """Returns the network of a method, its weights all different; built once a process and not to be changed."""
    network = models.create(name, small_config(*OVERRIDES, method=name))
    make_weights_all_different(network)
    return network


def layer_input(case: LayerCase, seed: int = 0) -> np.ndarray:
    """Returns a batch of 2 for the layer."""
    return np.random.default_rng(seed).normal(size=(2, *case.shape)).astype(np.float32)
