"""What may stand in a folder of models, hang there or never load: it holds up nobody else, and SIGTERM ends it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from server_tools import (
    Client,
    Gate,
    floats,
    free_port,
    limit_loads,
    predict_log,
    predict_request,
    publish,
    quiet_environment,
    serving,
    write_warmup,
)
from test_server_authority import failure
from test_server_process import CODE
from test_server_versions import AVAILABLE, END, states, until

from amfam_tf.errors import ConfigError
from amfam_tf.server import Server, ServerError, ServerOptions, manager, versions

KINDS = {
    "fifo": "a FIFO",
    "socket": "a socket",
    "device": "a device",
    "fifo as graph": "a FIFO",
    "fifo below": "a FIFO",
}


def two_models(folder: Path, toys: dict) -> Path:
    """Returns a configuration file of the models "toy" and "good", version 1 each."""
    for name in ("toy", "good"):
        (folder / name).mkdir()
        publish(toys[1], folder / name, 1)
    file = folder / "models.config"
    file.write_text(list_text(toy=folder / "toy", good=folder / "good"))
    return file


def list_text(**base_paths: Path | str) -> str:
    """Returns a ModelServerConfig of several models."""
    models = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in base_paths.items()
    ]
    return f"model_config_list {{ {' '.join(models)} }}"


def spoil(version: Path, kind: str) -> Path:
    """Puts something into a version that is no file, and returns its path."""
    path = version / "extra"
    if kind == "socket":
        # A path of a socket is at most 108 bytes long.
        listener, here = socket.socket(socket.AF_UNIX), Path.cwd()
        os.chdir(version)
        listener.bind("extra")
        os.chdir(here)
        listener.close()
    elif kind == "device":
        os.mknod(path, 0o020666, os.makedev(1, 5))
    else:
        path = version / {"fifo": "extra", "fifo as graph": "saved_model.pb", "fifo below": "variables/x"}[kind]
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_fails_its_version_alone(tmp_path: Path, toys: dict, kind: str) -> None:
    config = two_models(tmp_path, toys)
    aside = tmp_path / "aside"
    shutil.copytree(toys[2], aside)
    try:
        spoiled = spoil(aside, kind)
    except PermissionError:
        pytest.skip("only root makes devices")
    with serving(model_config_file=str(config)) as client:
        aside.rename(tmp_path / "toy" / "2")
        path = tmp_path / "toy" / "2" / spoiled.relative_to(aside)
        until(lambda: states(client).get(2) == END)
        code, text = failure(client, 2)
        assert code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
        assert text == f"{path} is {KINDS[kind]}: a version holds files and folders only"
        publish(toys[2], tmp_path / "good", 2)
        until(lambda: states(client, "good") == {2: AVAILABLE, 1: END})
        assert client.predict(x=floats(1)).model_spec.version.value == 1
        # Mended in place, it is tried again.
        path.unlink()
        shutil.copytree(toys[2], tmp_path / "toy" / "2", dirs_exist_ok=True)
        until(lambda: states(client) == {2: AVAILABLE, 1: END})


def test_circles_links_to_nothing_and_names_that_are_no_text_hold_nothing_up(base_path: Path, toys: dict) -> None:
    second = publish(toys[2], base_path, 2)
    (base_path / "\udcff").mkdir()
    (base_path / "3").symlink_to(base_path / "3")
    (base_path / "4").symlink_to(base_path / "none")
    os.mkfifo(base_path / "5")
    (second / "circle").symlink_to(second / "circle")
    (second / "up").symlink_to(second)
    (second / "none").symlink_to(second / "nothing")
    (second / "\udcfe").mkdir()
    with serving(base_path) as client:
        assert states(client) == {2: AVAILABLE}


def test_a_link_to_a_name_that_is_no_text_and_a_graph_of_20_gigabytes_fail(base_path: Path, tmp_path: Path) -> None:
    (tmp_path / "\udcff").mkdir()
    with serving(base_path) as client:
        (base_path / "2").symlink_to(tmp_path / "\udcff")
        until(lambda: states(client).get(2) == END)
        assert "leads to" in failure(client, 2)[1]
        assert "\\udcff, which is not below" in failure(client, 2)[1]
        (tmp_path / "3").mkdir()
        with (tmp_path / "3" / "saved_model.pb").open("wb") as file:
            file.truncate(20 * 2**30)
        (tmp_path / "3").rename(base_path / "3")
        until(lambda: states(client).get(3) == END)
        assert failure(client, 3)[1].endswith("as binary proto: it is longer than 2147483647 bytes")
        assert states(client)[1] == AVAILABLE


def test_base_paths_that_are_no_folders_have_no_versions(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path in (tmp_path / "fifo", tmp_path / "file", tmp_path / "circle", tmp_path / ("x" * 300), Path("\0")):
        assert versions.find_versions("toy", path) is None


def test_a_path_with_nul_is_refused_and_swaps_go_on(tmp_path: Path, toys: dict, caplog) -> None:
    config = two_models(tmp_path, toys)
    with serving(model_config_file=str(config), model_config_file_poll_wait_seconds=0.1) as client:
        config.write_text(list_text(good=tmp_path / "good", nul=f"{tmp_path}/a\\000b"))
        until(lambda: "Expected model nul to have a path without NUL" in caplog.text)
        publish(toys[2], tmp_path / "good", 2)
        until(lambda: states(client, "good") == {2: AVAILABLE, 1: END})
    config.write_text(list_text(toy="/a\\000b"))
    with pytest.raises(ServerError, match="^Failed to start server. Expected model toy to have a path without NUL"):
        Server(ServerOptions(port=free_port(), model_config_file=str(config))).start()


@pytest.mark.parametrize("path", ["a\0b", "a\udcff"])
def test_a_base_path_that_is_no_text_is_one_line(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^model_base_path must be UTF-8 without NUL. Received: 'a\\"):
        Server(ServerOptions(model_base_path=path))


def test_a_configuration_file_that_becomes_a_fifo_is_only_logged(tmp_path: Path, toys: dict, caplog) -> None:
    config = two_models(tmp_path, toys)
    with serving(model_config_file=str(config), model_config_file_poll_wait_seconds=0.1) as client:
        config.unlink()
        os.mkfifo(config)
        until(lambda: f"cannot read {config}: it is a named pipe, not a regular file" in caplog.text)
        config.unlink()
        config.write_text(list_text(renamed=tmp_path / "toy"))
        until(lambda: states_or_nothing(client, "renamed") == {1: AVAILABLE})
    config.unlink()
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(ConfigError, match=r"^cannot read .*: it is a (folder|device), not a regular file$"):
            Server(ServerOptions(model_config_file=str(path)))
    with config.open("wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(ConfigError, match="it has 20,480 MiB, and at most 16 are read$"):
        Server(ServerOptions(model_config_file=str(config)))


def states_or_nothing(client: Client, name: str) -> dict[int, int]:
    try:
        return states(client, name)
    except grpc.RpcError:
        return {}


def test_a_file_system_that_hangs_holds_up_its_model_only(
    tmp_path: Path, toys: dict, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    config = two_models(tmp_path, toys)
    answer, hanging = threading.Event(), threading.Event()

    def find(name: str, base_path: Path) -> dict[int, Path] | None:
        if hanging.is_set() and base_path == tmp_path / "toy":
            answer.wait(60)
        return versions.find_versions(name, base_path)

    monkeypatch.setattr(manager, "find_versions", find)
    monkeypatch.setattr(manager, "LATE_SECONDS", 0)
    flags = {
        "model_config_file": str(config),
        "model_config_file_poll_wait_seconds": 0.1,
        "model_roots": (str(tmp_path),),
    }
    with serving(**flags) as client:
        hanging.set()
        until(lambda: f"Base path {tmp_path}/toy of servable toy does not answer" in caplog.text)
        publish(toys[2], tmp_path / "good", 2)
        until(lambda: states(client, "good") == {2: AVAILABLE, 1: END})
        # Another base path for the same model is looked at, although the first one still hangs.
        (tmp_path / "elsewhere").mkdir()
        publish(toys[2], tmp_path / "elsewhere", 7)
        config.write_text(list_text(toy=tmp_path / "elsewhere"))
        until(lambda: states(client) == {7: AVAILABLE, 1: END})
        answer.set()


def test_a_server_whose_file_system_hangs_still_stops(base_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(manager, "find_versions", lambda *_: answer.wait(60) and {})
    monkeypatch.setattr(manager, "SECONDS_TO_END", 0.2)
    server = Server(ServerOptions(port=free_port(), model_base_path=str(base_path)))
    thread = threading.Thread(target=server.start)
    thread.start()
    server.request_stop()
    thread.join(60)
    server.stop()
    assert server.hangs
    answer.set()


def hold_up(version: Path, gate: Gate) -> None:
    """Has a version's warm-up wait at a gate."""
    write_warmup(version, [predict_log(predict_request(signature="held", gate=gate.path))])


