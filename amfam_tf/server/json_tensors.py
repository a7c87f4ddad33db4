"""Tensors in the REST API's JSON: row form ("instances") and column form ("inputs"), b64 objects for bytes."""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from amfam_tf.server.status import ServingError, invalid_argument
from amfam_tf.server.tensors import type_name

INSTANCES = "instances"
INPUTS = "inputs"
SIGNATURE_NAME = "signature_name"
BASE64 = "b64"
BYTES_SUFFIX = "_bytes"
MOST_VALUES = 4 * 2**20
"""Values of a document; arrays and objects count four times. Python's parser lets no other thread run meanwhile,
and makes up to 100 bytes of a comma."""
_SLICE_BYTES = 2**20
_JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
_LOWEST_INT32, _HIGHEST_INT32 = -(2**31), 2**31 - 1
_INTEGER_RANGES = {
    tf.int8: (_LOWEST_INT32, _HIGHEST_INT32),
    tf.int16: (_LOWEST_INT32, _HIGHEST_INT32),
    tf.int32: (_LOWEST_INT32, _HIGHEST_INT32),
    tf.uint8: (_LOWEST_INT32, _HIGHEST_INT32),
    tf.int64: (-(2**63), 2**63 - 1),
    tf.uint32: (0, 2**32 - 1),
    tf.uint64: (0, 2**64 - 1),
}
_MANTISSA_BITS = {tf.float32: 24, tf.float64: 53}

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]
Tensors = dict[str, tensor_pb2.TensorProto]


