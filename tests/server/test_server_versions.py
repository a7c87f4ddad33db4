"""Versions over time: policies, hot swap, failures, labels and configurations, seen through the ports."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from server_tools import Client, Gate, error_of, floats, free_port, predict_request, publish, serving
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from amfam_tf.server import Server, ServerError, ServerOptions
from amfam_tf.server.versions import find_versions

AVAILABLE, UNLOADING, END = 30, 40, 50


def states(client: Client, name: str = "toy") -> dict[int, int]:
    """Returns version -> state."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    response = client.model.GetModelStatus(request, timeout=20)
    return {status.version: status.state for status in response.model_version_status}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def config_text(base_path: Path, extra: str = "", name: str = "toy") -> str:
    """Returns a ModelServerConfig of one model."""
    return (
        f'model_config_list {{ config {{ name: "{name}" base_path: "{base_path}" '
        f'model_platform: "tensorflow" {extra} }} }}'
    )


def reload_request(text: str) -> model_management_pb2.ReloadConfigRequest:
    """Returns a reload request of a text proto."""
    return model_management_pb2.ReloadConfigRequest(
        config=text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    )


def test_hot_swap_under_load_mixes_and_loses_nothing(base_path: Path, toys: dict) -> None:
    clients, requests = 32, 2000
    direct = {number: tf.saved_model.load(str(toys[number])) for number in (1, 2)}
    inputs = np.random.default_rng(0).normal(size=(requests, 3)).astype(np.float32)
    expected = {
        number: [model.signatures["serving_default"](x=tf.constant(row))["y"].numpy() for row in inputs]
        for number, model in direct.items()
    }
    done = threading.Semaphore(0)
    with serving(base_path, max_concurrent_requests=clients) as client:
        address = f"127.0.0.1:{client.options.port}"
        channels = [grpc.insecure_channel(address, options=[("number", n)]) for n in range(clients)]
        stubs = [prediction_service_pb2_grpc.PredictionServiceStub(channel) for channel in channels]

        def ask(number: int) -> int:
            response = stubs[number % clients].Predict(predict_request(x=inputs[number]), timeout=60)
            version = response.model_spec.version.value
            np.testing.assert_array_equal(response.outputs["y"].float_val, expected[version][number])
            done.release()
            return version

        with ThreadPoolExecutor(clients) as pool:
            answers = [pool.submit(ask, number) for number in range(requests // 2)]
            for _ in range(200):
                done.acquire()
            publish(toys[2], base_path, 2)
            until(lambda: states(client).get(2) == AVAILABLE)
            answers += [pool.submit(ask, number) for number in range(requests // 2, requests)]
            versions = [answer.result() for answer in answers]
        for channel in channels:
            channel.close()
        assert set(versions[:200]) == {1}
        assert versions[-1] == 2
        until(lambda: states(client) == {2: AVAILABLE, 1: END})


def test_old_version_is_unloaded_only_after_its_requests_end(base_path: Path, toys: dict) -> None:
    with serving(base_path) as client, ThreadPoolExecutor(1) as pool:
        gate = Gate(base_path.parent / "gate")
        held = pool.submit(client.predict, signature="held", gate=gate.path, timeout=120)
        gate.await_entry()
        publish(toys[2], base_path, 2)
        until(lambda: states(client).get(2) == AVAILABLE)
        until(lambda: states(client)[1] == UNLOADING)
        for _ in range(10):
            assert states(client)[1] == UNLOADING
            time.sleep(0.02)
        gate.open()
        assert held.result().model_spec.version.value == 1
        until(lambda: states(client)[1] == END)


@pytest.mark.parametrize("damage", ["no_graph", "garbled_graph", "cut_variables", "no_variables"])
def test_corrupt_new_version_leaves_the_old_one(base_path: Path, toys: dict, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(toys[2], broken)
    if damage == "no_graph":
        (broken / "saved_model.pb").unlink()
    elif damage == "garbled_graph":
        (broken / "saved_model.pb").write_bytes(b"\xff" * 1000)
    else:
        data = broken / "variables" / "variables.data-00000-of-00001"
        if damage == "cut_variables":
            data.write_bytes(data.read_bytes()[:2])
        else:
            shutil.rmtree(broken / "variables")
    with serving(base_path) as client:
        publish(broken, base_path, 2)
        until(lambda: states(client).get(2) == END)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "toy"
        request.model_spec.version.value = 2
        status = client.model.GetModelStatus(request, timeout=20).model_version_status[0].status
        assert status.error_code != 0
        assert status.error_message
        assert states(client)[1] == AVAILABLE
        assert client.predict(x=floats(1)).model_spec.version.value == 1
        # Repaired in place, it is tried again.
        shutil.copytree(toys[2], base_path / "2", dirs_exist_ok=True)
        until(lambda: states(client) == {2: AVAILABLE, 1: END})


def test_rollback_by_removing_the_newest_version(base_path: Path, toys: dict) -> None:
    publish(toys[2], base_path, 2)
    with serving(base_path) as client:
        assert states(client) == {2: AVAILABLE}
        (base_path / "2").rename(base_path.parent / "withdrawn")
        until(lambda: states(client) == {2: END, 1: AVAILABLE})
        assert client.predict(x=floats(1)).model_spec.version.value == 1


def test_children_without_a_number_are_ignored(base_path: Path) -> None:
    for name in ("best", "2a", "-3", "².5", "9"):
        (base_path / name).mkdir()
    (base_path / "9").rmdir()
    (base_path / "9").write_text("a file")
    assert find_versions("toy", base_path) == {1: base_path / "1"}
    with serving(base_path) as client:
        assert states(client) == {1: AVAILABLE}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", {3}),
        ("latest { num_versions: 2 }", {2, 3}),
        ("all {}", {1, 2, 3}),
        ("specific { versions: 1 versions: 3 versions: 8 }", {1, 3}),
    ],
)
def test_policies(base_path: Path, toys: dict, tmp_path: Path, policy: str, expected: set[int]) -> None:
    for number in (2, 3):
        publish(toys[2], base_path, number)
    file = tmp_path / "models.config"
    file.write_text(config_text(base_path, f"model_version_policy {{ {policy} }}" if policy else ""))
    with serving(model_config_file=str(file)) as client:
        assert states(client) == dict.fromkeys(expected, AVAILABLE)


def test_reload_replaces_the_list(base_path: Path, toys: dict, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    publish(toys[2], other, 5)
    with serving(base_path, allow_reload_config=True, model_roots=(str(tmp_path),)) as client:
        response = client.model.HandleReloadConfigRequest(reload_request(config_text(other, name="new")), timeout=30)
        assert (response.status.error_code, response.status.error_message) == (0, "")
        assert client.predict(name="new", x=floats(1)).model_spec.version.value == 5
        error = client.predict_error(x=floats(1))
        assert (error.code, error.text) == (
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(toy)",
        )
        assert states(client) == {1: END}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "",
            grpc.StatusCode.INVALID_ARGUMENT,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/x" model_platform: "onnx" } }',
            grpc.StatusCode.INVALID_ARGUMENT,
            "Model m requests unsupported platform onnx",
        ),
        (
            'model_config_list { config { name: "m" base_path: "x" model_platform: "tensorflow" } }',
            grpc.StatusCode.INVALID_ARGUMENT,
            "Expected model m to have an absolute path or URI; got base_path()=x",
        ),
    ],
)
def test_illegal_reloads_change_nothing(toy_server: Client, text: str, code, message: str) -> None:
    error = error_of(lambda: toy_server.model.HandleReloadConfigRequest(reload_request(text), timeout=20))
    assert (error.code, error.text) == (code, message)
    assert toy_server.predict(label="stable", x=floats(1)).model_spec.version.value == 1


def test_reload_of_a_broken_model_says_so(base_path: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "1").mkdir(parents=True)
    both = reload_request(config_text(base_path))
    both.MergeFrom(reload_request(config_text(tmp_path / "other", name="new")))
    with serving(base_path, allow_reload_config=True, model_roots=(str(tmp_path),)) as client:
        error = error_of(lambda: client.model.HandleReloadConfigRequest(both, timeout=30))
        assert error.code == grpc.StatusCode.UNKNOWN
        assert error.text.startswith("1 model(s) did not become available: {{{name: new version: 1} due to error: ")
        assert client.predict(x=floats(1)).model_spec.version.value == 1


def test_labels_move_only_to_available_versions(base_path: Path, toys: dict) -> None:
    publish(toys[2], base_path, 2)
    everything = "model_version_policy { all {} } "

    def label(version: int) -> model_management_pb2.ReloadConfigRequest:
        return reload_request(config_text(base_path, everything + f'version_labels {{ key: "live" value: {version} }}'))

    with serving(base_path, allow_reload_config=True) as client:
        client.model.HandleReloadConfigRequest(reload_request(config_text(base_path, everything)), timeout=30)
        until(lambda: states(client) == {2: AVAILABLE, 1: AVAILABLE})
        for version in (1, 2):
            client.model.HandleReloadConfigRequest(label(version), timeout=30)
            assert client.predict(label="live", x=floats(1)).model_spec.version.value == version
        error = error_of(lambda: client.model.HandleReloadConfigRequest(label(3), timeout=30))
        assert (error.code, error.text) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "Request to assign label to version 3 of model toy, which is not currently available for inference",
        )
        assert client.predict(label="live", x=floats(1)).model_spec.version.value == 2


