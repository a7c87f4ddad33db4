"""An ensemble: several finished networks as one, whose answer is the mean of theirs."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from amfam_tf import config as configuration
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import ModelConfig
from amfam_tf.models.blocks import Tensors
from amfam_tf.models.lesion_model import LesionModel, network_inputs


@keras.saving.register_keras_serializable(package="amfam_tf")
class Ensemble(LesionModel):
    """Its probabilities are the mean of its members' probabilities; with one member it is that network, bit for bit.

    A picture may be missing where all members can do without.

    Inputs: as `LesionModel`. Outputs: {task name: logits [B, classes]}, see `mean_answer`, and of each member n that
    has them `features_<modality>_<n>` [B, h, w, c]. Parts: M0, M1, ..., the members.

    Args:
        members: networks with the same tasks, metadata and image size, and names of their own; see `of`.
        config: of the first; `modalities` are those that any member looks at.
    """

    def __init__(self, members: Sequence[LesionModel], config: ModelConfig, name: str = "ensemble"):
        first = members[0]
        inputs = network_inputs(first.metadata, first.image_size)
        answers = [member({key: inputs[key] for key in member.input}) for member in members]
        super().__init__(
            inputs=inputs,
            outputs=_outputs(first, answers),
            parts={f"M{number}": [member] for number, member in enumerate(members)},
            config=config,
            image_size=first.image_size,
            tasks=first.tasks,
            metadata=first.metadata,
            name=name,
        )

    @classmethod
    def of(cls, networks: Sequence[LesionModel]) -> "Ensemble":
        """Returns the ensemble of networks; its weights are copies of theirs."""
        members = []
        for number, network in enumerate(networks):
            member = type(network).from_config(network.get_config() | {"name": f"member_{number}"})
            member.set_weights(network.get_weights())
            members.append(member)
        seen = {key for network in networks for key in network.model_config.modalities}
        first = networks[0].model_config
        if seen != set(first.modalities):
            first = dataclasses.replace(first, modalities=tuple(key for key in MODALITIES if key in seen))
        return cls(members, first)

    @property
    def takes_one_picture(self) -> bool:
        return all(member.takes_one_picture for member in self.members)

    @property
    def members(self) -> list[LesionModel]:
        """The networks, in order."""
        return [part[0] for part in self.parts.values()]

    def inference_model(self, modalities: Sequence[str] = MODALITIES) -> keras.Model:
        models = [member.inference_model(modalities) for member in self.members]
        return self._together(models, f"{self.name}_inference")

    def explanation_model(self) -> keras.Model:
        return self._together([member.explanation_model() for member in self.members], f"{self.name}_explanation")

    def _together(self, models: Sequence[keras.Model], name: str) -> keras.Model:
        """Returns the mean of what parts of the members answer."""
        used = [key for key in self.input if any(key in model.input for model in models)]
        inputs = {key: self.input[key] for key in used}
        # Under the member's own name, so that a part has the same name in every one of these models.
        named = [
            keras.Model(model.input, model.output, name=member.name)
            for member, model in zip(self.members, models, strict=True)
        ]
        answers = [model({key: inputs[key] for key in model.input}) for model in named]
        return keras.Model(inputs, _outputs(self, answers), name=name)

    def get_config(self) -> dict[str, Any]:
        members = [
            {"class": keras.saving.get_registered_name(type(member)), "config": member.get_config()}
            for member in self.members
        ]
        tree = dataclasses.asdict(dataclasses.replace(self.model_config, weights="none"))
        return {"config": tree, "name": self.name, "members": members}

    @classmethod
    def from_config(cls: Any, config: dict[str, Any], custom_objects: Any = None) -> Any:
        members = [
            keras.saving.get_registered_object(one["class"], custom_objects).from_config(one["config"])
            for one in config["members"]
        ]
        return cls(members, configuration.structure(config["config"], ModelConfig, "model"), config["name"])


def _outputs(first: LesionModel, answers: Sequence[Mapping[str, keras.KerasTensor]]) -> Tensors:
    """Returns the outputs of an ensemble of networks with these outputs; its questions are those of `first`."""
    names = [task.name for task in first.tasks]
    features = {
        f"{name}_{number}": answer[name]
        for name in (f"features_{key}" for key in MODALITIES)
        for number, answer in enumerate(answers)
        if name in answer
    }
    return mean_answer([{name: answer[name] for name in names} for answer in answers]) | features


def mean_answer(answers: Sequence[Tensors]) -> Tensors:
    """Returns logits [B, classes] by task whose softmax is the mean of the given logits' softmaxes.

    With z_m the logits of member m of M and l_m = log sum_c exp z_mc: log 1/M sum_m exp(z_m - l_m + l), l the mean of
    the l_m. That number, which a case's logits have in common, leaves logits of one member or of equal members as they
    are: the gradient of a logit is then that of the members', each by how much of the class' probability is its own.
    """
    found, count = {}, math.log(len(answers))
    for name in answers[0]:
        stack = ops.stack([one[name] for one in answers])
        levels = ops.logsumexp(stack, axis=-1, keepdims=True)
        # Subtracted: what Keras adds to a matrix, as long and one wide, it takes for the bias of the columns.
        shifts = ops.subtract(levels, ops.mean(levels, axis=0, keepdims=True))
        found[name] = ops.subtract(ops.logsumexp(ops.subtract(stack, shifts), axis=0), count)
    return found
