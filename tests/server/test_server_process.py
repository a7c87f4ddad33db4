"""The verb in a process of its own: flags, SIGTERM, exit status; and what cannot start."""

import dataclasses
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import click
import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_tools import LOCALHOST, Client, Gate, floats, free_port, quiet_environment, serving

from amfam_tf.errors import ConfigError
from amfam_tf.ranges import range_of
from amfam_tf.server import Server, ServerError, ServerOptions
from amfam_tf.server.other_flags import OTHER_FLAGS

CODE = "import sys; from amfam_tf.cli.serve import serve; sys.exit(serve.main(standalone_mode=False))"


def end_under_load(process: subprocess.Popen, client: Client, watch: Iterator, folder: Path) -> None:
    """Sends SIGTERM while a call over each port is in flight; both must be answered, and the REST port be closed."""
    gates = [Gate(folder / "grpc"), Gate(folder / "rest")]
    with ThreadPoolExecutor(2) as pool:
        held = {"signature_name": "held", "inputs": gates[1].path}
        answers = [
            pool.submit(client.predict, signature="held", gate=gates[0].path, timeout=60),
            pool.submit(client.rest, "POST", "/v1/models/toy:predict", held),
        ]
        for gate in gates:
            gate.await_entry()
        process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        wait_until_refused(client.options.rest_api_port)
        assert not any(answer.done() for answer in answers)
        for gate in gates:
            gate.open()
        assert answers[0].result().outputs["value"].float_val
        assert answers[1].result()[0] == 200


