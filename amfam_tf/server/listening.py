"""Where the gRPC server listens, and with which channel arguments: a TCP port, a Unix socket, or both."""

import os
import socket
import stat
from pathlib import Path
from urllib.parse import quote

import grpc

from amfam_tf.errors import ConfigError
from amfam_tf.server.options import ServerOptions
from amfam_tf.server.status import ServerError

LONGEST_SOCKET_PATH = 107
"""Bytes of a Unix socket's path."""
SECONDS_TO_CONNECT = 5
_STATED_ELSEWHERE = {"grpc.max_receive_message_length": "--max-message-bytes"}


def channel_arguments(options: ServerOptions) -> list[tuple[str, int | str]]:
    """Returns the arguments of the gRPC server; those of the flag come before our own.

    Raises:
        ConfigError: the flag is no list of KEY=VALUE, or names what another flag says.
    """
    arguments: dict[str, int | str] = {
        "grpc.max_receive_message_length": options.max_message_bytes,
        "grpc.max_send_message_length": -1,
        # Without it, a second server could listen on the same port and take half of the requests.
        "grpc.so_reuseport": 0,
    }
    for word in filter(None, options.grpc_channel_arguments.split(",")):
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ConfigError(f"grpc_channel_arguments must be KEY=VALUE[,KEY=VALUE...]. Received: {word}")
        if key in _STATED_ELSEWHERE:
            raise ConfigError(f"grpc_channel_arguments cannot hold {key}: use {_STATED_ELSEWHERE[key]}")
        arguments[key] = int(value) if value.removeprefix("-").isdecimal() and value.isascii() else value
    return list(arguments.items())


def listen(server: grpc.Server, options: ServerOptions, credentials: grpc.ServerCredentials | None) -> None:
    """Adds port and socket to a server that is not yet started.

    Args:
        credentials: of both; None for plain text.

    Raises:
        ServerError: one of them cannot be listened on.
    """
    reason = "the address is in use" + (", or key and certificate do not fit" if credentials else "")
    if options.port:
        try:
            _add(server, f"{options.bind_address}:{options.port}", credentials)
        except RuntimeError as error:
            raise cannot_listen("port", options.port, reason) from error
    if options.grpc_socket_path:
        _make_way(Path(options.grpc_socket_path))
        try:
            _add(server, f"unix:{quote(options.grpc_socket_path)}", credentials)
        except RuntimeError as error:
            raise ServerError(f"cannot listen on grpc_socket_path {options.grpc_socket_path}: {reason}") from error


def cannot_listen(option: str, port: int, reason: str | None) -> ServerError:
    """Returns the error for a port that cannot be had."""
    return ServerError(f"cannot listen on {option} {port}: {reason or 'the address is in use'}; choose another port")


def _add(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    if credentials is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, credentials)


def _make_way(path: Path) -> None:
    """Removes the socket of a server that has ended without removing it.

    Raises:
        ServerError: somebody listens there, something else stands there, or no socket can be there.
    """
    refusal = f"cannot listen on grpc_socket_path {path}: "
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ServerError(f"{refusal}a socket's path has at most {LONGEST_SOCKET_PATH} bytes")
    try:
        if not path.parent.is_dir():
            raise ServerError(f"{refusal}there is no folder {path.parent}")
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ServerError(f"{refusal}what stands there is no socket")
        if _is_listened_to(path):
            raise ServerError(f"{refusal}another server listens there")
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ServerError(f"{refusal}{error.strerror}") from error


def _is_listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS_TO_CONNECT)
        try:
            connection.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except TimeoutError:
            return True
        return True
