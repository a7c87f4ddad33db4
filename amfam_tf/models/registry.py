"""The registry of methods: name -> network class and the configuration that makes it that method."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from amfam_tf.config import Config, ModelConfig
from amfam_tf.errors import ConfigError
from amfam_tf.models.amfam import AMFAM
from amfam_tf.models.lesion_model import LesionModel


@dataclass(frozen=True)
class Method:
    """One method of the comparison.

    Attributes:
        summary: a sentence.
        source: where it was published.
        network: the class of its network.
        model: fields of ModelConfig that make it this method; they win over the configuration.
    """

    summary: str
    source: str
    network: type[LesionModel]
    model: Mapping[str, Any] = field(default_factory=dict)


_PLAIN = {"adversarial": False, "reconstruction": False, "attention": "none"}
_WANG = "Wang et al. 2022"

METHODS: dict[str, Method] = {
    "clinical-only": Method(
        "The clinical picture alone.", f"{_WANG}, Table 2 row 1", AMFAM, {**_PLAIN, "modalities": ("clinical",)}
    ),
    "dermoscopic-only": Method(
        "The dermoscopic picture alone.", f"{_WANG}, Table 2 row 2", AMFAM, {**_PLAIN, "modalities": ("dermoscopic",)}
    ),
    "concat": Method("Features of both pictures concatenated.", f"{_WANG}, Table 2 row 3", AMFAM, _PLAIN),
    "concat-recon": Method(
        "Concatenation and plain reconstruction.",
        f"{_WANG}, Table 2 row 4",
        AMFAM,
        {**_PLAIN, "reconstruction": True},
    ),
    "concat-recon-att-linear": Method(
        "Concatenation and reconstruction weighted by m.",
        f"{_WANG}, Table 2 row 5",
        AMFAM,
        {**_PLAIN, "reconstruction": True, "attention": "linear"},
    ),
    "concat-recon-att": Method(
        "Concatenation and reconstruction weighted by exp(m).",
        f"{_WANG}, Table 2 row 6",
        AMFAM,
        {**_PLAIN, "reconstruction": True, "attention": "exponential"},
    ),
    "concat-adv": Method(
        "Concatenation and the adversarial discriminator.",
        f"{_WANG}, Table 2 row 7",
        AMFAM,
        {**_PLAIN, "adversarial": True},
    ),
    "amfam": Method(
        "Adversarial fusion and attention-weighted reconstruction; every part by configuration.",
        f"{_WANG}, Fig. 2",
        AMFAM,
    ),
}


def resolve(config: Config) -> Config:
    """Returns the configuration with the fields that define its method set.

    Raises:
        ConfigError: no such method.
    """
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **_method(config.method).model))


def create(name: str, config: Config) -> LesionModel:
    """Returns the network of a method, its weights drawn from `config.seed` (and model.weights).

    Args:
        name: a key of METHODS.
        config: the run's configuration; the method's own fields win over it.

    Raises:
        ConfigError: no such method.
        WeightsError: see `amfam_tf.models.backbones.create_backbone`.
    """
    method = _method(name)
    model_config: ModelConfig = dataclasses.replace(config.model, **method.model)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.precision)
    try:
        return method.network(config=model_config, image_size=config.data.image_size, name=name.replace("-", "_"))
    finally:
        keras.config.set_dtype_policy("float32")


def _method(name: str) -> Method:
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]
