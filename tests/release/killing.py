"""Dies at a chosen moment: the n-th time that this process touches a file below a folder.

Works in the process of the test. From that moment on nothing below the folder can be opened for writing, renamed, made
or removed any more, so that no clean-up runs that a killed process would not run either; and a file that was about to
be written has half of a line in it.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Killed(BaseException):
    """The process has died."""


class _Watch:
    """What the audit hook, which stays in the process for good, looks at."""

    folders: tuple[str, ...] = ()
    moment: int | None = None
    seen = 0
    installed = False
    inside = False


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        path, mode, flags = arguments
        changes = bool(flags & WRITING) or (isinstance(mode, str) and mode.strip("rbt") != "")
        return changes and _is_below(path)
    return event in CHANGES and any(_is_below(path) for path in arguments[:2])


def _is_below(path: Any) -> bool:
    return isinstance(path, str | os.PathLike) and str(path).startswith(_Watch.folders)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _Watch.folders or _Watch.inside or not _is_change(event, arguments):
        return
    _Watch.seen += 1
    if _Watch.moment is None or _Watch.seen < _Watch.moment:
        return
    if _Watch.seen == _Watch.moment and event == "open":
        _Watch.inside = True
        with contextlib.suppress(OSError):
            Path(arguments[0]).write_text("half a li")
        _Watch.inside = False
    raise Killed(f"at change {_Watch.moment}: {event} {arguments[0]}")


@contextlib.contextmanager
def killed_at(moment: int | None, *folders: Path) -> Iterator[type[_Watch]]:
    """Dies at a change below the folders in the body; None only counts. The changes are in `.seen` afterwards."""
    if not _Watch.installed:
        sys.addaudithook(_hook)
        _Watch.installed = True
    _Watch.seen, _Watch.moment = 0, moment
    _Watch.folders = tuple(str(folder) for folder in folders)
    try:
        yield _Watch
    finally:
        _Watch.folders = ()
