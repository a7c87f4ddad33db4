"""Who may do what: the address, the roots below which models may be, and who may reload."""

import os
import re
import shutil
import threading
from pathlib import Path

import click
import grpc
import psutil
import pytest
from server_tools import Client, error_of, floats, free_port, limit_loads, publish, serving
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from test_server_versions import AVAILABLE, END, config_text, reload_request, states, until

from amfam_tf.errors import ConfigError
from amfam_tf.server import Server, ServerError, ServerOptions
from amfam_tf.server.roots import Roots

DENIED = grpc.StatusCode.PERMISSION_DENIED


def reload_error(client: Client, base_path: Path | str) -> tuple[grpc.StatusCode, str]:
    """Returns code and text of the error that a reload to a base path ends in."""
    request = reload_request(config_text(base_path, name="new"))
    error = error_of(lambda: client.model.HandleReloadConfigRequest(request, timeout=30))
    return error.code, error.text


def failure(client: Client, version: int) -> tuple[int, str]:
    """Returns code and text of a version's failure."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    request.model_spec.version.value = version
    status = client.model.GetModelStatus(request, timeout=20).model_version_status[0].status
    return status.error_code, status.error_message


def test_by_default_only_this_machine_is_listened_to(base_path: Path) -> None:
    ports = free_port(), free_port()
    server = Server(ServerOptions(port=ports[0], rest_api_port=ports[1], model_base_path=str(base_path)))
    server.start()
    try:
        listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        found = {(address.ip.removeprefix("::ffff:"), address.port) for address in listening if address.port in ports}
        assert found == {("127.0.0.1", port) for port in ports}
    finally:
        server.stop()


def test_reload_is_off_unless_asked_for(base_path: Path) -> None:
    empty = model_management_pb2.ReloadConfigRequest()
    empty.config.model_config_list.SetInParent()
    with serving(base_path) as client:
        for request in (empty, reload_request(config_text(base_path, name="other"))):
            error = error_of(lambda request=request: client.model.HandleReloadConfigRequest(request, timeout=20))
            assert (error.code, error.text) == (
                DENIED,
                "HandleReloadConfigRequest is off: the server takes it with mutual TLS (client_verify: true in its "
                "ssl_config_file) or when started with --allow-reload-config",
            )
        assert states(client) == {1: AVAILABLE}
        assert client.predict(x=floats(1)).model_spec.version.value == 1


def test_reload_reaches_only_what_is_below_the_roots(base_path: Path, toys: dict, tmp_path: Path) -> None:
    root, outside, sibling = tmp_path / "root", tmp_path / "outside", tmp_path / "rootless"
    for folder in (root / "below", outside, sibling):
        folder.mkdir(parents=True)
        publish(toys[2], folder, 2)
    (root / "link_out").symlink_to(outside)
    (root / "link_in").symlink_to(root / "below")
    roots = (str(root), str(base_path))
    with serving(base_path, allow_reload_config=True, model_roots=roots) as client:
        for path in (outside, sibling, f"{root}/../outside", root / "link_out", "/", "/etc", tmp_path):
            assert reload_error(client, path) == (
                DENIED,
                f"base path {path} of model new is not below a folder that this server was started for (--model-roots)",
            )
        assert client.predict(x=floats(1)).model_spec.version.value == 1
        for path in (root / "below", root / "link_in", f"{root}/x/../below"):
            client.model.HandleReloadConfigRequest(reload_request(config_text(path, name="new")), timeout=60)
            assert client.predict(name="new", x=floats(1)).model_spec.version.value == 2


def test_without_roots_the_base_paths_of_the_start_are_the_roots(base_path: Path, toys: dict, tmp_path: Path) -> None:
    (base_path / "deeper").mkdir()
    publish(toys[2], base_path / "deeper", 2)
    with serving(base_path, allow_reload_config=True) as client:
        assert reload_error(client, tmp_path)[0] == DENIED
        request = reload_request(config_text(base_path / "deeper", name="new"))
        client.model.HandleReloadConfigRequest(request, timeout=60)
        assert client.predict(name="new", x=floats(1)).model_spec.version.value == 2


@pytest.mark.parametrize("what", ["version", "variables", "saved_model.pb"])
def test_a_link_out_of_the_roots_is_refused_until_its_target_is_a_root(
    base_path: Path, toys: dict, tmp_path: Path, what: str
) -> None:
    (tmp_path / "other").mkdir()
    outside = publish(toys[2], tmp_path / "other", 2)
    aside = tmp_path / "aside"
    if what == "version":
        aside.symlink_to(outside)
    else:
        shutil.copytree(toys[2], aside)
        (aside / what).rename(tmp_path / "moved")
        (aside / what).symlink_to(outside / what)
    with serving(base_path) as client:
        aside.rename(base_path / "2")
        link = base_path / "2" if what == "version" else base_path / "2" / what
        until(lambda: states(client).get(2) == END)
        target = os.path.realpath(link)
        assert failure(client, 2) == (
            DENIED.value[0],
            f"{link} leads to {target}, which is not below a folder that this server was started for (--model-roots)",
        )
        assert states(client)[1] == AVAILABLE
    with serving(base_path, model_roots=(str(base_path), str(outside))) as client:
        assert states(client) == {2: AVAILABLE}


def test_the_configuration_file_reaches_no_further(
    base_path: Path, toys: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other").mkdir()
    publish(toys[2], tmp_path / "other", 2)
    file = tmp_path / "models.config"
    file.write_text(config_text(base_path))
    with serving(model_config_file=str(file), model_config_file_poll_wait_seconds=0.1) as client:
        file.write_text(config_text(tmp_path / "other"))
        until(lambda: "PollFilesystemAndReloadConfig failed to ReloadConfig: base path" in caplog.text)
        assert states(client) == {1: AVAILABLE}


def test_a_start_outside_of_the_roots_is_refused(base_path: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    options = {"port": free_port(), "model_base_path": str(base_path)}
    server = Server(ServerOptions(**options, model_roots=(str(tmp_path / "root"),)))
    with pytest.raises(ServerError, match=rf"^Failed to start server. base path {base_path} of model default is not"):
        server.start()
    with pytest.raises(ConfigError, match=rf"^model_roots must name folders; there is none at {tmp_path}/none$"):
        Server(ServerOptions(**options, model_roots=(str(tmp_path / "none"),)))


def test_roots_are_given_several_times_or_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    from amfam_tf.cli import serve

    taken: list[ServerOptions] = []
    monkeypatch.setattr(serve, "_serve_embedded", lambda options, _: taken.append(options))
    words = ["--model-base-path=m", "--model_roots=/a,/b", "--model-roots", "/c", "--allow-reload-config"]
    serve.serve.main(words, standalone_mode=False)
    assert taken[0].model_roots == ("/a", "/b", "/c")
    assert taken[0].allow_reload_config
    with pytest.raises(click.UsageError, match=re.escape("--model-roots can only be used with --engine embedded")):
        serve.serve.main([*words, "--engine=tensorflow-serving"], standalone_mode=False)


def test_roots_are_folders_not_beginnings_of_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    roots = Roots([tmp_path / "a"])
    inside = ("a", "a/b", "a/b/../b/1", "a/none")
    outside = ("", "a/..", "ab", "a/../ab", "circle")
    assert all(roots.covers(tmp_path / path) for path in inside)
    assert not any(roots.covers(tmp_path / path) for path in outside)
    assert Roots(["/"]).covers(tmp_path)


def test_a_root_that_hangs_is_an_error(base_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    with serving(base_path, allow_reload_config=True) as client:
        limit_loads(client, 0.5)
        monkeypatch.setattr(Roots, "covers", lambda *_: answer.wait(60))
        code, text = reload_error(client, base_path)
        answer.set()
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert text == f"the file system did not resolve base path {base_path} within 0.5 s"
