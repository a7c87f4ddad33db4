"""Small SavedModels and servers for the tests of the embedded server."""

import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from ports import LOCALHOST, free_port
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from amfam_tf.server import Server, ServerOptions

NAME = "toy"
RECEIVE_ALL = [("grpc.max_receive_message_length", -1)]
LONGEST_SIDE = 1000


def wait_at(gate: tf.Tensor) -> tf.Operation:
    """Returns the operation that writes the file `gate`.entered and goes on when the file `gate` exists."""
    with tf.control_dependencies([tf.io.write_file(tf.strings.join([gate, ".entered"]), "")]):
        start = tf.constant(0)
    passed = tf.while_loop(lambda _: tf.size(tf.io.matching_files(gate)) == 0, lambda i: [i + 1], [start])
    return passed[0].op


class Gate:
    """Where calls of the signature `held` wait until the test opens it: no test depends on how fast a machine is.

    Args:
        path: of a file that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def await_entry(self, seconds: float = 60) -> None:
        """Returns when a call has arrived."""
        end = time.monotonic() + seconds
        while not Path(f"{self.path}.entered").exists():
            assert time.monotonic() < end, "no call arrived"
            time.sleep(0.01)

    def open(self) -> None:
        """Lets the calls that wait, and all later ones, through."""
        Path(self.path).touch()


class Toy(tf.Module):
    """Signatures of many kinds; `version` is in every numeric answer."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(float(version))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def affine(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 3.0 + self.version}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), tf.TensorSpec([None, 2], tf.int32, name="b")]
    )
    def two(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        b = tf.cast(b, tf.float32)
        return {"difference": a - b, "sum": a + b, "rows": tf.fill([tf.shape(a)[0]], tf.shape(a)[0])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def echo(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": text, "text_bytes": text, "length": tf.strings.length(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def picture(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mean": tf.map_fn(self._mean, image, fn_output_signature=tf.float32) + 0.0 * self.version}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def example(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"value": tf.io.FixedLenFeature([], tf.float32)})
        return {"value": parsed["value"] + 0.0 * self.version}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="steps")])
    def slow(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        value = tf.while_loop(lambda i, _: i < steps, lambda i, v: (i + 1, tf.sin(v) + 1.0), (0, self.version + 0.0))
        return {"value": value[1]}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="gate")])
    def held(self, gate: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([wait_at(gate)]):
            return {"value": self.version + 0.0}

    def _mean(self, data: tf.Tensor) -> tf.Tensor:
        check = tf.debugging.assert_greater(tf.strings.length(data), 32, message="no PNG")
        with tf.control_dependencies([check]):
            data = tf.identity(data)
        header = tf.reshape(tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.uint8), [8])
        sides = tf.reduce_sum(tf.reshape(tf.cast(header, tf.int64), [2, 4]) * [1 << 24, 1 << 16, 1 << 8, 1], axis=1)
        check = tf.debugging.assert_less(tf.reduce_max(sides), tf.cast(LONGEST_SIDE, tf.int64), message="too large")
        with tf.control_dependencies([check]):
            return tf.reduce_mean(tf.cast(tf.io.decode_png(data, 3), tf.float32))


class Staged(Toy):
    """As Toy, with the picture signature split for batching."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        stages = tf.Module()
        stages.before = self.decoded
        stages.batched = self.scaled
        self.batching = {"picture": stages}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def decoded(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": tf.map_fn(self._mean, image, fn_output_signature=tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="pixels")])
    def scaled(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mean": pixels + 0.0 * self.version}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def picture(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.scaled(self.decoded(image)["pixels"])


def save_toy(folder: Path, version: int, kind: type[Toy] = Toy) -> Path:
    """Writes a version of the toy model to a folder and returns the folder."""
    toy = kind(version)
    signatures = {
        "serving_default": toy.affine,
        "two": toy.two,
        "echo": toy.echo,
        "picture": toy.picture,
        "example": toy.example,
        "slow": toy.slow,
        "held": toy.held,
    }
    tf.saved_model.save(toy, str(folder), signatures=signatures)
    return folder


def publish(source: Path, base_path: Path, version: int) -> Path:
    """Copies a version beside a base path and renames it into it, as a publisher must."""
    aside = base_path.parent / f".{base_path.name}-{version}"
    shutil.copytree(source, aside)
    target = base_path / str(version)
    aside.rename(target)
    return target


def write_warmup(folder: Path, logs: list[prediction_log_pb2.PredictionLog]) -> None:
    """Writes a version's warm-up file."""
    (folder / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def predict_log(request: predict_pb2.PredictRequest) -> prediction_log_pb2.PredictionLog:
    """Returns the warm-up record of a request."""
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def predict_request(
    name: str = NAME, signature: str = "", version: int | None = None, label: str = "", **inputs: Any
) -> predict_pb2.PredictRequest:
    """Returns a request; inputs are arrays or TensorProtos."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for key, value in inputs.items():
        proto = value if isinstance(value, type(tf.make_tensor_proto(0))) else tf.make_tensor_proto(value)
        request.inputs[key].CopyFrom(proto)
    return request


def floats(*values: float) -> np.ndarray:
    """Returns a float32 vector."""
    return np.array(values, np.float32)


class Client:
    """Stubs and REST of a running server."""

    def __init__(self, options: ServerOptions, channel: grpc.Channel | None = None) -> None:
        self.options = options
        self.server: Server | None = None
        self.channel = channel or grpc.insecure_channel(f"{LOCALHOST}:{options.port}", options=RECEIVE_ALL)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.http = http.client.HTTPConnection(LOCALHOST, options.rest_api_port, timeout=60)

    def predict(self, timeout: float = 20, **request: Any) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(predict_request(**request), timeout=timeout)

    def predict_error(self, timeout: float = 20, **request: Any) -> SimpleNamespace:
        return error_of(lambda: self.predict(timeout, **request))

    def rest(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Returns status and parsed answer; a body that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        response = self._exchange(method, path, body)
        text = response.read().decode()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(text) if is_json else text

    def _exchange(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        """Sends a request; once more if the server had closed the kept connection, idle since another test."""
        reused = self.http.sock is not None
        try:
            self.http.request(method, path, body)
            return self.http.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not reused:
                raise
            self.http.close()
            self.http.request(method, path, body)
            return self.http.getresponse()

    def close(self) -> None:
        self.channel.close()
        self.http.close()


def error_of(call: Any) -> SimpleNamespace:
    """Returns code and text of the gRPC error that a call ends in."""
    try:
        call()
    except grpc.RpcError as error:
        return SimpleNamespace(code=error.code(), text=error.details())
    raise AssertionError("the call did not fail")


@contextmanager
def serving(base_path: Path | None = None, **flags: Any) -> Iterator[Client]:
    """Runs a server in this process and yields its client."""
    flags = {
        "port": free_port(),
        "rest_api_port": free_port(),
        "model_name": NAME,
        "model_base_path": str(base_path or ""),
        "bind_address": LOCALHOST,
        "file_system_poll_wait_seconds": 0.1,
        "drain_seconds": 5,
        **flags,
    }
    options = ServerOptions(**flags)
    server = Server(options)
    server.start()
    client = Client(options)
    client.server = server
    try:
        yield client
    finally:
        client.close()
        server.stop()


def limit_loads(client: Client, seconds: float) -> None:
    """Sets the longest load of a running server: only what a test holds up may depend on the clock."""
    client.server._manager._load_seconds = seconds


def quiet_environment() -> dict[str, str]:
    """Returns the environment for a server in a process of its own."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
