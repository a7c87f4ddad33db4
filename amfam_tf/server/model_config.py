"""Which models to serve: ModelServerConfig from the flags or from a file, and what makes one illegal."""

import os
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from amfam_tf.errors import ConfigError
from amfam_tf.server.options import ServerOptions
from amfam_tf.server.status import failed_precondition, invalid_argument
from amfam_tf.server.text_protos import read_text_proto

PLATFORM = "tensorflow"


def initial_config(options: ServerOptions) -> ModelServerConfig:
    """Returns the configuration that the flags ask for; the base path of the flag may be relative.

    Raises:
        ConfigError: the file cannot be read, or the path is no text.
    """
    if options.model_config_file:
        return read_text_proto(options.model_config_file, ModelServerConfig)
    config = ModelServerConfig()
    try:
        base_path = os.path.realpath(Path(options.model_base_path).expanduser())
        config.model_config_list.config.add(name=options.model_name, base_path=base_path, model_platform=PLATFORM)
    except ValueError as error:
        raise ConfigError(
            f"model_base_path must be UTF-8 without NUL. Received: {options.model_base_path!a}"
        ) from error
    return config


def validate(config: ModelServerConfig) -> None:
    """Refuses a configuration that the real server refuses too.

    Raises:
        ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION, with upstream's text.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise failed_precondition("Only ModelConfigList is currently supported")
    names = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not model.model_platform:
            raise invalid_argument("Illegal setting neither model_type(deprecated) nor model_platform.")
        if model.model_platform != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {model.model_platform}")
        if "\0" in model.base_path:
            raise invalid_argument(f"Expected model {model.name} to have a path without NUL; got {model.base_path!r}")
        if not Path(model.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
