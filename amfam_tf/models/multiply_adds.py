"""Multiply-adds of a network, counted from the shapes that pass through its layers."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from amfam_tf.layers import MissingViews, Standardise

COUNTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
NOT_COUNTED = (layers.BatchNormalization, MissingViews, Standardise)


def count_multiply_adds(model: keras.Model) -> int:
    """Returns the multiply-adds of one case in the convolutions and dense layers of a functional model.

    A layer or inner model that is called twice counts twice; so does one that is called on a batch of both images.
    Batch norm, activations, pooling and additions are not counted: they are few, and batch norm is folded for serving.

    Raises:
        TypeError: a layer with weights of another kind.
    """
    counts: list[int] = []
    _walk(model, [keras.KerasTensor((1, *tensor.shape[1:]), dtype=tensor.dtype) for tensor in model.inputs], counts)
    return sum(counts)


def _walk(model: keras.Model, inputs: list[keras.KerasTensor], counts: list[int]) -> Any:
    """Adds what each call of a layer costs to `counts`; returns the model's outputs for inputs of these shapes."""

    def measured(operation: keras.Operation) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if isinstance(operation, keras.Model):
                return _walk(operation, keras.tree.flatten(arguments), counts)
            outputs = operation.compute_output_spec(*arguments, **keywords)
            if isinstance(operation, COUNTED):
                counts.append(_cost(operation, outputs.shape))
            elif isinstance(operation, layers.Layer) and operation.weights and not isinstance(operation, NOT_COUNTED):
                raise TypeError(f"Cannot count the multiply-adds of a {type(operation).__name__} layer")
            return outputs

        return call

    return model._run_through_graph(inputs, operation_fn=measured)


def _cost(layer: layers.Layer, shape: tuple[int, ...]) -> int:
    """Returns outputs times weights per output.

    Args:
        layer: a convolution or dense layer; each of its kernel's weights is used once per position.
        shape: of its output, [B, ..., channels].
    """
    return math.prod(shape[:-1]) * math.prod(layer.kernel.shape)
