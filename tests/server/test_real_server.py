"""--engine tensorflow-serving: which program with which words, and that signals and exit status are its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amfam_tf.cli.main import main
from amfam_tf.errors import ConfigError
from amfam_tf.server import ServerOptions, real_server
from amfam_tf.server.real_server import RealServerError, server_command, server_flags

FAKE = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
print(json.dumps([os.path.basename(sys.argv[1]), sys.argv[2:], level]), flush=True)
if "--wait" in sys.argv:
    time.sleep(60)
sys.exit(5)
"""
DEFAULTS = {
    "port": "8500",
    "rest_api_port": "0",
    "model_name": "default",
    "model_config_file_poll_wait_seconds": "0",
    "file_system_poll_wait_seconds": "1",
    "enable_batching": "false",
    "enable_model_warmup": "true",
    "rest_api_timeout_in_ms": "30000",
    "tensorflow_intra_op_parallelism": "0",
    "tensorflow_inter_op_parallelism": "0",
    "allow_version_labels_for_unavailable_models": "false",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; empty."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base path, with a comma and a quote in its name."""
    folder = tmp_path / 'mo,d"els'
    folder.mkdir()
    return folder


def install(folder: Path, name: str) -> Path:
    """Puts a program on PATH that prints its name, words and log level, and ends with status 5, at SIGTERM with 7."""
    (folder / "fake.py").write_text(FAKE)
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{folder}/fake.py" "$0" "$@"\n')
    program.chmod(0o755)
    return program


def serve(*words: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "amfam_tf", "serve", "--engine=tensorflow-serving", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def as_flags(values: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def mounts(command: list[str]) -> list[str]:
    return [word for option, word in zip(command, command[1:], strict=False) if option == "--mount"]


def test_the_binary_gets_every_flag_and_its_status_is_ours(programs: Path, tmp_path: Path) -> None:
    install(programs, "tensorflow_model_server")
    install(programs, "docker")
    (tmp_path / "models").mkdir()
    words = ["--port=1", "--rest-api-port=2", "--model_name=amfam", "--model-base-path=models", "--enable_batching"]
    words += ["--enable-model-warmup=false", "--file-system-poll-wait-seconds=3", "--rest_api_timeout_in_ms=4"]
    words += ["--tensorflow_intra_op_parallelism=6", "--tensorflow-inter-op-parallelism=7"]
    words += ["--model_config_file_poll_wait_seconds=5", "--batching-parameters-file=b", "--ssl_config_file=s"]
    words += ["--grpc_socket_path=s.sock", "--grpc-channel-arguments=a=1", "--prefer_tflite_model"]
    words += ["--monitoring_config_file=m", "--model-config-file=gs://bucket/c", "--", "--wait_not", "x"]
    process = serve(*words, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    expected = {
        "port": "1",
        "rest_api_port": "2",
        "model_name": "amfam",
        "model_base_path": str(tmp_path.resolve() / "models"),
        "model_config_file": "gs://bucket/c",
        "model_config_file_poll_wait_seconds": "5",
        "file_system_poll_wait_seconds": "3",
        "enable_batching": "true",
        "batching_parameters_file": str(tmp_path.resolve() / "b"),
        "ssl_config_file": str(tmp_path.resolve() / "s"),
        "monitoring_config_file": str(tmp_path.resolve() / "m"),
        "enable_model_warmup": "false",
        "rest_api_timeout_in_ms": "4",
        "tensorflow_intra_op_parallelism": "6",
        "tensorflow_inter_op_parallelism": "7",
        "grpc_socket_path": str(tmp_path.resolve() / "s.sock"),
        "grpc_channel_arguments": "a=1",
        "allow_version_labels_for_unavailable_models": "false",
        # Without a meaning for the embedded server, they have one here.
        "prefer_tflite_model": "true",
    }
    # Its log is not silenced as ours is.
    assert json.loads(out) == ["tensorflow_model_server", [*as_flags(expected), "--wait_not", "x"], None]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGKILL, -signal.SIGKILL)])
def test_signals_reach_the_server(programs: Path, models: Path, number: int, status: int) -> None:
    install(programs, "podman")
    process = serve(f"--model-base-path={models}", "--", "--wait")
    assert json.loads(process.stdout.readline())[0] == "podman"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == status


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent has ended")
def test_the_server_of_a_child_ends_with_the_parent_of_the_child(programs: Path, models: Path) -> None:
    install(programs, "tensorflow_model_server")
    (programs / "fake.py").write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked to end\\n'), os._exit(0)))\n"
        "os.write(1, b'serving\\n')\n"
        "time.sleep(60)\n"
    )
    words = ["serve", "--engine=tensorflow-serving", f"--model-base-path={models}"]
    start = f"from amfam_tf import child_process; child_process.start('amfam_tf', {words}).wait()"
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "serving\n"
    parent.kill()
    # To the end of the pipe, which the server holds.
    assert parent.communicate()[0] == "asked to end\n"


