"""Garbage sent to the exported model: each kind gets its status and reason, and the next good request is answered.

The server batches, so that what is wrong in one request must not reach the others.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from asked_servers import LOCALHOST, free_port
from exported_runs import MAX_PIXELS, encoded, random_picture
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from amfam_tf.server import Server, ServerOptions

MEBIBYTE = 2**20
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
GOOD = encoded(random_picture())


def huge_png(side: int) -> bytes:
    """Returns a valid black PNG of side x side pixels: small as a file, side * side * 3 bytes once decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    compressor, row = zlib.compressobj(1), bytes(1 + 3 * side)
    rows = b"".join([*(compressor.compress(row) for _ in range(side)), compressor.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


def pair(clinical: np.ndarray, dermoscopic: np.ndarray | None = None) -> dict[str, np.ndarray]:
    return {"clinical": clinical, "dermoscopic": strings(GOOD) if dermoscopic is None else dermoscopic}


def pixels(*shape: int, dtype: type = np.uint8) -> dict[str, np.ndarray]:
    return pair(np.ones(shape, dtype), np.ones(shape, dtype))


@pytest.fixture(scope="module")
def stub(version) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    """Asks a server with batching."""
    options = ServerOptions(
        port=free_port(),
        model_name="lesions",
        model_base_path=str(Path(version.path).parent),
        bind_address=LOCALHOST,
        enable_batching=True,
    )
    server = Server(options)
    server.start()
    with grpc.insecure_channel(f"{LOCALHOST}:{options.port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop()


def ask(stub, signature: str, inputs: dict[str, np.ndarray]) -> predict_pb2.PredictResponse:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "lesions", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return stub.Predict(request, timeout=60)


def refusal(stub, signature: str, inputs: dict[str, np.ndarray]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        ask(stub, signature, inputs)
    return error.value.code(), error.value.details()


@pytest.fixture(autouse=True)
def answers_as_before(stub) -> Iterator[None]:
    """A good request gets the same answer before and after each test."""
    before = ask(stub, "serving_default", pair(strings(GOOD)))
    yield
    after = ask(stub, "serving_default", pair(strings(GOOD)))
    for name, tensor in before.outputs.items():
        np.testing.assert_allclose(after.outputs[name].float_val, tensor.float_val, atol=1e-5)


PICTURES = {
    "empty": (b"", "is not a JPEG, PNG or BMP file"),
    "random": (np.random.default_rng(0).bytes(50_000), "is not a JPEG, PNG or BMP file"),
    "half": (GOOD[: len(GOOD) // 2], "is damaged"),
    "huge": (huge_png(10_000), f"has more than {MAX_PIXELS} pixels"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_that_cannot_be_used_is_named(stub, kind: str) -> None:
    picture, reason = PICTURES[kind]
    inputs = pair(strings(GOOD, GOOD, GOOD), strings(GOOD, picture, GOOD))
    code, text = refusal(stub, "serving_default", inputs)
    assert code == INVALID
    assert f"input dermoscopic, index 1: the picture {reason}" in text


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "text"),
    [
        ("serving_default", pair(np.ones(1, np.float32)), INVALID, "to be string but float is provided"),
        ("serving_default", {"clinical": strings(GOOD)}, INVALID, "Missing but required: {dermoscopic}."),
        ("serving_default", pair(strings(GOOD, GOOD)), INVALID, "the inputs must have the same length"),
        ("serving_default", pair(np.array([[GOOD]], object), np.array([[GOOD]], object)), INVALID, "shape"),
        ("serving_default", pair(strings(b"a" * 100 * MEBIBYTE)), EXHAUSTED, "larger than max"),
        ("predict_images", pixels(1, 9, 9, 3, dtype=np.float32), INVALID, "to be uint8 but float is provided"),
        ("predict_images", pixels(1, 0, 0, 3), INVALID, "non-zero size"),
        ("predict_images", pixels(1, 9, 9, 1), INVALID, "shape"),
        ("predict_examples", {"examples": strings(b"\xff\xfe no example")}, INVALID, "Could not parse example"),
        ("predict_examples", {"examples": strings(b"")}, INVALID, "clinical"),
        ("explain", {"clinical": strings(GOOD)}, INVALID, "Missing but required: {class_name,dermoscopic,task}."),
    ],
)
def test_wrong_requests_get_their_status(stub, signature: str, inputs: dict, code, text: str) -> None:
    status, details = refusal(stub, signature, inputs)
    assert status == code
    assert text in details


def test_memory_stays_flat(stub) -> None:
    def one_round() -> None:
        for picture, _ in PICTURES.values():
            refusal(stub, "serving_default", pair(strings(picture)))
        refusal(stub, "predict_examples", {"examples": strings(b"\xff\xfe no example")})

    process = psutil.Process()
    for _ in range(5):
        one_round()
    before = process.memory_info().rss
    for _ in range(20):
        one_round()
    # One decoded picture of 10,000 x 10,000 pixels that stays would be 286 MiB.
    assert (process.memory_info().rss - before) / MEBIBYTE < 60
