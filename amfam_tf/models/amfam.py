"""AMFAM and its ablations (Wang et al. 2022): one graph, its parts chosen by configuration.

x^c, x^d --G--> F^c, F^d --concatenate, pool--> C -> eight logits           L_P   Eq. 3
                    |----pool, reverse gradient--> D -> modality logits     L_D   Eq. 1
                    |----attention branch--> m^c, m^d  }                    L_RC, L_RD   Eq. 2
                    |----RC, RD--> reconstructions     }
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import KerasTensor, layers

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.config import ModelConfig
from amfam_tf.layers import (
    AttentionMap,
    BatchNormalization,
    GradientReversal,
    UpsampleConv2D,
    without_gradient_of_missing,
)
from amfam_tf.models.backbones import create_backbone
from amfam_tf.models.blocks import feature_outputs, fuse, given_outputs, standardised, with_tokens
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import LesionModel, network_inputs

DECODER_SYMBOLS = {"clinical": "RC", "dermoscopic": "RD"}
ATTENTION_SYMBOLS = {"clinical": "AC", "dermoscopic": "AD"}


@keras.saving.register_keras_serializable(package="amfam_tf")
class AMFAM(LesionModel):
    """Adversarial multimodal fusion with attention mechanism.

    Inputs: {"clinical", "dermoscopic"}, float32 RGB in [0, 1], [B, S, S, 3]; "metadata" [B, n] if there are columns,
    which the classifiers alone see, beside or in the pooled features.

    Outputs by name, float32 (those of a part that the configuration leaves out are absent):
        DIAG, PN, BWV, VS, PIG, STR, DaG, RS: logits [B, classes].
        features_clinical, features_dermoscopic: last feature maps of G [B, h, w, c].
        modality_logits_clinical, modality_logits_dermoscopic: D's logits [B, 2]; class 0 is clinical.
        attention_clinical, attention_dermoscopic: m [B, S, S, 1] in [0, 1].
        reconstruction_clinical, reconstruction_dermoscopic: RGB [B, S, S, 3], linear (about [0, 1]).
        given_clinical, given_dermoscopic: with modality dropout, 1 where the picture is there, 0 where not, [B].

    Parts: G backbone, D discriminator, C classifiers, RC and RD decoders, AC and AD attention branches.

    Source: Wang et al. 2022, Fig. 2, Sec. 3; choices where the paper is silent: docs/method.md.
    """

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "amfam",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbone = create_backbone(config.backbone, image_size, config.weights, config.batch_norm_momentum)
        parts = {"G": [backbone]}
        heads = ClassifierHeads(config, tasks)
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        features = _extract_features(backbone, {key: inputs[key] for key in config.modalities}, config)
        parts["C"] = heads.layers
        seen, given = with_tokens(features, inputs, config, parts["C"])
        maps = list(seen.values())
        pooled = pool(layers.Concatenate(name="fusion")(maps) if len(maps) > 1 else maps[0])
        outputs = heads(fuse([pooled], standardised(inputs, metadata), "metadata_fusion", config, parts["C"]))
        outputs |= feature_outputs(features) | given_outputs(given)
        apart = {
            key: without_gradient_of_missing(value, given[key]) if given else value for key, value in features.items()
        }
        if config.adversarial:
            parts["D"] = [create_discriminator(config)]
            outputs |= {f"modality_logits_{key}": parts["D"][0](value) for key, value in apart.items()}
        if config.reconstruction:
            outputs |= _add_reconstruction(apart, config, image_size, parts)

        # Config.
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            parts=parts,
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )


def _extract_features(
    backbone: keras.Model, images: Mapping[str, KerasTensor], config: ModelConfig
) -> dict[str, KerasTensor]:
    """Returns {modality: feature maps [B, h, w, c]}; "joint" runs G once on the batch of 2B."""
    if len(images) == 1 or config.batch_statistics == "per_modality":
        return {key: backbone(value) for key, value in images.items()}
    # [B, S, S, 3] twice -> [2B, S, S, 3] -> [2B, h, w, c] -> [B, h, w, c] twice
    joint = backbone(keras.ops.concatenate(list(images.values()), axis=0))
    return dict(zip(images, keras.ops.split(joint, len(images), axis=0), strict=True))


def create_discriminator(config: ModelConfig) -> keras.Model:
    """Returns D with its gradient reversal: feature maps [B, h, w, c] -> modality logits [B, 2] (Sec. 3.2)."""
    return keras.Sequential(
        [
            layers.GlobalAveragePooling2D(name="pool"),
            GradientReversal(config.reversal_scale, name="gradient_reversal"),
            layers.Dense(config.discriminator_units, activation="relu", name="hidden"),
            layers.Dense(2, dtype="float32", name="logits"),
        ],
        name="discriminator",
    )


def create_decoder(config: ModelConfig, image_size: int, name: str) -> keras.Model:
    """Returns RC or RD: feature maps [B, h, w, c] -> RGB [B, image_size, image_size, 3], float32 (Sec. 3.3)."""
    decoder = keras.Sequential(name=name)
    blocks = zip(config.decoder_scales, config.decoder_channels, strict=True)
    for number, (scale, channels) in enumerate(blocks, start=1):
        for layer in _upsampling_block(scale, channels, config, number):
            decoder.add(layer)
    decoder.add(layers.Conv2D(3, 3, padding="same", dtype="float32", name="to_rgb"))
    decoder.add(layers.Resizing(image_size, image_size, interpolation="bilinear", dtype="float32", name="resize"))
    return decoder


def _upsampling_block(scale: int, channels: int, config: ModelConfig, number: int) -> list[layers.Layer]:
    if config.upsampling == "nearest":
        convolution = [UpsampleConv2D(channels, scale, name=f"upsample_conv_{number}")]
    else:
        convolution = [
            layers.UpSampling2D(scale, interpolation=config.upsampling, name=f"upsample_{number}"),
            layers.Conv2D(channels, 3, padding="same", name=f"conv_{number}"),
        ]
    return [
        *convolution,
        BatchNormalization(momentum=config.batch_norm_momentum, name=f"norm_{number}"),
        layers.LeakyReLU(config.leaky_relu_slope, name=f"activation_{number}"),
    ]


def _add_reconstruction(
    features: Mapping[str, KerasTensor], config: ModelConfig, image_size: int, parts: dict[str, list[layers.Layer]]
) -> dict[str, KerasTensor]:
    """Returns the outputs of the decoders and attention branches; adds them to `parts`."""
    outputs = {}
    for key, value in features.items():
        decoder = create_decoder(config, image_size, f"decoder_{key}")
        parts[DECODER_SYMBOLS[key]] = [decoder]
        outputs[f"reconstruction_{key}"] = decoder(value)
        if config.attention != "none":
            attention = AttentionMap(
                (image_size, image_size),
                activations=config.attention_activations,
                stop_gradient=config.stop_attention_gradient,
                name=f"attention_{key}",
            )
            parts[ATTENTION_SYMBOLS[key]] = [attention]
            outputs[f"attention_{key}"] = attention(value)
    return outputs
