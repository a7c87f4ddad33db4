"""Batch norm folded into the convolutions before it: the same outputs with fewer operations, for inference only.

With the moving mean m and variance v, gamma g and beta b, batch norm of a convolution k * x + c is the convolution

    k' = k g / sqrt(v + epsilon),  c' = (c - m) g / sqrt(v + epsilon) + b.

A depthwise convolution's kernel has a factor for each channel that it makes of each of its inputs.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)
LayerTypes = Callable[[keras.layers.Layer], str]


def fold_batch_norm(model: keras.Model, dtype_of: LayerTypes = lambda layer: "float32") -> keras.Model:  # noqa: ARG005
    """Returns a new functional model with weights of its own, without the batch norm that follows a convolution.

    Models inside the model are folded as well. Batch norm that cannot be folded stays as it is: after something
    else than a convolution, or if the convolution's result is used elsewhere or activated.

    Args:
        model: functional; stays as it is.
        dtype_of: gives the Keras dtype policy of each new layer from the old one.
    """
    pairs = _foldable_pairs(model)
    gone = {id(norm) for norm in pairs.values()}
    copies: dict[int, tuple[Any, Any]] = {}

    def copy(operation: Any) -> Any:
        if id(operation) in gone or not isinstance(operation, layers.Layer):
            return operation
        if isinstance(operation, keras.Model):
            return fold_batch_norm(operation, dtype_of)
        changes = {"dtype": dtype_of(operation)} | ({"use_bias": True} if id(operation) in pairs else {})
        new = type(operation).from_config(operation.get_config() | changes)
        copies[id(operation)] = (operation, new)
        return new

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        return arguments[0] if id(operation) in gone else operation(*arguments, **keywords)

    folded = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for key, (old, new) in copies.items():
        new.set_weights(_folded_weights(old, pairs[key]) if key in pairs else old.get_weights())
    return folded


def _foldable_pairs(model: keras.Model) -> dict[int, layers.BatchNormalization]:
    """Returns, by the id of each convolution whose result only a batch norm sees, that batch norm."""
    uses = Counter(id(tensor) for tensor in model.outputs)
    for operation in model.operations:
        uses.update(id(tensor) for node in operation._inbound_nodes for tensor in node.input_tensors)
    norms = {id(layer.input): layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)}
    return {
        id(layer): norms[id(layer.output)]
        for layer in model.layers
        if isinstance(layer, CONVOLUTIONS)
        and layer.activation is keras.activations.linear
        and id(layer.output) in norms
        and uses[id(layer.output)] == 1
    }


def _folded_weights(
    convolution: layers.Conv2D | layers.DepthwiseConv2D, norm: layers.BatchNormalization
) -> list[np.ndarray]:
    """Returns kernel [h, w, in, out] and bias [out] of the convolution with its batch norm, float32.

    A depthwise kernel is [h, w, in, out / in].
    """
    # In float64: the square root and the products would add roundings of their own.
    mean, variance = (np.asarray(value, np.float64) for value in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, np.float64) if norm.center else np.zeros_like(mean)
    bias = np.asarray(convolution.bias, np.float64) if convolution.use_bias else np.zeros_like(mean)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    kernel = np.asarray(convolution.kernel, np.float64)
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    kernel = kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor)
    return [kernel.astype(np.float32), ((bias - mean) * factor + beta).astype(np.float32)]
