"""Limits and garbage: each gets its status, nothing grows, and the next good request is answered."""

import os
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from server_tools import LOCALHOST, NAME, Client, Gate, floats, predict_request, publish, serving

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory, toys: dict) -> Iterator[Client]:
    """A server with limits of 4 MiB and 2 predictions."""
    base_path = tmp_path_factory.mktemp("small") / "models"
    base_path.mkdir()
    publish(toys[1], base_path, 1)
    with serving(base_path, max_message_bytes=4 * MEBIBYTE, max_concurrent_requests=2) as client:
        yield client


@pytest.fixture(autouse=True)
def still_answers(small_server: Client) -> Iterator[None]:
    """After each test, a good request is answered over both ports."""
    yield
    assert small_server.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0
    answer = small_server.rest("POST", f"/v1/models/{NAME}:predict", {"instances": [1]})
    assert answer == (200, {"predictions": [4.0]})


def wide_png(side: int) -> bytes:
    """Returns a valid black PNG of side x side pixels; small, but large once decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    compressor, row = zlib.compressobj(9), b"\0" * (1 + 3 * side)
    data = b"".join([*(compressor.compress(row) for _ in range(side)), compressor.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_random_bytes_on_the_grpc_port(small_server: Client) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        with socket.create_connection((LOCALHOST, small_server.options.port), timeout=20) as connection:
            connection.sendall(generator.bytes(2000))


def test_truncated_protobuf(small_server: Client) -> None:
    data = predict_request(x=floats(*range(100))).SerializeToString()
    call = small_server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as error:
        call(data[:-7], timeout=20)
    assert error.value.code() == grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("name", ["", "x" * 1000])
def test_wide_pictures_and_empty_strings(small_server: Client, name: str) -> None:
    del name
    for data, text in ((wide_png(10_000), "too large"), (b"", "")):
        error = small_server.predict_error(signature="picture", image=np.array([data], object))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert text in error.text


def test_messages_over_the_limit(small_server: Client) -> None:
    error = small_server.predict_error(signature="echo", text=np.array([b"a" * 100 * MEBIBYTE], object))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    status, answer = small_server.rest("POST", f"/v1/models/{NAME}:predict", b"a" * 100 * MEBIBYTE)
    assert (status, answer["error"]) == (429, f"the request is longer than {4 * MEBIBYTE} bytes")


@pytest.mark.parametrize("dimensions", [[1 << 40], [1 << 20, 1 << 20], [1 << 31]])
def test_short_messages_of_huge_tensors(small_server: Client, dimensions: list[int]) -> None:
    proto = tf.make_tensor_proto(floats(1))
    bomb = type(proto)(dtype=proto.dtype, float_val=[1.0])
    for size in dimensions:
        bomb.tensor_shape.dim.add(size=size)
    error = small_server.predict_error(x=bomb)
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the limit is" in error.text


@pytest.mark.parametrize("change", ["negative", "unknown_rank", "resource", "content", "values", "number"])
def test_tensors_that_are_none(small_server: Client, change: str) -> None:
    proto = tf.make_tensor_proto(floats(1, 2))
    if change == "negative":
        proto.tensor_shape.dim[0].size = -2
    elif change == "unknown_rank":
        proto.tensor_shape.unknown_rank = True
    elif change == "resource":
        proto.dtype = tf.resource.as_datatype_enum
    elif change == "content":
        proto.tensor_content = proto.tensor_content[:-1]
    elif change == "values":
        proto.ClearField("tensor_content")
        proto.float_val.extend([1.0, 2.0, 3.0])
    else:
        proto.dtype = 101
    error = small_server.predict_error(x=proto)
    assert (error.code, error.text) == (grpc.StatusCode.INVALID_ARGUMENT, "tensor parsing error: x")


def test_requests_over_the_number_are_refused_and_deadlines_free_places(small_server: Client, tmp_path: Path) -> None:
    gates = [Gate(tmp_path / "first"), Gate(tmp_path / "second")]
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(small_server.predict_error, 8, signature="held", gate=gate.path) for gate in gates]
        for gate in gates:
            gate.await_entry()
        for _ in range(4):
            assert small_server.predict_error(x=floats(1)).code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [answer.result().code for answer in held] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    # Nobody opened the gates: the two runs were cancelled, and their places are free again.
    end = time.monotonic() + 30
    while not answers(small_server):
        assert time.monotonic() < end, "the places stay taken"
        time.sleep(0.05)


def answers(server: Client) -> bool:
    try:
        server.predict(x=floats(1))
    except grpc.RpcError:
        return False
    return True


def test_rest_over_the_number_is_429_and_its_timeout_504(base_path: Path, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    body = {"signature_name": "held", "inputs": gate.path}
    with serving(base_path, max_concurrent_requests=1, rest_api_timeout_in_ms=5_000) as client:
        other = Client(client.options)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.rest, "POST", "/v1/models/toy:predict", body)
            gate.await_entry()
            status, answer = other.rest("POST", "/v1/models/toy:predict", {"instances": [1]})
            assert (status, "too many requests" in answer["error"]) == (429, True)
            assert first.result()[0] == 504
        other.close()


def test_memory_stays_flat_under_garbage(small_server: Client) -> None:
    pictures = [b"", os.urandom(1000), wide_png(2000)]

    def one_round() -> None:
        for data in pictures:
            small_server.predict_error(signature="picture", image=np.array([data], object))
        small_server.predict_error(signature="echo", text=np.array([b"a" * 8 * MEBIBYTE], object))
        small_server.predict_error(name=os.urandom(8).hex(), x=floats(1))
        small_server.predict_error(x=np.array([b"a"], object))
        small_server.predict_error(signature="two", a=floats(1))
        small_server.rest("POST", f"/v1/models/{NAME}:predict", b"[" * 50_000)
        small_server.rest("POST", f"/v1/models/{os.urandom(8).hex()}:predict", {"instances": [1]})

    growths = []
    for _ in range(5):
        before = psutil.Process().memory_info().rss
        for _ in range(8):
            one_round()
        growths.append((psutil.Process().memory_info().rss - before) / MEBIBYTE)
    # What allocators keep comes in some of the windows. A leak comes in each, and 8 texts of 8 MiB would be 64.
    assert min(growths) < 16, growths
