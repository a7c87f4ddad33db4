"""Disks that are full or read-only: a small tmpfs where the test may mount one, else what comes near."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A disk for a test.

    Attributes:
        folder: on it.
        reason: what the system says when it cannot be written.
        kind: what stands for it.
    """

    folder: Path
    reason: str
    kind: str


def _mount(folder: Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(words, capture_output=True).returncode == 0
    return False


@contextlib.contextmanager
def full_disk(folder: Path, kilobytes: int, of_one_file: bool = True) -> Iterator[Disk]:
    """Gives a disk that is full after some kilobytes.

    Without the right to mount, it is a limit on the size of each file instead, which any process may set for itself;
    and if no single file is as large as that (`of_one_file` is false), the test is skipped.
    """
    folder.mkdir()
    if _mount(folder, f"size={kilobytes}k"):
        try:
            yield Disk(folder, "No space left on device", "tmpfs")
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    if not of_one_file:
        pytest.skip("needs the right to mount a tmpfs")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, limits[1]))
    try:
        yield Disk(folder, "File too large", "limit of the size of a file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def read_only_disk(folder: Path) -> Iterator[Disk]:
    """Gives a disk that cannot be written; without the right to mount, a folder without the right to write."""
    folder.mkdir()
    if _mount(folder, "size=16k,ro"):
        try:
            yield Disk(folder, "Read-only file system", "tmpfs")
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    if os.geteuid() == 0:
        pytest.skip("needs the right to mount a tmpfs: root writes whatever the mode of a folder")
    folder.chmod(0o500)
    try:
        yield Disk(folder, "Permission denied", "folder without the right to write")
    finally:
        folder.chmod(0o700)