def test_a_log_level_that_the_user_set_is_kept(programs: Path, models: Path) -> None:
    install(programs, "tensorflow_model_server")
    process = serve(f"--model-base-path={models}", env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1"})
    assert json.loads(process.communicate(timeout=60)[0])[2] == "1"


def test_a_container_publishes_ports_and_mounts_what_the_server_reads(
    programs: Path, models: Path, tmp_path: Path
) -> None:
    docker = install(programs, "docker")
    install(programs, "podman")
    other = tmp_path / "other"
    other.mkdir()
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "a" base_path: "{other}" model_platform: "tensorflow" }} '
        'config { name: "b" base_path: "s3://bucket/b" model_platform: "tensorflow" } }'
    )
    options = ServerOptions(rest_api_port=8501, model_base_path=str(models), model_config_file=str(config))
    command = server_command(options, more_flags=["--x"])
    head = [str(docker), "run", "--rm", "--init", "--entrypoint", "tensorflow_model_server"]
    assert command[: len(head) + 4] == [*head, "--publish", "127.0.0.1:8500:8500", "--publish", "127.0.0.1:8501:8501"]
    end = command.index(real_server.IMAGE)
    assert command[end + 1 :] == [*server_flags(options), "--x"]
    quoted = str(models).replace('"', '""')
    assert sorted(mounts(command)) == sorted(
        [
            f'type=bind,"source={quoted}","target={quoted}",readonly',
            f"type=bind,source={config},target={config},readonly",
            f"type=bind,source={other},target={other},readonly",
        ]
    )


def test_podman_is_used_without_docker_and_port_0_is_not_published(programs: Path, models: Path) -> None:
    install(programs, "podman")
    for address, published in (("127.0.0.1", "127.0.0.1:1:1"), ("0.0.0.0", "0.0.0.0:1:1"), ("::1", "[::1]:1:1")):
        options = ServerOptions(port=0, rest_api_port=1, model_base_path=str(models), bind_address=address)
        command = server_command(options)
        assert Path(command[0]).name == "podman"
        assert [command[i + 1] for i, word in enumerate(command) if word == "--publish"] == [published]


def test_the_binary_cannot_be_bound_to_an_address_nor_a_containers_socket_be_seen(programs: Path, models: Path) -> None:
    install(programs, "docker")
    with pytest.raises(ConfigError, match="^grpc_socket_path cannot be used with a container"):
        server_command(ServerOptions(model_base_path=str(models), grpc_socket_path="s"))
    install(programs, "tensorflow_model_server")
    with pytest.raises(ConfigError, match="^tensorflow_model_server listens on all interfaces: --bind-address can"):
        server_command(ServerOptions(model_base_path=str(models), bind_address="::1"))


def test_a_named_image_is_taken_although_the_binary_is_there(programs: Path, models: Path) -> None:
    install(programs, "tensorflow_model_server")
    options = ServerOptions(model_base_path=str(models))
    with pytest.raises(RealServerError, match=r": a container engine \(docker or podman\) is not on PATH;"):
        server_command(options, image="registry/serving:1")
    install(programs, "docker")
    assert "registry/serving:1" in server_command(options, image="registry/serving:1")
    assert real_server.IMAGE not in server_command(options, image="registry/serving:1")


def test_nothing_to_start_it_with_is_one_line_that_names_both(
    programs: Path, models: Path, capsys: pytest.CaptureFixture
) -> None:
    started = time.monotonic()
    assert main(["serve", "--engine=tensorflow-serving", f"--model-base-path={models}"]) == 1
    assert time.monotonic() - started < 20
    assert capsys.readouterr().err == (
        "error: cannot start TensorFlow Serving: neither tensorflow_model_server nor a container engine (docker or "
        "podman) is on PATH; install one, or use --engine embedded\n"
    )
    assert not list(programs.iterdir())


def test_a_program_that_cannot_be_started_is_one_line(programs: Path, models: Path, capsys) -> None:
    program = programs / "tensorflow_model_server"
    program.write_bytes(b"\x7fELF no program")
    program.chmod(0o755)
    assert main(["serve", "--engine=tensorflow-serving", f"--model-base-path={models}"]) == 1
    assert re.fullmatch(rf"error: cannot start {program}: .*\n", capsys.readouterr().err)


def test_flags_that_are_not_set_are_left_out() -> None:
    assert server_flags(ServerOptions(model_config_file="s3://c")) == as_flags(
        {**dict(list(DEFAULTS.items())[:3]), "model_config_file": "s3://c", **dict(list(DEFAULTS.items())[3:])}
    )


def test_seconds_of_the_real_server_are_whole(programs: Path) -> None:
    install(programs, "tensorflow_model_server")
    with pytest.raises(ConfigError, match=r"^file_system_poll_wait_seconds must be a whole number .* Received: 0.5$"):
        server_command(ServerOptions(model_base_path="m", file_system_poll_wait_seconds=0.5))


def test_a_container_cannot_be_shown_what_is_not_there(programs: Path, tmp_path: Path) -> None:
    install(programs, "docker")
    with pytest.raises(ConfigError, match=rf"^cannot show {tmp_path}/none to the container: no such file or folder$"):
        server_command(ServerOptions(model_base_path=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--engine=tensorflow-serving", "--allow-reload-config"],
            "--allow-reload-config can only be used with",
        ),
        (["--engine=tensorflow-serving", "--drain_seconds=30"], "--drain-seconds can only be used with --engine emb"),
        (["--image=x"], "--image can only be used with --engine tensorflow-serving"),
        (["--", "--x=1"], "--x=1 can only be used with --engine tensorflow-serving"),
        (["--engine=triton"], "'triton' is not one of 'embedded', 'tensorflow-serving'"),
    ],
)
def test_flags_of_the_other_engine_are_wrong_usage(
    programs: Path, words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert not list(programs.iterdir())
    assert main(["serve", "--model-base-path=m", *words]) == 2
    assert message in capsys.readouterr().err
