"""The real TensorFlow Serving behind the flags of `amfam-tf serve`: the binary on PATH, else a container.

The process becomes the server (exec): signals and exit status are the server's own. Imports no TensorFlow.
"""

import csv
import io
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from amfam_tf import child_process
from amfam_tf.errors import ConfigError, UserError
from amfam_tf.server.options import ServerOptions
from amfam_tf.server.text_protos import read_text_proto

BINARY = "tensorflow_model_server"
CONTAINER_ENGINES = ("docker", "podman")
IMAGE = "tensorflow/serving:2.21.0"
FLAGS = (
    "port",
    "rest_api_port",
    "model_name",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "file_system_poll_wait_seconds",
    "enable_batching",
    "batching_parameters_file",
    "ssl_config_file",
    "monitoring_config_file",
    "enable_model_warmup",
    "rest_api_timeout_in_ms",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "grpc_socket_path",
    "grpc_channel_arguments",
    "allow_version_labels_for_unavailable_models",
)
"""Those of the options that the real server has too, in the order in which it is given them."""
PATHS = tuple(name for name in FLAGS if name.endswith(("_path", "_file")))
PORTS = ("port", "rest_api_port")


class RealServerError(UserError):
    """There is nothing to start TensorFlow Serving with."""


def become_real_server(
    options: ServerOptions, image: str, more_flags: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    """Replaces this process by the real server; for the arguments see `server_command`.

    Args:
        environment: of the server.

    Raises:
        RealServerError, ConfigError: see `server_command`; or the program cannot be started.
    """
    command = server_command(options, image, more_flags)
    # Python ignores SIGPIPE, and what is ignored stays so in the next program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    child_process.tie_next_program()
    try:
        os.execve(command[0], command, dict(environment))
    except OSError as error:
        raise RealServerError(f"cannot start {command[0]}: {error.strerror}") from error


def server_command(options: ServerOptions, image: str = "", more_flags: Sequence[str] = ()) -> list[str]:
    """Returns the program and its arguments.

    Args:
        image: of a container; given, it is taken even if the binary is there; empty for the binary, else `IMAGE`.
        more_flags: for the real server as they are.

    Raises:
        RealServerError: neither the binary nor a container engine is on PATH.
        ConfigError: a value that the real server cannot take, or a path that cannot be shown to a container.
    """
    flags = [*server_flags(options), *more_flags]
    program = find_program(image)
    if Path(program).name == BINARY:
        if options.bind_address != ServerOptions.bind_address:
            raise ConfigError(
                f"{BINARY} listens on all interfaces: --bind-address can only be used with --engine embedded or a "
                "container (--image)"
            )
        return [program, *flags]
    return [program, *container_words(options), image or IMAGE, *flags]


def find_program(image: str = "", instead: str = "--engine embedded") -> str:
    """Returns the path of what starts the real server: its binary on PATH, else a container engine.

    Args:
        image: of a container; given, the binary is not looked for.
        instead: how the user asks for the embedded server.

    Raises:
        RealServerError: neither is on PATH.
    """
    for name in CONTAINER_ENGINES if image else (BINARY, *CONTAINER_ENGINES):
        program = shutil.which(name)
        if program:
            return program
    engines = f"a container engine ({' or '.join(CONTAINER_ENGINES)})"
    wanted = f"{engines} is not" if image else f"neither {BINARY} nor {engines} is"
    raise RealServerError(f"cannot start TensorFlow Serving: {wanted} on PATH; install one, or use {instead}")


def server_flags(options: ServerOptions) -> list[str]:
    """Returns the options as flags of the real server, paths absolute; those that are not set are left out.

    Raises:
        ConfigError: seconds that are not whole.
    """
    return [f"--{name}={_text(name, getattr(options, name))}" for name in FLAGS if getattr(options, name) != ""]


def container_words(options: ServerOptions) -> list[str]:
    """Returns the words that run a container up to its image: ports published, files at the paths that they have here.

    Raises:
        ConfigError: a file or folder that is not there, a wrong model_config_file, or a socket, which nobody would
            see outside.
    """
    if options.grpc_socket_path:
        raise ConfigError("grpc_socket_path cannot be used with a container: publish its port instead")
    # Without --init the server is process 1 and ends by SIGKILL only: it does not handle SIGTERM.
    address = f"[{options.bind_address}]" if ":" in options.bind_address else options.bind_address
    words = ["run", "--rm", "--init", "--entrypoint", BINARY]
    for name in PORTS:
        port = getattr(options, name)
        words += ["--publish", f"{address}:{port}:{port}"] if port else []
    for path in sorted(set(_local_paths(options))):
        if not Path(path).exists():
            raise ConfigError(f"cannot show {path} to the container: no such file or folder")
        words += ["--mount", _csv("type=bind", f"source={path}", f"target={path}", "readonly")]
    return words


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not value.is_integer():
            raise ConfigError(f"{name} must be a whole number for the real server. Received: {value:g}")
        return str(int(value))
    return _absolute(value) if name in PATHS else str(value)


def _absolute(path: str) -> str:
    return path if _is_remote(path) else str(Path(path).expanduser().resolve())


def _is_remote(path: str) -> bool:
    """Says whether a path is of an object store (gs://, s3://)."""
    return "://" in path


def _local_paths(options: ServerOptions) -> Iterator[str]:
    """Yields the absolute paths that the server reads, those of the models in the configuration file included."""
    paths = [getattr(options, name) for name in PATHS]
    if options.model_config_file:
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

        config = read_text_proto(options.model_config_file, ModelServerConfig)
        paths += [model.base_path for model in config.model_config_list.config]
    yield from (_absolute(path) for path in paths if path and not _is_remote(path))


def _csv(*fields: str) -> str:
    """Returns the value of --mount, which is a line of CSV: a path may hold commas."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
