"""What the methods are put together from, beside backbones and heads: one network per image, fusion, metadata."""

import math
from collections.abc import Mapping, Sequence

import keras
from keras import layers, ops

from amfam_tf.card.inputs import MetadataInput, number_places
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.layers import MissingViews, Standardise
from amfam_tf.models.backbones import create_backbone
from amfam_tf.models.lesion_model import METADATA_INPUT, given_name, output_name
from amfam_tf.models.metadata_blocks import BLOCKS, at_each_place

Tensors = dict[str, keras.KerasTensor]


def create_image_networks(config: ModelConfig, image_size: int) -> dict[str, keras.Model]:
    """Returns {modality: a backbone of its own}: RGB in [0, 1] [B, S, S, 3] -> feature maps [B, h, w, c]."""
    return {key: image_network(config, image_size, f"backbone_{key}") for key in MODALITIES}


def image_network(config: ModelConfig, image_size: int, title: str) -> keras.Model:
    """Returns the configured backbone under a name of its own."""
    return create_backbone(config.backbone, image_size, config.weights, config.batch_norm_momentum, title)


def standardised(
    inputs: Mapping[str, keras.KerasTensor], metadata: Sequence[MetadataInput]
) -> dict[str, keras.KerasTensor]:
    """Returns the inputs with the numbers of the metadata [B, n], if there are any, standardised."""
    places = number_places(metadata)
    if not places:
        return dict(inputs)
    return {**inputs, METADATA_INPUT: Standardise(places, name="standardise_metadata")(inputs[METADATA_INPUT])}


def fuse(
    features: Sequence[keras.KerasTensor],
    inputs: Mapping[str, keras.KerasTensor],
    name: str,
    config: ModelConfig,
    made: list[layers.Layer],
) -> keras.KerasTensor:
    """Returns features [B, ..., c] and the metadata [B, n], if there is any, as one tensor.

    Args:
        features: vectors, or maps of one size.
        inputs: see `standardised`.
        name: of the layers; without metadata there is at most one, which concatenates.
        config: of the network: its `metadata_fusion`.
        made: gets the layers with weights.
    """
    metadata = inputs.get(METADATA_INPUT)
    found, block = list(features), None
    if metadata is not None:
        block = BLOCKS.get(config.metadata_fusion)
        found += [] if block else [at_each_place(metadata, found[0], name)]
    joined = layers.Concatenate(name=name)(found) if len(found) > 1 else found[0]
    return block(joined, metadata, name, made) if block else joined


def with_tokens(
    features: Tensors, inputs: Mapping[str, keras.KerasTensor], config: ModelConfig, made: list[layers.Layer]
) -> tuple[Tensors, Tensors]:
    """Returns features, a learned token for those of a missing picture, and which are there, [B] by modality.

    Without `model.modality_dropout` these are the features themselves, and {}.

    Args:
        features: of the pictures, vectors or maps; of one alone they stay as they are.
        inputs: of the network.
        config: of the network.
        made: gets the layer that has the tokens.
    """
    if len(features) < 2 or not config.modality_dropout:
        return dict(features), {}
    layer = MissingViews(config.modality_dropout, name="missing_views")
    made.append(layer)
    return layer({key: inputs[key] for key in features}, dict(features))


def given_outputs(given: Tensors) -> Tensors:
    """Returns which pictures are there, [B] by modality, under the names of the network's outputs."""
    return {given_name(key): value for key, value in given.items()}


def outputs_of_branch(branch: str, logits: Tensors) -> Tensors:
    """Returns a branch's logits {task name: [B, classes]} under the names of the network's outputs."""
    return {output_name(branch, task): value for task, value in logits.items()}


def feature_outputs(features: Tensors) -> Tensors:
    """Returns feature maps {modality: [B, h, w, c]} under the names of the network's outputs."""
    return {f"features_{key}": value for key, value in features.items()}


def log_mean_of_softmaxes(answers: Sequence[Tensors]) -> Tensors:
    """Returns, for each task, logits [B, classes] whose softmax is the mean of the given logits' softmaxes."""
    # By way of logarithms: a probability that rounds to 0 must not become minus infinity.
    count = math.log(len(answers))
    stacks = {name: ops.stack([one[name] for one in answers]) for name in answers[0]}
    return {name: ops.logsumexp(ops.log_softmax(stack, axis=-1), axis=0) - count for name, stack in stacks.items()}
