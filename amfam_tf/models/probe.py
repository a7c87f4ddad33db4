"""The baselines: linear classifiers on the features of a frozen backbone, and on the metadata alone."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.config import ModelConfig
from amfam_tf.models.backbones import create_backbone
from amfam_tf.models.blocks import feature_outputs, standardised
from amfam_tf.models.flips import FLIPS, flip, in_all_flips
from amfam_tf.models.heads import LinearHeads
from amfam_tf.models.lesion_model import METADATA_INPUT, LesionModel, Linear, network_inputs


@keras.saving.register_keras_serializable(package="amfam_tf")
class Probe(LesionModel):
    """A linear classifier for each question on the pooled features of a backbone that stays as it begins.

    One backbone sees each picture in its four flips; its maps are turned back and averaged, so that the answers do not
    depend on how a picture is flipped. They are pooled; the vectors of the pictures, and the metadata if
    `model.metadata` names columns, are concatenated. Nothing is trained by steps: the classifiers are fitted, see
    `amfam_tf.training.linear_fit`.

    Inputs and outputs: as `LesionModel`. Parts: G, C.

    Source: Alain and Bengio 2017, "Understanding intermediate layers using linear classifier probes".
    """

    OWN_KEYS = frozenset({"model.modalities"})
    TRAINED = False

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "probe",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbone = create_backbone(config.backbone, image_size, config.weights)
        backbone.trainable = False
        heads = LinearHeads(tasks)
        # In float32 under any policy: what is fitted to them is.
        pool = layers.GlobalAveragePooling2D(dtype="float32", name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        known = standardised(inputs, metadata)
        features: dict[str, keras.KerasTensor] = {
            key: mean_over_flips(backbone, inputs[key]) for key in config.modalities
        }
        vectors = [pool(maps) for maps in features.values()]
        vectors += [known[METADATA_INPUT]] if metadata else []
        vector = layers.Concatenate(dtype="float32", name="fusion")(vectors) if len(vectors) > 1 else vectors[0]

        # Config.
        super().__init__(
            inputs=inputs,
            outputs=heads(vector) | feature_outputs(features),
            parts={"G": [backbone], "C": heads.layers},
            linear=Linear(vector, heads.of_tasks),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )


def mean_over_flips(backbone: keras.Model, pictures: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the mean of the maps [B, h, w, c] of each flip of pictures [B, S, S, 3], turned back.

    Those of a flipped picture are the flipped maps of the picture.
    """
    maps = ops.split(backbone(in_all_flips(pictures)), len(FLIPS), axis=0)
    back = [flip(one, axes) for one, axes in zip(maps, FLIPS, strict=True)]
    # In pairs: a flip exchanges the terms of a sum and no more, which leaves its rounding as it is.
    return ((back[0] + back[1]) + (back[2] + back[3])) / len(FLIPS)


@keras.saving.register_keras_serializable(package="amfam_tf")
class MetadataOnly(LesionModel):
    """A linear classifier for each question on the metadata: what is known without looking at a picture.

    It takes the pictures as every method does, and does not look at them. Without columns its answer is the share of
    each class among the training cases.

    Inputs and outputs: as `LesionModel`, no features. Parts: C.
    """

    TRAINED = False
    LOOKS = False

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "metadata_only",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        heads = LinearHeads(tasks)
        inputs = network_inputs(metadata, image_size)
        known = standardised(inputs, metadata)
        vector = known[METADATA_INPUT] if metadata else ops.zeros_like(inputs["clinical"][:, 0, 0, :1])
        super().__init__(
            inputs=inputs,
            outputs=heads(vector),
            parts={"C": heads.layers},
            linear=Linear(vector, heads.of_tasks),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )
