"""What serving costs: latency of direct call, gRPC and REST, and throughput of many clients with batching.

    python benchmarks/serving_overhead.py saved_models/amfam/1
    python benchmarks/serving_overhead.py --stand-in          (a small model of the same inputs, made on the spot)

Latency: one client; the three ways take turns in one run (A B C A B C ...), so that a busy machine slows all alike.
Throughput: 16 clients over gRPC with batching against the best direct call over all batch sizes, in turns as well.
The server is a process of its own. Expected time: about a minute for the stand-in on 2 cores.
"""

import base64
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from amfam_tf import child_process

NAME = "model"
LOCALHOST = "127.0.0.1"
START_SECONDS = 300
PICTURE_SIDE = 250
"""Side of a noise picture whose JPEG has about 50 kB."""
TARGETS = "targets: gRPC p50 - direct p50 <= 5 ms; throughput / best direct >= 0.95"
Call = Callable[[], Any]


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--stand-in", is_flag=True, help="Measure a small model that is made on the spot.")
@click.option("--signature", default="serving_default", show_default=True)
@click.option("--requests", "count", default=200, show_default=True, help="Measured calls of each way.")
@click.option("--clients", default=16, show_default=True, help="Concurrent clients of the throughput part.")
@click.option("--rounds", default=4, show_default=True, help="Turns of direct and served throughput.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of one such turn.")
@click.option("--batch-timeout-micros", default=0, show_default=True)
@click.option("--batch-threads", default=2, show_default=True)
@click.option("--intra-op", default=0, show_default=True, help="Server's threads within one operation; 0: automatic.")
def main(model: Path | None, stand_in: bool, signature: str, count: int, clients: int, **throughput: Any) -> None:
    """Print p50, p95, p99 of three ways to call MODEL (a version folder), and the throughput with batching."""
    if (model is None) != stand_in:
        raise click.UsageError("give either a version folder or --stand-in")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        base_path = Path(folder) / NAME
        base_path.mkdir()
        if stand_in:
            save_stand_in(base_path / "1")
        else:
            shutil.copytree(model, base_path / "1")
        report_latency(base_path, signature, count)
        report_throughput(base_path, signature, clients, **throughput)
    click.echo(TARGETS)


def report_latency(base_path: Path, signature: str, count: int) -> None:
    """Prints one line of percentiles, in milliseconds, for each way."""
    direct, inputs = load_direct(base_path, signature)
    one = make_inputs(inputs, 1)
    with serving(base_path) as (port, rest_port):
        ways = {
            "direct": lambda: direct(one),
            "gRPC": grpc_call(port, signature, one),
            "REST": rest_call(rest_port, signature, one),
        }
        for call in ways.values():
            for _ in range(10):
                call()
        milliseconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(count):
            for way, call in ways.items():
                started = time.perf_counter()
                call()
                milliseconds[way].append((time.perf_counter() - started) * 1e3)
    click.echo(f"latency of one request, {count} calls each, in turns; milliseconds")
    click.echo(f"{'':8}{'p50':>9}{'p95':>9}{'p99':>9}{'p50 - direct':>14}")
    base = np.percentile(milliseconds["direct"], 50)
    for way, values in milliseconds.items():
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        click.echo(f"{way:8}{p50:9.2f}{p95:9.2f}{p99:9.2f}{p50 - base:14.2f}")


def report_throughput(
    base_path: Path,
    signature: str,
    clients: int,
    rounds: int,
    seconds: float,
    batch_timeout_micros: int,
    batch_threads: int,
    intra_op: int,
) -> None:
    """Prints rows per second of the best direct batch size and of concurrent clients, measured in turns."""
    direct, inputs = load_direct(base_path, signature)
    size = best_batch_size(direct, inputs, clients, seconds)
    batch = make_inputs(inputs, size)
    parameters = base_path.parent / "batching.config"
    parameters.write_text(
        f"max_batch_size {{ value: {clients} }} batch_timeout_micros {{ value: {batch_timeout_micros} }} "
        f"num_batch_threads {{ value: {batch_threads} }} max_enqueued_batches {{ value: 1000 }}"
    )
    rates: dict[str, list[float]] = {"direct": [], "served": []}
    flags = ["--enable-batching", f"--batching-parameters-file={parameters}"]
    with serving(base_path, *flags, f"--tensorflow-intra-op-parallelism={intra_op}") as (port, _):
        calls = [grpc_call(port, signature, make_inputs(inputs, 1)) for _ in range(clients)]
        concurrent_rate(calls, seconds)
        for _ in range(rounds):
            rates["direct"].append(rate(lambda: direct(batch), size, seconds))
            rates["served"].append(concurrent_rate(calls, seconds))
    click.echo(f"throughput, {rounds} turns of {seconds:g} s; rows per second (median)")
    served, best = np.median(rates["served"]), np.median(rates["direct"])
    click.echo(f"best direct, batches of {size}: {best:.1f}   {clients} clients over gRPC with batching: {served:.1f}")
    click.echo(f"served / direct: {served / best:.3f}")