def parse_body(body: bytes | bytearray) -> tuple[dict[str, Any], str]:
    """Returns the body's object and its signature name, "" if it has none.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no JSON object; RESOURCE_EXHAUSTED, if it has too many values.
    """
    if count_values(body) > MOST_VALUES:
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the request has more than {MOST_VALUES} JSON values (a list counts four times): send pictures as files "
            "in base64, fewer rows, or gRPC",
        )
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {_text(document)} Is not object")
    signature = document.get(SIGNATURE_NAME, "")
    if not isinstance(signature, str):
        raise invalid_argument(
            f"JSON Value: {_text(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return document, signature


def count_values(body: bytes | bytearray) -> int:
    """Returns about how many values a document has, without parsing it; it stops soon after MOST_VALUES."""
    count = 0
    for start in range(0, len(body), _SLICE_BYTES):
        end = start + _SLICE_BYTES
        count += body.count(b",", start, end) + 4 * (body.count(b"[", start, end) + body.count(b"{", start, end))
        if count > MOST_VALUES:
            break
    return count


def to_tensors(document: Mapping[str, Any], infos: TensorInfos) -> tuple[Tensors, bool]:
    """Returns the input tensors of a request by name, and whether they came in row form.

    Args:
        infos: the signature's inputs.

    Raises:
        ServingError: INVALID_ARGUMENT, with upstream's text.
    """
    if INSTANCES in document and INPUTS in document:
        raise invalid_argument(
            f"JSON Value: {_text(document)} Not formatted correctly expecting only one of "
            f"'{INPUTS}' or '{INSTANCES}' keys to exist "
        )
    if INSTANCES in document:
        instances = document[INSTANCES]
        if not isinstance(instances, list):
            raise invalid_argument(f"JSON Value: {_text(document)} Excepting '{INSTANCES}' to be an list/array")
        if not instances:
            raise invalid_argument(f"JSON Value: {_text(document)} No values in '{INSTANCES}' array")
        return _from_rows(instances, infos), True
    if INPUTS in document:
        return _from_columns(document[INPUTS], infos), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def to_json(outputs: Mapping[str, np.ndarray], row_form: bool) -> bytes:
    """Returns the body of an answer; the name of a single output is dropped.

    Raises:
        ServingError: INVALID_ARGUMENT, if outputs cannot be split into rows, or have no JSON form.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if row_form:
        _check_rows(outputs)
    values = {name: _plain(name, np.asarray(array)) for name, array in sorted(outputs.items())}
    if not row_form:
        return _dump({"outputs": values if len(values) > 1 else next(iter(values.values()))})
    if len(values) == 1:
        return _dump({"predictions": next(iter(values.values()))})
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return _dump({"predictions": rows})


def _from_rows(instances: list[Any], infos: TensorInfos) -> Tensors:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_object(instances[0])
    columns: dict[str, list[Any]] = {}
    shapes: dict[str, list[int]] = {}
    for number, element in enumerate(instances):
        if named != _is_object(element):
            kinds = "object but got list" if named else "value/list but got object"
            raise invalid_argument(f"Expecting {kinds} at item {number} of input list")
        items = element if named else {next(iter(infos)): element}
        for name, value in items.items():
            where = f"element: {number} key: {name}" if named else f"element: {number}"
            try:
                _append_item(name, value, infos, columns, shapes)
            except ServingError as error:
                raise invalid_argument(
                    f"Failed to process {where} of 'instances' list. Error: {error.code.name}: {error.message}"
                ) from error
        if set(items) != set(infos):
            raise invalid_argument(
                f"Failed to process element: {number} of 'instances' list. JSON object: {_text(element)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    return {
        name: _proto(values, [len(instances), *shapes[name]], infos[name].dtype) for name, values in columns.items()
    }


def _append_item(name: str, value: Any, infos: TensorInfos, columns: dict[str, Any], shapes: dict[str, Any]) -> None:
    """Appends one row of one input; all its rows must have one shape."""
    if name not in infos:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    shape = _shape(value)
    flat = _flatten(value, shape, infos[name].dtype)
    first = shapes.setdefault(name, shape)
    if math.prod(first) != math.prod(shape):
        raise invalid_argument(f"Expecting tensor size: {math.prod(first)} but got: {math.prod(shape)}")
    if first != shape:
        raise invalid_argument(f"Expecting shape {_shape_text(first)} but got: {_shape_text(shape)}")
    columns.setdefault(name, []).extend(flat)


def _from_columns(value: Any, infos: TensorInfos) -> Tensors:
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {next(iter(infos)): value}
    tensors = {}
    for name, info in infos.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        shape = _shape(value[name])
        tensors[name] = _proto(_flatten(value[name], shape, info.dtype), shape, info.dtype)
    return tensors


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {BASE64} and isinstance(value[BASE64], str)


def _shape(value: Any) -> list[int]:
    """Returns the shape that the first elements suggest."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _shape_text(shape: list[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _flatten(value: Any, shape: list[int], data_type: int) -> list[Any]:
    """Returns the values in row-major order as Python values that fit the type.

    Raises:
        ServingError: INVALID_ARGUMENT, if lists are uneven or a value does not fit.
    """
    level_values = [value]
    for level, size in enumerate(shape):
        following: list[Any] = []
        for item in level_values:
            if not isinstance(item, list):
                raise _wrong_level(item, level, len(shape))
            if len(item) != size:
                raise invalid_argument(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {size}"
                )
            following.extend(item)
        level_values = following
    for item in level_values:
        if isinstance(item, list):
            rank = len(shape)
            raise invalid_argument(f"Encountered list at unexpected level: {rank} expected < {rank}")
    dtype = tf.dtypes.as_dtype(data_type)
    convert = _CONVERTERS.get(dtype, _without_json_form)
    return [convert(item, dtype) for item in level_values]


def _wrong_level(value: Any, level: int, rank: int) -> ServingError:
    return invalid_argument(
        f"JSON Value: {_text(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
    )


def _string(value: Any, data_type: tf.DType) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return decode_base64(value)
    raise _wrong_type(value, data_type)


def _boolean(value: Any, data_type: tf.DType) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong_type(value, data_type)


def _decimal(value: Any, data_type: tf.DType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(value, data_type)
    if not _is_lossless(value, data_type):
        raise invalid_argument(
            f"Cannot convert JSON value: {_text(value)} to {_name(data_type)} without loss of precision."
        )
    return float(value)


def _integer(value: Any, data_type: tf.DType) -> int:
    lowest, highest = _INTEGER_RANGES[data_type]
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise _wrong_type(value, data_type)
    return value


def _without_json_form(value: Any, data_type: tf.DType) -> None:
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED, f"Conversion of JSON Value: {_text(value)} to type: {_name(data_type)}"
    )


_CONVERTERS = {
    tf.string: _string,
    tf.bool: _boolean,
    tf.float32: _decimal,
    tf.float64: _decimal,
    **dict.fromkeys(_INTEGER_RANGES, _integer),
}
"""Type -> function of a JSON value and the type: checks the value and returns it for a tensor."""


def _wrong_type(value: Any, data_type: tf.DType) -> ServingError:
    kind = str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]
    return invalid_argument(f"JSON Value: {_text(value)} Type: {kind} is not of expected type: {_name(data_type)}")


