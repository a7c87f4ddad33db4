"""Clients that ask without a pause: good requests, whose answers are compared, and bad ones, which must be refused."""

import base64
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.soak.models import Question
from benchmarks.soak.records import Log, Outcome, Request

MODEL = "lesions"
LOCALHOST = "127.0.0.1"
SECONDS = 60.0
"""Longest wait of a client; a request that takes longer has failed."""
PAUSE = 0.02
CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 100),
]
BUSY = {grpc.StatusCode.RESOURCE_EXHAUSTED.name, "429"}


@dataclass(frozen=True)
class Target:
    """Where to ask, and which letter answers under which version number; `letters` grows while versions come."""

    port: int
    rest_port: int
    letters: dict[int, str]


class Failed(Exception):
    """A request that got an error; `code` is the gRPC status name or HTTP status, "" where there was none."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}"[:300])
        self.code = code


Send = Callable[[random.Random], str]
"""Sends one request; returns what is wrong with the answer, "" if nothing; raises Failed for an error."""


def run_client(kind: str, good: bool, send: Send, log: Log, stop: threading.Event, seed: int) -> None:
    """Sends requests of one kind until `stop` is set, and notes each."""
    draw = random.Random(seed)
    try:
        _send_all(kind, good, lambda: send(draw), log, stop)
    except Exception as error:  # a client that ends in silence would be traffic that nobody misses
        log.complain(f"the client {kind!r} ended: {type(error).__name__}: {error}")
        raise


def _send_all(kind: str, good: bool, send: Callable[[], str], log: Log, stop: threading.Event) -> None:
    while not stop.wait(PAUSE if good else 5 * PAUSE):
        started = log.now()
        try:
            wrong = send()
        except Failed as error:
            outcome, detail = _judge_error(error, log.was_down(started, log.now())), str(error)
        else:
            outcome, detail = ("wrong" if wrong else "right"), wrong
        log.add(Request(kind, good, started, log.now() - started, outcome, detail if outcome != "right" else ""))


def _judge_error(error: Failed, was_down: bool) -> Outcome:
    if was_down and error.code in ("", "UNAVAILABLE", "CANCELLED", "503"):
        return "lost"
    if error.code in BUSY:
        return "refused"
    return "failed"


def good_clients(target: Target, questions: Sequence[Question]) -> dict[str, Send]:
    """Returns a sender for each way to ask."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"{LOCALHOST}:{target.port}", CHANNEL)
    )
    files = [question for question in questions if question.signature == "serving_default"]

    def ask_grpc(draw: random.Random) -> str:
        return _ask_grpc(stub, target, draw.choice(questions))

    def ask_rest(draw: random.Random) -> str:
        return _ask_rest(target, draw.choice(files))

    return {"gRPC": ask_grpc, "REST": ask_rest}


