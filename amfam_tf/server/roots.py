"""Which folders may be served: those below the roots of the start, links and `..` resolved."""

import functools
import os
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from amfam_tf.errors import ConfigError
from amfam_tf.server.options import ServerOptions
from amfam_tf.server.status import ServingError, failed_precondition
from amfam_tf.server.versions import walk

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def read_roots(options: ServerOptions, config: ModelServerConfig) -> "Roots":
    """Returns the roots that the flags name, else the base paths of the first configuration.

    Raises:
        ConfigError: a root that is no folder.
    """
    folders = [Path(folder).expanduser() for folder in options.model_roots]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"model_roots must name folders; there is none at {folder}")
    base_paths = [model.base_path for model in config.model_config_list.config]
    return Roots(folders or [path for path in base_paths if "\0" not in path])


class Roots:
    """The folders below which models are served.

    Args:
        folders: what they are now decides, not what a link among them points to later.
    """

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self._folders = tuple(Path(os.path.realpath(folder)) for folder in folders)

    def covers(self, path: str | Path) -> bool:
        """Says whether a path is one of the roots or below one."""
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(folder) for folder in self._folders)

    def check_config(self, config: ModelServerConfig, seconds: float) -> None:
        """Refuses a configuration with a base path outside of the roots.

        Args:
            seconds: how long the file systems may take to resolve the paths.

        Raises:
            ServingError: PERMISSION_DENIED, or DEADLINE_EXCEEDED if a file system does not answer.
        """
        for model in config.model_config_list.config:
            if not _within(seconds, functools.partial(self.covers, model.base_path), model.base_path):
                raise _denied(
                    f"base path {model.base_path} of model {model.name} is not below a folder that this server was "
                    "started for (--model-roots)"
                )

    def check_version(self, folder: Path) -> None:
        """Refuses a version that leads out of the roots, or that holds anything but files and folders.

        Raises:
            ServingError: PERMISSION_DENIED for a link to another place; FAILED_PRECONDITION for a FIFO, a socket or a
                device, which could hold up whoever opens it.
        """
        self._check_link(folder)
        for path, information in walk(folder):
            if path.is_symlink():
                self._check_link(path)
            if not (stat.S_ISREG(information.st_mode) or stat.S_ISDIR(information.st_mode)):
                kind = _KINDS.get(stat.S_IFMT(information.st_mode), "no file")
                raise failed_precondition(f"{path} is {kind}: a version holds files and folders only")

    def _check_link(self, path: Path) -> None:
        if not self.covers(path):
            raise _denied(
                f"{path} leads to {os.path.realpath(path)}, which is not below a folder that this server was started "
                "for (--model-roots)"
            )


def _denied(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.PERMISSION_DENIED, message)


def _within(seconds: float, function: Callable[[], Any], path: str) -> Any:
    """Returns the function's result, or raises DEADLINE_EXCEEDED if it takes longer: it may never end."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), name="resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED, f"the file system did not resolve base path {path} within {seconds:g} s"
        )
    return results[0]
