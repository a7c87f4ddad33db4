"""The schema of a record as a tensorflow-metadata proto: what `amfam_tf.data.records` writes, feature by feature."""

from pathlib import Path
from typing import Any

from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard, View
from amfam_tf.data.records import FOLD, GROUP, integer_features, text_features
from amfam_tf.data.shards import CASE_ID
from amfam_tf.errors import DataError, one_line
from amfam_tf.ingest.metadata_protos import schema_protos


def build_schema(card: DataCard) -> Any:
    """Returns the Schema: each feature's type, presence, shape and allowed values.

    Args:
        card: of the data.

    Raises:
        EngineError: tensorflow-metadata is not installed.
    """
    protos = schema_protos()
    schema = protos.Schema()
    for name in MODALITIES:
        feature = _add(schema, name, protos.BYTES, f"the {name} picture: a JPEG, PNG or BMP file, byte for byte")
        _allow_counts(feature, card.pictures.view(name))
        feature.image_domain.minimum_supported_image_fraction = 1.0
    _add(schema, "case_num", protos.INT, "number of the case")
    _add_strings(schema, "split", SPLITS, "part of the data set")
    for task in card.tasks:
        classes = ", ".join(f"{number} {name}" for number, name in enumerate(task.classes))
        unknown = ", -1 unknown" if task.missing else ""
        feature = _add(schema, task.name, protos.INT, f"{task.title}: {classes}{unknown}")
        feature.int_domain.name = task.name
        feature.int_domain.min, feature.int_domain.max = (-1 if task.missing else 0), len(task.classes) - 1
        feature.int_domain.is_categorical = True
    for key, column in card.metadata.items():
        if column.range is None:
            _add_strings(schema, key, (*column.raw_values, ""), "empty if missing")
        else:
            _add(schema, key, protos.BYTES, "a number of {:g} to {:g}, empty if missing".format(*column.range))
    if GROUP in text_features(card):
        _add(schema, GROUP, protos.BYTES, "what must not be in several splits")
    if FOLD in integer_features(card):
        _add(schema, FOLD, protos.INT, "number of the fold, from 0")
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


def _allow_counts(feature: Any, view: View) -> None:
    """Lets a view have no picture, or several, where the card does."""
    if view.missing == "allowed":
        feature.presence.min_fraction = 0.0
        feature.presence.ClearField("min_count")
    if view.several == "allowed":
        feature.ClearField("shape")
        feature.value_count.min = 1


def _add_strings(schema: Any, name: str, values: tuple[str, ...], comment: str) -> None:
    feature = _add(schema, name, schema_protos().BYTES, comment)
    schema.string_domain.add(name=name, value=values)
    feature.domain = name
