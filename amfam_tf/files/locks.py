"""Files and folders that one process at a time holds; the system releases them with the process, however it ends.

Some file systems have no such locks (Lustre without -o flock, some NFS). There, a file that is made only if it is not
there says which process on which machine holds what; one that a process of this machine has left behind is taken over.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.errors import RunError, UserError

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What a file system without locks answers."""
WAIT_SECONDS = 1.0


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
    with path.open("w") as handle, _held(handle.fileno(), path, refusal):
        yield


@contextlib.contextmanager
def waiting_for_file(path: Path) -> Iterator[None]:
    """As `locked_file`, but waits while another process holds the file.

    Raises:
        UserError: a process of another machine holds it, on a file system without locks.
        OSError: it cannot be opened.
    """
    with path.open("w") as handle, contextlib.ExitStack() as held:
        try:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            while not held.enter_context(_marked(path)):
                held.pop_all().close()
                time.sleep(WAIT_SECONDS)
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
        with _held(descriptor, folder, refusal):
            # Renamed or removed between our two steps: then we hold something else.
            if not folder.exists() or folder.stat().st_ino != os.fstat(descriptor).st_ino:
                raise refusal
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held(descriptor: int, path: Path, refusal: UserError) -> Iterator[None]:
    """Holds what is open at `path`, or raises `refusal`."""
    with contextlib.ExitStack() as held:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise refusal from error
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            if not held.enter_context(_marked(path)):
                raise type(refusal)(f"{refusal} (so says {_mark(path)}, for this file system has no locks)") from error
        yield


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}.held")


@contextlib.contextmanager
def _marked(path: Path) -> Iterator[bool]:
    """Makes the file that says who holds `path`; gives False if another process has made it and is alive.

    Raises:
        UserError: it is of another machine, whose processes cannot be seen from here.
    """
    mark, content = _mark(path), f"{socket.gethostname()} {os.getpid()}"
    made = _make(mark, content) or (_is_left_behind(mark) and _take_over(mark, content))
    try:
        yield made
    finally:
        if made:
            mark.unlink(missing_ok=True)


def _make(mark: Path, content: str) -> bool:
    """Makes the file, unless it is there."""
    try:
        with mark.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _is_left_behind(mark: Path) -> bool:
    try:
        host, _, number = mark.read_text(encoding="utf-8").partition(" ")
    except FileNotFoundError:
        return True
    if not number.isdecimal():  # being written, or its process died while it was
        return False
    process = int(number)
    if host != socket.gethostname():
        raise UserError(
            f"{mark}: process {process} on {host} is at work there (this file system has no locks): wait for it, or "
            "remove the file if that process has ended"
        )
    return process != os.getpid() and not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_over(mark: Path, content: str) -> bool:
    """Makes the file of a dead process one's own; False if another process was quicker."""
    guard = mark.with_name(f"{mark.name}.taken")
    if not _make(guard, content):
        return False
    try:
        if not _is_left_behind(mark):
            return False
        mark.unlink(missing_ok=True)
        return _make(mark, content)
    finally:
        guard.unlink(missing_ok=True)
