"""Versions on disk: which folders there are, and which of them the policy wants to be served."""

import logging
import os
from pathlib import Path

from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
Fingerprint = tuple[tuple[str, int, int], ...]
HIGHEST_VERSION = 2**63 - 1

_log = logging.getLogger(__name__)


def find_versions(name: str, base_path: Path) -> dict[int, Path] | None:
    """Returns version -> folder for the children of a base path whose names are numbers; others are ignored.

    Returns None, with a line in the log, if the base path cannot be read: that says nothing about its versions.
    """
    try:
        children = sorted(child for child in base_path.iterdir() if child.is_dir())
    except OSError as error:
        _log.warning("Could not find base path %s for servable %s: %s", base_path, name, error.strerror)
        return None
    numbers = (child for child in children if child.name.isascii() and child.name.isdigit())
    found = {int(child.name): child for child in numbers if int(child.name) <= HIGHEST_VERSION}
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
    """Returns name, size and time of change of every file of a version: it differs once the version is changed."""
    files = []
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder) / name
            try:
                information = file.stat()
            except OSError:
                continue
            files.append((str(file), information.st_size, information.st_mtime_ns))
    return tuple(sorted(files))
