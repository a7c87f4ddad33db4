"""A request from its bytes, refused before it is parsed if it has more parts than any request needs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from amfam_tf.server import wire_format
from amfam_tf.server.status import ServingError, invalid_argument
from amfam_tf.server.wire_format import Steps, TooManyParts

MOST_NAMES = 1_000
"""Inputs and output filters of one request."""
MOST_PARTS = 20_000
"""Strings, dimensions and single numbers of all its tensors; numbers in one packed field are one part."""
MOST_EXAMPLE_PARTS = 100_000
"""The same of all tf.Examples; 1000 records of a data set have 90,000."""
BYTES_PER_PART = 64
BYTES_PER_NUMBER = 8
_INPUTS, _VALUE, _SHAPE, _DIMENSION = 2, 2, 2, 2
_RESOURCE, _VARIANT = 14, 15
_VARINTS = {7, 10, 11, 13, 16, 17}
"""TensorProto's int_val, int64_val, bool_val, half_val, uint32_val, uint64_val: a packed byte may be a whole number."""
_INPUT, _LISTS, _EXAMPLES = 2, (1, 2), (1, 2)
"""Of Classify, Regress and MultiInference: Input, its lists with and without context, and the tf.Examples of both."""
_EXAMPLE = ((1,), (1,), (2,), (1, 2, 3))
"""From a tf.Example to its values: features, feature (a map), value, and a list of strings or numbers."""
_WHOLE_NUMBERS = 3

Request = TypeVar("Request", bound=Message)


def parsed_bytes(data: bytes) -> int:
    """Returns the most that a PredictRequest takes once it is parsed, in bytes.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, for too many inputs, filters or parts of tensors; INVALID_ARGUMENT, for
            tensors that only a running graph can have.
    """
    names, parts = Steps(MOST_NAMES), Steps(MOST_PARTS)
    try:
        entries = list(_nested(data, [(0, len(data))], (_INPUTS,), names))
    except TooManyParts as error:
        raise _too_many(f"{MOST_NAMES} inputs and output filters", "name each only once") from error
    try:
        tensors = list(_nested(data, entries, (_VALUE,), parts))
        return len(data) + sum(_tensor_bytes(data, *place, parts) for place in tensors)
    except TooManyParts as error:
        raise _too_many(f"{MOST_PARTS} parts in its tensors", "pack numbers, or send fewer rows") from error


def parsed_examples_bytes(data: bytes, most_rows: int) -> int:
    """Returns the most that a request with tf.Examples takes once it is parsed, in bytes, their serialized form too.

    Args:
        data: a ClassificationRequest, RegressionRequest or MultiInferenceRequest.
        most_rows: examples of one request.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, for too many examples, tasks or parts of examples.
    """
    rows, parts = Steps(most_rows + MOST_NAMES), Steps(MOST_EXAMPLE_PARTS)
    try:
        inputs = _nested(data, [(0, len(data))], (_INPUT,), rows)
        examples = list(_nested(data, _nested(data, inputs, _LISTS, rows), _EXAMPLES, rows))
    except TooManyParts as error:
        what = f"{most_rows} rows (--max-request-rows) or {MOST_NAMES} tasks"
        raise _too_many(what, "send them in several requests") from error
    try:
        return 2 * len(data) + sum(_example_bytes(data, *place, parts) for place in examples)
    except TooManyParts as error:
        raise _too_many(f"{MOST_EXAMPLE_PARTS} parts in its examples", "pack numbers, or send fewer rows") from error


def parse(kind: type[Request], data: bytes) -> Request:
    """Returns the request.

    Raises:
        ServingError: INTERNAL, as gRPC itself has it, if it is none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ServingError(grpc.StatusCode.INTERNAL, "Exception deserializing request!") from error


def _nested(
    data: bytes, places: Iterable[tuple[int, int]], wanted: Sequence[int], parts: Steps
) -> Iterator[tuple[int, int]]:
    """Yields where the fields of these numbers lie within the messages at these places; all fields count."""
    for start, end in places:
        for number, kind, first, last in wire_format.fields(data, start, end, parts):
            if number in wanted and kind == wire_format.BYTES:
                yield first, last


def _tensor_bytes(data: bytes, start: int, end: int, parts: Steps) -> int:
    """Returns what a TensorProto takes beside its own bytes."""
    size = 0
    for number, kind, first, last in wire_format.fields(data, start, end, parts):
        if number in (_RESOURCE, _VARIANT):
            raise invalid_argument("tensor parsing error: resources and variants cannot be sent")
        size += BYTES_PER_PART
        if kind == wire_format.BYTES:
            size += (last - first) * (BYTES_PER_NUMBER if number in _VARINTS else 1)
            if number == _SHAPE:
                size += BYTES_PER_PART * sum(1 for _ in _nested(data, [(first, last)], (_DIMENSION,), parts))
    return size


def _example_bytes(
    data: bytes, start: int, end: int, parts: Steps, path: Sequence[Sequence[int]] = _EXAMPLE, scale: int = 0
) -> int:
    """Returns what a tf.Example, or what lies below it on a path of field numbers, takes beside its own bytes.

    Args:
        scale: bytes that one byte of a packed list becomes.
    """
    size = 0
    for number, kind, first, last in wire_format.fields(data, start, end, parts):
        size += BYTES_PER_PART
        if kind != wire_format.BYTES:
            continue
        if path and number in path[0]:
            packed = BYTES_PER_NUMBER if len(path) == 1 and number == _WHOLE_NUMBERS else 0
            size += _example_bytes(data, first, last, parts, path[1:], packed)
        else:
            size += scale * (last - first)
    return size


def _too_many(what: str, remedy: str) -> ServingError:
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request has more than {what}: {remedy}")
