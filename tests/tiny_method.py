"""The smallest method that has what replicas could get wrong: batch normalisation, named losses, dropout on request."""

import keras
from keras import layers, ops

from amfam_tf.config import ModelConfig
from amfam_tf.models.lesion_model import LesionModel, image_inputs
from amfam_tf.models.registry import Method
from amfam_tf.tasks import TASKS


@keras.saving.register_keras_serializable(package="amfam_tf_tests")
class TinyModel(LesionModel):
    """G: convolution and batch normalisation, shared by both pictures; C: one layer with the logits of all tasks."""

    def __init__(self, config: ModelConfig, image_size: int, name: str = "tiny", **kwargs):
        norm = layers.BatchNormalization(momentum=0.9, name="norm")
        backbone = keras.Sequential(
            [layers.Conv2D(4, 8, strides=8, use_bias=False, name="conv"), norm], name="backbone"
        )
        pool, drop = layers.GlobalMaxPooling2D(name="pool"), layers.Dropout(config.classifier_dropout, name="dropout")
        logits = layers.Dense(sum(len(task.classes) for task in TASKS), name="logits")
        inputs = image_inputs(image_size)
        joined = layers.Concatenate(name="join")([pool(backbone(inputs[key])) for key in ("clinical", "dermoscopic")])
        outputs, start, found = {}, 0, logits(drop(joined))
        for task in TASKS:
            outputs[task.name] = ops.slice(found, (0, start), (-1, len(task.classes)))
            start += len(task.classes)
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            parts={"G": [backbone], "C": [logits]},
            config=config,
            image_size=image_size,
            name=name,
            **kwargs,
        )


TINY = Method(
    "The smallest method.",
    "this test",
    TinyModel,
    {"model": {"adversarial": False, "reconstruction": False, "attention": "none"}},
)
