"""The configuration: one frozen dataclass tree, presets as YAML, overrides as `section.key=value`.

Unknown keys and impossible values raise ConfigError before any data is read.
"""

from amfam_tf.config.loading import (
    as_text,
    asked_keys,
    changed,
    differences,
    dump,
    from_dict,
    load,
    overridden_keys,
    preset_names,
    read,
    read_text,
    value_at,
)
from amfam_tf.config.schema import (
    LARGEST_SEED,
    AugmentationConfig,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    without_home,
)
from amfam_tf.config.structure import structure, to_dict
from amfam_tf.errors import ConfigError

__all__ = [
    "LARGEST_SEED",
    "AugmentationConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainingConfig",
    "as_text",
    "asked_keys",
    "changed",
    "differences",
    "dump",
    "from_dict",
    "load",
    "overridden_keys",
    "preset_names",
    "read",
    "read_text",
    "structure",
    "to_dict",
    "value_at",
    "without_home",
]
