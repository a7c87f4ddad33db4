"""What every method's network has in common: inputs, output names, sub-models, parameter groups, saving."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from amfam_tf import config as configuration
from amfam_tf.card import cards, inputs
from amfam_tf.card.inputs import MetadataInput
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.models.flips import averaged_over_flips, layer_by_layer

METADATA_INPUT = "metadata"
FINAL = ""
"""The branch whose outputs have the plain task names."""


def output_name(branch: str, task: str) -> str:
    """Returns the name of a branch's logits: "DIAG" of FINAL, "clinical_DIAG" of the branch "clinical"."""
    return task if branch == FINAL else f"{branch}_{task}"


def given_name(modality: str) -> str:
    """Returns the name of the output that says which pictures of a modality are there: 1, or 0 where it is missing."""
    return f"given_{modality}"


@dataclass(frozen=True)
class Stage:
    """A stage of training.

    Attributes:
        name: to show.
        losses: names of the losses that are minimised; None for all.
        frozen: parts whose variables and batch statistics stay as they are.
        frozen_stages: how many first stages of each backbone stay so, too.
    """

    name: str
    losses: tuple[str, ...] | None = None
    frozen: tuple[str, ...] = ()
    frozen_stages: int = 0


@dataclass(frozen=True)
class Linear:
    """The classifiers of a network that is not trained by steps but fitted, see `amfam_tf.training.linear_fit`.

    Attributes:
        vector: what they take, of the network's graph, float [B, c].
        heads: {task name: the layer from it to the logits}.
    """

    vector: keras.KerasTensor
    heads: Mapping[str, keras.layers.Dense]


def image_inputs(image_size: int) -> dict[str, keras.KerasTensor]:
    """Returns the inputs {"clinical", "dermoscopic"}: float32 RGB in [0, 1], [B, image_size, image_size, 3]."""
    return {name: keras.Input((image_size, image_size, 3), name=name) for name in MODALITIES}


def network_inputs(metadata: Sequence[MetadataInput], image_size: int) -> dict[str, keras.KerasTensor]:
    """Returns `image_inputs`, and "metadata" float32 [B, n] beside them if there are columns."""
    size = inputs.width(metadata)
    vector = {METADATA_INPUT: keras.Input((size,), name=METADATA_INPUT)} if size else {}
    return image_inputs(image_size) | vector


