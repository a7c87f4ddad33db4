"""What every method's network has in common: inputs, output names, sub-models, parameter groups, saving."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras

from amfam_tf import config as configuration
from amfam_tf.config import ModelConfig
from amfam_tf.tasks import MODALITIES, TASKS


def image_inputs(image_size: int) -> dict[str, keras.KerasTensor]:
    """Returns the inputs {"clinical", "dermoscopic"}: float32 RGB in [0, 1], [B, image_size, image_size, 3]."""
    return {name: keras.Input((image_size, image_size, 3), name=name) for name in MODALITIES}


class LesionModel(keras.Model):
    """Functional model from a pair of images to every quantity that a loss or a figure needs, by name.

    Outputs: {task name: logits [B, classes]}, `features_<modality>` [B, h, w, c], and whatever the method adds.

    A method subclasses it, builds its graph in the constructor, and passes the layers of each parameter group.
    """

    def __init__(
        self,
        *,
        inputs: Mapping[str, keras.KerasTensor],
        outputs: Mapping[str, keras.KerasTensor],
        parts: Mapping[str, Sequence[keras.layers.Layer]],
        config: ModelConfig,
        image_size: int,
        **kwargs,
    ):
        super().__init__(inputs=dict(inputs), outputs=dict(outputs), **kwargs)
        self.model_config = config
        self.image_size = image_size
        self._parts = {name: tuple(part) for name, part in parts.items()}

    @property
    def parts(self) -> dict[str, tuple[keras.layers.Layer, ...]]:
        """The layers of each part of the method, by its symbol, e.g. "G", "D", "C", "RC", "RD"."""
        return dict(self._parts)

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """Returns the trainable variables of each part: theta_G, theta_D, theta_C, ..."""
        return {
            name: [variable for layer in part for variable in layer.trainable_variables]
            for name, part in self._parts.items()
        }

    def inference_model(self) -> keras.Model:
        """Returns the classifier's part alone, sharing the layers: images -> {task name: logits [B, classes]}."""
        return self._sub_model([task.name for task in TASKS], "inference")

    def explanation_model(self) -> keras.Model:
        """Returns images -> logits and `features_<modality>`, sharing the layers; for Grad-CAM."""
        features = [name for name in self.output if name.startswith("features_")]
        return self._sub_model([task.name for task in TASKS] + features, "explanation")

    def _sub_model(self, names: Sequence[str], suffix: str) -> keras.Model:
        return keras.Model(self.input, {name: self.output[name] for name in names}, name=f"{self.name}_{suffix}")

    def get_config(self):
        # The weights come from the saved file: building the model again must not look for the initial ones.
        tree = dataclasses.asdict(dataclasses.replace(self.model_config, weights="none"))
        return {"config": tree, "image_size": self.image_size, "name": self.name, "dtype": self._policy_config()}

    def _policy_config(self):
        return keras.dtype_policies.serialize(self._parts["G"][0].dtype_policy)

    @classmethod
    def from_config(cls, config, custom_objects=None):  # noqa: ARG003  (Keras' signature)
        policy = keras.dtype_policies.deserialize(config["dtype"])
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model_config = configuration.structure(config["config"], ModelConfig, "model")
            return cls(config=model_config, image_size=config["image_size"], name=config["name"])
        finally:
            keras.config.set_dtype_policy(before)