def test_a_load_over_its_time_fails_and_is_closed_when_it_ends(tmp_path: Path, toys: dict, caplog) -> None:
    config = two_models(tmp_path, toys)
    gate = Gate(tmp_path / "gate")
    slow = tmp_path / "slow"
    shutil.copytree(toys[2], slow)
    hold_up(slow, gate)
    with serving(model_config_file=str(config)) as client:
        limit_loads(client, 5)
        slow.rename(tmp_path / "toy" / "2")
        gate.await_entry()
        limit_loads(client, 300)
        # Its load hangs: the other model swaps meanwhile.
        publish(toys[2], tmp_path / "good", 2)
        until(lambda: states(client, "good") == {2: AVAILABLE, 1: END})
        until(lambda: states(client).get(2) == END)
        code, text = failure(client, 2)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        assert text == "it did not end within 5 s (--load-timeout-seconds)"
        assert client.predict(x=floats(1)).model_spec.version.value == 1
        gate.open()
        until(lambda: "Closed servable version {name: toy version: 2}: it came late" in caplog.text)
        assert states(client) == {2: END, 1: AVAILABLE}
        # The next version takes over.
        publish(toys[2], tmp_path / "toy", 3)
        until(lambda: states(client).get(3) == AVAILABLE)


@pytest.mark.parametrize("when", ["at the start", "at a swap"])
def test_sigterm_ends_a_server_whose_load_hangs(base_path: Path, toys: dict, tmp_path: Path, when: str) -> None:
    gate, port = Gate(tmp_path / "gate"), free_port()
    if when == "at the start":
        hold_up(base_path / "1", gate)
    words = ["--model_name=toy", f"--model_base_path={base_path}", f"--port={port}", "--drain-seconds=2"]
    process = subprocess.Popen([sys.executable, "-c", CODE, *words], env=quiet_environment(), stderr=subprocess.PIPE)
    try:
        if when == "at a swap":
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
            aside = tmp_path / "aside"
            shutil.copytree(toys[2], aside)
            hold_up(aside, gate)
            aside.rename(base_path / "2")
        gate.await_entry(120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_a_change_of_permissions_is_a_change(base_path: Path) -> None:
    before = versions.fingerprint(base_path / "1")
    assert versions.fingerprint(base_path / "1") == before
    time.sleep(0.01)
    (base_path / "1" / "saved_model.pb").chmod(0o600)
    assert versions.fingerprint(base_path / "1") != before