def load_direct(base_path: Path, signature: str) -> tuple[Callable[[dict], dict], dict[str, Any]]:
    """Returns the direct call of arrays to arrays, and the inputs' TensorSpecs."""
    import tensorflow as tf

    model = tf.saved_model.load(str(base_path / "1"))
    function = model.signatures[signature]

    def call(arrays: dict[str, np.ndarray], keep: Any = model) -> dict[str, np.ndarray]:
        del keep
        outputs = function(**{name: tf.constant(array) for name, array in arrays.items()})
        return {name: output.numpy() for name, output in outputs.items()}

    return call, function.structured_input_signature[1]


def make_inputs(inputs: dict[str, Any], rows: int) -> dict[str, np.ndarray]:
    """Returns arrays for the inputs: JPEGs of about 50 kB for strings, zeros otherwise; free sides are 1."""
    import tensorflow as tf

    arrays = {}
    for name, spec in inputs.items():
        shape = [rows, *(side or 1 for side in spec.shape[1:])]
        if spec.dtype == tf.string:
            generator = np.random.default_rng(0)
            noise = generator.integers(0, 256, [PICTURE_SIDE, PICTURE_SIDE, 3], np.uint8)
            arrays[name] = np.full(shape, tf.io.encode_jpeg(noise).numpy(), object)
        else:
            arrays[name] = np.zeros(shape, spec.dtype.as_numpy_dtype)
    return arrays


def best_batch_size(direct: Callable[[dict], dict], inputs: dict[str, Any], largest: int, seconds: float) -> int:
    """Returns the power of two up to `largest` with most rows per second."""
    rates = {}
    size = 1
    while size <= largest:
        batch = make_inputs(inputs, size)
        direct(batch)
        rates[size] = rate(lambda batch=batch: direct(batch), size, seconds / 2)
        size *= 2
    click.echo("direct rows per second by batch size: " + ", ".join(f"{n}: {r:.1f}" for n, r in rates.items()))
    return max(rates, key=rates.__getitem__)


def rate(call: Call, rows: int, seconds: float) -> float:
    """Returns rows per second of calls one after the other."""
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        call()
        done += rows
    return done / (time.perf_counter() - started)


def concurrent_rate(calls: list[Call], seconds: float) -> float:
    """Returns rows per second of all calls together, each in a thread of its own, without the start and the tail."""
    begin = time.perf_counter() + seconds / 4
    end = begin + seconds
    counts = [0] * len(calls)

    def work(number: int) -> None:
        while time.perf_counter() < end:
            calls[number]()
            counts[number] += begin <= time.perf_counter() < end

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def grpc_call(port: int, signature: str, arrays: dict[str, np.ndarray]) -> Call:
    """Returns a call over a channel of its own, arrays to protobuf included."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.insecure_channel(f"{LOCALHOST}:{port}", options=[("grpc.max_receive_message_length", -1)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call() -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = NAME, signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return stub.Predict(request, timeout=60)

    return call


def rest_call(port: int, signature: str, arrays: dict[str, np.ndarray]) -> Call:
    """Returns a call over a kept connection, arrays to JSON included."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=60)

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value

    def call() -> Any:
        body = {"signature_name": signature, "inputs": {name: plain(a.tolist()) for name, a in arrays.items()}}
        connection.request("POST", f"/v1/models/{NAME}:predict", json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise click.ClickException(answer["error"])
        return answer

    return call


@contextmanager
def serving(base_path: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """Runs `amfam-tf serve` in a process of its own; yields the ports of gRPC and REST."""
    import grpc

    ports = free_port(), free_port()
    words = [f"--port={ports[0]}", f"--rest-api-port={ports[1]}", f"--model-name={NAME}", *flags]
    words.append(f"--model-base-path={base_path}")
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = child_process.start("amfam_tf", ["serve", *words], **silent)
    try:
        with grpc.insecure_channel(f"{LOCALHOST}:{ports[0]}") as channel:
            grpc.channel_ready_future(channel).result(timeout=START_SECONDS)
        yield ports
    finally:
        child_process.end(process, START_SECONDS)


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((LOCALHOST, 0))
        return listener.getsockname()[1]


def save_stand_in(folder: Path) -> None:
    """Writes a small network of two encoded pictures: decode, resize to 224 x 224, five convolutions (3 GFLOP)."""
    import tensorflow as tf

    class StandIn(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.strides = (2, 2, 1, 1, 2)
            channels = (6, 64, 128, 128, 128, 256)
            shapes = [[3, 3, *pair] for pair in itertools.pairwise(channels)]
            self.kernels = [tf.Variable(tf.random.normal(shape, stddev=0.05)) for shape in shapes]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=n) for n in ("clinical", "dermoscopic")])
        def predict(self, clinical: tf.Tensor, dermoscopic: tf.Tensor) -> dict[str, tf.Tensor]:
            images = [tf.map_fn(self.decode, data, fn_output_signature=tf.float32) for data in (clinical, dermoscopic)]
            features = tf.concat(images, -1)
            for kernel, stride in zip(self.kernels, self.strides, strict=True):
                features = tf.nn.relu(tf.nn.conv2d(features, kernel, stride, "SAME"))
            return {"DIAG": tf.nn.softmax(tf.reduce_mean(features, [1, 2]))}

        def decode(self, data: tf.Tensor) -> tf.Tensor:
            return tf.image.resize(tf.io.decode_jpeg(data, 3), [224, 224]) / 255.0

    model = StandIn()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.predict})


if __name__ == "__main__":
    main()
