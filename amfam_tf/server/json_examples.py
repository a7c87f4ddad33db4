"""tf.Examples in JSON: the bodies of the REST verbs classify and regress, and their answers, with upstream's texts."""

import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from amfam_tf.server.json_tensors import decode_base64
from amfam_tf.server.status import invalid_argument

CONTEXT, EXAMPLES, RESULTS = "context", "examples", "results"


def to_input(document: Mapping[str, Any]) -> input_pb2.Input:
    """Returns the tf.Examples of a request.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if EXAMPLES not in document:
        reason = f"When method is classify, key '{EXAMPLES}' is expected and was not found"
    elif not isinstance(document[EXAMPLES], list):
        reason = f"Expecting '{EXAMPLES}' value to be an list/array"
    elif not document[EXAMPLES]:
        reason = f"'{EXAMPLES}' value is an empty array"
    else:
        examples = [_example(entry) for entry in document[EXAMPLES]]
        if CONTEXT not in document:
            return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
        with_context = input_pb2.ExampleListWithContext(examples=examples, context=_example(document[CONTEXT]))
        return input_pb2.Input(example_list_with_context=with_context)
    raise invalid_argument(f"JSON Value: {json.dumps(document)} {reason}")


def classes_to_json(result: classification_pb2.ClassificationResult) -> bytes:
    """Returns [label, score] per class and example."""
    rows = [[[entry.label, entry.score] for entry in row.classes] for row in result.classifications]
    return json.dumps({RESULTS: rows}).encode()


def values_to_json(result: regression_pb2.RegressionResult) -> bytes:
    """Returns a value per example."""
    return json.dumps({RESULTS: [row.value for row in result.regressions]}).encode()


def _example(entry: Any) -> tf.train.Example:
    if not isinstance(entry, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json.dumps(entry)}")
    example = tf.train.Example()
    for name, value in entry.items():
        feature = example.features.feature[name]
        for item in value if isinstance(value, list) else [value]:
            _add(feature, name, item)
    return example


def _add(feature: tf.train.Feature, name: str, value: Any) -> None:
    """Adds a value to a feature, whose first value decides on its type."""
    if isinstance(value, dict):
        value = decode_base64(value)
    elif isinstance(value, str):
        value = value.encode(errors="surrogatepass")
    kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}.get(type(value))
    if kind is None:
        raise invalid_argument(
            f"Value of feature {name} must be a number, a string or b64. Received: {json.dumps(value)}"
        )
    if feature.WhichOneof("kind") not in (None, kind):
        raise invalid_argument(f"Values of feature {name} must be of one type: texts, whole numbers or decimal numbers")
    try:
        getattr(feature, kind).value.append(value)
    except ValueError as error:
        raise invalid_argument(f"Value of feature {name} has more than 64 bits") from error
