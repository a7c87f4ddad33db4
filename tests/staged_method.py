"""A small method that trains in two stages: first a branch, then an embedding on the frozen branch."""

import keras
from keras import layers
from tiny_method import by_task

from amfam_tf.card.inputs import inputs_of, width
from amfam_tf.config import ModelConfig
from amfam_tf.models.lesion_model import LesionModel, Stage, image_inputs
from amfam_tf.models.registry import Method
from amfam_tf.tasks import DERM7PT, TASKS

STAGES = (
    Stage("branch", losses=("classification_clinical",)),
    Stage("embedding", losses=("classification",), frozen=("G", "B")),
)


@keras.saving.register_keras_serializable(package="amfam_tf_tests")
class StagedModel(LesionModel):
    """G: convolution and batch norm; B: a branch, the logits of the clinical picture; E: embedding; C: all logits."""

    def __init__(self, config: ModelConfig, image_size: int, name: str = "staged", **kwargs):
        norm = layers.BatchNormalization(momentum=0.9, name="norm")
        backbone = keras.Sequential([layers.Conv2D(4, 8, strides=8, name="convolution"), norm], name="backbone")
        pool = layers.GlobalAveragePooling2D(name="pool")
        # One layer for all tasks: tracing a step takes as long as the optimiser has variables.
        classes = sum(len(task.classes) for task in TASKS)
        branch, final = layers.Dense(classes, name="branch"), layers.Dense(classes, name="final")
        embedding = [layers.Dense(8, activation="relu", name="embedding"), layers.Dropout(0.5, name="dropout")]
        inputs = image_inputs(image_size)
        if config.metadata:
            inputs["metadata"] = keras.Input((width(inputs_of(DERM7PT, config.metadata)),), name="metadata")
        pooled = {key: pool(backbone(inputs[key])) for key in ("clinical", "dermoscopic")}
        joined = layers.Concatenate(name="join")([*pooled.values(), *([inputs["metadata"]] if config.metadata else [])])
        outputs = by_task(final(embedding[1](embedding[0](joined))))
        outputs |= {f"clinical_{name}": value for name, value in by_task(branch(pooled["clinical"])).items()}
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            parts={"G": [backbone], "B": [branch], "E": embedding, "C": [final]},
            config=config,
            image_size=image_size,
            branches=("", "clinical"),
            stages=STAGES,
            name=name,
            **kwargs,
        )

    def _logits(self, modalities):
        """Returns the logits: of the clinical picture alone those of the branch."""
        if tuple(modalities) == ("clinical",):
            return {task.name: self.output[f"clinical_{task.name}"] for task in TASKS}
        return super()._logits(modalities)


STAGED = Method(
    "A method of two stages.",
    "this test",
    StagedModel,
    {"model": {"adversarial": False, "reconstruction": False, "attention": "none"}},
)
