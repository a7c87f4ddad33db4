"""TripleNet (Ge et al. 2017): a network for each image and a third one on the late features of both."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.layers import BatchNormalization
from amfam_tf.models.backbones import last_stage, stage_features
from amfam_tf.models.blocks import (
    create_image_networks,
    feature_outputs,
    fuse,
    image_network,
    log_mean_of_softmaxes,
    outputs_of_branch,
    standardised,
)
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import LesionModel, network_inputs

JOINT = "joint"


@keras.saving.register_keras_serializable(package="amfam_tf")
class TripleNet(LesionModel):
    """Three sub-networks with classifiers of their own; the joint one looks where its classes are active.

    Published: a network for the dermoscopic, one for the clinical image, and a joint one that takes late convolution
    features of both; a classifier on each, losses summed; the joint features weighted by class activation (saliency).
    Ours: ResNet-50; the joint network begins after the third stage with a 1 x 1 convolution of both features and is a
    copy of the last stage; saliency as `class_activation_weights`; the prediction is the mean of the three softmaxes;
    classifiers, optimiser, rates, epochs and augmentation as AMFAM's.

    Inputs and outputs: as `LesionModel`; `features_<modality>` are those after the third stage, through which all goes
    that the prediction knows of an image; `saliency` [B, h, w, 1], sums to 1. Branches: clinical, dermoscopic, joint.
    Parts: G_clinical, G_dermoscopic, G_joint, C_clinical, C_dermoscopic, C_joint.

    Source: Ge et al. 2017, "Skin disease recognition using deep saliency features and multimodal learning of
    dermoscopy and clinical images".
    """

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "triplenet",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbones = {
            key: stage_features(backbone, (3, 4)) for key, backbone in create_image_networks(config, image_size).items()
        }
        joint = create_joint_network(config, image_size)
        heads = {branch: ClassifierHeads(config, tasks, name=f"classifier_{branch}") for branch in (*MODALITIES, JOINT)}
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        maps = {key: backbone(inputs[key]) for key, backbone in backbones.items()}
        features = {key: third for key, (third, _) in maps.items()}
        answers = {key: heads[key](pool(last)) for key, (_, last) in maps.items()}
        classifiers = {branch: one.layers for branch, one in heads.items()}
        known = standardised(inputs, metadata)
        joined = fuse([joint(list(features.values()))], known, "fusion", config, classifiers[JOINT])
        saliency = class_activation_weights(heads[JOINT](joined))
        answers[JOINT] = heads[JOINT](ops.sum(joined * ops.cast(saliency, joined.dtype), axis=(1, 2)))
        outputs = log_mean_of_softmaxes(list(answers.values())) | {"saliency": saliency}
        for branch, logits in answers.items():
            outputs |= outputs_of_branch(branch, logits)

        # Config.
        networks = {**backbones, JOINT: joint}
        super().__init__(
            inputs=inputs,
            outputs=outputs | feature_outputs(features),
            parts={
                **{f"G_{branch}": [network] for branch, network in networks.items()},
                **{f"C_{branch}": found for branch, found in classifiers.items()},
            },
            branches=tuple(networks),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )


def create_joint_network(config: ModelConfig, image_size: int) -> keras.Model:
    """Returns the third network: [clinical, dermoscopic] maps [B, h, w, c] of stage 3 -> last maps [B, h/2, w/2, C]."""
    stage = last_stage(image_network(config, image_size, "backbone_joint"), "joint_stage")
    inputs = [keras.Input(stage.input_shape[1:], name=key) for key in MODALITIES]
    x = layers.Concatenate(name="joint_concatenate")(inputs)
    x = layers.Conv2D(stage.input_shape[-1], 1, use_bias=False, name="joint_conv")(x)
    x = BatchNormalization(momentum=config.batch_norm_momentum, name="joint_bn")(x)
    return keras.Model(inputs, stage(layers.Activation("relu", name="joint_relu")(x)), name="joint")


def class_activation_weights(logits: dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Returns the saliency s [B, h, w, 1] of classifiers applied at each position: positive, sums to 1 over the image.

    With z the logits at a position, and p the softmax of their mean over the image (the prediction of a classifier
    after pooling), the activation at a position is the mean over the tasks of sum_c p_c z_c: the class activation map,
    each class counted as far as it is predicted. s is its softmax over the positions. No gradient goes through s.

    Args:
        logits: {task name: [B, h, w, classes]}.
    """
    activations = []
    for value in logits.values():
        z = ops.stop_gradient(value)
        p = ops.softmax(ops.mean(z, axis=(1, 2), keepdims=True), axis=-1)
        activations.append(ops.sum(p * z, axis=-1, keepdims=True))
    mean = ops.mean(ops.stack(activations), axis=0)
    return ops.exp(mean - ops.logsumexp(mean, axis=(1, 2), keepdims=True))
