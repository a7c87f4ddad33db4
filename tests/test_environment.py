"""The description of the environment: complete, serialisable, and without anything private."""

import getpass
import json
import platform
import subprocess
import types

import pytest

from amfam_tf import __version__, environment
from amfam_tf.cli.main import main


@pytest.fixture(autouse=True)
def no_tensorflow(monkeypatch):
    monkeypatch.setattr(environment, "_devices", lambda: ["CPU", "GPU Test"])


def test_description_is_complete_and_private_things_are_absent():
    description = environment.describe()
    assert list(description) == [
        "amfam_tf",
        "git_commit",
        "python",
        "platform",
        "processor",
        "cpu_count",
        "memory_gib",
        "devices",
        "packages",
        "variables",
    ]
    assert description["amfam_tf"] == __version__
    assert description["packages"]["tensorflow"].startswith("2.21.")
    assert description["cpu_count"] >= 1
    text = json.dumps(description)
    assert "/" not in text
    if len(platform.node()) > 3:
        assert platform.node() not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_missing_packages_are_null(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    assert environment.describe()["packages"] == {"no-such-package": None}


def test_git_commit_tells_changes(tmp_path):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert environment.git_commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first", "--no-verify")
    assert environment.git_commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert environment.git_commit(tmp_path) == git("rev-parse", "HEAD") + "+changes"


def test_git_commit_without_git(monkeypatch, tmp_path):
    (tmp_path / ".git").mkdir()

    def no_git(*_: object, **__: object) -> types.NoneType:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert environment.git_commit(tmp_path) is None


def test_env_prints_text_and_json(capsys):
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"] == ["CPU", "GPU Test"]
    assert main(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"amfam_tf    {__version__}" in lines
    assert "devices     CPU, GPU Test" in lines
