"""Which values of the configuration a method reads: one that it would drop in silence is refused.

A preset may name any, since it serves all methods; what is asked of a method has to have a meaning, see
`amfam_tf.config.asked_keys`.
"""

from collections.abc import Iterable, Mapping, Sequence

from amfam_tf import config as configuration
from amfam_tf.config import Config
from amfam_tf.config.schema import OF_TRAINING
from amfam_tf.errors import ConfigError
from amfam_tf.models.amfam import AMFAM
from amfam_tf.models.registry import METHODS, resolve

DISCRIMINATOR = frozenset(
    {"model.discriminator_units", "model.reversal_scale", "model.reversal_schedule", "loss.adversarial"}
)
DECODERS = frozenset(
    {
        *("model.decoder_scales", "model.decoder_channels", "model.leaky_relu_slope", "model.upsampling"),
        "loss.reconstruction",
    }
)
ATTENTION = frozenset({"model.attention_activations", "model.stop_attention_gradient"})
PARTS = frozenset({"model.modalities", "model.adversarial", "model.reconstruction", "model.attention"})
"""What switches the parts."""
CLASS_LOSSES: Mapping[str, frozenset[str]] = {
    "logit_adjustment": frozenset({"loss.adjustment"}),
    "class_balanced_focal": frozenset({"loss.focusing", "loss.effective_samples"}),
    "ldam": frozenset({"loss.margin"}),
    "large_margin_focal": frozenset({"loss.focusing", "loss.margin"}),
    "asymmetric": frozenset({"loss.focusing", "loss.focusing_others", "loss.shift"}),
}
"""`loss.classification` -> the values that it has."""
DISTILLATION = frozenset({"loss.teacher_answers", "loss.distillation", "loss.distillation_temperature"})
OF_SOME = frozenset(
    {
        *(DISCRIMINATOR | DECODERS | ATTENTION | PARTS | DISTILLATION),
        *frozenset().union(*CLASS_LOSSES.values()),
        *("model.batch_statistics", "model.metadata_fusion", "data.cases_per_label", "training.pretraining_epochs"),
        *frozenset().union(*(method.network.OWN_KEYS for method in METHODS.values())),
    }
)
"""The keys that not every method reads that is trained by steps."""
TRAINED = (OF_TRAINING - OF_SOME) | {
    *("model.classifier_units", "model.classifier_activation", "model.classifier_dropout"),
    *("model.batch_norm", "model.batch_norm_momentum"),
}
"""The keys that every such method reads, and no other one."""
LOOKING = frozenset({"model.backbone", "model.weights"})
"""The keys that every method reads that looks at a picture."""
PARTICULAR = OF_SOME | TRAINED | LOOKING
"""The keys that not every method reads; all others are read by each."""
REPLACED = "model.backbone"
"""A method may take the counterpart of another family instead, see `backbones.of_families`."""


def read_keys(config: Config) -> frozenset[str]:
    """Returns those of PARTICULAR that a configuration's method reads, with the parts that it then has.

    Args:
        config: resolved, see `registry.resolve`.
    """
    method, model = METHODS[config.method], config.model
    found = set(method.network.OWN_KEYS)
    if method.network.TRAINED:
        found |= TRAINED | CLASS_LOSSES.get(config.loss.classification, frozenset())
        if config.loss.teacher is not None:
            found |= DISTILLATION
        if config.loss.reweighted_after is not None:
            found.add("loss.effective_samples")
        if model.metadata:
            found.add("model.metadata_fusion")
    if method.network.LOOKS:
        found |= LOOKING
    if method.stages > 1:
        found.add("training.pretraining_epochs")
    if config.data.sampling == "balanced":
        found.add("data.cases_per_label")
    if method.network is AMFAM:
        found |= PARTS
        if len(model.modalities) > 1:
            found |= {"model.batch_statistics", "model.modality_dropout"}
        if model.adversarial:
            found |= DISCRIMINATOR
        if model.reconstruction:
            found |= DECODERS
        if model.attention != "none":
            found |= ATTENTION
    return frozenset(found)


def refuse_unread(configs: Sequence[Config], keys: Iterable[str]) -> None:
    """Refuses keys whose values change nothing in any of the configurations.

    Args:
        configs: with these values, each with its method; not resolved.
        keys: with dots, e.g. "model.decoder_scales".

    Raises:
        ConfigError: a method sets the key itself to another value, or has no part that reads it; see also
            `registry.resolve`.
    """
    resolved = [resolve(config) for config in configs]
    for key in keys:
        reasons = [_why_unread(asked, used, key) for asked, used in zip(configs, resolved, strict=True)]
        if reasons and all(reasons):
            others = " (nor would the others)" if len({config.method for config in configs}) > 1 else ""
            raise ConfigError(f"{key} would be of no use: {reasons[0]}{others}: leave it out")


def _why_unread(asked: Config, used: Config, key: str) -> str | None:
    wanted, value = configuration.value_at(asked, key), configuration.value_at(used, key)
    if wanted != value and key != REPLACED:
        return f"method {asked.method} sets it to {configuration.as_text(value)} itself"
    section, _, name = key.partition(".")
    own = METHODS[asked.method].changes.get(section, {})
    if key in PARTICULAR - read_keys(used) and name not in own:
        return f"method {asked.method} as configured does not read it"
    return None