def test_config_file_is_polled_and_a_wrong_one_is_ignored(
    base_path: Path, toys: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(toys[2], base_path, 2)
    file = tmp_path / "models.config"
    file.write_text(config_text(base_path))
    with serving(model_config_file=str(file), model_config_file_poll_wait_seconds=0.1) as client:
        assert states(client) == {2: AVAILABLE}
        file.write_text("model_config_list { nonsense }")
        until(lambda: "Failed to read ModelServerConfig file" in caplog.text)
        assert client.predict(x=floats(1)).model_spec.version.value == 2
        file.write_text(config_text(base_path, "model_version_policy { specific { versions: 1 } }"))
        until(lambda: states(client) == {2: END, 1: AVAILABLE})


def test_ports_stay_closed_until_a_version_comes(tmp_path: Path, toys: dict, caplog: pytest.LogCaptureFixture) -> None:
    base_path = tmp_path / "models"
    (base_path / "latest").mkdir(parents=True)
    options = ServerOptions(
        port=free_port(), model_name="toy", model_base_path=str(base_path), file_system_poll_wait_seconds=0.1
    )
    server = Server(options)
    caplog.set_level(logging.WARNING)
    thread = threading.Thread(target=server.start)
    thread.start()
    text = (
        f"No versions of servable toy found under base path {base_path}. "
        "Did you forget to name your leaf directory as a number (eg. '/1/')?"
    )
    until(lambda: sum(record.getMessage() == text for record in caplog.records) >= 3)
    client = Client(options)
    assert client.predict_error(x=floats(1)).code == grpc.StatusCode.UNAVAILABLE
    publish(toys[1], base_path, 1)
    thread.join(20)
    grpc.channel_ready_future(client.channel).result(timeout=20)
    assert client.predict(x=floats(1)).model_spec.version.value == 1
    client.close()
    server.stop()


def test_first_version_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "models" / "1").mkdir(parents=True)
    server = Server(ServerOptions(port=free_port(), model_name="toy", model_base_path=str(tmp_path / "models")))
    with pytest.raises(ServerError, match=r"1 model\(s\) did not become available: .*Could not find SavedModel"):
        server.start()