class LesionModel(keras.Model):
    """Functional model from a pair of images to every quantity that a loss or a figure needs, by name.

    Outputs: {task name: logits [B, classes]}, the prediction; `<branch>_<task name>` of further classifiers;
    `features_<modality>` [B, h, w, c]; `given_<modality>` [B] if a picture may be missing, which is one whose pixels
    are all 0; and whatever the method adds.

    A method subclasses it, builds its graph in the constructor, and passes the layers of each parameter group.

    Args:
        inputs: see `network_inputs`.
        outputs: by name.
        parts: the layers of each part of the method, by its symbol; the first one is a backbone.
        config: of the network.
        image_size: side of the images, pixels.
        tasks: the questions, in order.
        metadata: the columns of the input "metadata", if it has one.
        branches: sets of classifiers that each get a classification loss, see `output_name`. Without FINAL, the
            prediction is made of the others' and has no loss of its own.
        stages: of the training, in order.
        linear: its classifiers, if they are fitted and nothing is trained.
    """

    OWN_KEYS: frozenset[str] = frozenset()
    """Keys of the configuration that this network reads and most others do not, see `amfam_tf.models.reads`."""
    TRAINED = True
    """Whether it is trained by steps; else it has a `linear`."""
    LOOKS = True
    """Whether it looks at a picture."""

    def __init__(
        self,
        *,
        inputs: Mapping[str, keras.KerasTensor],
        outputs: Mapping[str, keras.KerasTensor],
        parts: Mapping[str, Sequence[keras.layers.Layer]],
        config: ModelConfig,
        image_size: int,
        tasks: Sequence[Task],
        metadata: Sequence[MetadataInput] = (),
        branches: Sequence[str] = (FINAL,),
        stages: Sequence[Stage] = (Stage("all"),),
        linear: Linear | None = None,
        **kwargs: Any,
    ):
        super().__init__(inputs=dict(inputs), outputs=dict(outputs), **kwargs)
        self.model_config = config
        self.image_size = image_size
        self._tasks = tuple(tasks)
        self._metadata = tuple(metadata)
        self._parts = {name: tuple(part) for name, part in parts.items()}
        self._branches = tuple(branches)
        self._stages = tuple(stages)
        self._linear = linear

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The questions, in order."""
        return tuple(self._tasks)

    @property
    def metadata(self) -> tuple[MetadataInput, ...]:
        """The columns of the input "metadata"; () if it has none."""
        return tuple(self._metadata)

    @property
    def branches(self) -> tuple[str, ...]:
        """The sets of classifiers that each get a classification loss."""
        return tuple(self._branches)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the training, in order."""
        return tuple(self._stages)

    @property
    def linear(self) -> Linear | None:
        """The classifiers that are fitted, of a network that is not trained by steps."""
        return self._linear

    @property
    def parts(self) -> dict[str, tuple[keras.layers.Layer, ...]]:
        """The layers of each part of the method, by its symbol, e.g. "G", "D", "C", "RC", "RD"."""
        return dict(self._parts)

    @property
    def backbones(self) -> tuple[str, ...]:
        """The symbols of the parts that are backbones: "G", or "G_clinical" and others."""
        return tuple(name for name in self._parts if name.partition("_")[0] == "G")

    @property
    def takes_one_picture(self) -> bool:
        """Whether either picture may be missing, and is 0 in all pixels then."""
        return self.model_config.modality_dropout > 0

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """Returns the trainable variables of each part: theta_G, theta_D, theta_C, ..."""
        return {
            name: [variable for layer in part for variable in layer.trainable_variables]
            for name, part in self._parts.items()
        }

    def inference_model(self, modalities: Sequence[str] = MODALITIES) -> keras.Model:
        """Returns the classifier's part alone, sharing the layers: images -> {task name: logits [B, classes]}.

        If the configuration says so, these are of the mean over the four flips.

        Args:
            modalities: the images that there are; the others are no input of the model.

        Raises:
            ValueError: the method cannot do without an image that is left out.
        """
        inputs = {key: value for key, value in self.input.items() if key in modalities or key not in MODALITIES}
        model = keras.Model(inputs, self._logits(modalities), name=f"{self.name}_inference")
        return averaged_over_flips(model) if self.model_config.average_flips else model

    def explanation_model(self) -> keras.Model:
        """Returns images -> logits and `features_<modality>`, sharing the layers; for Grad-CAM."""
        names = [task.name for task in self.tasks] + [f"features_{key}" for key in MODALITIES]
        outputs = {name: self.output[name] for name in names if name in self.output}
        return keras.Model(self.input, outputs, name=f"{self.name}_explanation")

    def _logits(self, modalities: Sequence[str]) -> dict[str, keras.KerasTensor]:
        """Returns the logits that these images give, of the network's own graph; for `inference_model`."""
        missing = [name for name in self.model_config.modalities if name not in modalities]
        known = [name for name in self.model_config.modalities if name in modalities]
        if missing and not (known and self.takes_one_picture):
            raise ValueError(f"{self.name} needs the {missing[0]} image. Received: {list(modalities)}")
        logits = {task.name: self.output[task.name] for task in self.tasks}
        if not missing:
            return logits
        blank = {name: keras.ops.zeros_like(self.input[known[0]]) for name in missing}
        return layer_by_layer(keras.Model(self.input, logits), self.input | blank)

    def get_config(self) -> dict[str, Any]:
        # The weights come from the saved file: building the model again must not look for the initial ones.
        tree = dataclasses.asdict(dataclasses.replace(self.model_config, weights="none"))
        found = {"config": tree, "image_size": self.image_size, "name": self.name, "dtype": self._policy_config()}
        legacy, own = cards.legacy(), {}
        if self.tasks != legacy.tasks:
            own["tasks"] = [dataclasses.asdict(task) for task in self.tasks]
        named = [column.name for column in self.metadata]
        if own or not set(named) <= set(legacy.metadata) or self.metadata != inputs.inputs_of(legacy, named):
            own["metadata"] = [dataclasses.asdict(column) for column in self.metadata]
        return found | own

    def _policy_config(self) -> dict[str, Any]:
        return keras.dtype_policies.serialize(next(iter(self._parts.values()))[0].dtype_policy)

    @classmethod
    def from_config(cls: Any, config: dict[str, Any], custom_objects: Any = None) -> Any:  # noqa: ARG003  (Keras' signature)
        policy = keras.dtype_policies.deserialize(config["dtype"])
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model_config = configuration.structure(config["config"], ModelConfig, "model")
            legacy = cards.legacy()
            kinds = {"tasks": tuple[Task, ...], "metadata": tuple[MetadataInput, ...]}
            asked = {"tasks": legacy.tasks} | {
                name: configuration.structure(config[name], kind, name)
                for name, kind in kinds.items()
                if name in config
            }
            if "metadata" not in asked and model_config.metadata:
                asked["metadata"] = inputs.inputs_of(legacy, model_config.metadata)
            return cls(config=model_config, image_size=config["image_size"], name=config["name"], **asked)
        finally:
            keras.config.set_dtype_policy(before)
