"""`amfam-tf serve` as a child process, for as long as a `with` block lasts."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amfam_tf import child_process
from amfam_tf.errors import QueryError

LOCALHOST = "127.0.0.1"
LOOK_SECONDS = 0.2
END_SECONDS = 40


def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((LOCALHOST, 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(words: Sequence[str], port: int, log: Path, patience: float = 180) -> Iterator[None]:
    """Runs `amfam-tf` with `words` until the body ends; the body begins when the port answers.

    Args:
        words: the command line after `amfam-tf`.
        port: that it will listen on; it opens when the model is loaded.
        log: file for what the server prints.
        patience: seconds to wait for the port.

    Raises:
        QueryError: the server ended, or did not open its port in time; names the log.
    """
    with log.open("wb") as file:
        process = child_process.start("amfam_tf", words, stdout=file, stderr=file)
    try:
        _wait_for(process, port, log, patience)
        yield
    finally:
        child_process.end(process, END_SECONDS)


def _wait_for(process: subprocess.Popen[Any], port: int, log: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise QueryError(f"the server ended, {child_process.describe_end(process.returncode, log)}: see {log}")
        with contextlib.suppress(OSError), socket.create_connection((LOCALHOST, port), timeout=1):
            return
        time.sleep(LOOK_SECONDS)
    raise QueryError(f"the server did not answer within {patience:g} s: see {log}")
