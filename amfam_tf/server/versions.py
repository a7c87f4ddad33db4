"""Versions on disk: which folders there are, and which of them the policy wants to be served.

Nothing here opens a file: what stands in a folder may be a FIFO or a device.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy: TypeAlias = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
Fingerprint = tuple[tuple[str, int, int, int], ...]
HIGHEST_VERSION = 2**63 - 1

_log = logging.getLogger(__name__)


def find_versions(name: str, base_path: Path) -> dict[int, Path] | None:
    """Returns version -> folder for the children of a base path whose names are numbers; others are ignored.

    Returns None, with a line in the log, if the base path cannot be read: that says nothing about its versions.
    """
    try:
        with os.scandir(base_path) as entries:
            numbers = sorted(entry.name for entry in entries if _is_number(entry.name) and _is_folder(entry))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        _log.warning("Could not find base path %s for servable %s: %s", base_path, name, reason)
        return None
    found = {int(number): base_path / number for number in numbers if int(number) <= HIGHEST_VERSION}
    if not found:
        _log.warning(
            "No versions of servable %s found under base path %s. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?",
            name,
            base_path,
        )
    return found


def aspired_versions(name: str, found: dict[int, Path], policy: Policy) -> dict[int, Path]:
    """Returns the versions that the policy asks for: the latest one by default."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return dict(found)
    if kind == "specific":
        for version in set(policy.specific.versions) - set(found):
            _log.warning(
                "Version %d of servable %s, which was requested to be served as a 'specific' version in the "
                "servable's version policy, was not found in the file system",
                version,
                name,
            )
        return {version: path for version, path in found.items() if version in policy.specific.versions}
    count = max(policy.latest.num_versions, 1)
    return {version: found[version] for version in sorted(found)[-count:]}


def fingerprint(path: Path) -> Fingerprint:
    """Returns name, size and times of change of all that a version holds: it differs once the version is changed."""
    return tuple(
        sorted(
            (str(file), information.st_size, information.st_mtime_ns, information.st_ctime_ns)
            for file, information in walk(path)
        )
    )


def walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yields path and state of all that a folder holds, folders too, links followed, each folder once.

    What cannot be looked at (a link to nothing or in a circle, a folder without permission) is left out.
    """
    waiting, seen = [folder], set()
    while waiting:
        for path in _children(waiting.pop()):
            try:
                information = path.stat()
            except OSError:
                continue
            yield path, information
            identity = information.st_dev, information.st_ino
            if stat.S_ISDIR(information.st_mode) and identity not in seen:
                seen.add(identity)
                waiting.append(path)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle, or one that may not be followed.
        return False
