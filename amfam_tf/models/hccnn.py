"""HcCNN (Bi et al. 2020): a hyper-branch that fuses both images' features at every stage.

clinical     stem ------ 1 ------ 2 ------ 3 ------ 4 -> classifiers
               |         |        |        |        |
hyper          H1 ------ H2 ----- H3 ----- H4 ----- + -> classifiers; all three concatenated -> prediction
               |         |        |        |        |
dermoscopic  stem ------ 1 ------ 2 ------ 3 ------ 4 -> classifiers
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import layers

from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.layers import BatchNormalization
from amfam_tf.models.backbones import STAGES, stage_features
from amfam_tf.models.blocks import create_image_networks, feature_outputs, fuse, outputs_of_branch, standardised
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import FINAL, LesionModel, network_inputs

HYPER = "hyper"
REDUCTION = 16
"""Of the channels in the attention's bottleneck."""


@keras.saving.register_keras_serializable(package="amfam_tf")
class HcCNN(LesionModel):
    """Hyper-connected convolutional network: two image branches, and one of hyper-connected modules H1 to H4.

    Published: two ResNet-50; after the stem and the stages 1 to 3 a module joins both branches' features (64, 256, 512,
    1024 channels) and the module before it, and gives 256, 512, 1024, 2048; each is a 3 x 3 convolution, a residual
    pair of 3 x 3 convolutions, two residual blocks, and multi-scale attention x * sigmoid(FC(GAP(x)) + bottleneck(x));
    classifiers on every branch, losses summed; the final answer from the concatenation.
    Ours: a module's channels and size are those of the branches' next stage; the residual blocks are bottlenecks (1 x 1
    to a quarter, 3 x 3, 1 x 1), so is that of the attention (to a sixteenth); the pooled features of the three branches
    are concatenated for eight further classifiers with a loss of their own; all losses have weight 1; classifiers,
    optimiser, rates, epochs and augmentation as AMFAM's.

    Inputs and outputs: as `LesionModel`; `features_<modality>` are the branches' last maps; `hyper_features`
    [B, h, w, c] those of H4. Branches: clinical, dermoscopic, hyper, and the prediction.
    Parts: G_clinical, G_dermoscopic, H, C_clinical, C_dermoscopic, C_hyper, C.

    Source: Bi et al. 2020, "Multi-label classification of multi-modality skin lesion via hyper-connected convolutional
    neural network".
    """

    def __init__(
        self,
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        name: str = "hccnn",
        metadata: Sequence[MetadataInput] = (),
        **kwargs: Any,
    ):
        # Layers.
        backbones = {
            key: stage_features(backbone, range(STAGES))
            for key, backbone in create_image_networks(config, image_size).items()
        }
        clinical, dermoscopic = backbones.values()
        modules = create_hyper_branch(clinical, dermoscopic, config.batch_norm_momentum)
        heads = {branch: ClassifierHeads(config, tasks, name=f"classifier_{branch}") for branch in (*MODALITIES, HYPER)}
        final = ClassifierHeads(config, tasks)
        pool = layers.GlobalAveragePooling2D(name="pool")

        # Graph.
        inputs = network_inputs(metadata, image_size)
        maps = {key: backbone(inputs[key]) for key, backbone in backbones.items()}
        hyper: list[Tensor] = []
        for module, *pair in zip(modules, *maps.values(), strict=False):  # the last stage has no module
            hyper = [module([*pair, *hyper])]
        last = {key: stages[-1] for key, stages in maps.items()}
        vectors = {branch: pool(value) for branch, value in {**last, HYPER: hyper[0]}.items()}
        classifiers = final.layers
        fused = fuse(list(vectors.values()), standardised(inputs, metadata), "fusion", config, classifiers)
        outputs = final(fused) | {"hyper_features": hyper[0]}
        for branch, vector in vectors.items():
            outputs |= outputs_of_branch(branch, heads[branch](vector))

        # Config.
        super().__init__(
            inputs=inputs,
            outputs=outputs | feature_outputs(last),
            parts={
                **{f"G_{key}": [backbone] for key, backbone in backbones.items()},
                "H": modules,
                **{f"C_{branch}": one.layers for branch, one in heads.items()},
                "C": classifiers,
            },
            branches=(*heads, FINAL),
            config=config,
            image_size=image_size,
            tasks=tasks,
            metadata=metadata,
            name=name,
            **kwargs,
        )


def create_hyper_branch(clinical: keras.Model, dermoscopic: keras.Model, momentum: float) -> list[keras.Model]:
    """Returns H1 to H4.

    Args:
        clinical: gives the maps of all stages.
        dermoscopic: the same for the other image.
        momentum: of batch norm.
    """
    modules: list[keras.Model] = []
    for stage, (ours, theirs) in enumerate(zip(clinical.outputs[:-1], dermoscopic.outputs, strict=False)):
        following = clinical.outputs[stage + 1]
        before = [module.output for module in modules[-1:]]
        strides = 1 if following.shape[1] == ours.shape[1] else 2
        name = f"hyper_{stage + 1}"
        modules.append(hyper_module([ours, theirs, *before], following.shape[-1], strides, momentum, name))
    return modules


def hyper_module(maps: Sequence[Tensor], channels: int, strides: int, momentum: float, name: str) -> keras.Model:
    """Returns a hyper-connected module: [clinical, dermoscopic, hyper] maps [B, h, w, c_i] -> [B, h', w', channels].

    Args:
        maps: like the ones that it will be called with; the first module has no hyper features before it.
        channels: of its output.
        strides: h / h'.
        momentum: of batch norm.
        name: of the module.
    """
    inputs = [keras.Input(tensor.shape[1:]) for tensor in maps]
    x = layers.Concatenate(name="concatenate")(inputs)
    x = _convolve(x, channels, 3, momentum, "entry", strides=strides)
    x = _residual(x, [(channels, 3), (channels, 3)], momentum, "pair")
    for number in (1, 2):
        steps = [(channels // 4, 1), (channels // 4, 3), (channels, 1)]
        x = _residual(x, steps, momentum, f"block_{number}")
    return keras.Model(inputs, _attend(x, momentum), name=name)


def _convolve(
    x: Tensor, filters: int, kernel: int, momentum: float, name: str, strides: int = 1, activate: bool = True
) -> Tensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if activate else x


def _residual(x: Tensor, steps: Sequence[tuple[int, int]], momentum: float, name: str) -> Tensor:
    """Returns relu(x + f(x)), f the convolutions (filters, kernel) one after the other."""
    change = x
    for number, (filters, kernel) in enumerate(steps, start=1):
        change = _convolve(change, filters, kernel, momentum, f"{name}_{number}", activate=number < len(steps))
    return layers.Activation("relu", name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, change]))


def _attend(x: Tensor, momentum: float) -> Tensor:
    """Returns x * sigmoid(FC(GAP(x)) + bottleneck(x)): what matters in the whole image, and at each place."""
    channels = x.shape[-1]
    narrow = max(1, channels // REDUCTION)
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="attention_pool")(x)
    whole = layers.Dense(channels, name="attention_whole")(whole)
    place = _convolve(x, narrow, 1, momentum, "attention_1")
    place = _convolve(place, narrow, 3, momentum, "attention_2")
    place = layers.Conv2D(channels, 1, name="attention_place")(place)
    weights = layers.Activation("sigmoid", name="attention")(layers.Add(name="attention_add")([whole, place]))
    return layers.Multiply(name="attended")([x, weights])
