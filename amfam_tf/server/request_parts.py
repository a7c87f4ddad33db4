"""A PredictRequest from its bytes, refused before it is parsed if it has more parts than any request needs."""

from collections.abc import Iterator

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from amfam_tf.server import wire_format
from amfam_tf.server.status import ServingError, invalid_argument
from amfam_tf.server.wire_format import Steps, TooManyParts

MOST_NAMES = 1_000
"""Inputs and output filters of one request."""
MOST_PARTS = 20_000
"""Strings, dimensions and single numbers of all its tensors; numbers in one packed field are one part."""
BYTES_PER_PART = 64
BYTES_PER_NUMBER = 8
_INPUTS, _VALUE, _SHAPE, _DIMENSION = 2, 2, 2, 2
_RESOURCE, _VARIANT = 14, 15
_VARINTS = {7, 10, 11, 13, 16, 17}
"""TensorProto's int_val, int64_val, bool_val, half_val, uint32_val, uint64_val: a packed byte may be a whole number."""


def parsed_bytes(data: bytes) -> int:
    """Returns the most that a PredictRequest takes once it is parsed, in bytes.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, for too many inputs, filters or parts of tensors; INVALID_ARGUMENT, for
            tensors that only a running graph can have.
    """
    names, parts = Steps(MOST_NAMES), Steps(MOST_PARTS)
    try:
        entries = list(_nested(data, 0, len(data), _INPUTS, names))
    except TooManyParts as error:
        raise _too_many(f"{MOST_NAMES} inputs and output filters", "name each only once") from error
    try:
        tensors = [place for entry in entries for place in _nested(data, *entry, _VALUE, parts)]
        return len(data) + sum(_tensor_bytes(data, *place, parts) for place in tensors)
    except TooManyParts as error:
        raise _too_many(f"{MOST_PARTS} parts in its tensors", "pack numbers, or send fewer rows") from error


def parse(data: bytes) -> predict_pb2.PredictRequest:
    """Returns the request.

    Raises:
        ServingError: INTERNAL, as gRPC itself has it, if it is none.
    """
    try:
        return predict_pb2.PredictRequest.FromString(data)
    except DecodeError as error:
        raise ServingError(grpc.StatusCode.INTERNAL, "Exception deserializing request!") from error


def _nested(data: bytes, start: int, end: int, wanted: int, parts: Steps) -> Iterator[tuple[int, int]]:
    """Yields where the fields of one number lie; all fields count."""
    for number, kind, first, last in wire_format.fields(data, start, end, parts):
        if number == wanted and kind == wire_format.BYTES:
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
                size += BYTES_PER_PART * sum(1 for _ in _nested(data, first, last, _DIMENSION, parts))
    return size


def _too_many(what: str, remedy: str) -> ServingError:
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request has more than {what}: {remedy}")
