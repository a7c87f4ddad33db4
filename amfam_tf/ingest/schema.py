"""The schema of a record as a tensorflow-metadata proto: what `amfam_tf.data.records` writes, feature by feature."""

from pathlib import Path
from typing import Any

from amfam_tf.data.shards import CASE_ID
from amfam_tf.errors import DataError, one_line
from amfam_tf.ingest.metadata_protos import schema_protos
from amfam_tf.tasks import METADATA, MODALITIES, SPLITS, TASKS


def build_schema() -> Any:
    """Returns the Schema: each feature's type, presence, shape and allowed values.

    Raises:
        EngineError: tensorflow-metadata is not installed.
    """
    protos = schema_protos()
    schema = protos.Schema()
    for name in MODALITIES:
        feature = _add(schema, name, protos.BYTES, f"the {name} picture: a JPEG, PNG or BMP file, byte for byte")
        feature.image_domain.minimum_supported_image_fraction = 1.0
    _add(schema, "case_num", protos.INT, "number of the case")
    _add_strings(schema, "split", SPLITS, "part of the data set")
    for task in TASKS:
        classes = ", ".join(f"{number} {name}" for number, name in enumerate(task.classes))
        feature = _add(schema, task.name, protos.INT, f"{task.title}: {classes}")
        feature.int_domain.name = task.name
        feature.int_domain.min, feature.int_domain.max = 0, len(task.classes) - 1
        feature.int_domain.is_categorical = True
    for name, values in METADATA.items():
        _add_strings(schema, name, (*values, ""), "empty if missing")
    feature = _add(schema, CASE_ID, protos.BYTES, "of the source, empty if it has none")
    feature.presence.min_fraction = 0.0
    feature.presence.ClearField("min_count")
    return schema


def to_text(message: Any) -> str:
    """Returns a proto in text format."""
    from google.protobuf import text_format

    return text_format.MessageToString(message)


def read_schema(path: str | Path) -> Any:
    """Returns the Schema in a text file.

    Raises:
        DataError: it cannot be read or is no schema; names the file.
        EngineError: tensorflow-metadata is not installed.
    """
    from google.protobuf import text_format

    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), schema_protos().Schema())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise DataError(f"{path}: is no schema in text format: {one_line(error)}") from error


def _add(schema: Any, name: str, kind: int, comment: str) -> Any:
    """Adds a feature that each record has, with exactly one value."""
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1
    feature.shape.SetInParent()  # no dimension: a scalar
    feature.annotation.comment.append(comment)
    return feature


def _add_strings(schema: Any, name: str, values: tuple[str, ...], comment: str) -> None:
    feature = _add(schema, name, schema_protos().BYTES, comment)
    schema.string_domain.add(name=name, value=values)
    feature.domain = name
