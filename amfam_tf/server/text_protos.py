"""Configuration files in protobuf's text format, also of messages that no installed package has classes for.

BatchingParameters, MonitoringConfig and SSLConfig are described here field by field (names and types of
TensorFlow Serving's session_bundle_config.proto, monitoring_config.proto and ssl_config.proto).
"""

from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from amfam_tf.errors import ConfigError
from amfam_tf.files import regular_files
from amfam_tf.server import message_classes

MessageType = TypeVar("MessageType", bound=Message)
MOST_BYTES = 16 * 1024 * 1024
"""Longest configuration file."""

_INT64 = "google.protobuf.Int64Value"
_MESSAGES: dict[str, dict[str, str]] = {
    "BatchingParameters": {
        "max_batch_size": _INT64,
        "batch_timeout_micros": _INT64,
        "max_enqueued_batches": _INT64,
        "num_batch_threads": _INT64,
        "thread_pool_name": "google.protobuf.StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "google.protobuf.BoolValue",
        "max_execution_batch_size": _INT64,
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "SSLConfig": {"server_key": "string", "server_cert": "string", "custom_ca": "string", "client_verify": "bool"},
}


# Numbered in their order, as upstream does.
_CLASSES = message_classes.build(
    "tensorflow.serving",
    {
        name: {field: (number, kind) for number, (field, kind) in enumerate(fields.items(), start=1)}
        for name, fields in _MESSAGES.items()
    },
)
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
SSLConfig = _CLASSES["SSLConfig"]


def read_text_proto(path: str, message_class: type[MessageType]) -> MessageType:
    """Returns the message of a text proto file.

    Raises:
        ConfigError: the file cannot be read or is not of that message; names file, line and what is wrong.
    """
    try:
        text = regular_files.read(path, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return text_format.Parse(text, message_class())
    except (text_format.ParseError, RecursionError) as error:
        name = message_class.DESCRIPTOR.full_name
        raise ConfigError(f"Error parsing text-format {name}: {error}: Invalid protobuf file: '{path}'") from error
