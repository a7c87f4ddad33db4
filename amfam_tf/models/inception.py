"""Inception-unbalanced and Inception-balanced (Kawahara et al. 2018): two Inception networks, fused late."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.config import ModelConfig
from amfam_tf.models.blocks import (
    create_image_networks,
    feature_outputs,
    fuse,
    given_outputs,
    standardised,
    with_tokens,
)
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import LesionModel, network_inputs


@keras.saving.register_keras_serializable(package="amfam_tf")
class Inception(LesionModel):
    """One Inception-V3 per image; the pooled features of both concatenated; eight classifiers.

    Unbalanced and balanced are one network; they differ in how batches are sampled and classes weighted
    (`amfam_tf.models.registry`).

    Published: Inception-V3 from ImageNet weights for each image, global average pooling, the two vectors of 2048
    concatenated, eight softmax classifiers, summed categorical cross-entropies; balanced: batches with one case for
    each of the 24 labels, and class weights max_count / count computed on that batch.
    Ours: the classifiers' hidden layer, optimiser, rates, epochs and augmentation, all as AMFAM's.

    Inputs and outputs: as `LesionModel`. Parts: G_clinical, G_dermoscopic, C.

    Source: Kawahara et al. 2018, "Seven-point checklist and skin lesion classification using multitask multimodal
    neural nets".
    """

    OWN_KEYS = frozenset({"model.modality_dropout"})

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "inception",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbones = create_image_networks(config, image_size)
        heads = ClassifierHeads(config, tasks)
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        features = {key: backbone(inputs[key]) for key, backbone in backbones.items()}
        classifiers = heads.layers
        seen, given = with_tokens({key: pool(maps) for key, maps in features.items()}, inputs, config, classifiers)
        vectors = list(seen.values())
        outputs = heads(fuse(vectors, standardised(inputs, metadata), "fusion", config, classifiers))

        # Config.
        super().__init__(
            inputs=inputs,
            outputs=outputs | feature_outputs(features) | given_outputs(given),
            parts={**{f"G_{key}": [backbone] for key, backbone in backbones.items()}, "C": classifiers},
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )
