"""The REST API over a real connection: predict, status, metadata and their errors."""

import base64
import contextlib
import http.client
import json
import socket
from types import SimpleNamespace

import pytest
from server_tools import LOCALHOST, Client, floats

from amfam_tf.server.json_tensors import MOST_VALUES
from amfam_tf.server.rest import MANY_VALUES, RestApi

PREDICT = "/v1/models/toy:predict"


def b64(data: bytes) -> dict[str, str]:
    """Returns the JSON object of bytes."""
    return {"b64": base64.b64encode(data).decode()}


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/toy:predict", 2),
        ("/v1/models/toy/versions/1:predict", 1),
        ("/v1/models/toy/labels/stable:predict", 1),
        ("/v1/models/toy/versions/" + "0" * 5000 + "1:predict", 1),
        ("/V1/models/t%6Fy:Predict", 2),
        ("/v1/models/toy:predict?a=/v1/models/other", 2),
        ("http://[::1]:1/v1/models/toy:predict", 2),
    ],
)
def test_row_form_drops_the_single_outputs_name(toy_server: Client, path: str, version: int) -> None:
    assert toy_server.rest("POST", path, {"instances": [1.0, 2]}) == (
        200,
        {"predictions": [3.0 + version, 6.0 + version]},
    )


def test_column_form_drops_the_single_outputs_name(toy_server: Client) -> None:
    assert toy_server.rest("POST", PREDICT, {"inputs": [1.0, 2]}) == (200, {"outputs": [5.0, 8.0]})
    assert toy_server.rest("POST", PREDICT, {"inputs": {"x": [1.0]}}) == (200, {"outputs": [5.0]})


def test_several_outputs_keep_their_names(toy_server: Client) -> None:
    rows = {"signature_name": "two", "instances": [{"a": [1, 2], "b": [3, 4]}, {"a": [0, 0], "b": [1, 1]}]}
    assert toy_server.rest("POST", PREDICT, rows) == (
        200,
        {
            "predictions": [
                {"difference": [-2.0, -2.0], "rows": 2, "sum": [4.0, 6.0]},
                {"difference": [-1.0, -1.0], "rows": 2, "sum": [1.0, 1.0]},
            ]
        },
    )
    columns = {"signature_name": "two", "inputs": {"a": [[1, 2]], "b": [[3, 4]]}}
    assert toy_server.rest("POST", PREDICT, columns) == (
        200,
        {"outputs": {"difference": [[-2.0, -2.0]], "rows": [1], "sum": [[4.0, 6.0]]}},
    )


def test_bytes_are_b64_objects_both_ways(toy_server: Client) -> None:
    data = bytes(range(256))
    body = {"signature_name": "echo", "instances": [b64(data)]}
    status, answer = toy_server.rest("POST", PREDICT, body)
    assert status == 200
    assert answer["predictions"][0]["text_bytes"] == b64(data)
    status, answer = toy_server.rest("POST", PREDICT, {"signature_name": "echo", "inputs": ["größer"]})
    assert answer["outputs"]["text"] == ["größer"]
    assert answer["outputs"]["text_bytes"] == [b64("größer".encode())]


