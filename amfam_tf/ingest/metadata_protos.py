"""The protocol buffers of tensorflow-metadata, which TensorFlow Data Validation and TFX read."""

from types import ModuleType

from amfam_tf.errors import EngineError

MISSING = "the schema needs tensorflow-metadata: pip install amfam-tf[beam]"


def schema_protos() -> ModuleType:
    """Returns schema_pb2.

    Raises:
        EngineError: tensorflow-metadata is not installed; names the extra.
    """
    try:
        from tensorflow_metadata.proto.v0 import schema_pb2
    except ImportError as error:
        raise EngineError(MISSING) from error
    return schema_pb2


def statistics_protos() -> ModuleType:
    """Returns statistics_pb2.

    Raises:
        EngineError: as above.
    """
    schema_protos()
    from tensorflow_metadata.proto.v0 import statistics_pb2

    return statistics_pb2
