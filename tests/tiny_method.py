"""The smallest method that has what replicas could get wrong: batch norm, named losses, two stages, dropout."""

import keras
from keras import layers, ops

from amfam_tf.config import ModelConfig
from amfam_tf.layers import BatchNormalization
from amfam_tf.models.lesion_model import LesionModel, Stage, image_inputs
from amfam_tf.models.registry import Method
from amfam_tf.tasks import TASKS

STAGES = (
    Stage("branch", losses=("classification_clinical",)),
    Stage("joint", losses=("classification",), frozen=("G", "B")),
)


@keras.saving.register_keras_serializable(package="amfam_tf_tests")
class TinyModel(LesionModel):
    """G: convolution and batch norm, shared by both pictures; B, C: one layer each, the logits of all tasks, of the
    clinical picture and of both. First B and G are trained, then C."""

    OWN_KEYS = frozenset({"model.embedding_dropout"})

    def __init__(self, config: ModelConfig, image_size: int, name: str = "tiny", **kwargs):
        norm = BatchNormalization(momentum=0.9, name="norm")
        backbone = keras.Sequential(
            [layers.Conv2D(4, 8, strides=8, use_bias=False, name="conv"), norm], name="backbone"
        )
        pool, drop = layers.GlobalMaxPooling2D(name="pool"), layers.Dropout(config.embedding_dropout, name="dropout")
        branch, final = (
            layers.Dense(sum(len(task.classes) for task in TASKS), name=key) for key in ("branch", "final")
        )
        inputs = image_inputs(image_size)
        clinical, dermoscopic = (pool(backbone(inputs[key])) for key in ("clinical", "dermoscopic"))
        outputs = by_task(final(drop(layers.Concatenate(name="join")([clinical, dermoscopic]))))
        outputs |= {f"clinical_{key}": value for key, value in by_task(branch(clinical)).items()}
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            parts={"G": [backbone], "B": [branch], "C": [final]},
            branches=("", "clinical"),
            stages=STAGES,
            config=config,
            image_size=image_size,
            name=name,
            **kwargs,
        )


def by_task(logits: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """Returns the logits [B, 24] task by task."""
    found, start = {}, 0
    for task in TASKS:
        found[task.name] = ops.slice(logits, (0, start), (-1, len(task.classes)))
        start += len(task.classes)
    return found


TINY = Method(
    "The smallest method.",
    "this test",
    TinyModel,
    {"model": {"adversarial": False, "reconstruction": False, "attention": "none"}},
    stages=len(STAGES),
    takes_metadata=False,
)
