"""TensorProto to numpy array and back, as strictly as TensorFlow's own C++ does it."""

import math
from collections.abc import Callable

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from amfam_tf.serving.server.status import ServingError, invalid_argument

TensorProto = tensor_pb2.TensorProto
FIRST_REFERENCE_TYPE = 101
BYTES_PER_STRING = 24
"""Memory of an empty string in a tensor, in bytes."""


def type_name(data_type: int) -> str:
    """Returns TensorFlow's lower-case name of a DataType number, e.g. "float" or "string"."""
    name = types_pb2.DataType.Name(data_type) if data_type in types_pb2.DataType.values() else f"DT_{data_type}"
    return name.removeprefix("DT_").lower()


def decode(alias: str, proto: TensorProto, limit_bytes: int) -> np.ndarray:
    """Returns the array of a request's tensor; strings become an object array of bytes.

    Args:
        alias: name of the input, for the message.
        limit_bytes: largest memory that the tensor may take: a short message can describe a huge constant.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no tensor, RESOURCE_EXHAUSTED if it is over the limit.
    """
    try:
        data_type = tf.dtypes.as_dtype(proto.dtype)
        item_bytes = BYTES_PER_STRING if data_type == tf.string else np.dtype(data_type.as_numpy_dtype).itemsize
    except (TypeError, KeyError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error
    dimensions = [dimension.size for dimension in proto.tensor_shape.dim]
    plain = data_type not in (tf.resource, tf.variant) and proto.dtype < FIRST_REFERENCE_TYPE
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in dimensions) or not plain:
        raise invalid_argument(f"tensor parsing error: {alias}")
    size_bytes = math.prod(dimensions) * item_bytes
    if size_bytes > limit_bytes:
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"input {alias} of shape {dimensions} takes {size_bytes} bytes; the limit is {limit_bytes}",
        )
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def encode(array: np.ndarray | np.generic | bytes | str) -> TensorProto:
    """Returns an output as a TensorProto with one typed field (float_val, string_val, ...), every value written out."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        values = [tf.compat.as_bytes(value) for value in array.ravel().tolist()]
        return _proto(types_pb2.DT_STRING, array.shape, "string_val", values)
    data_type = tf.dtypes.as_dtype(array.dtype)
    if data_type not in _TYPED_FIELDS:
        return tf.make_tensor_proto(array)
    field, prepare = _TYPED_FIELDS[data_type]
    return _proto(data_type.as_datatype_enum, array.shape, field, prepare(np.ascontiguousarray(array)).ravel().tolist())


def _proto(data_type: int, shape: tuple[int, ...], field: str, values: list) -> TensorProto:
    proto = TensorProto(dtype=data_type)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(values)
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
