"""What is set before TensorFlow is imported, and what is left to the user."""

import os

import pytest

from amfam_tf import fast_kernels


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    # First set, so that whatever the test sets is undone.
    for name in (fast_kernels.FAST, fast_kernels.DETERMINISTIC):
        monkeypatch.setenv(name, "")
        del os.environ[name]


def chosen() -> list[str | None]:
    return [os.environ.get(name) for name in (fast_kernels.FAST, fast_kernels.DETERMINISTIC)]


def test_a_processor_is_fast_and_deterministic(tmp_path):
    fast_kernels.prefer_fast_kernels(tmp_path)
    assert chosen() == ["1", "1"]


def test_with_a_gpu_determinism_is_the_users_choice(tmp_path):
    (tmp_path / "nvidia0").touch()
    fast_kernels.prefer_fast_kernels(tmp_path)
    assert chosen() == ["1", None]


def test_what_the_user_has_set_stays(monkeypatch, tmp_path):
    monkeypatch.setenv(fast_kernels.FAST, "0")
    monkeypatch.setenv(fast_kernels.DETERMINISTIC, "0")
    fast_kernels.prefer_fast_kernels(tmp_path)
    assert chosen() == ["0", "0"]


def test_another_processor_keeps_tensorflows_own_choice(monkeypatch, tmp_path):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    fast_kernels.prefer_fast_kernels(tmp_path)
    assert chosen() == [None, "1"]
