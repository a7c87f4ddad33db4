"""Runs pytest in children of a process that has imported the large libraries, and none of this package.

    python -m mutation.preloaded SOCKET &
    python -S mutation/ask.py SOCKET tests/test_tasks.py

TensorFlow alone takes longer to import than most rooms take to test. The server imports, the child that it forks for
each question tests: it sees the modules as they are in the current folder at that moment.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys

LIBRARIES = (
    *("pytest", "numpy", "pandas", "scipy.stats", "sklearn.metrics", "matplotlib.figure", "rich.table", "jinja2"),
    *("PIL.Image", "yaml", "click", "grpc", "tensorflow", "keras", "hypothesis"),
)
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"),
    # Nobody reads the messages, and rewriting the asserts takes longer than many a test.
    "--assert=plain",
)
SET_PARENT_DEATH_SIGNAL = 1
"""Of Linux' prctl."""
SLOW_FIXTURES = frozenset({"version", "loaded"})
"""Of tests that are left out: the export that these make takes longer than all other tests of a room."""


class LeavingOut:
    """Of the tests that were found, those with SLOW_FIXTURES."""

    @staticmethod
    def pytest_collection_modifyitems(items: list) -> None:
        items[:] = [item for item in items if SLOW_FIXTURES.isdisjoint(item.fixturenames)]


def serve(path: str) -> None:
    """Answers questions on a Unix socket, one after the other, until it is ended."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for name in LIBRARIES:
        importlib.import_module(name)
    # No child looks for rubbish among what the libraries have made.
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                _answer(connection)


def _answer(connection: socket.socket) -> None:
    """Tests in a child of its own group; whoever hangs up ends it, and so does the end of this process."""
    tests = json.loads(connection.recv(65536))
    child = os.fork()
    if child == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        os._exit(_test(tests))
    done = os.pidfd_open(child)
    ready, _, _ = select.select([done, connection], [], [])
    if done not in ready:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(done)
    if done in ready:
        connection.sendall(json.dumps(abs(os.waitstatus_to_exitcode(status))).encode())


def _test(tests: list[str]) -> int:
    """Returns pytest's exit status; everything that is not 0 means that a test saw something."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    # The copy of the tree, not the tree that the environment was installed from.
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        import pytest

        return int(pytest.main([*OPTIONS, *tests], plugins=[LeavingOut]))
    except BaseException:
        # A child must not go on as a second server, whatever a mutant raises.
        return 70


if __name__ == "__main__":
    serve(sys.argv[1])
