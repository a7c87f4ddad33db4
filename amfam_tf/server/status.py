"""Errors on their way to a client: one status code and one message for gRPC and REST alike."""

import re

import grpc
import tensorflow as tf

from amfam_tf.errors import UserError, one_line

LONGEST_MESSAGE = 1024
TRUNCATED = "...TRUNCATED"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_OTHER_HTTP_STATUS = 500
_PYTHON_PREFIX = "Graph execution error:\n\n"
_FUNCTION_MARK = re.compile(r"\{\{function_node [^}]*\}\} ?")


class ServerError(UserError):
    """The server cannot start or go on: a port, a model or a file that cannot be used."""


class ServingError(Exception):
    """What a client is told when a request cannot be answered.

    Attributes:
        code: gRPC's status code.
        message: the whole text; cut to 1024 characters only when it is sent.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        # Names of files that are not UTF-8 hold what no message to a client can.
        message = message.encode(errors="backslashreplace").decode()
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """HTTP's status for this error."""
        return _HTTP_STATUS.get(self.code, _OTHER_HTTP_STATUS)


def invalid_argument(message: str) -> ServingError:
    """Returns the error for a request that cannot be right whatever the server holds."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> ServingError:
    """Returns the error for a request that this server's present state does not allow."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_found(message: str) -> ServingError:
    """Returns the error for a model or version that is not there."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def deadline_exceeded() -> ServingError:
    """Returns the error for a request whose time is over."""
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


def from_exception(error: BaseException) -> ServingError:
    """Returns any error as one for the client: TensorFlow's status and message, NOT_FOUND for files, else INTERNAL.

    An error of TensorFlow whose text is not UTF-8 is INVALID_ARGUMENT.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), _without_notes(error.message))
    if isinstance(error, UnicodeDecodeError):
        # TensorFlow's Python layer loses status and text of an error that quotes a request's bytes.
        return invalid_argument(_without_notes(error.object.decode(errors="replace")))
    if isinstance(error, MemoryError):
        return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "not enough memory for this request")
    message = one_line(error)
    if isinstance(error, OSError):
        return not_found(message)
    return ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {message}")


def truncate(message: str) -> str:
    """Returns a message as it is sent: at most 1024 characters and a mark that it was cut."""
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + TRUNCATED


def _without_notes(message: str) -> str:
    """Returns the kernel's own words, without what TensorFlow's Python layer adds around them."""
    return _FUNCTION_MARK.sub("", message.removeprefix(_PYTHON_PREFIX)).strip()