def wait_until_refused(port: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((LOCALHOST, port), timeout=5).close()
        except ConnectionResetError:
            pass  # the port was closed while it took this connection: the next one must be refused
        except OSError as error:
            assert "refused" in str(error)
            return
        assert time.monotonic() < end, f"port {port} still accepts connections"
        time.sleep(0.05)


def test_sigterm_finishes_requests_and_exits_0(base_path: Path) -> None:
    port, rest_port = free_port(), free_port()
    words = ["--port", str(port), f"--rest_api_port={rest_port}", "--model_name=toy", "--enable_batching=false"]
    words += [
        "--enable-model-warmup",
        "--drain-seconds=300",
        "--model-base-path",
        base_path.name,
        "--bind-address",
        LOCALHOST,
    ]
    command = [sys.executable, "-c", CODE, *words]
    # The flag's base path may be relative.
    process = subprocess.Popen(command, cwd=base_path.parent, env=quiet_environment(), stderr=subprocess.PIPE)
    client = Client(SimpleNamespace(port=port, rest_api_port=rest_port))
    try:
        grpc.channel_ready_future(client.channel).result(timeout=180)
        # A stream that watches the health never ends by itself: it must not hold the end up.
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        end_under_load(process, client, watch, base_path.parent)
        # With nothing left in flight it does not wait for the rest of its 300 s.
        assert process.wait(60) == 0
        text = process.stderr.read().decode()
    finally:
        client.close()
        process.kill()
        process.communicate()
    assert f"Running gRPC ModelServer at {LOCALHOST}:{port} ..." in text
    assert f"Exporting HTTP/REST API at:{LOCALHOST}:{rest_port} ..." in text
    assert "Traceback" not in text


def test_sigterm_while_waiting_for_a_version_exits_0(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, "--model_base_path", str(tmp_path), "--port", str(free_port())]
    process = subprocess.Popen(command, env=quiet_environment(), stderr=subprocess.PIPE)
    try:
        for line in process.stderr:
            if b"No versions of servable default found" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_drain_that_takes_too_long_is_cut(base_path: Path) -> None:
    options = ServerOptions(port=free_port(), model_name="toy", model_base_path=str(base_path), drain_seconds=0.5)
    server = Server(options)
    server.start()
    client = Client(options)
    with ThreadPoolExecutor(1) as pool:
        gate = Gate(base_path.parent / "gate")
        answer = pool.submit(client.predict_error, 60, signature="held", gate=gate.path)
        gate.await_entry()
        started = time.monotonic()
        server.stop()
        assert answer.result().code is not grpc.StatusCode.OK  # which error depends on what is cut first
        assert time.monotonic() - started < 30
        gate.open()
    client.close()


def test_a_port_in_use_is_one_line(base_path: Path) -> None:
    with serving(base_path) as client:
        for flags in (
            {"port": client.options.port, "rest_api_port": 0},
            {"port": 0, "rest_api_port": client.options.rest_api_port},
        ):
            server = Server(ServerOptions(model_base_path=str(base_path), bind_address=LOCALHOST, **flags))
            with pytest.raises(ServerError, match=r"^cannot listen on \w+ \d+: .*; choose another port$"):
                server.start()
        assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0


def test_port_0_is_off(base_path: Path) -> None:
    with serving(base_path, port=0) as client:
        assert client.rest("POST", "/v1/models/toy:predict", {"instances": [1]}) == (200, {"predictions": [4.0]})
    with serving(base_path, rest_api_port=0) as client:
        assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0


def test_threads_are_set_before_tensorflow_makes_them(base_path: Path) -> None:
    code = (
        "import sys, tensorflow as tf; from amfam_tf.server import Server, ServerOptions\n"
        "Server(ServerOptions(model_base_path=sys.argv[1], tensorflow_intra_op_parallelism=3,"
        " tensorflow_inter_op_parallelism=4))\n"
        "threads = tf.config.threading\n"
        "print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())"
    )
    command = [sys.executable, "-c", code, str(base_path)]
    done = subprocess.run(command, env=quiet_environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "3 4\n"
    assert tf.constant(1) == 1
    with pytest.raises(ConfigError, match="must be set before anything has run"):
        Server(ServerOptions(model_base_path=str(base_path), tensorflow_intra_op_parallelism=3))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "nothing to serve"),
        ({"model_base_path": "m", "port": 70_000}, "port must be from 0 to 65535. Received: 70000"),
        ({"model_base_path": "m", "port": 1, "rest_api_port": 1}, "port and rest_api_port must differ"),
        ({"model_base_path": "m", "batching_parameters_file": "f"}, "add --enable-batching"),
        ({"model_base_path": "m", "max_concurrent_requests": 0}, "max_concurrent_requests must be from 1 to 65536"),
        ({"model_base_path": "m", "max_message_bytes": 2**31}, "max_message_bytes must be from 1 to 2147483647"),
        ({"model_base_path": "m", "tensorflow_intra_op_parallelism": -1}, "parallelism must be from 0 to 4096"),
        ({"model_base_path": "m", "drain_seconds": -1}, "drain_seconds must be from 0 to 2147483647"),
        ({"model_base_path": "m", "load_timeout_seconds": 0}, "load_timeout_seconds must be greater than 0"),
    ],
)
def test_impossible_flags(flags: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServerOptions(**flags)


NUMBERS = [item for item in dataclasses.fields(ServerOptions) if item.type in (int, float)]


@pytest.mark.parametrize("item", NUMBERS, ids=[item.name for item in NUMBERS])
def test_numbers_of_flags_have_ends_and_nan_and_infinity_are_past_them(item: dataclasses.Field) -> None:
    limits = range_of(item)
    assert limits is not None
    assert limits.high < threading.TIMEOUT_MAX or not item.name.endswith(("_seconds", "_ms"))
    for value in (math.nan, math.inf, -math.inf, -1, limits.high + 1):
        with pytest.raises(ConfigError, match=rf"^{item.name} must be {limits}\. Received: "):
            ServerOptions(**{"model_base_path": "m", item.name: value})


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("flag", ["drain_seconds", "load_timeout_seconds", "file_system_poll_wait_seconds"])
def test_a_flag_that_is_no_finite_number_is_wrong_usage(flag: str, value: str) -> None:
    from amfam_tf.cli.serve import serve

    with pytest.raises(click.UsageError, match=f"^{flag} must be "):
        serve.main(["--model-base-path=m", f"--{flag}={value}"], standalone_mode=False)


def test_defaults_are_upstreams() -> None:
    from amfam_tf.cli.serve import serve

    others = {"engine", "image", "more_flags", "debug", "version", *OTHER_FLAGS}
    defaults = {parameter.name: parameter.default for parameter in serve.params if parameter.name not in others}
    options = vars(ServerOptions(model_base_path="m")) | {"model_base_path": ""}
    assert {name: type(options[name])(default) for name, default in defaults.items()} == options
    assert (options["port"], options["rest_api_port"], options["model_name"]) == (8500, 0, "default")
    assert (options["rest_api_timeout_in_ms"], options["enable_model_warmup"]) == (30_000, True)


def test_wrong_usage_is_a_usage_error() -> None:
    from amfam_tf.cli.serve import serve

    with pytest.raises(click.UsageError, match="nothing to serve"):
        serve.main(["--port=8500"], standalone_mode=False)


def test_unreadable_configuration_is_one_line(tmp_path: Path) -> None:
    for text, message in (
        (None, "cannot read .*No such file"),
        ("nonsense", "^Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"),
    ):
        path = tmp_path / "models.config"
        if text:
            path.write_text(text)
        with pytest.raises(ConfigError, match=message) as error:
            Server(ServerOptions(model_config_file=str(path)))
        assert "\n" not in str(error.value)