def bad_clients(target: Target, questions: Sequence[Question]) -> dict[str, Send]:
    """Returns a sender for each kind of bad request; it says "" when the refusal is the expected one."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"{LOCALHOST}:{target.port}", CHANNEL)
    )
    good = next(question for question in questions if question.signature == "serving_default")
    picture = good.inputs["clinical"][0]
    kinds: dict[str, Send] = {}
    for name, (code, spoil) in _WRONG_REQUESTS.items():
        kinds[name] = _refused(stub, code, spoil, good, picture)
    kinds |= {
        "REST: no JSON": lambda _: _rest_refused(target, b"{", 400),
        "REST: unknown model": lambda _: _rest_refused(target, b'{"inputs": {}}', 404, "/v1/models/none:predict"),
        "REST: no HTTP": lambda draw: _raw(target.rest_port, draw.randbytes(200) + b"\r\n\r\n"),
        "REST: half a body": lambda _: _half_a_body(target),
        "gRPC: no HTTP/2": lambda draw: _raw(target.port, draw.randbytes(200)),
        "gRPC: client goes away": lambda _: _goes_away(stub, good),
    }
    return kinds


def to_request(question: Question) -> predict_pb2.PredictRequest:
    """Returns the gRPC request of a question."""
    import tensorflow as tf

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = MODEL, question.signature
    for name, value in question.inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def _ask_grpc(stub: Any, target: Target, question: Question) -> str:
    import tensorflow as tf

    response = _call(stub, to_request(question))
    version = response.model_spec.version.value
    letter = target.letters.get(version)
    if letter is None:
        return f"version {version} was never published"
    outputs = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
    different = question.differences(letter, outputs)
    return f"{question.signature}, version {version} ({letter}): {', '.join(different)}" if different else ""


def _call(stub: Any, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    try:
        return stub.Predict(request, timeout=SECONDS)
    except grpc.RpcError as error:
        raise Failed(error.code().name, error.details() or "") from error


def _ask_rest(target: Target, question: Question) -> str:
    columns = {
        name: [{"b64": base64.b64encode(value).decode("ascii")} for value in values]
        for name, values in question.inputs.items()
    }
    body = json.dumps({"signature_name": question.signature, "inputs": columns}).encode()
    status, content = _post(target, f"/v1/models/{MODEL}:predict", body)
    if status != 200:
        raise Failed(str(status), content.decode(errors="replace"))
    outputs = {name: np.asarray(value) for name, value in json.loads(content)["outputs"].items()}
    # REST does not say which version has answered: it must be one of the two as a whole.
    different = [question.differences(letter, outputs) for letter in sorted(question.answers)]
    return "" if any(not names for names in different) else f"{question.signature} over REST: {different}"


def _post(target: Target, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOCALHOST, target.rest_port, timeout=SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed("", f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _tensor(value: Any) -> Any:
    import tensorflow as tf

    return tf.make_tensor_proto(value)


def _repeated_value() -> Any:
    """Returns 10,000 pictures of one pixel, in a few bytes."""
    import tensorflow as tf

    tensor = tf.make_tensor_proto(np.zeros((1, 1, 1, 3), np.uint8))
    tensor.ClearField("tensor_content")
    del tensor.int_val[:]
    tensor.int_val.append(0)
    tensor.tensor_shape.dim[0].size = 1_000_000
    return tensor


Spoil = Callable[[predict_pb2.PredictRequest, bytes], None]


def _set_picture(make: Callable[[bytes], bytes]) -> Spoil:
    def spoil(request: predict_pb2.PredictRequest, picture: bytes) -> None:
        request.inputs["clinical"].CopyFrom(_tensor([make(picture)]))

    return spoil


def _set_spec(**values: str) -> Spoil:
    def spoil(request: predict_pb2.PredictRequest, _: bytes) -> None:
        for name, value in values.items():
            setattr(request.model_spec, name, value)

    return spoil


def _repeat(request: predict_pb2.PredictRequest, _: bytes) -> None:
    request.model_spec.signature_name = "predict_images"
    for name in ("clinical", "dermoscopic"):
        request.inputs[name].CopyFrom(_repeated_value())


_WRONG_REQUESTS: dict[str, tuple[str, Spoil]] = {
    "gRPC: no picture": ("INVALID_ARGUMENT", _set_picture(lambda _: b"no picture")),
    "gRPC: half a picture": ("INVALID_ARGUMENT", _set_picture(lambda picture: picture[: len(picture) // 2])),
    "gRPC: missing input": ("INVALID_ARGUMENT", lambda request, _: request.inputs.pop("clinical") and None),
    "gRPC: wrong type": ("INVALID_ARGUMENT", lambda request, _: request.inputs["clinical"].CopyFrom(_tensor([1.0]))),
    "gRPC: unknown model": ("NOT_FOUND", _set_spec(name="none")),
    "gRPC: unknown signature": ("FAILED_PRECONDITION", _set_spec(signature_name="none")),
    "gRPC: a million rows of one value": ("RESOURCE_EXHAUSTED", _repeat),
}


def _refused(stub: Any, code: str, spoil: Spoil, good: Question, picture: bytes) -> Send:
    request = to_request(good)
    spoil(request, picture)

    def send(_: random.Random) -> str:
        try:
            _call(stub, request)
        except Failed as error:
            if error.code == code:
                return ""
            raise
        return f"was answered instead of refused with {code}"

    return send


def _rest_refused(target: Target, body: bytes, status: int, path: str = f"/v1/models/{MODEL}:predict") -> str:
    found, content = _post(target, path, body)
    if found == status:
        return ""
    raise Failed(str(found), content.decode(errors="replace"))


def _connect(port: int) -> socket.socket:
    try:
        return socket.create_connection((LOCALHOST, port), timeout=SECONDS)
    except OSError as error:
        raise Failed("", str(error)) from error


def _raw(port: int, data: bytes) -> str:
    """Sends what is no request; the server must close the connection, with or without an answer."""
    with _connect(port) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except ConnectionError:
            return ""
        except TimeoutError as error:
            raise Failed("", "the connection stayed open") from error
    return ""


def _half_a_body(target: Target) -> str:
    """Begins a request of a megabyte and goes away in its middle."""
    head = f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
    with _connect(target.rest_port) as connection:
        try:
            connection.sendall(head + bytes(300_000))
            time.sleep(0.05)
        except OSError as error:
            raise Failed("", str(error)) from error
    return ""


def _goes_away(stub: Any, good: Question) -> str:
    call = stub.Predict.future(to_request(good), timeout=SECONDS)
    time.sleep(0.005)
    call.cancel()
    return ""
