"""What a request will take, told from shapes and headers before anything is expanded or decoded."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from amfam_tf.server import tensors, wire_format
from amfam_tf.server.picture_cost import BYTES_PER_COLUMN, decoded_bytes
from amfam_tf.server.status import ServingError
from amfam_tf.server.wire_format import Steps, TooManyParts

MOST_PARTS = 100_000
"""Parts of files and tf.Examples of one request that are looked at; 1000 records of a data set have 90,000."""
STRING_COPIES = 4
"""A string tensor is fed, joined with the other inputs, split again and handed to the decoder."""
ARRAY_COPIES = 2
BYTES_PER_OUTPUT = 16
"""Of one output value on its way into a response: a value of the message, and one in its bytes."""
MOST_CHANNELS = 4
ANY = -1

Inputs = Mapping[str, tensor_pb2.TensorProto]


@dataclass(frozen=True)
class Demand:
    """Memory that a request takes.

    Attributes:
        rows: of the request.
        held_bytes: as long as it runs: its inputs as arrays, and its outputs.
        row_bytes: beside that while a row runs, float64 [rows]; one entry for all if it cannot be cut.
    """

    rows: int
    held_bytes: int
    row_bytes: np.ndarray

    @property
    def can_be_cut(self) -> bool:
        """Says whether its rows can run one after the other."""
        return self.rows > 1 and len(self.row_bytes) == self.rows

    def pieces(self, target_bytes: int) -> list[slice]:
        """Returns the rows to run together: as many as fit the target, at least one."""
        if not self.can_be_cut or self.row_bytes.sum() <= target_bytes:
            return [slice(0, self.rows)]
        starts, filled = [0], 0.0
        for row, size in enumerate(self.row_bytes.tolist()):
            if filled and filled + size > target_bytes:
                starts.append(row)
                filled = 0.0
            filled += size
        return [slice(*pair) for pair in itertools.pairwise([*starts, self.rows])]

    def piece_bytes(self, piece: slice) -> int:
        """Returns what a piece takes beside `held_bytes`."""
        rows = self.row_bytes[piece] if self.can_be_cut else self.row_bytes
        return int(rows.sum())


def demand_of(definition: meta_graph_pb2.SignatureDef, inputs: Inputs, model_row_bytes: int, most_rows: int) -> Demand:
    """Returns what a request of valid shapes takes.

    Args:
        inputs: those of the signature, each checked by `tensors.shape_of`.
        model_row_bytes: what the network needs per row.
        most_rows: of a request.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, for more rows or more parts than are taken.
    """
    shapes = {name: tensors.dimensions_of(proto) for name, proto in inputs.items()}
    batched = [name for name in inputs if _first_dimension(definition.inputs[name]) == ANY and shapes[name]]
    rows = max((shapes[name][0] for name in batched), default=1)
    check_rows(rows, most_rows)
    even = len(batched) == len(inputs) and {shapes[name][0] for name in batched} == {rows}
    cuttable = even and rows > 0 and all(_first_dimension(info) == ANY for info in definition.outputs.values())
    costs = np.full(max(rows, 1) if cuttable else 1, float(model_row_bytes) * (1 if cuttable else max(rows, 1)))
    held = rows * sum(_output_bytes(info) for info in definition.outputs.values())
    with _counted() as steps:
        for name, proto in inputs.items():
            each = _element_costs(proto, shapes[name], steps)
            costs += each.reshape(len(costs), -1).sum(axis=1) if each.size else 0.0
            held += _held_bytes(proto, shapes[name])
    return Demand(rows, held, costs)


def demand_of_examples(
    definition: meta_graph_pb2.SignatureDef,
    examples: Sequence[bytes],
    context: bytes,
    model_row_bytes: int,
) -> Demand:
    """Returns what serialized tf.Examples take that are each merged into a context before they are fed.

    Args:
        definition: of a signature with one input.
        examples: at least one.
        context: serialized tf.Example, b"" for none.
        model_row_bytes: what the network needs per row.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, for more parts than are looked at.
    """
    rows = len(examples)
    with _counted() as steps:
        shared = _string_cost(context, steps) if context else 0
        costs = np.array([model_row_bytes + shared + _string_cost(value, steps) for value in examples], float)
    infos = (*definition.inputs.values(), *definition.outputs.values())
    cuttable = all(_first_dimension(info) == ANY for info in infos)
    held = rows * (tensors.BYTES_PER_STRING + len(context)) + sum(map(len, examples))
    held += rows * sum(_output_bytes(info) for info in definition.outputs.values())
    return Demand(rows, held, costs if cuttable else costs.sum(keepdims=True))


def check_rows(rows: int, most: int) -> None:
    """Raises RESOURCE_EXHAUSTED for more rows than are taken."""
    if rows > most:
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the request has {rows} rows; the limit is {most} (--max-request-rows): send them in several requests",
        )


@contextmanager
def _counted() -> Iterator[Steps]:
    """Gives the parts that may be looked at; refuses the request when there are more."""
    steps = Steps(MOST_PARTS)
    try:
        yield steps
    except TooManyParts as error:
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the request's pictures and examples have more than {steps.most} parts: send fewer, or write them anew",
        ) from error


def _first_dimension(info: meta_graph_pb2.TensorInfo) -> int:
    """Returns the first dimension that a signature states, 0 where it has none."""
    shape = info.tensor_shape
    return shape.dim[0].size if shape.dim and not shape.unknown_rank else 0


def _output_bytes(info: meta_graph_pb2.TensorInfo) -> int:
    """Returns what one row of an output takes until it is sent; dimensions that are not stated count as 1."""
    sizes = [max(1, dimension.size) for dimension in info.tensor_shape.dim[1:]]
    return math.prod(sizes) * (2 * tensors.item_bytes_of(info.dtype) + BYTES_PER_OUTPUT)


def _held_bytes(proto: tensor_pb2.TensorProto, shape: list[int]) -> int:
    given = sum(map(len, proto.string_val))
    return math.prod(shape) * tensors.item_bytes_of(proto.dtype) + given


def _element_costs(proto: tensor_pb2.TensorProto, shape: list[int], steps: Steps) -> np.ndarray:
    """Returns what the parts of a tensor take while they run, float64: one number per string or per row."""
    elements = math.prod(shape)
    if not proto.string_val:
        return _array_costs(proto.dtype, shape)
    known = [_string_cost(value, steps) for value in proto.string_val]
    costs = np.full(elements, float(known[-1]))
    costs[: len(known)] = known
    return costs


def _array_costs(data_type: int, shape: list[int]) -> np.ndarray:
    """Returns the cost of each row; one of pictures [B, H, W, channels] is resized too."""
    if not shape or not math.prod(shape):
        return np.zeros(0)
    row = math.prod(shape[1:]) * tensors.item_bytes_of(data_type) * ARRAY_COPIES
    if len(shape) == 4 and shape[-1] <= MOST_CHANNELS:
        row += shape[2] * BYTES_PER_COLUMN
    return np.full(shape[0], float(row))


def _string_cost(value: bytes, steps: Steps) -> int:
    copies = STRING_COPIES * (tensors.BYTES_PER_STRING + len(value))
    return copies + sum(decoded_bytes(picture, steps) for picture in _pictures_in(value, steps))


def _pictures_in(value: bytes, steps: Steps) -> Iterator[bytes]:
    """Yields the value itself, and all bytes features if it is a tf.Example."""
    yield value
    if not value.startswith(b"\x0a"):
        return
    # Example.features.feature (a map: key, value).bytes_list.value, by their numbers.
    for start, end in _nested(value, (1, 1, 2, 1, 1), 0, len(value), steps):
        yield value[start:end]


def _nested(data: bytes, path: tuple[int, ...], start: int, end: int, steps: Steps) -> Iterator[tuple[int, int]]:
    """Yields where the fields lie that a path of field numbers leads to."""
    for number, kind, first, last in wire_format.fields(data, start, end, steps):
        if kind == wire_format.BYTES and number == path[0]:
            if len(path) == 1:
                yield first, last
            else:
                yield from _nested(data, path[1:], first, last, steps)
