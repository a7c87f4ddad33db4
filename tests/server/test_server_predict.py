"""Predict over gRPC: every text of the contract, over a real connection."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from server_tools import Client, floats, predict_request
from tensorflow_serving.apis import (
    predict_pb2,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_latest_version_answers_with_resolved_spec_and_typed_fields(toy_server: Client) -> None:
    response = toy_server.predict(x=floats(1, 2))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 2, "serving_default")
    assert list(response.outputs) == ["y"]
    y = response.outputs["y"]
    assert (list(y.float_val), y.tensor_content, y.dtype) == ([5.0, 8.0], b"", tf.float32.as_datatype_enum)
    assert [dimension.size for dimension in y.tensor_shape.dim] == [2]


def test_all_values_of_a_constant_output_are_written_out(toy_server: Client) -> None:
    response = toy_server.predict(signature="two", a=np.zeros([3, 2], np.float32), b=np.zeros([3, 2], np.int32))
    assert list(response.outputs["sum"].float_val) == [0.0] * 6
    assert list(response.outputs["rows"].int_val) == [3, 3, 3]


def test_typed_fields_and_tensor_content_are_both_understood(toy_server: Client) -> None:
    content = tf.make_tensor_proto(floats(1, 2))
    assert content.tensor_content
    typed = type(content)(dtype=content.dtype, tensor_shape=content.tensor_shape, float_val=[1.0, 2.0])
    assert toy_server.predict(x=content) == toy_server.predict(x=typed)


def test_version_and_label_choose(toy_server: Client) -> None:
    for choice, expected in (({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1)):
        response = toy_server.predict(x=floats(0), **choice)
        assert response.model_spec.version.value == expected
        assert list(response.outputs["y"].float_val) == [expected]


def test_strings_come_back_byte_for_byte(toy_server: Client) -> None:
    values = [b"", b"\x00\xff", "größer".encode()]
    response = toy_server.predict(signature="echo", text=np.array(values, object))
    assert list(response.outputs["text"].string_val) == values
    assert list(response.outputs["length"].int_val) == [len(value) for value in values]


@pytest.mark.parametrize(
    ("request_arguments", "code", "text"),
    [
        ({"name": ""}, INVALID, "ModelSpec has no name specified."),
        ({"name": "other"}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(other)"),
        ({"version": 7}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(toy, 7)"),
        ({"label": "L"}, INVALID, "Unrecognized servable version label: L"),
        ({"signature": "S"}, grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "S" not found.'),
        (
            {"a": floats(1), "b": floats(1)},
            INVALID,
            "input size does not match signature: 2!=1 len({a,b}) != len({x}). "
            "Sent extra: {a,b}. Missing but required: {x}.",
        ),
        (
            {},
            INVALID,
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            {"z": floats(1)},
            INVALID,
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
        ),
        ({"x": np.array([b"1"], object)}, INVALID, "Expects arg[0] to be float but string is provided"),
        ({"x": np.array([1], np.int64)}, INVALID, "Expects arg[0] to be float but int64 is provided"),
        ({"x": type(tf.make_tensor_proto(0))()}, INVALID, "tensor parsing error: x"),
    ],
)
def test_wrong_requests_get_upstreams_texts(toy_server: Client, request_arguments, code, text) -> None:
    error = toy_server.predict_error(**request_arguments)
    assert (error.code, error.text) == (code, text)


def test_missing_model_spec(toy_server: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        toy_server.prediction.Predict(predict_pb2.PredictRequest(), timeout=20)
    assert (error.value.code(), error.value.details()) == (INVALID, "Missing ModelSpec")


def test_shapes_are_the_kernels_business(toy_server: Client) -> None:
    # Rank 2 where the signature says rank 1: an element-wise kernel takes it.
    response = toy_server.predict(x=np.ones([2, 2], np.float32))
    assert list(response.outputs["y"].float_val) == [5.0] * 4
    error = toy_server.predict_error(signature="two", a=np.ones([3, 2], np.float32), b=np.ones([2, 2], np.int32))
    assert error.code == INVALID
    assert error.text.startswith("Incompatible shapes: ")


def test_kernel_errors_come_back_bare(toy_server: Client) -> None:
    error = toy_server.predict_error(signature="picture", image=np.array([b"not a picture"], object))
    assert error.code == INVALID
    assert "no PNG" in error.text
    assert "Graph execution error" not in error.text
    assert "File " not in error.text


def test_kernel_errors_that_quote_bytes_keep_their_status(toy_server: Client) -> None:
    error = toy_server.predict_error(signature="example", examples=np.array([b"\xff\xfe no example"], object))
    assert error.code == INVALID
    assert "Could not parse example input" in error.text


def test_output_filter(toy_server: Client) -> None:
    request = predict_request(signature="two", a=np.ones([1, 2], np.float32), b=np.ones([1, 2], np.int32))
    request.output_filter.append("sum")
    assert list(toy_server.prediction.Predict(request, timeout=20).outputs) == ["sum"]
    request.output_filter.append("sum")
    with pytest.raises(grpc.RpcError) as error:
        toy_server.prediction.Predict(request, timeout=20)
    assert (error.value.code(), error.value.details()) == (INVALID, "duplicate output tensor alias: sum")
    request = predict_request(x=floats(1))
    request.output_filter.append("Z")
    with pytest.raises(grpc.RpcError) as error:
        toy_server.prediction.Predict(request, timeout=20)
    assert error.value.code() == INVALID
    text = "output tensor alias not found in signature: Z Outputs expected to be in the set {y}."
    assert error.value.details() == text


def test_deadline_is_honoured(toy_server: Client) -> None:
    error = toy_server.predict_error(timeout=0.3, signature="slow", steps=np.int32(2_000_000_000))
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_long_messages_are_cut_at_1024_characters(toy_server: Client) -> None:
    error = toy_server.predict_error(signature="S" * 2000)
    assert error.text == f'Serving signature key "{"S" * 2000}" not found.'[:1024] + "...TRUNCATED"