def test_floats_are_the_shortest_that_read_back_the_same(toy_server: Client) -> None:
    version_1 = "/v1/models/toy/versions/1:predict"
    assert toy_server.rest("POST", version_1, {"instances": [0.1, 1e20]}) == (200, {"predictions": [1.3, 3e20]})
    toy_server.http.request("POST", PREDICT, b'{"instances": [NaN, Infinity, -Infinity]}')
    assert json.loads(toy_server.http.getresponse().read())["predictions"][1:] == [float("inf"), float("-inf")]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "JSON Parse error: The document is empty"),
        (b"{", 400, "JSON Parse error: "),
        (b"\xff\xfe", 400, "JSON Parse error: "),
        (b"[" * 100_000, 400, "JSON Parse error: "),
        (b'{"instances": [' + b"1," * MOST_VALUES + b"1]}", 429, "the request has more than 4194304 JSON values"),
        (b'{"instances": [' + b"[]," * (MOST_VALUES // 5) + b"1]}", 429, "the request has more than 4194304 JSON"),
        (b'{"instances":' + b"[" * MOST_VALUES, 429, "the request has more than 4194304 JSON values"),
        ([1], 400, "JSON Value: [1] Is not object"),
        ({}, 400, "Missing 'inputs' or 'instances' key"),
        (
            {"inputs": [1], "instances": [1]},
            400,
            "Not formatted correctly expecting only one of 'inputs' or 'instances'",
        ),
        ({"instances": []}, 400, "No values in 'instances' array"),
        ({"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
        ({"signature_name": 1, "inputs": [1]}, 400, "'signature_name' key must be a string value."),
        ({"signature_name": "S", "inputs": [1]}, 400, 'Serving signature name: "S" not found in signature def'),
        ({"instances": ["a"]}, 400, 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"instances": [True]}, 400, "JSON Value: true Type: True is not of expected type: float"),
        (b'{"instances": [' + b"1" * 5000 + b"]}", 400, "JSON Parse error: Exceeds the limit (4300 digits)"),
        ({"instances": [16777217]}, 400, "Cannot convert JSON value: 16777217 to float without loss of precision."),
        ({"instances": [[1, 2], [1]]}, 400, "Expecting tensor size: 2 but got: 1"),
        ({"inputs": [[1, 2], [1]]}, 400, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ({"inputs": [1, [1]]}, 400, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": {"z": [1]}}, 400, "Missing named input: x in 'inputs' object."),
        ({"instances": [{"z": 1}]}, 400, "JSON object: does not have named input: z"),
        ({"signature_name": "two", "instances": [{"a": [1, 2]}]}, 400, "keys must be equal to: a,b"),
        (
            {"signature_name": "two", "instances": [[1, 2]]},
            400,
            "instances is a plain list, but expecting list of objects",
        ),
        ({"signature_name": "echo", "inputs": [{"b64": "?"}]}, 400, "Unable to base64 decode"),
        ({"signature_name": "two", "inputs": {"a": [[1, 2]], "b": [[1.5, 2]]}}, 400, "is not of expected type: int32"),
        ({"signature_name": "picture", "instances": [b64(b"x")]}, 400, "no PNG"),
    ],
)
def test_wrong_bodies(toy_server: Client, body, status: int, text: str) -> None:
    answered, answer = toy_server.rest("POST", PREDICT, body)
    assert answered == status
    assert list(answer) == ["error"]
    assert text in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        ("POST", "/v1/models/toy/versions/7:predict", 404, "Servable not found for request: Specific(toy, 7)"),
        ("POST", "/v1/models/toy/labels/L:predict", 400, "Unrecognized servable version label: L"),
        ("POST", "/v1/models/toy:explode", 400, "Malformed request: POST /v1/models/toy:explode"),
        ("PUT", "/v1/models/toy", 400, "Malformed request: PUT /v1/models/toy"),
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/toy/versions/7", 404, "Could not find version 7 of model toy"),
        ("GET", "/v1/models/toy/versions/99999999999999999999", 400, "Failed to convert version"),
        ("GET", "/v1/models/toy/versions/" + "9" * 5000, 400, "Failed to convert version: " + "9" * 900),
        ("POST", "/v1/models/toy/versions/" + "9" * 5000 + ":predict", 400, "Failed to convert version: " + "9" * 900),
        ("GET", f"/v1/models/toy/versions/{2**63}", 400, f"Failed to convert version: {2**63} to numeric."),
        ("GET", f"/v1/models/toy/versions/{2**63 - 1}", 404, f"Could not find version {2**63 - 1} of model toy"),
        ("GET", "/v1/models/" + "n" * 60_000, 404, "Could not find any versions of model " + "n" * 900),
        ("GET", "/v1/models/%C3%BC%1b[31m%0a%00", 404, "Could not find any versions of model \u00fc\x1b[31m\n\0"),
        ("GET", "/v1/models/%ff%fe", 404, "Could not find any versions of model \ufffd\ufffd"),
        ("GET", "/v1/models/[::1", 400, "Malformed request: GET /v1/models/[::1"),
        ("GET", "//[::1/v1/models/toy", 404, "Not found: //[::1/v1/models/toy"),
        ("DELETE", "/v1/models/toy:predict", 400, "Malformed request: DELETE /v1/models/toy:predict"),
        ("OPTIONS", "*", 404, "Not found: *"),
        ("GET", "/elsewhere", 404, "Not found: /elsewhere"),
    ],
)
def test_wrong_paths(toy_server: Client, method: str, path: str, status: int, text: str) -> None:
    answered, answer = toy_server.rest(method, path, {"instances": [1]} if method == "POST" else None)
    assert (answered, list(answer)) == (status, ["error"])
    assert answer["error"].startswith(text)


def test_status_and_metadata(toy_server: Client) -> None:
    status, answer = toy_server.rest("GET", "/v1/models/toy")
    fine = {"error_code": "OK", "error_message": ""}
    assert (status, answer) == (
        200,
        {
            "model_version_status": [
                {"version": "2", "state": "AVAILABLE", "status": fine},
                {"version": "1", "state": "AVAILABLE", "status": fine},
            ]
        },
    )
    status, answer = toy_server.rest("GET", "/v1/models/toy/versions/1/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_chunked_bodies_are_read(toy_server: Client) -> None:
    toy_server.http.request("POST", PREDICT, iter([b'{"inst', b'ances": [1]}']), encode_chunked=True)
    assert json.loads(toy_server.http.getresponse().read()) == {"predictions": [5.0]}


def test_connections_are_kept_and_head_has_the_head_of_get(toy_server: Client) -> None:
    connection = http.client.HTTPConnection(LOCALHOST, toy_server.options.rest_api_port, timeout=20)
    connection.connect()
    address = connection.sock.getsockname()
    for path, status in (("/v1/models/toy", 200), ("/v1/models/other", 404)):
        found = []
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, path)
            response = connection.getresponse()
            found.append((response.status, response.headers["Content-Length"], response.headers["Content-Type"]))
            assert bool(response.read()) == (method == "GET")
            assert connection.sock.getsockname() == address
        assert found == [(status, found[0][1], "application/json")] * 3
    connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused(toy_server: Client, sent: bytes, status: bytes) -> None:
    with socket.create_connection((LOCALHOST, toy_server.options.rest_api_port), timeout=20) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    assert answer.split(b" ")[1] == status
    assert b'{\n "error"' in answer
    assert toy_server.predict(x=floats(1)).outputs["y"].float_val[0] == 5.0


def test_documents_of_many_values_are_read_one_after_the_other() -> None:
    unmeasured = SimpleNamespace(record=lambda *_: None)
    unlimited = SimpleNamespace(prediction=contextlib.nullcontext)
    api = RestApi(None, unmeasured, unlimited, "", timeout_ms=50, max_message_bytes=2**26)
    many, few = b"," * (MANY_VALUES + 1), b"," * MANY_VALUES
    with api._turn_of_many_values():
        assert api.answer("POST", PREDICT, many).status == 504
        assert api.answer("POST", PREDICT, few).status == 400
    assert api.answer("POST", PREDICT, many).status == 400
    assert api.answer("POST", PREDICT, many).status == 400
