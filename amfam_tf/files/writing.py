"""The one way to write a file or a folder: at any moment it is the old one or the new one, whole.

Also after a power cut: what is being written has a hidden name beside its own, is flushed to the disk, and is renamed;
then the folder is flushed that holds the name.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from amfam_tf.errors import UserError
from amfam_tf.files.locks import locked_folder

PARTIAL = ".partial-"
"""Begins the name of what is being written, or what a killed process has left behind."""
LETTERS = 50
"""Of a name, at most, in that of the partial file: a file system takes 255 bytes."""
THREADS = 8
"""Flush at a time: a disk takes many files together almost as fast as one."""
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


def write_text(path: Path, text: str, refusal: type[UserError] | None = None) -> None:
    """Writes `text` to `path` as UTF-8, see `writing`."""
    write_bytes(path, text.encode("utf-8"), refusal)


def write_bytes(path: Path, content: bytes, refusal: type[UserError] | None = None) -> None:
    """Writes `content` to `path`, see `writing`."""
    with writing(path, refusal) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def writing(path: Path, refusal: type[UserError] | None = None, parents: bool = True) -> Iterator[Path]:
    """Gives a path to write a file to that becomes `path` when the body ends; an error leaves what was there.

    It ends as `path` does, for libraries that go by a suffix, and is another one for everybody who writes `path` at the
    same time. A link is replaced, not followed.

    Args:
        path: of the file.
        refusal: what to raise instead of an OSError.
        parents: make the folder; False where one that is gone is to stay so.

    Raises:
        UserError: a `refusal`, "cannot write PATH: REASON".
        OSError: it cannot be written, and there is no `refusal`.
    """
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name[-LETTERS:]}")
    try:
        if parents:
            with contextlib.suppress(FileExistsError):  # be it a folder or not: who opens the file says it better
                path.parent.mkdir(parents=True)
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        if refusal is not None:
            raise refusal(f"cannot write {path}: {error.strerror or error}") from error
        if error.errno is not None and error.filename in (None, str(partial)):
            error.filename = str(path)  # the name that people know
        raise
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is what has to be said
            partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Removes what killed processes have left of files of a folder.

    Args:
        folder: of the files.
        name: of the one file that is meant, or a pattern. Nobody else may be writing it: the caller holds a lock.
    """
    for leftover in folder.glob(f"{PARTIAL}????????-{name}"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def appearing_folder(out: Path, in_use: UserError) -> Iterator[Path]:
    """Gives an empty folder that becomes `out` when the body ends; an error removes it.

    What a process that was killed has left behind is removed first.

    Args:
        out: where nothing is yet.
        in_use: to raise if another process is at work on it.

    Raises:
        UserError: `in_use`; or, of its class, that `out` has appeared meanwhile.
        OSError: the folder cannot be made.
    """
    partial = out.with_name(f"{PARTIAL}{out.name}")
    # A name of its own: a worker that outlives its killed pipeline by seconds must not write among our files.
    folder = partial / uuid.uuid4().hex
    partial.mkdir(parents=True, exist_ok=True)
    with locked_folder(partial, in_use):
        try:
            for entry in partial.iterdir():
                remove(entry)
            folder.mkdir()
            yield folder
            put_in_place(folder, out, type(in_use))
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: Path, target: Path, refusal: type[UserError]) -> None:
    """Gives a complete folder its name, in one step and for good.

    Raises:
        UserError: a `refusal`: there is something of that name.
        OSError: it cannot be.
    """
    # First the content, then the name: after a power cut there must be no folder with half of its bytes.
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_flush, [*partial.rglob("*"), partial]))
    if target.exists():  # an empty folder would be replaced without a word
        raise refusal(f"{target} appeared in the meantime: try again")
    partial.rename(target)
    _flush(target.parent)


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A file system without this, for folders or at all, promises nothing that one could wait for.
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(descriptor)
