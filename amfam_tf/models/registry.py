"""The registry of methods: name -> network class and the configuration that makes it that method."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from amfam_tf.card import cards
from amfam_tf.card.inputs import MetadataInput, inputs_of
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import Config
from amfam_tf.errors import ConfigError
from amfam_tf.models.amfam import AMFAM
from amfam_tf.models.backbones import BACKBONES, INCEPTION, STAGED, check_image_size, of_families
from amfam_tf.models.embeddingnet import EmbeddingNet
from amfam_tf.models.ensemble import Ensemble
from amfam_tf.models.hccnn import HcCNN
from amfam_tf.models.inception import Inception
from amfam_tf.models.inception_combined import InceptionCombined
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.models.probe import MetadataOnly, Probe
from amfam_tf.models.triplenet import TripleNet


@dataclass(frozen=True)
class Method:
    """One method of the comparison.

    Attributes:
        summary: a sentence.
        source: where it was published.
        network: the class of its network.
        changes: {section of the configuration: {key: value}} that make it this method; they win over the configuration.
        families: of its backbones; another one is replaced by its counterpart, see `backbones.of_families`. None
            takes any.
        takes_metadata: whether `model.metadata` may name columns.
        stages: of its training; each needs an epoch.
    """

    summary: str
    source: str
    network: type[Any]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    families: Sequence[str] | None = None
    takes_metadata: bool = True
    stages: int = 1


_PLAIN = {"adversarial": False, "reconstruction": False, "attention": "none"}
_TWO_IMAGES = {**_PLAIN, "modalities": MODALITIES}
_WHOLE = {"modality_dropout": 0.0}
"""Of methods without tokens for a missing picture: they see one, are fitted, or join more than pooled features."""
_SHUFFLED = {"data": {"sampling": "shuffled"}, "loss": {"class_weights": "none"}}
_BALANCED = {"data": {"sampling": "balanced"}, "loss": {"class_weights": "batch"}}
_FITTED: dict[str, dict[str, Any]] = {
    "model": {**_PLAIN, **_WHOLE, "metadata_fusion": "concatenation", "average_flips": False},
    **_SHUFFLED,
    "loss": {"class_weights": "none", "teacher": None},
    "training": {
        "epochs": 1,
        "pretraining_epochs": None,
        "frozen_epochs": 0,
        "monitor": "headline",
        "recompute": False,
    },
}
_WANG = "Wang et al. 2022"
_KAWAHARA = "Kawahara et al. 2018"

METHODS: dict[str, Method] = {
    "clinical-only": Method(
        "The clinical picture alone.",
        f"{_WANG}, Table 2 row 1",
        AMFAM,
        {"model": {**_PLAIN, **_WHOLE, "modalities": ("clinical",)}},
    ),
    "dermoscopic-only": Method(
        "The dermoscopic picture alone.",
        f"{_WANG}, Table 2 row 2",
        AMFAM,
        {"model": {**_PLAIN, **_WHOLE, "modalities": ("dermoscopic",)}},
    ),
    "concat": Method("Features of both pictures concatenated.", f"{_WANG}, Table 2 row 3", AMFAM, {"model": _PLAIN}),
    "concat-recon": Method(
        "Concatenation and plain reconstruction.",
        f"{_WANG}, Table 2 row 4",
        AMFAM,
        {"model": {**_PLAIN, "reconstruction": True}},
    ),
    "concat-recon-att-linear": Method(
        "Concatenation and reconstruction weighted by m.",
        f"{_WANG}, Table 2 row 5",
        AMFAM,
        {"model": {**_PLAIN, "reconstruction": True, "attention": "linear"}},
    ),
    "concat-recon-att": Method(
        "Concatenation and reconstruction weighted by exp(m).",
        f"{_WANG}, Table 2 row 6",
        AMFAM,
        {"model": {**_PLAIN, "reconstruction": True, "attention": "exponential"}},
    ),
    "concat-adv": Method(
        "Concatenation and the adversarial discriminator.",
        f"{_WANG}, Table 2 row 7",
        AMFAM,
        {"model": {**_PLAIN, "adversarial": True}},
    ),
    "amfam": Method(
        "Adversarial fusion and attention-weighted reconstruction; every part by configuration.",
        f"{_WANG}, Fig. 2",
        AMFAM,
    ),
    "inception-unbalanced": Method(
        "An Inception network per picture, features concatenated; plain random batches.",
        _KAWAHARA,
        Inception,
        {"model": _TWO_IMAGES, **_SHUFFLED},
        (INCEPTION,),
    ),
    "inception-balanced": Method(
        "The same with batches that hold every label, and class weights.",
        _KAWAHARA,
        Inception,
        {"model": _TWO_IMAGES, **_BALANCED},
        (INCEPTION,),
    ),
    "inception-combined": Method(
        "The same with classifiers for each combination of pictures: one may be missing.",
        _KAWAHARA,
        InceptionCombined,
        {"model": {**_TWO_IMAGES, **_WHOLE}, **_BALANCED},
        (INCEPTION,),
    ),
    "triplenet": Method(
        "A network per picture and a joint one on late features, weighted by class activation.",
        "Ge et al. 2017",
        TripleNet,
        {"model": {**_TWO_IMAGES, **_WHOLE}},
        STAGED,
    ),
    "embeddingnet": Method(
        "A network per picture, trained alone first, then an embedding of their features.",
        "Yap et al. 2018",
        EmbeddingNet,
        {"model": _TWO_IMAGES},
        STAGED,
        stages=2,
    ),
    "hccnn": Method(
        "A network per picture and a hyper-branch that fuses their features at every stage.",
        "Bi et al. 2020",
        HcCNN,
        {"model": {**_TWO_IMAGES, **_WHOLE}},
        STAGED,
    ),
    "probe": Method(
        "Linear classifiers on the pooled features of a frozen backbone; fitted, not trained.",
        "Alain and Bengio 2017",
        Probe,
        _FITTED,
    ),
    "metadata-only": Method(
        "Linear classifiers on the metadata, no picture; without metadata, the share of each class.",
        "a baseline",
        MetadataOnly,
        _FITTED,
    ),
}

ENSEMBLE = "ensemble"
"""The method of a run that is made of finished ones, and cannot be fitted."""


def describe(name: str) -> Method:
    """Returns what a run's method is, also one that is not fitted."""
    if name == ENSEMBLE:
        return Method("The mean of what finished runs answer.", "amfam-tf ensemble", Ensemble)
    return _method(name)


