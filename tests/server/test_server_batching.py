"""Server-side batching: merged, never mixed up, and one wrong request spoils no other."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from server_tools import Client, Gate, error_of, predict_request, publish, serving, wait_at

from amfam_tf.errors import ConfigError
from amfam_tf.server.batching import BatchingOptions, read_batching_options
from amfam_tf.server.servable import Servable

PARAMETERS = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 200000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""


def png(shade: int) -> bytes:
    """Returns a tiny picture of one shade in [0, 255]."""
    return tf.io.encode_png(np.full([4, 4, 3], shade, np.uint8)).numpy()


@pytest.fixture
def parameters(tmp_path: Path) -> str:
    """Path of a BatchingParameters file: up to 8 rows, 0.2 s."""
    path = tmp_path / "batching.config"
    path.write_text(PARAMETERS)
    return str(path)


def ask_pictures(client: Client, pictures: list[bytes]) -> list:
    """Asks for all pictures at once; returns means and errors in their order."""

    def ask(picture: bytes):
        request = predict_request(signature="picture", image=np.array([picture], object))
        try:
            return client.prediction.Predict(request, timeout=30).outputs["mean"].float_val[0]
        except grpc.RpcError as error:
            return error.code(), error.details()

    with ThreadPoolExecutor(len(pictures)) as pool:
        return list(pool.map(ask, pictures))


def test_concurrent_requests_share_a_batch(base_path: Path, parameters: str) -> None:
    def ask(client: Client) -> int:
        rows = client.predict(signature="two", a=np.zeros([1, 2], np.float32), b=np.zeros([1, 2], np.int32)).outputs[
            "rows"
        ]
        return rows.int_val[0]

    with (
        serving(base_path, enable_batching=True, batching_parameters_file=parameters) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        # The toy tells how many rows its kernel saw.
        sizes = list(pool.map(ask, [client] * 8))
    assert max(sizes) > 1
    assert max(sizes) <= 8


@pytest.mark.parametrize("kind", [1, "staged"])
def test_one_bad_picture_fails_alone(kind: int | str, toys: dict, tmp_path: Path, parameters: str) -> None:
    base_path = tmp_path / "models"
    base_path.mkdir()
    publish(toys[kind], base_path, 1)
    shades = [10, 20, 30, 40, 50, 60, 70]
    pictures = [png(shade) for shade in shades]
    pictures.insert(3, b"no picture at all")
    with serving(base_path, enable_batching=True, batching_parameters_file=parameters) as client:
        answers = ask_pictures(client, pictures)
    code, text = answers.pop(3)
    assert (code, "no PNG" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    assert answers == shades


def test_one_bad_example_fails_alone(base_path: Path, parameters: str) -> None:
    good = tf.train.Example()
    good.features.feature["value"].float_list.value.append(5)
    examples = [good.SerializeToString()] * 3 + [b"\xff\xfe no example"]

    def ask(client: Client, example: bytes) -> float | grpc.StatusCode:
        request = predict_request(signature="example", examples=np.array([example], object))
        try:
            return client.prediction.Predict(request, timeout=30).outputs["value"].float_val[0]
        except grpc.RpcError as error:
            return error.code()

    flags = {"enable_batching": True, "batching_parameters_file": parameters}
    with serving(base_path, **flags) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda example: ask(client, example), examples))
    assert answers == [5.0, 5.0, 5.0, grpc.StatusCode.INVALID_ARGUMENT]


def test_stages_decode_outside_the_batch(toys: dict) -> None:
    servable = Servable(toys["staged"], BatchingOptions())
    batched = servable._endpoints["picture"].batched_outputs["mean"]
    (functions,) = [op for op in servable._graph.get_operations() if op is batched.op]
    assert functions.type == "BatchFunction"
    assert [tensor.dtype for tensor in functions.inputs][0] == tf.float32
    servable.close()


def test_requests_over_the_batch_size_and_uneven_ones_run_alone(base_path: Path, parameters: str) -> None:
    with serving(base_path, enable_batching=True, batching_parameters_file=parameters) as client:
        values = np.arange(20, dtype=np.float32)
        np.testing.assert_array_equal(client.predict(x=values).outputs["y"].float_val, values * 3 + 1)
        uneven = {"a": np.ones([3, 2], np.float32), "b": np.ones([2, 2], np.int32)}
        error = client.predict_error(signature="two", **uneven)
        assert (error.code, error.text.split(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "Incompatible shapes")
        # A signature without a batch dimension is not batched at all.
        assert client.predict(signature="slow", steps=np.int32(3)).outputs["value"].float_val


def test_signatures_and_versions_have_queues_of_their_own(base_path: Path, toys: dict, parameters: str) -> None:
    publish(toys[2], base_path, 2)
    config = base_path.parent / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "toy" base_path: "{base_path}" model_platform: "tensorflow" '
        "model_version_policy { all {} } } }"
    )

    def ask(number: int) -> None:
        version = 1 + number % 2
        if number % 3:
            y = client.predict(version=version, x=np.array([number], np.float32)).outputs["y"].float_val
            assert list(y) == [number * 3 + version]
        else:
            text = str(number).encode()
            response = client.predict(version=version, signature="echo", text=np.array([text], object))
            assert list(response.outputs["text"].string_val) == [text]

    flags = {"model_base_path": "", "enable_batching": True, "batching_parameters_file": parameters}
    with serving(model_config_file=str(config), **flags) as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(120)))


SWAPS = """
import json, sys
import numpy as np
import psutil
from pathlib import Path
from amfam_tf.server.batching import BatchingOptions
from amfam_tf.server.servable import Servable

