"""Classify, Regress and MultiInference: what tf.Examples take is counted before they are parsed, merged or run."""

from io import BytesIO

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from amfam_tf.server import inference, request_parts
from amfam_tf.server.demand import STRING_COPIES, demand_of_examples
from amfam_tf.server.memory import MemoryBudget, RequestLimits
from amfam_tf.server.picture_cost import decoded_bytes
from amfam_tf.server.request_parts import BYTES_PER_NUMBER, BYTES_PER_PART, parsed_examples_bytes
from amfam_tf.server.status import ServingError
from amfam_tf.server.tensors import BYTES_PER_STRING
from amfam_tf.server.wire_format import Steps

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
MEBIBYTE = 2**20


def example(**features: bytes | list[int] | list[float]) -> tf.train.Example:
    found = tf.train.Example()
    for name, value in features.items():
        feature = found.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value[0], int):
            feature.int64_list.value.extend(value)
        else:
            feature.float_list.value.extend(value)
    return found


def request_of(kind: type, *examples: tf.train.Example, context: tf.train.Example | None = None):
    request = kind()
    if context is None:
        request.input.example_list.examples.extend(examples)
    else:
        request.input.example_list_with_context.examples.extend(examples)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def definition(method: str = inference.REGRESS, rows: int = -1) -> meta_graph_pb2.SignatureDef:
    """Returns a signature from tf.Examples [rows] to outputs [rows, 1]."""
    found = meta_graph_pb2.SignatureDef(method_name=method)
    for info, kind, sizes in (
        (found.inputs["inputs"], types_pb2.DT_STRING, (rows,)),
        (found.outputs["outputs"], types_pb2.DT_FLOAT, (rows, 1)),
    ):
        info.dtype = kind
        for size in sizes:
            info.tensor_shape.dim.add(size=size)
    return found


class Lengths:
    """A servable that answers each tf.Example with the length of its bytes."""

    def __init__(self, limits: RequestLimits) -> None:
        self.limits, self.signatures, self.runs = limits, {"serving_default": definition()}, []

    def has_signature(self, name: str) -> bool:
        return name in self.signatures

    def row_bytes(self, _: str) -> int:
        return 1000

    def run(self, _, inputs, *__):
        self.runs.append(len(inputs["inputs"]))
        return {"outputs": np.array([len(value) for value in inputs["inputs"]], np.float32)}


@pytest.mark.parametrize(
    "kind",
    [
        classification_pb2.ClassificationRequest,
        regression_pb2.RegressionRequest,
        inference_pb2.MultiInferenceRequest,
    ],
)
@pytest.mark.parametrize("context", [None, example(x=b"c")])
def test_too_many_examples_are_refused_before_they_are_parsed(kind, context):
    data = request_of(kind, *[tf.train.Example()] * 10_000, context=context).SerializeToString()
    assert len(data) < 21_000
    with pytest.raises(ServingError) as error:
        parsed_examples_bytes(data, 1000)
    assert error.value.code == EXHAUSTED
    assert error.value.message.startswith("the request has more than 1000 rows (--max-request-rows) or 1000 tasks: ")
    few = request_of(kind, *[tf.train.Example()] * 1000, context=context).SerializeToString()
    assert parsed_examples_bytes(few, 1000) >= 2 * len(few)


def test_bytes_of_parsed_examples_are_counted_part_by_part():
    numbers = list(range(100))
    for one, parts, packed in (
        (example(), 0, 0),
        # features, feature, key, value, list and what is in it.
        (example(x=b"picture"), 6, 0),
        (example(x=[1.5] * 100), 6, 0),
        (example(x=numbers), 6, 100),
        (example(x=numbers, y=b"p"), 11, 100),
    ):
        data = request_of(regression_pb2.RegressionRequest, one).SerializeToString()
        expected = 2 * len(data) + parts * BYTES_PER_PART + packed * BYTES_PER_NUMBER
        assert parsed_examples_bytes(data, 1000) == expected
        alone = request_of(regression_pb2.RegressionRequest, context=one).SerializeToString()
        assert parsed_examples_bytes(alone, 1000) - 2 * len(alone) == expected - 2 * len(data)


