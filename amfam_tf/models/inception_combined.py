"""Inception-combined (Kawahara et al. 2018): a loss for each combination of the images, so that one may be missing."""

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
    log_mean_of_softmaxes,
    outputs_of_branch,
    standardised,
)
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import LesionModel, network_inputs, output_name

BOTH = "both"
COMBINATIONS: dict[str, tuple[str, ...]] = {**{key: (key,) for key in MODALITIES}, BOTH: MODALITIES}
"""The images of each combination, by the name of its branch."""


@keras.saving.register_keras_serializable(package="amfam_tf")
class InceptionCombined(LesionModel):
    """One Inception-V3 per image; eight classifiers on clinical, on dermoscopic, and on both images' features.

    Published: the image networks; a loss for each combination of the images, each with the metadata (elevation,
    location, sex as 14 one-hots) beside the images, all losses summed; an answer when an image is missing; balanced
    batches and class weights as Inception-balanced.
    Ours: the prediction is that of the classifiers on both images (`model.fuse_predictions` "both"), or the mean of
    the three softmaxes ("mean"); metadata only if `model.metadata` names columns; the classifiers' hidden layer,
    optimiser, rates, epochs and augmentation as AMFAM's.

    Inputs and outputs: as `LesionModel`. Branches: clinical, dermoscopic, both.
    Parts: G_clinical, G_dermoscopic, C_clinical, C_dermoscopic, C_both.

    Source: Kawahara et al. 2018.
    """

    OWN_KEYS = frozenset({"model.fuse_predictions"})

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "inception_combined",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbones = create_image_networks(config, image_size)
        heads = {branch: ClassifierHeads(config, tasks, name=f"classifier_{branch}") for branch in COMBINATIONS}
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        known = standardised(inputs, metadata)
        features = {key: backbone(inputs[key]) for key, backbone in backbones.items()}
        vectors = {key: pool(maps) for key, maps in features.items()}
        classifiers = {branch: one.layers for branch, one in heads.items()}
        answers = {
            branch: heads[branch](
                fuse([vectors[key] for key in keys], known, f"fusion_{branch}", config, classifiers[branch])
            )
            for branch, keys in COMBINATIONS.items()
        }
        mean = config.fuse_predictions == "mean"
        outputs = dict(log_mean_of_softmaxes(list(answers.values())) if mean else answers[BOTH])
        for branch, logits in answers.items():
            outputs |= outputs_of_branch(branch, logits)

        # Config.
        super().__init__(
            inputs=inputs,
            outputs=outputs | feature_outputs(features),
            parts={
                **{f"G_{key}": [backbone] for key, backbone in backbones.items()},
                **{f"C_{branch}": found for branch, found in classifiers.items()},
            },
            branches=tuple(COMBINATIONS),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )

    def _logits(self, modalities: Sequence[str]) -> dict[str, keras.KerasTensor]:
        """Returns the prediction of both images, or the logits of the one that there is."""
        known = [key for key in MODALITIES if key in modalities]
        if len(known) == len(MODALITIES):
            return super()._logits(modalities)
        if not known:
            raise ValueError(f"{self.name} needs at least one image. Received: {list(modalities)}")
        return {task.name: self.output[output_name(known[0], task.name)] for task in self.tasks}
