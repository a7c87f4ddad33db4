"""The messages of PredictionService.Predict that a client sends and reads, without TensorFlow.

The classes of the tensorflow-serving-api package import TensorFlow, which takes seconds; a query must not. Field
numbers and types are those of TensorFlow's tensor.proto and tensor_shape.proto and of TensorFlow Serving's model.proto
and predict.proto; fields that a client does not need are left out. DataType, an enum there, is an int32 here: the bytes
are the same.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from amfam_tf.server import message_classes

PREDICT_METHOD = "/tensorflow.serving.PredictionService/Predict"

MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "Dim": {"size": (1, "int64")},
        "TensorShape": {"dim": (2, "repeated Dim"), "unknown_rank": (3, "bool")},
        "Tensor": {
            "dtype": (1, "int32"),
            "tensor_shape": (2, "TensorShape"),
            "tensor_content": (4, "bytes"),
            "float_val": (5, "repeated float"),
            "int_val": (7, "repeated int32"),
            "string_val": (8, "repeated bytes"),
        },
        "ModelSpec": {
            "name": (1, "string"),
            "version": (2, "google.protobuf.Int64Value"),
            "signature_name": (3, "string"),
            "version_label": (4, "string"),
        },
        # A map is, on the wire, repeated entries.
        "Entry": {"key": (1, "string"), "value": (2, "Tensor")},
        "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "repeated Entry")},
        "PredictResponse": {"outputs": (1, "repeated Entry"), "model_spec": (2, "ModelSpec")},
    }
)
"""message -> field -> (number, type)."""


_CLASSES = message_classes.build("amfam_tf.wire", MESSAGES)
PredictRequest: Any = _CLASSES["PredictRequest"]
PredictResponse: Any = _CLASSES["PredictResponse"]
Tensor: Any = _CLASSES["Tensor"]

FLOAT, STRING = 1, 7
_TYPES = {FLOAT: np.float32, 3: np.int32, 4: np.uint8, STRING: np.object_}
"""Numbers of TensorFlow's DataType that a lesion model answers in."""


def string_tensor(values: Sequence[bytes]) -> Any:
    """Returns a tensor of strings, [len(values)]."""
    return _vector(Tensor(dtype=STRING, string_val=values), len(values))


def tensor(values: Sequence[bytes] | Sequence[float]) -> Any:
    """Returns a tensor of float32, or of strings, [len(values)]."""
    numbers = [value for value in values if isinstance(value, float)]
    if numbers:
        return _vector(Tensor(dtype=FLOAT, float_val=numbers), len(numbers))
    return string_tensor([value for value in values if isinstance(value, bytes)])


def _vector(tensor: Any, size: int) -> Any:
    tensor.tensor_shape.dim.add(size=size)
    return tensor


def to_array(tensor: Any) -> np.ndarray:
    """Returns the array of a tensor, whether its values are in a typed field or in `tensor_content`; text as bytes.

    Raises:
        ValueError: of another type, or with a number of values that does not fit its shape.
    """
    if tensor.dtype not in _TYPES:
        raise ValueError(f"cannot read a tensor of TensorFlow's data type {tensor.dtype}")
    kind = _TYPES[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, kind).reshape(shape)
    fields = {np.float32: tensor.float_val, np.object_: tensor.string_val}
    values = np.asarray(fields.get(kind, tensor.int_val), kind)
    missing = int(np.prod(shape)) - values.size
    if missing > 0 and values.size:
        # TensorFlow leaves out repetitions of the last value.
        values = np.concatenate([values, np.repeat(values[-1:], missing)])
    return values.reshape(shape)
