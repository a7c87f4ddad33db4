"""Flags of `tensorflow_model_server` that are taken so that its command lines work, and mean nothing here.

Imports no TensorFlow.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from amfam_tf.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OtherFlag:
    """What happens with a flag.

    Attributes:
        sentence: how it is here, said in the log.
        only: the one value that describes how it is here; None takes any, for what changes no answer.
    """

    sentence: str
    only: str | None = None


_NO_TFLITE = OtherFlag("there are no TFLite models here; saved_model.pb is served")
_LOADS = OtherFlag("every model is loaded and unloaded in threads of its own")
_RETRIES = OtherFlag("a version that failed is tried again when its files change")
_NO_XLA = OtherFlag("models run as they were exported")

OTHER_FLAGS: Mapping[str, OtherFlag] = MappingProxyType(
    {
        "prefer_tflite_model": _NO_TFLITE,
        "num_tflite_pools": _NO_TFLITE,
        "num_tflite_interpreters_per_pool": _NO_TFLITE,
        "num_load_threads": _LOADS,
        "num_unload_threads": _LOADS,
        "max_num_load_retries": _RETRIES,
        "load_retry_interval_micros": _RETRIES,
        "xla_cpu_compilation_enabled": _NO_XLA,
        "xla_gpu_compilation_enabled": _NO_XLA,
        "flush_filesystem_caches": OtherFlag("the operating system decides on its file cache"),
        "rest_api_num_threads": OtherFlag("--max-concurrent-requests limits what runs at a time"),
        "grpc_max_threads": OtherFlag("--max-concurrent-requests limits what runs at a time"),
        "tensorflow_session_parallelism": OtherFlag(
            "use --tensorflow-intra-op-parallelism and --tensorflow-inter-op-parallelism"
        ),
        "per_process_gpu_memory_fraction": OtherFlag("memory of a GPU is taken as it is needed"),
        "num_request_iterations_for_warmup": OtherFlag("every warm-up request runs once"),
        "remove_unused_fields_from_bundle_metagraph": OtherFlag("of a graph's description, signatures are kept only"),
        "enable_profiler": OtherFlag("there is no profiler"),
        "thread_pool_factory_config_file": OtherFlag("TensorFlow's own thread pools are used"),
        "enable_per_model_batching_parameters": OtherFlag("all models share --batching-parameters-file"),
        "enable_grpc_healthcheck_service": OtherFlag("health is always served"),
        "skip_initialize_tpu": OtherFlag("no TPU is used"),
        "enable_signature_method_name_check": OtherFlag("method names of signatures are always checked", "true"),
        "enable_serialization_as_tensor_content": OtherFlag("answers are in typed fields", "false"),
        "servable_versions_always_present": OtherFlag("a version that is removed is unloaded", "false"),
        "rest_api_enable_cors_support": OtherFlag("there is no CORS", "false"),
        "use_alts_credentials": OtherFlag("there is no ALTS; use --ssl-config-file", "false"),
        "saved_model_tags": OtherFlag("the graph with the tag serve is served", "serve"),
        "platform_config_file": OtherFlag("the platform is TensorFlow", ""),
        "tensorflow_session_config_file": OtherFlag("sessions have TensorFlow's own configuration", ""),
        "mixed_precision": OtherFlag("models run in the precision that they were exported in", ""),
    }
)
"""name -> what happens."""


def tell(given: Mapping[str, str]) -> None:
    """Logs a line for each of the flags that are given.

    Raises:
        ConfigError: a value that would have changed the answers, or who gets them.
    """
    for name, value in given.items():
        flag = OTHER_FLAGS[name]
        if flag.only is not None and value.lower() != flag.only:
            raise ConfigError(
                f"{name} cannot be {value!r} in the embedded server: {flag.sentence}; use --engine tensorflow-serving"
            )
        _log.info("--%s=%s has no effect: %s", name, value, flag.sentence)
