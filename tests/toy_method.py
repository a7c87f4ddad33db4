"""A method that trains and exports in seconds: one convolution over both pictures, then the classifiers."""

import keras
from keras import layers

from amfam_tf.config import ModelConfig
from amfam_tf.models.blocks import fuse, standardised
from amfam_tf.models.heads import ClassifierHeads
from amfam_tf.models.lesion_model import LesionModel, network_inputs
from amfam_tf.models.registry import Method
from amfam_tf.tasks import MODALITIES, TASKS


@keras.saving.register_keras_serializable(package="amfam_tf_tests")
class ToyModel(LesionModel):
    """G: a convolution with batch normalisation, shared by both pictures; C: the classifiers, on metadata too."""

    def __init__(self, config: ModelConfig, image_size: int, name: str = "toy", tasks=TASKS, metadata=(), **kwargs):
        image = keras.Input((image_size, image_size, 3), name="image")
        convolved = layers.Conv2D(8, 8, strides=8, name="convolution")(image)
        backbone = keras.Model(image, layers.BatchNormalization(momentum=0.9, name="norm")(convolved), name="backbone")
        pool = layers.GlobalAveragePooling2D(name="pool")
        classifiers = ClassifierHeads(config, tasks, name="classifiers")
        inputs = network_inputs(metadata, image_size)
        features = {name: backbone(inputs[name]) for name in MODALITIES}
        vectors, parts = [pool(features[name]) for name in MODALITIES], {"G": [backbone], "C": classifiers.layers}
        joined = fuse(vectors, standardised(inputs, metadata), "join", config, parts["C"])
        super().__init__(
            inputs=inputs,
            outputs=classifiers(joined) | {f"features_{name}": value for name, value in features.items()},
            parts=parts,
            config=config,
            image_size=image_size,
            name=name,
            tasks=tasks,
            metadata=metadata,
            **kwargs,
        )


TOY = Method(
    "A convolution and the classifiers.",
    "this test",
    ToyModel,
    {"model": {"adversarial": False, "reconstruction": False, "attention": "none"}},
)


SMALL = ("data.image_size=32", "model.classifier_units=4", "training.batch_size=16", "training.picture_every=0")


def config_text(
    folder, source, metric="average.accuracy", at_least=0.1, seed=0, significance=0.05, canaries=3, epochs=1, more=()
):
    """Returns the release.yaml of a release of this method into a folder."""
    return f"""
model: {folder}/models/lesions
work: {folder}/work
data: {{source: {source}, shards: 2}}
training:
  preset: tiny
  method: toy
  overrides: [{", ".join(SMALL + more)}, training.epochs={epochs}, seed={seed}]
blessing:
  significance: {significance}
  thresholds: [{{metric: {metric}, at_least: {at_least}}}]
infra: {{canaries: {canaries}}}
"""
