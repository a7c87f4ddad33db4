"""A process that dies at a chosen write: what follows of it never happens, and half of the file is left behind."""

import os
from pathlib import Path

import pytest

from amfam_tf.files.writing import PARTIAL


class Killed(BaseException):
    """Stands for the process's sudden end: no `except Exception` may catch it."""


def die_at_write(monkeypatch: pytest.MonkeyPatch, name: str, occurrence: int = 0) -> None:
    """Raises Killed when a file is about to get this name for the first time, or a later one (counted from 0)."""
    left, replace = [occurrence], os.replace

    def dying(source, target):
        if Path(target).name == name:
            if left[0] == 0:
                Path(source).with_name(f"{PARTIAL}00000000-{name}").write_bytes(b"half")
                raise Killed
            left[0] -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", dying)
