"""Classes of protobuf messages that are described here, in Python: without TensorFlow, or with no package to have them.

Each set is in a descriptor pool of its own: in the common one it would shadow, or shut out, the real messages.
"""

from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.message import Message

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "float": _FIELD.TYPE_FLOAT,
    "bool": _FIELD.TYPE_BOOL,
}


def build(package: str, messages: Mapping[str, Mapping[str, tuple[int, str]]]) -> dict[str, type[Message]]:
    """Returns message name -> class.

    Args:
        package: of the messages.
        messages: message -> field -> (number, type): a scalar, one of these messages, or one of google.protobuf with
            its whole name; "repeated " before it.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind) in fields.items():
            single = kind.removeprefix("repeated ")
            label = _FIELD.LABEL_OPTIONAL if single == kind else _FIELD.LABEL_REPEATED
            field = message.field.add(name=field_name, number=number, label=label)
            if single in _SCALARS:
                field.type = _SCALARS[single]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = f".{single}" if "." in single else f".{package}.{single}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}