def resolve(config: Config) -> Config:
    """Returns the configuration with the values that define its method set.

    Raises:
        ConfigError: no such method, or one that the configuration does not fit.
    """
    method = _method(config.method)
    sections = {name: dataclasses.replace(getattr(config, name), **values) for name, values in method.changes.items()}
    resolved = dataclasses.replace(config, **sections)
    if method.families:
        backbone: Any = of_families(config.model.backbone, method.families)
        resolved = dataclasses.replace(resolved, model=dataclasses.replace(resolved.model, backbone=backbone))
    if resolved.model.metadata and not method.takes_metadata:
        takers = ", ".join(name for name, one in METHODS.items() if one.takes_metadata)
        raise ConfigError(f"method {config.method} takes no metadata: set model.metadata=[], or a method of {takers}")
    _check_together(method, resolved)
    return resolved


def _check_together(method: Method, config: Config) -> None:
    """Refuses values that are possible one by one, and not together with this method: before any data is read."""
    check_image_size(config.model.backbone, config.data.image_size)
    if config.training.epochs < method.stages:
        raise ConfigError(
            f"method {config.method} trains in {method.stages} stages: training.epochs must be at least "
            f"{method.stages}. Received: {config.training.epochs}"
        )
    after = config.loss.reweighted_after
    if after is not None and after >= config.training.epochs:
        raise ConfigError(
            "loss.reweighted_after must be less than training.epochs, or null. "
            f"Received: {after} of {config.training.epochs}"
        )
    if config.training.frozen_stages is not None and BACKBONES[config.model.backbone].family not in STAGED:
        raise ConfigError(
            f"training.frozen_stages: {config.model.backbone} of method {config.method} has no stages: leave it out to "
            "freeze the whole backbone"
        )
    decoders = method.network is AMFAM and config.model.reconstruction
    if config.training.recompute and BACKBONES[config.model.backbone].family == INCEPTION and not decoders:
        raise ConfigError(
            f"training.recompute=true: method {config.method} with {config.model.backbone} has no part that could be "
            "computed again"
        )


def create(
    name: str,
    config: Config,
    tasks: Sequence[Task] | None = None,
    metadata: Sequence[MetadataInput] | None = None,
) -> LesionModel:
    """Returns the network of a method, its weights drawn from `config.seed` (and model.weights).

    Args:
        name: a key of METHODS.
        config: the run's configuration; the method's own values win over it.
        tasks: the questions, in order; by default those of data without a card, see `cards.legacy`.
        metadata: the columns that the configuration names; by default those of the same.

    Raises:
        ConfigError: see `resolve`.
        WeightsError: see `amfam_tf.models.backbones.create_backbone`.
    """
    method = _method(name)
    model_config = resolve(dataclasses.replace(config, method=name)).model
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.precision)
    try:
        size, title = config.data.image_size, name.replace("-", "_")
        asked: dict[str, Any] = {"tasks": cards.legacy().tasks if tasks is None else tasks}
        columns = inputs_of(cards.legacy(), model_config.metadata) if metadata is None else metadata
        if columns:
            asked["metadata"] = columns
        return method.network(config=model_config, image_size=size, name=title, **asked)
    finally:
        keras.config.set_dtype_policy("float32")


def _method(name: str) -> Method:
    if name == ENSEMBLE:
        raise ConfigError("an ensemble is not fitted: `amfam-tf ensemble OUT RUN RUN ...` makes one of finished runs")
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]
