"""TensorProto to numpy array and back, as strictly as TensorFlow's own C++ does it."""

import math
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from amfam_tf.server.status import ServingError, invalid_argument

FIRST_REFERENCE_TYPE = 101
BYTES_PER_STRING = 24
"""Memory of an empty string in a tensor, in bytes."""
HIGHEST_RANK = 254
"""TensorFlow's."""
VALUES_AT_A_TIME = 1 << 16


def type_name(data_type: int) -> str:
    """Returns TensorFlow's lower-case name of a DataType number, e.g. "float" or "string"."""
    name = types_pb2.DataType.Name(data_type) if data_type in types_pb2.DataType.values() else f"DT_{data_type}"
    return name.removeprefix("DT_").lower()


def dimensions_of(proto: TensorProto) -> list[int]:
    """Returns the dimensions that a tensor states."""
    return [dimension.size for dimension in proto.tensor_shape.dim]


def item_bytes_of(data_type: int) -> int:
    """Returns the memory of one value of a DataType number, in bytes; that of an empty string for strings.

    Raises:
        TypeError, KeyError: no such type, or one without values in memory.
    """
    dtype = tf.dtypes.as_dtype(data_type)
    return BYTES_PER_STRING if dtype == tf.string else np.dtype(dtype.as_numpy_dtype).itemsize


def check(alias: str, proto: TensorProto, limit_bytes: int) -> None:
    """Refuses what `decode` could not take, by what the message states; nothing is expanded.

    Args:
        alias: name of the input, for the message.
        limit_bytes: largest memory that the tensor may take: a short message can describe a huge constant.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no tensor, RESOURCE_EXHAUSTED if it is over the limit.
    """
    try:
        item_bytes = item_bytes_of(proto.dtype)
    except (TypeError, KeyError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error
    data_type = tf.dtypes.as_dtype(proto.dtype)
    plain = data_type not in (tf.resource, tf.variant) and proto.dtype < FIRST_REFERENCE_TYPE
    if proto.tensor_shape.unknown_rank or len(proto.tensor_shape.dim) > HIGHEST_RANK or not plain:
        raise invalid_argument(f"tensor parsing error: {alias}")
    dimensions = dimensions_of(proto)
    if any(size < 0 for size in dimensions):
        raise invalid_argument(f"tensor parsing error: {alias}")
    elements = math.prod(dimensions)
    if elements * item_bytes > limit_bytes:
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"input {alias} of shape {dimensions} takes {elements * item_bytes} bytes; the limit is {limit_bytes}",
        )
    content = len(proto.tensor_content)
    if content:
        fits = data_type != tf.string and content == elements * item_bytes
    else:
        fits = _values_given(data_type, proto) <= elements
    if not fits:
        raise invalid_argument(f"tensor parsing error: {alias}")


def decode(alias: str, proto: TensorProto) -> np.ndarray:
    """Returns the array of a tensor that `check` has passed; strings become an object array of bytes.

    Args:
        alias: name of the input, for the message.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no tensor.
    """
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def _values_given(data_type: tf.DType, proto: TensorProto) -> int:
    """Returns how many values the typed field of a tensor holds."""
    if data_type == tf.string:
        return len(proto.string_val)
    if data_type not in _TYPED_FIELDS:
        return 0
    count = len(getattr(proto, _TYPED_FIELDS[data_type][0]))
    return count // 2 if data_type.is_complex else count


def encode(array: np.ndarray | np.generic | bytes | str) -> TensorProto:
    """Returns an output as a TensorProto with one typed field (float_val, string_val, ...), every value written out."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        texts = [tf.compat.as_bytes(value) for value in array.ravel().tolist()]
        return _proto(types_pb2.DT_STRING, array.shape, "string_val", texts)
    data_type = tf.dtypes.as_dtype(array.dtype)
    if data_type not in _TYPED_FIELDS:
        return tf.make_tensor_proto(array)
    field, prepare = _TYPED_FIELDS[data_type]
    values = prepare(np.ascontiguousarray(array)).ravel()
    return _proto(data_type.as_datatype_enum, array.shape, field, values)


def _proto(data_type: int, shape: tuple[int, ...], field: str, values: list[Any] | np.ndarray) -> TensorProto:
    proto = TensorProto(dtype=data_type)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    target = getattr(proto, field)
    for start in range(0, len(values), VALUES_AT_A_TIME):
        # Python's numbers take 32 bytes each: never all of them at once.
        part = values[start : start + VALUES_AT_A_TIME]
        target.extend(part if isinstance(part, list) else part.tolist())
    return proto


def _as_is(array: np.ndarray) -> np.ndarray:
    return array


def _viewed_as(dtype: type) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: array.reshape(-1).view(dtype)


_TYPED_FIELDS: dict[tf.DType, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    tf.float32: ("float_val", _as_is),
    tf.float64: ("double_val", _as_is),
    tf.float16: ("half_val", _viewed_as(np.uint16)),
    tf.bfloat16: ("half_val", _viewed_as(np.uint16)),
    tf.int8: ("int_val", _as_is),
    tf.int16: ("int_val", _as_is),
    tf.int32: ("int_val", _as_is),
    tf.uint8: ("int_val", _as_is),
    tf.uint16: ("int_val", _as_is),
    tf.int64: ("int64_val", _as_is),
    tf.uint32: ("uint32_val", _as_is),
    tf.uint64: ("uint64_val", _as_is),
    tf.bool: ("bool_val", _as_is),
    tf.complex64: ("scomplex_val", _viewed_as(np.float32)),
    tf.complex128: ("dcomplex_val", _viewed_as(np.float64)),
}
