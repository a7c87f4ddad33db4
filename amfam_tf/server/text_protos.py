"""Configuration files in protobuf's text format, also of messages that no installed package has classes for.

BatchingParameters, MonitoringConfig and SSLConfig are described here field by field (names and types of
TensorFlow Serving's session_bundle_config.proto, monitoring_config.proto and ssl_config.proto).
"""

from typing import TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from amfam_tf.errors import ConfigError
from amfam_tf.files import regular_files

MessageType = TypeVar("MessageType", bound=Message)
MOST_BYTES = 16 * 1024 * 1024
"""Longest configuration file."""

_PACKAGE = "tensorflow.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64 = ".google.protobuf.Int64Value"
_SCALARS = {"string": _FIELD.TYPE_STRING, "bool": _FIELD.TYPE_BOOL, "int64": _FIELD.TYPE_INT64}
_MESSAGES: dict[str, dict[str, str]] = {
    "BatchingParameters": {
        "max_batch_size": _INT64,
        "batch_timeout_micros": _INT64,
        "max_enqueued_batches": _INT64,
        "num_batch_threads": _INT64,
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": ".google.protobuf.BoolValue",
        "max_execution_batch_size": _INT64,
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": f".{_PACKAGE}.PrometheusConfig"},
    "SSLConfig": {"server_key": "string", "server_cert": "string", "custom_ca": "string", "client_verify": "bool"},
}


def _build_classes() -> dict[str, type[Message]]:
    """Returns message name -> class, in a descriptor pool of its own so that no real one is shadowed."""
    file = descriptor_pb2.FileDescriptorProto(name="amfam_tf/server_config.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, kind) in enumerate(fields.items(), start=1):
            scalar = kind.removeprefix("repeated ")
            label = _FIELD.LABEL_OPTIONAL if scalar == kind else _FIELD.LABEL_REPEATED
            field = message.field.add(name=field_name, number=number, label=label)
            if scalar in _SCALARS:
                field.type = _SCALARS[scalar]
            else:
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, scalar
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _build_classes()
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