process = psutil.Process()
for _ in range(10):
    servable = Servable(Path(sys.argv[1]), BatchingOptions(num_batch_threads=4))
    servable.run("serving_default", {"x": np.zeros([2, 1000], np.float32)}, ["y"])
    servable.close()
    del servable
    print(json.dumps([process.memory_info().rss / 2**20, process.num_threads()]))
"""


def test_swaps_give_back_memory_and_threads(tmp_path: Path) -> None:
    class Large(tf.Module):
        """A constant of 10 MB, which a queue that is never freed would keep."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = np.random.default_rng(0).random([1000, 2500], np.float32)

        @tf.function(input_signature=[tf.TensorSpec([None, 1000], tf.float32, name="x")])
        def product(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": tf.matmul(x, tf.constant(self.weights))}

    large = Large()
    tf.saved_model.save(large, str(tmp_path), signatures={"serving_default": large.product})
    # In a process of its own: what other tests of this one take or give back would hide a leak, or look like one.
    # With its usual threshold, which grows, glibc keeps freed blocks of that size by chance: tens of MB up and down.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", SWAPS, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    sizes, threads = zip(*map(json.loads, done.stdout.splitlines()), strict=True)
    # One leaked copy in any of the last six swaps would be 10 MB and 4 threads.
    assert sizes[-1] - sizes[3] < 8, sizes
    assert threads[-1] <= threads[3], threads


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "allowed_batch_sizes must increase and end with"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must not be negative"),
        ("no_such_field: 1", "^Error parsing text-format tensorflow.serving.BatchingParameters: 1:1 : .*no_such_field"),
    ],
)
def test_wrong_parameters(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_batching_options(str(path))


def test_defaults_are_upstreams(tmp_path: Path) -> None:
    path = tmp_path / "batching.config"
    path.write_text("")
    options = read_batching_options(str(path))
    assert (options.max_batch_size, options.batch_timeout_micros, options.max_enqueued_batches) == (1000, 0, 10)


def test_full_queue_is_unavailable(base_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } num_batch_threads { value: 1 } "
        "batch_timeout_micros { value: 0 }"
    )
    gate = Gate(tmp_path / "gate")
    save_held_rows(base_path, gate)
    codes = []
    with (
        serving(base_path, enable_batching=True, batching_parameters_file=str(path)) as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(_: int) -> None:
            try:
                client.predict(x=np.array([1], np.int32), timeout=60)
            except grpc.RpcError as error:
                codes.append(error.code())
                gate.open()  # One was refused while the first was held and another waited.

        list(pool.map(ask, range(8)))
        assert error_of(lambda: client.predict(signature="S")).code == grpc.StatusCode.FAILED_PRECONDITION
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}


def save_held_rows(base_path: Path, gate: Gate) -> None:
    """Publishes version 3: its batches wait at the gate."""

    class Rows(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="x")])
        def held(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.control_dependencies([wait_at(tf.constant(gate.path))]):
                return {"y": tf.identity(x)}

    rows = Rows()
    tf.saved_model.save(rows, str(base_path / "3"), signatures={"serving_default": rows.held})
