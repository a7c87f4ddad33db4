"""EmbeddingNet (Yap et al. 2018): image networks trained alone, then an embedding of their features."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.models.blocks import (
    create_image_networks,
    feature_outputs,
    fuse,
    given_outputs,
    outputs_of_branch,
    standardised,
    with_tokens,
)
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import FINAL, LesionModel, Stage, network_inputs


@keras.saving.register_keras_serializable(package="amfam_tf")
class EmbeddingNet(LesionModel):
    """Late fusion: pooled features of two image networks, and metadata, through an embedding network.

    Published: ResNet-50 per image type, trained alone first; pooled vectors of 2048 concatenated with metadata; a
    multi-layer embedding network and classifiers on top.
    Ours: two hidden layers of 1024 and 512 with ReLU and dropout 0.5 (`model.embedding_units`,
    `model.embedding_dropout`); while these are trained the image networks stay as they are; half of the epochs for
    each stage (`training.pretraining_epochs`); metadata only if `model.metadata` names columns; classifiers,
    optimiser, rates and augmentation as AMFAM's.

    Inputs and outputs: as `LesionModel`. Branches: clinical, dermoscopic (first stage), and the prediction (second).
    Parts: G_clinical, G_dermoscopic, C_clinical, C_dermoscopic, E embedding, C.

    Source: Yap, Yolland and Tschandl 2018, "Multimodal skin lesion classification using deep learning".
    """

    OWN_KEYS = frozenset({"model.embedding_units", "model.embedding_dropout", "model.modality_dropout"})

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "embeddingnet",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbones = create_image_networks(config, image_size)
        alone = {key: ClassifierHeads(config, tasks, name=f"classifier_{key}") for key in MODALITIES}
        heads = ClassifierHeads(config, tasks)
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        known = standardised(inputs, metadata)
        features = {key: backbone(inputs[key]) for key, backbone in backbones.items()}
        vectors = {key: pool(maps) for key, maps in features.items()}
        fusing: list[layers.Layer] = []
        seen, given = with_tokens(vectors, inputs, config, fusing)
        fused = fuse(list(seen.values()), known, "fusion", config, fusing)
        embedding = create_embedding(config, fused.shape[-1])
        outputs = heads(embedding(fused))
        for key, vector in vectors.items():
            outputs |= outputs_of_branch(key, alone[key](vector))

        # Config.
        images = {f"G_{key}": [backbone] for key, backbone in backbones.items()}
        images |= {f"C_{key}": one.layers for key, one in alone.items()}
        fusion = {"E": [*fusing, embedding], "C": heads.layers}
        super().__init__(
            inputs=inputs,
            outputs=outputs | feature_outputs(features) | given_outputs(given),
            parts=images | fusion,
            branches=(*MODALITIES, FINAL),
            stages=(
                Stage("image networks", tuple(f"classification_{key}" for key in MODALITIES), frozen=tuple(fusion)),
                Stage("embedding", ("classification",), frozen=tuple(images)),
            ),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )


def create_embedding(config: ModelConfig, size: int) -> keras.Model:
    """Returns the embedding network: vector [B, size] -> [B, embedding_units[-1]]."""
    inputs = keras.Input((size,), name="vector")
    x = inputs
    for number, units in enumerate(config.embedding_units, start=1):
        x = layers.Dense(units, activation="relu", name=f"embedding_{number}")(x)
        x = layers.Dropout(config.embedding_dropout, name=f"embedding_{number}_dropout")(x)
    return keras.Model(inputs, x, name="embedding")
