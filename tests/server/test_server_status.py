"""GetModelStatus, GetModelMetadata and health."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_tools import Client, error_of
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2


def metadata_request(*fields: str, name: str = "toy") -> get_model_metadata_pb2.GetModelMetadataRequest:
    """Returns a request for metadata."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


def test_metadata_is_the_signature_map(toy_server: Client) -> None:
    response = toy_server.prediction.GetModelMetadata(metadata_request("signature_def"), timeout=20)
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 2)
    assert response.metadata["signature_def"].type_url.endswith("/tensorflow.serving.SignatureDefMap")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "two", "echo", "picture", "slow"} <= set(signatures.signature_def)
    assert set(signatures.signature_def["two"].inputs) == {"a", "b"}


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (
            metadata_request(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (metadata_request("F"), grpc.StatusCode.INVALID_ARGUMENT, "Metadata field F is not supported"),
        (
            metadata_request("signature_def", name="other"),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(other)",
        ),
        (
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Missing ModelSpec",
        ),
    ],
)
def test_metadata_errors(toy_server: Client, request_, code, text: str) -> None:
    error = error_of(lambda: toy_server.prediction.GetModelMetadata(request_, timeout=20))
    assert (error.code, error.text) == (code, text)


def test_status_lists_the_newest_first(toy_server: Client) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    response = toy_server.model.GetModelStatus(request, timeout=20)
    rows = [(row.version, row.state, row.status.error_code) for row in response.model_version_status]
    assert rows == [(2, 30, 0), (1, 30, 0)]
    request.model_spec.version.value = 1
    response = toy_server.model.GetModelStatus(request, timeout=20)
    assert [row.version for row in response.model_version_status] == [1]


def test_status_errors(toy_server: Client) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    error = error_of(lambda: toy_server.model.GetModelStatus(request, timeout=20))
    assert (error.code, error.text) == (grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    request.model_spec.name = "M"
    error = error_of(lambda: toy_server.model.GetModelStatus(request, timeout=20))
    assert (error.code, error.text) == (grpc.StatusCode.NOT_FOUND, "Could not find any versions of model M")
    request.model_spec.name = "toy"
    request.model_spec.version.value = 9
    error = error_of(lambda: toy_server.model.GetModelStatus(request, timeout=20))
    assert (error.code, error.text) == (grpc.StatusCode.NOT_FOUND, "Could not find version 9 of model toy")


def test_health(toy_server: Client) -> None:
    stub = health_pb2_grpc.HealthStub(toy_server.channel)
    for name in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        response = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    error = error_of(lambda: stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=20))
    assert error.code == grpc.StatusCode.NOT_FOUND
