"""Files and folders that one process at a time holds; the system releases them with the process, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import RunError, UserError


@contextlib.contextmanager
def locked_file(path: Path, refusal: UserError) -> Iterator[None]:
    """Holds a file, which is made if it is not there and stays, for this process.

    Args:
        path: in a folder that exists.
        refusal: to raise if another process holds it.

    Raises:
        UserError: `refusal`.
        OSError: it cannot be opened.
    """
    with path.open("w") as handle:
        _hold(handle.fileno(), refusal)
        yield


@contextlib.contextmanager
def locked_runs(lock: Path, folder: Path, name: str) -> Iterator[None]:
    """Makes a folder of one or more runs and holds it for this process, by a file in it.

    Args:
        lock: the file.
        folder: to make: that of the lock or one below it.
        name: of what is held, for the message.

    Raises:
        RunError: another process holds it, or it cannot be written.
    """
    in_use = RunError(f"{name} is in use by another process: wait for it or stop it")
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked_file(lock, in_use))
        except OSError as error:
            raise RunError(f"cannot write to {name}: {error.strerror}") from error
        yield


@contextlib.contextmanager
def locked_folder(folder: Path, refusal: UserError) -> Iterator[None]:
    """Holds a folder for this process, without a file in it. Its owner may rename or remove it.

    Raises:
        UserError: `refusal`: another process holds it, or has just renamed or removed it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _hold(descriptor, refusal)
        # Renamed or removed between our two steps: then we hold something else.
        if not folder.exists() or folder.stat().st_ino != os.fstat(descriptor).st_ino:
            raise refusal
        yield
    finally:
        os.close(descriptor)


def _hold(descriptor: int, refusal: UserError) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise refusal from error