def test_too_many_parts_are_refused_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr(request_parts, "MOST_EXAMPLE_PARTS", 50)
    data = request_of(regression_pb2.RegressionRequest, *[example(x=b"")] * 10).SerializeToString()
    with pytest.raises(ServingError, match="more than 50 parts in its examples: pack numbers") as error:
        parsed_examples_bytes(data, 1000)
    assert error.value.code == EXHAUSTED


def test_a_merged_example_costs_what_it_and_its_context_cost():
    file = BytesIO()
    Image.new("RGB", (60, 40)).save(file, "JPEG")
    small, shared = example(x=b"1").SerializeToString(), example(picture=file.getvalue()).SerializeToString()
    pixels = decoded_bytes(file.getvalue(), Steps(1000))
    assert pixels > 0
    demand = demand_of_examples(definition(), [small] * 3, shared, 1000)
    each = 1000 + STRING_COPIES * (2 * BYTES_PER_STRING + len(shared) + len(small)) + pixels
    assert demand.row_bytes.tolist() == [each] * 3
    outputs = 3 * (2 * 4 + 16)
    assert demand.held_bytes == 3 * (BYTES_PER_STRING + len(shared) + len(small)) + outputs
    without = demand_of_examples(definition(), [small] * 3, b"", 1000)
    assert without.row_bytes.tolist() == [1000 + STRING_COPIES * (BYTES_PER_STRING + len(small))] * 3
    whole = demand_of_examples(definition(rows=3), [small] * 3, shared, 1000)
    assert whole.row_bytes.tolist() == [3 * each]
    assert not whole.can_be_cut


def test_a_small_request_that_would_grow_is_refused_and_nothing_is_merged(monkeypatch):
    servable = Lengths(RequestLimits(1000, MemoryBudget(64 * MEBIBYTE, 32 * MEBIBYTE)))
    request = request_of(regression_pb2.RegressionRequest, *[example(x=[1])] * 1000, context=example(y=bytes(10**5)))
    monkeypatch.setattr(inference._Examples, "merged", None)
    with pytest.raises(ServingError, match="the request of 1000 rows would take about .* bytes of memory") as error:
        inference.regress(servable, 1, request)
    assert (error.value.code, servable.runs) == (EXHAUSTED, [])


def test_rows_past_the_limit_are_refused_and_nothing_runs():
    servable = Lengths(RequestLimits(10, MemoryBudget(64 * MEBIBYTE, 32 * MEBIBYTE)))
    answer = inference.regress(servable, 1, request_of(regression_pb2.RegressionRequest, *[example()] * 10))
    assert len(answer.result.regressions) == 10
    with pytest.raises(ServingError, match="the request has 11 rows; the limit is 10") as error:
        inference.regress(servable, 1, request_of(regression_pb2.RegressionRequest, *[example()] * 11))
    assert (error.value.code, servable.runs) == (EXHAUSTED, [10])


@pytest.mark.parametrize("context", [None, example(y=bytes(1000))])
def test_long_requests_run_in_pieces_whose_answers_are_joined_in_order(context):
    servable = Lengths(RequestLimits(1000, MemoryBudget(64 * MEBIBYTE, 32 * MEBIBYTE)))
    examples = [example(x=bytes(10_000 * (number % 7))) for number in range(300)]
    request = request_of(regression_pb2.RegressionRequest, *examples, context=context)
    answer = inference.regress(servable, 1, request)
    if context is not None:
        for one in examples:
            one.MergeFrom(context)
    assert [row.value for row in answer.result.regressions] == [len(one.SerializeToString()) for one in examples]
    assert len(servable.runs) > 1
    assert sum(servable.runs) == 300
