"""Arithmetic of a training step, counted from the shapes that pass through the network's layers."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from amfam_tf.layers import AttentionMap, UpsampleConv2D
from amfam_tf.layers.upsample_conv import TAPS

KERNELS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
FORWARD_AND_BACKWARD = 3
"""A product forward is two backward: one for the gradient of the input, one for that of the weights."""


def step_gflop(network: keras.Model, batch: int, merged: bool = True) -> float:
    """Returns the arithmetic of a training step on `batch` pairs, in 10^9 additions and multiplications.

    Convolutions and dense layers are counted, at two operations per multiply-add; the rest is small beside them.

    Args:
        network: a functional model of named inputs.
        batch: pairs of images.
        merged: count UpsampleConv2D as it is computed, with 9 multiply-adds per source pixel; else as upsampling and
            convolution, with 9 per output pixel.
    """
    counts: list[int] = []
    inputs = [keras.KerasTensor((batch, *tensor.shape[1:]), tensor.dtype) for tensor in network.input.values()]
    _walk(network, inputs, merged, counts)
    return 2 * FORWARD_AND_BACKWARD * sum(counts) / 1e9


def _walk(model: keras.Model, inputs: list, merged: bool, counts: list[int]) -> Any:
    """Adds the multiply-adds of each call of a layer to `counts`; returns the model's outputs."""

    def counting(operation: keras.Operation) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if isinstance(operation, keras.Model):
                return _walk(operation, keras.tree.flatten(arguments), merged, counts)
            outputs = operation.compute_output_spec(*arguments, **keywords)
            counts.append(_multiply_adds(operation, arguments, outputs, merged))
            return outputs

        return call

    # A Sequential holds its graph in a functional model of its own.
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph._run_through_graph(inputs, operation_fn=counting)


def _multiply_adds(operation: keras.Operation, arguments: tuple, outputs: Any, merged: bool) -> int:
    if isinstance(operation, UpsampleConv2D):
        places = arguments[0].shape if merged else outputs.shape
        return math.prod(places[:-1]) * TAPS * TAPS * math.prod(operation.kernel.shape[2:])
    if isinstance(operation, AttentionMap):
        batch = arguments[0].shape[0]
        kernels = sum(math.prod(weight.shape) for weight in operation.weights if weight.name == "kernel")
        # The sum over channels that makes the map, beside the kernels.
        return batch * kernels + math.prod(arguments[0].shape)
    if isinstance(operation, KERNELS):
        return math.prod(outputs.shape[:-1]) * math.prod(operation.kernel.shape)
    return 0
