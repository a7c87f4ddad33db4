"""On which server a candidate is tried: the embedded one, or the real one, and nothing in place of it."""

from pathlib import Path

import pytest
import stand_ins

from amfam_tf.cli.main import main
from amfam_tf.release import configuration, infra_validator, lineage
from amfam_tf.server.real_server import IMAGE, RealServerError

REAL = "infra: {canaries: 2, engine: tensorflow-serving}\n"
MISSING = (
    "cannot start TensorFlow Serving: neither tensorflow_model_server nor a container engine (docker or podman) is on "
    "PATH; install one, or use infra.engine: embedded"
)


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH; empty."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def release_for_real(release_quickly, monkeypatch):
    """Returns the function that releases with the real server wanted."""

    def release():
        with monkeypatch.context() as patch:
            patch.setattr(stand_ins, "CONFIG", stand_ins.CONFIG.replace("infra: {{canaries: 2}}\n", ""))
            return release_quickly(more=REAL)

    return release


def install(folder: Path, name: str, content: str = "#!/bin/sh\n") -> None:
    (folder / name).write_text(content)
    (folder / name).chmod(0o755)


def test_without_the_real_server_nothing_is_run(programs, release_for_real, tmp_path):
    assert not list(programs.iterdir())
    with pytest.raises(RealServerError) as caught:
        release_for_real()
    assert str(caught.value) == MISSING
    assert not (tmp_path / "work").exists()


@pytest.mark.usefixtures("programs")
def test_without_the_real_server_a_dry_run_says_so(tmp_path, tiny_source, capsys):
    text = stand_ins.config_text(tmp_path, tiny_source).replace("canaries: 2", "engine: tensorflow-serving")
    (tmp_path / "release.yaml").write_text(text)
    assert main(["release", "--config", str(tmp_path / "release.yaml"), "--dry-run"]) == 1
    assert capsys.readouterr().err == f"error: {MISSING}\n"


def test_record_lineage_and_terminal_say_which_server_it_was(programs, release_quickly, release_for_real, tmp_path):
    asked = "samples of every signature and 2 canaries answered as stored"
    results, lines = release_quickly()
    assert f"InfraValidator: served by the embedded server: {asked}" in lines
    assert results["InfraValidator"].record["details"]["server"] == "the embedded server"
    install(programs, "tensorflow_model_server")
    results, lines = release_for_real()
    assert f"InfraValidator: served by TensorFlow Serving (tensorflow_model_server): {asked}" in lines
    assert results["InfraValidator"].record["details"]["server"] == "TensorFlow Serving (tensorflow_model_server)"
    # The version that was pushed is that of the first release.
    told = "\n".join(lineage.describe(lineage.find(tmp_path / "models" / "lesions")))
    assert f"served by the embedded server: {asked}" in told


def test_another_binary_is_another_server(programs, release_for_real):
    install(programs, "tensorflow_model_server", "#!/bin/sh\n# one\n")
    first, _ = release_for_real()
    assert release_for_real()[0]["InfraValidator"].reused
    install(programs, "tensorflow_model_server", "#!/bin/sh\n# other\n")
    second, _ = release_for_real()
    assert [name for name, result in second.items() if not result.reused] == ["InfraValidator", "Pusher"]
    before, after = (results["InfraValidator"].record["outside"]["server"] for results in (first, second))
    assert before != after


def test_without_the_binary_it_is_a_container(programs, release_for_real):
    install(programs, "docker")
    results, _ = release_for_real()
    record = results["InfraValidator"].record
    assert record["details"]["server"] == f"TensorFlow Serving ({IMAGE} by docker)"
    assert record["outside"] == {"server": IMAGE}


@pytest.mark.parametrize(
    ("engine", "more"),
    [
        ("embedded", ["--bind-address", "127.0.0.1", "--load-timeout-seconds", "180.0"]),
        ("tensorflow-serving", []),  # what the real one does not take, serve would refuse
    ],
)
def test_the_server_is_started_by_serve(engine, more, tmp_path, tiny_source):
    text = stand_ins.config_text(tmp_path, tiny_source).replace("canaries: 2", f"engine: {engine}")
    words = infra_validator._serve_words(configuration.parse(text, "text"), Path("candidate/lesions"), 8123)
    expected = ["serve", "--engine", engine, "--model-name", "lesions", "--model-base-path", "candidate/lesions"]
    assert words == [*expected, "--port", "8123", "--file-system-poll-wait-seconds", "0", *more]
