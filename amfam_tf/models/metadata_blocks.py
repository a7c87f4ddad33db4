"""How metadata change image features, channel by channel: FiLM and MetaBlock."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from keras import KerasTensor, layers


def film(x: KerasTensor, metadata: KerasTensor, name: str, made: list[layers.Layer]) -> KerasTensor:
    """Returns gamma * x + beta with gamma = 1 + W_1 m + b_1 and beta = W_2 m + b_2 of each channel.

    W and b begin at 0: the network begins as the one without metadata. Before and after pooling it is the same.

    Args:
        x: features [B, ..., c].
        metadata: m, [B, n]; a value that nobody knows is 0 in all of its numbers, but that of "unknown" of a number.
        name: of the layers.
        made: gets those with weights.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer", Eq. 2.
    """
    change = _of_channels(x, metadata, f"{name}_gamma", made, kernel_initializer="zeros")
    beta = _of_channels(x, metadata, f"{name}_beta", made, kernel_initializer="zeros")
    return layers.Add(name=f"{name}_film")([x, layers.Multiply(name=f"{name}_scaled")([x, change]), beta])


def metablock(x: KerasTensor, metadata: KerasTensor, name: str, made: list[layers.Layer]) -> KerasTensor:
    """Returns sigmoid(tanh(f * x) + g) with f = W_1 m + b_1 and g = W_2 m + b_2 of each channel.

    The authors' code normalises f and g over the batch as well; batches of few cases do better without.

    Args:
        x, metadata, name, made: see `film`.

    Source: Pacheco and Krohling 2021, "An Attention-Based Mechanism to Combine Images and Metadata in Deep Learning
    Models Applied to Skin Cancer Classification".
    """
    f, g = (_of_channels(x, metadata, f"{name}_{what}", made) for what in ("f", "g"))
    attended = layers.Activation("tanh", name=f"{name}_tanh")(layers.Multiply(name=f"{name}_attended")([x, f]))
    return layers.Activation("sigmoid", name=f"{name}_metablock")(layers.Add(name=f"{name}_gated")([attended, g]))


BLOCKS: Mapping[str, Callable[[KerasTensor, KerasTensor, str, list[layers.Layer]], KerasTensor]] = MappingProxyType(
    {"film": film, "metablock": metablock}
)
"""By `model.metadata_fusion`, all but "concatenation"."""


def at_each_place(metadata: KerasTensor, x: KerasTensor, name: str) -> KerasTensor:
    """Returns the metadata [B, n] as they can be concatenated with features x, [B, n] or [B, h, w, n]."""
    if len(x.shape) == 2:
        return metadata
    places = layers.Reshape((1, 1, metadata.shape[-1]), name=f"{name}_reshaped")(metadata)
    return layers.UpSampling2D(x.shape[1:3], name=f"{name}_spread")(places)


def _of_channels(
    x: KerasTensor, metadata: KerasTensor, name: str, made: list[layers.Layer], **options: Any
) -> KerasTensor:
    """Returns a linear function of the metadata for each channel of x: [B, c], or [B, 1, 1, c] for maps."""
    made.append(layers.Dense(x.shape[-1], name=name, **options))
    values = made[-1](metadata)
    return values if len(x.shape) == 2 else layers.Reshape((1, 1, x.shape[-1]), name=f"{name}_reshaped")(values)
