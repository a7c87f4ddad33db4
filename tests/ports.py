"""Ports for the servers of tests.

They lie below those that the system gives to outgoing connections, which could take one before the server does, and
each is held by a locked file until this process ends, so that no test that runs beside it is given the same.
"""

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import TextIO

LOCALHOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
_held: list[TextIO] = []


def free_port() -> int:
    """Returns a port of this machine that nobody listens on and that no other test is given."""
    folder = Path(tempfile.gettempdir()) / "amfam-tf-test-ports"
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        lock = (folder / str(port)).open("w")
        if _is_ours(lock) and _is_free(port):
            _held.append(lock)
            return port
        lock.close()
    raise AssertionError(f"no free port in {PORTS}")


def _is_ours(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((LOCALHOST, port))
        except OSError:
            return False
    return True
