"""Inputs of signatures for metadata columns, to the vector that the network is given, in the graph.

| column | input | unknown |
| --- | --- | --- |
| of values | string [B]: the name of a value, or a raw value of the card | "", and what the card says |
| of numbers | float32 [B], in the card's range | NaN, and what the card says |
| any, in a tf.Example | one bytes feature: text, as records have it; numbers in decimal digits | absent, "", ... |

The numbers are those of training: `amfam_tf.card.inputs.encode` of what `amfam_tf.card.metadata_values` understands,
six digits of a number included. Anything else is INVALID_ARGUMENT with input, index, value and what is allowed.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from amfam_tf.card import metadata_values
from amfam_tf.card.inputs import NUMBER_WIDTH
from amfam_tf.card.metadata_values import input_name
from amfam_tf.card.schema import MetadataColumn

Columns = Mapping[str, MetadataColumn]
"""Those that a network takes, by name, in the order of its vector."""
Specs = dict[str, tuple[tf.DType, tuple[int | None, ...]]]


def specs(columns: Columns) -> Specs:
    """Returns type and shape, without the batch, of the input of each column, by the input's name."""
    return {input_name(name): (tf.float32 if one.range else tf.string, ()) for name, one in columns.items()}


def feature_specs(columns: Columns) -> dict[str, tf.io.FixedLenFeature]:
    """Returns how to parse the columns of one tf.Example, by the column's name."""
    return {name: tf.io.FixedLenFeature((), tf.string, default_value="") for name in columns}


def width(columns: Columns) -> int:
    """Returns the length of the vector."""
    return sum(len(one.raw_values) or NUMBER_WIDTH for one in columns.values())


def encode(columns: Columns, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the vectors, float32 [B, n].

    Args:
        columns: at least one.
        given: [B] of each column, by the name of its input.
    """
    return _joined(columns, lambda name: given[input_name(name)])


def encode_texts(columns: Columns, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the vectors, float32 [B, n], of what examples have: string [B] of each column, by its name."""
    return _joined(columns, lambda name: given[name])


def _joined(columns: Columns, values: Callable[[str], tf.Tensor]) -> tf.Tensor:
    return tf.concat([_encode_column(name, one, values(name)) for name, one in columns.items()], axis=1)


def _encode_column(name: str, column: MetadataColumn, values: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of a column, [B] -> float32 [B, its width]."""
    if column.range is None:
        return _one_hots(name, column, values)
    if values.dtype == tf.string:
        return _number_and_unknown(name, column, _numbers(column, values), values)
    numbers = tf.cast(values, tf.float64)
    stand_for_unknown = [metadata_values.number(label) for label in column.missing]
    unknown = tf.reduce_any(numbers[:, tf.newaxis] == tf.constant(stand_for_unknown, tf.float64), axis=1)
    numbers = tf.where(unknown | tf.math.is_nan(numbers), _nan(numbers), _six_digits(numbers))
    return _number_and_unknown(name, column, numbers, _written(numbers))


def _one_hots(name: str, column: MetadataColumn, values: tf.Tensor) -> tf.Tensor:
    """Returns the one-hots, string [B] -> float32 [B, values]; an unknown one is all zeros."""
    places = {value: place for place, value in enumerate(column.raw_values)}
    known = metadata_values.labels(column)
    rows = np.zeros((len(known), len(places)), np.float32)
    for row, value in enumerate(known.values()):
        if value != metadata_values.UNKNOWN:
            rows[row, places[value]] = 1.0
    matches = values[:, tf.newaxis] == tf.constant(list(known), tf.string)
    with tf.control_dependencies([_refuse(tf.reduce_any(matches, axis=1), name, column, values)]):
        return tf.matmul(tf.cast(matches, tf.float32), rows)


def _numbers(column: MetadataColumn, texts: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of texts, string [B] -> float64 [B]: NaN for unknown, infinity for what is no number."""
    unknown = tf.reduce_any(texts[:, tf.newaxis] == ["", *column.missing], axis=1)
    stripped = tf.strings.strip(texts)
    is_number = tf.strings.regex_full_match(stripped, metadata_values.NUMBER)
    is_number &= tf.strings.length(stripped) <= metadata_values.LONGEST_NUMBER
    points = tf.strings.regex_replace(tf.where(is_number, stripped, "0"), ",", ".")
    numbers = _six_digits(tf.strings.to_number(points, tf.float64))
    infinity = tf.constant(np.inf, tf.float64)
    return tf.where(unknown, _nan(numbers), tf.where(is_number, numbers, infinity))


def _number_and_unknown(name: str, column: MetadataColumn, numbers: tf.Tensor, received: tf.Tensor) -> tf.Tensor:
    """Returns value and whether it is unknown, float64 [B], NaN for unknown -> float32 [B, 2]."""
    low, high = column.range or (0.0, 0.0)
    unknown = tf.math.is_nan(numbers)
    good = unknown | ((numbers >= low) & (numbers <= high))
    with tf.control_dependencies([_refuse(good, name, column, received)]):
        values = tf.where(unknown, tf.zeros_like(numbers), numbers)
        pair = tf.stack([tf.cast(values, tf.float32), tf.cast(unknown, tf.float32)], axis=1)
    return tf.ensure_shape(pair, (None, NUMBER_WIDTH))


def _six_digits(numbers: tf.Tensor) -> tf.Tensor:
    """Returns numbers as tables of cases hold them: as Python's format "g" writes them."""
    return tf.strings.to_number(_written(numbers), tf.float64)


def _written(numbers: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(numbers, shortest=True)


def _nan(numbers: tf.Tensor) -> tf.Tensor:
    return tf.fill(tf.shape(numbers), tf.constant(np.nan, tf.float64))


def _refuse(good: tf.Tensor, name: str, column: MetadataColumn, received: tf.Tensor) -> tf.Operation:
    """Returns the check that all values are good, bool [B]; else the first other one is named."""
    first = tf.argmin(tf.concat([tf.cast(good, tf.int32), [0]], axis=0), output_type=tf.int32)
    value = tf.concat([received, [""]], axis=0)[first]
    where = [f"input {input_name(name)}, index ", tf.strings.as_string(first), ": the value "]
    text = tf.strings.join([*where, value, f" is {metadata_values.allowed(column)}"])
    return tf.debugging.Assert(tf.reduce_all(good), [text])