def _name(data_type: tf.DType) -> str:
    return type_name(data_type.as_datatype_enum)


def _is_lossless(value: int | float, data_type: tf.DType) -> bool:
    if isinstance(value, int):
        return abs(value) < 2 ** _MANTISSA_BITS[data_type]
    return not math.isfinite(value) or abs(value) <= float(np.finfo(data_type.as_numpy_dtype).max)


def decode_base64(value: dict[str, Any]) -> bytes:
    """Returns the bytes of {"b64": "..."}; anything else is INVALID_ARGUMENT."""
    if not _is_base64(value):
        raise invalid_argument(f"JSON Value: {_text(value)} not formatted correctly for base64 data")
    text = value[BASE64]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


def _proto(values: list[Any], shape: list[int], data_type: int) -> tensor_pb2.TensorProto:
    dtype = tf.dtypes.as_dtype(data_type)
    if dtype == tf.string:
        proto = tensor_pb2.TensorProto(dtype=data_type, string_val=values)
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        proto.tensor_shape.SetInParent()
        return proto
    # Out-of-range values of small integers wrap, as upstream's do.
    wide = (
        np.array(values, np.int64) if dtype in (tf.int8, tf.int16, tf.uint8) else np.array(values, dtype.as_numpy_dtype)
    )
    return tf.make_tensor_proto(wide.astype(dtype.as_numpy_dtype).reshape(shape))


def _check_rows(outputs: Mapping[str, np.ndarray]) -> None:
    batch_size = None
    for name, array in sorted(outputs.items()):
        if np.ndim(array) == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, len(array)):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch_size}"
            )
        batch_size = len(array)


def _plain(name: str, array: np.ndarray) -> Any:
    """Returns an output as nested lists of JSON values."""
    if array.dtype.kind in "OSU":
        flat = [tf.compat.as_bytes(value) for value in array.ravel().tolist()]
        texts = [_string_value(value, name.endswith(BYTES_SUFFIX)) for value in flat]
        nested = np.empty(len(texts), dtype=object)
        nested[:] = texts
        return nested.reshape(array.shape).tolist()
    if array.dtype.kind in "iub":
        return array.tolist()
    if array.dtype == np.float64:
        return array.tolist()
    if array.dtype in (np.float32, np.float16):
        # The shortest decimals that give the same float32 back: 0.2, not 0.20000000298.
        return array.astype(np.float32).astype(str).astype(np.float64).tolist()
    raise invalid_argument(f"Failed to write JSON value for tensor type: {_name(tf.dtypes.as_dtype(array.dtype))}")


def _string_value(value: bytes, as_bytes: bool) -> str | dict[str, str]:
    if as_bytes:
        return {BASE64: base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8", "replace")


def _dump(document: Any) -> bytes:
    return json.dumps(document).encode()


def _text(value: Any) -> str:
    """Returns a JSON value for an error message."""
    return json.dumps(value)
