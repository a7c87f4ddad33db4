"""Locks: one process at a time, on file systems that have locks and on those that have none."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading

import pytest

from amfam_tf.errors import DataError, RunError, UserError
from amfam_tf.files import locks

IN_USE = DataError("it is in use")


def refused(lock, words: str, error: type[Exception] = DataError) -> None:
    """Checks that a lock cannot be had."""
    with pytest.raises(error, match=words), lock:
        pytest.fail("held twice")


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def flock(request, monkeypatch):
    """The system's locks, or what a file system without them answers."""
    if request.param is not None:

        def refuse(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("flock")
def test_a_file_is_held_once_and_again_when_it_is_free(tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        with locks.locked_file(path, IN_USE):
            refused(locks.locked_file(path, IN_USE), "it is in use")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.usefixtures("flock")
def test_a_folder_is_held_once_and_may_be_removed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with locks.locked_folder(folder, IN_USE):
        refused(locks.locked_folder(folder, IN_USE), "it is in use")
        folder.rmdir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("flock")
def test_a_run_folder_is_held_once(tmp_path):
    run = tmp_path / "run"
    with locks.locked_runs(run / ".lock", run, "run folder x"):
        again = locks.locked_runs(run / ".lock", run, "run folder x")
        refused(again, "run folder x is in use by another process: wait for it or stop it", RunError)


@pytest.mark.usefixtures("flock")
def test_one_waits_for_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.01)
    order, begun = [], threading.Event()

    def second():
        begun.set()
        with locks.waiting_for_file(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    with locks.waiting_for_file(tmp_path / "lock"):
        thread.start()
        assert begun.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("no_locks")
def test_what_a_dead_process_has_left_is_taken_over(tmp_path):
    mark = tmp_path / ".lock.held"
    mark.write_text(f"{socket.gethostname()} {dead_process()}")
    with locks.locked_file(tmp_path / ".lock", IN_USE):
        assert mark.read_text() == f"{socket.gethostname()} {os.getpid()}"
    assert not mark.exists()


@pytest.mark.usefixtures("no_locks")
def test_a_process_that_lives_is_not_driven_out(tmp_path):
    mark = tmp_path / ".lock.held"
    mark.write_text(f"{socket.gethostname()} {os.getppid()}")
    words = r"it is in use \(so says .*/\.lock\.held, for this file system has no locks\)"
    refused(locks.locked_file(tmp_path / ".lock", IN_USE), words)
    assert mark.exists()


@pytest.mark.usefixtures("no_locks")
def test_a_process_of_another_machine_is_named(tmp_path):
    (tmp_path / ".lock.held").write_text("elsewhere 17")
    with (
        pytest.raises(UserError, match=r"process 17 on elsewhere is at work there .*: wait for it, or remove the file"),
        locks.locked_file(tmp_path / ".lock", IN_USE),
    ):
        pytest.fail("held twice")


@pytest.mark.usefixtures("no_locks")
def test_two_that_take_over_do_not_both_hold(tmp_path):
    dead = f"{socket.gethostname()} {dead_process()}"
    mark = tmp_path / ".lock.held"
    mark.write_text(dead)
    (tmp_path / ".lock.held.taken").write_text("another process is at it")
    refused(locks.locked_file(tmp_path / ".lock", IN_USE), "it is in use")
    assert mark.read_text() == dead


def test_any_other_error_of_a_lock_is_an_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    refused(locks.locked_runs(tmp_path / ".lock", tmp_path, "x"), "cannot write to x: Input/output error", RunError)
