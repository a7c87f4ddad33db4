"""Two ways to a server's Predict: gRPC and REST. Both give arrays by name and try again when it is unavailable."""

import base64
import dataclasses
import http.client
import json
import random
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import numpy as np

from amfam_tf.client import address as addresses
from amfam_tf.client import proxies, wire
from amfam_tf.errors import QueryError
from amfam_tf.limits import MAX_MESSAGE_BYTES, MEBIBYTE

Inputs = Mapping[str, Sequence[bytes] | Sequence[float]]
Result = TypeVar("Result")

LONGEST_ANSWER_BYTES = 256 * MEBIBYTE
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Seconds between attempts: doubled from the first up to the longest, each shortened by chance."""
RETRIED_STATUS = 503
TOO_MUCH = ("RESOURCE_EXHAUSTED", "413", "429")
"""How a server says that a request is too large, or that it has no room for one now."""
_TOO_LONG = re.compile(r"^(?!CLIENT:).*(?:larger than max|longer than \d+ bytes)")
REQUEST_BYTES, VALUE_BYTES = 1024, 32
"""At most what a request has beside its values and the model's name, and beside each value; a number is within it."""
USUAL_INPUTS, INPUT_BYTES = 4, 128
"""Inputs that are within REQUEST_BYTES, and at most what each further one has beside its values."""
TEXT_INPUTS = ("task", "class_name", "anything")
PORTS = {"gRPC": 8500, "REST": 8501}
MODEL = "amfam"
DIRECT = proxies.Route()


@dataclass(frozen=True)
class Connection:
    """Where a model is served, and how patiently to ask.

    Attributes:
        server: host:port.
        model: its name there.
        version: its version; None for the latest.
        timeout: seconds for one request, all attempts together.
        attempts: how often to try while the server is unavailable; at least 1.
        tls: encrypt; implied by any of the three files.
        ca: PEM file of the authority that signed the server's certificate; None for the system's.
        certificate, key: PEM files of the client, for mutual TLS.
        max_message_bytes: longest request to send; the server's own limit by default.
    """

    server: str = f"localhost:{PORTS['gRPC']}"
    model: str = MODEL
    version: int | None = None
    timeout: float = 30.0
    attempts: int = 5
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def is_encrypted(self) -> bool:
        """Says whether TLS is used."""
        return self.tls or any((self.ca, self.certificate, self.key))


class Unavailable(Exception):
    """An attempt that may be repeated."""


class Refused(QueryError):
    """The server's own refusal.

    Attributes:
        status: name of gRPC's code or number of REST's.
        details: its message in full.
    """

    def __init__(self, text: str, status: str, details: str):
        super().__init__(text)
        self.status = status
        self.details = details


class Transport(Protocol):
    """A connection that predicts.

    Attributes:
        route: how it reaches the server.
    """

    route: proxies.Route

    def predict(
        self, signature: str, inputs: Inputs, version: int | None = None
    ) -> tuple[dict[str, np.ndarray], int | None]:
        """Returns the outputs by name, and the version that answered where that is known.

        Args:
            version: to ask; None for the connection's.

        Raises:
            QueryError: no answer; says why.
        """

    def request_bytes(self, inputs: Inputs) -> int:
        """Returns how long a request with these inputs is at most."""

    def close(self) -> None:
        """Ends the connection."""


def with_attempts(attempt: Callable[[float], Result], connection: Connection, route: proxies.Route = DIRECT) -> Result:
    """Returns what `attempt(seconds left)` returns, repeated while it raises Unavailable.

    Raises:
        QueryError: all attempts or all the time is used up.
    """
    end = time.monotonic() + connection.timeout
    for number in range(connection.attempts):
        try:
            return attempt(end - time.monotonic())
        except Unavailable as error:
            reason = str(error)
        wait = min(FIRST_WAIT * 2**number, LONGEST_WAIT) * random.uniform(0.5, 1)
        if number + 1 == connection.attempts or time.monotonic() + wait >= end:
            break
        time.sleep(wait)
    tried = f"{number + 1} attempts" if number else "1 attempt"
    raise QueryError(f"{connection.server} is unavailable after {tried}: {reason}{route.describe()}")


def _late(connection: Connection, route: proxies.Route) -> QueryError:
    within = f"within {connection.timeout:g} s: see --timeout"
    return QueryError(f"{connection.server} gave no answer {within}{route.describe()}")


def _refused(connection: Connection, status: str, reason: str, details: str) -> Refused:
    hint = ": see --max-message-bytes of the server" if _TOO_LONG.search(details) else ""
    text = f"{connection.server} refused: {status}{reason and ' ' + reason}: {' '.join(details.split())}{hint}"
    return Refused(text, status, details)


def _address(connection: Connection, rest: bool) -> str:
    port = PORTS["REST" if rest else "gRPC"]
    return addresses.check(connection.server, rest, port, connection.is_encrypted)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise QueryError(f"cannot read {path}: {error.strerror}") from error


class GrpcTransport:
    """PredictionService.Predict over gRPC."""

    def __init__(self, connection: Connection):
        self._connection = connection
        address = _address(connection, rest=False)
        self.route = proxies.route_to(address)
        options = [
            ("grpc.max_receive_message_length", LONGEST_ANSWER_BYTES),
            ("grpc.max_send_message_length", -1),
            # Otherwise an attempt would be answered from the memory of a failed one.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", int(1000 * FIRST_WAIT)),
            *proxies.channel_options(self.route),
        ]
        if connection.is_encrypted:
            pems = {"root_certificates": connection.ca, "private_key": connection.key}
            pems["certificate_chain"] = connection.certificate
            credentials = grpc.ssl_channel_credentials(**{name: _read(path) for name, path in pems.items()})
            self._channel = grpc.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._call = self._channel.unary_unary(
            wire.PREDICT_METHOD,
            request_serializer=wire.PredictRequest.SerializeToString,
            response_deserializer=wire.PredictResponse.FromString,
        )

    def predict(
        self, signature: str, inputs: Inputs, version: int | None = None
    ) -> tuple[dict[str, np.ndarray], int | None]:
        """See Transport."""
        request = wire.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._connection.model, signature
        version = self._connection.version if version is None else version
        if version is not None:
            request.model_spec.version.value = version
        for name, values in inputs.items():
            request.inputs.add(key=name, value=wire.tensor(values))
        return self.send(request)

    def send(self, request: Any) -> tuple[dict[str, np.ndarray], int | None]:
        """Returns the outputs of a whole `wire.PredictRequest` by name, and the version that answered.

        Raises:
            QueryError: as `predict`.
        """
        response = with_attempts(lambda seconds: self._attempt(request, seconds), self._connection, self.route)
        try:
            outputs = {entry.key: wire.to_array(entry.value) for entry in response.outputs}
        except ValueError as error:
            raise QueryError(f"{self._connection.server} gave an answer that cannot be read: {error}") from error
        spec = response.model_spec
        return outputs, spec.version.value if spec.HasField("version") else None

    def request_bytes(self, inputs: Inputs) -> int:
        """See Transport."""
        return _request_bytes(self._connection, inputs, lambda count: count)

    def _attempt(self, request: Any, seconds: float) -> Any:
        try:
            return self._call(request, timeout=seconds)
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            if code is grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(" ".join(details.split())) from error
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _late(self._connection, self.route) from error
            raise _refused(self._connection, code.name, "", details) from error

    def close(self) -> None:
        """See Transport."""
        self._channel.close()


class RestTransport:
    """POST /v1/models/MODEL[/versions/N]:predict."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._address = _address(connection, rest=True)
        self.route = proxies.route_to(self._address, rest=True)
        version = "" if connection.version is None else f"/versions/{connection.version}"
        self._path = f"/v1/models/{urllib.parse.quote(connection.model, safe='')}{version}:predict"
        self._context = _ssl_context(connection) if connection.is_encrypted else None

    def predict(
        self, signature: str, inputs: Inputs, version: int | None = None
    ) -> tuple[dict[str, np.ndarray], int | None]:
        """See Transport; REST does not say which version answers."""
        if version not in (None, self._connection.version):
            return RestTransport(dataclasses.replace(self._connection, version=version)).predict(signature, inputs)
        columns = {name: [_json_value(name, value) for value in values] for name, values in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        answer = with_attempts(lambda seconds: self._attempt(body, seconds), self._connection, self.route)
        try:
            outputs = {name: np.asarray(value) for name, value in answer["outputs"].items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise QueryError(f"{self._connection.server} gave JSON without outputs by name: is it a model?") from error
        return outputs, self._connection.version

    def request_bytes(self, inputs: Inputs) -> int:
        """See Transport."""
        return _request_bytes(self._connection, inputs, lambda count: 4 * -(-count // 3))

    def _attempt(self, body: bytes, seconds: float) -> dict[str, Any]:
        try:
            response, content = self._exchange(body, max(seconds, 1e-3))
        except TimeoutError as error:
            raise _late(self._connection, self.route) from error
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or error
            raise QueryError(
                f"{self._connection.server}: no TLS connection: {reason}{self.route.describe()}"
            ) from error
        except OSError as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        except http.client.HTTPException as error:
            raise QueryError(f"{self._connection.server} does not answer in HTTP: is it a REST port?") from error
        return self._parse(response.status, response.reason, content)

    def _exchange(self, body: bytes, seconds: float) -> tuple[http.client.HTTPResponse, bytes]:
        """Returns the response to a request on a connection of its own, and its content."""
        server: http.client.HTTPConnection
        if self._context:
            server = http.client.HTTPSConnection(self._address, timeout=seconds, context=self._context)
        else:
            server = http.client.HTTPConnection(self._address, timeout=seconds)
        try:
            try:
                server.request("POST", self._path, body, {"Content-Type": "application/json"})
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a long body may answer and close before it has read all of it.
                response = _early_answer(server)
                if response is None:
                    raise
            else:
                response = server.getresponse()
            return response, response.read()
        finally:
            server.close()

    def _parse(self, status: int, reason: str, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise QueryError(f"{self._connection.server} gave no JSON (status {status}): is it a REST port?") from error
        details = str(answer.get("error", "")) if isinstance(answer, dict) else ""
        if status == RETRIED_STATUS:
            raise Unavailable(details or reason)
        if status == http.HTTPStatus.GATEWAY_TIMEOUT:
            raise _late(self._connection, self.route)
        if status != http.HTTPStatus.OK:
            raise _refused(self._connection, str(status), reason, details)
        return answer

    def close(self) -> None:
        """See Transport; each request has a connection of its own."""


def _early_answer(server: http.client.HTTPConnection) -> http.client.HTTPResponse | None:
    """Returns what a server has answered to a request that it did not read to its end; None if nothing."""
    try:
        response = http.client.HTTPResponse(server.sock, method="POST")
        response.begin()
    except (OSError, http.client.HTTPException, AttributeError):
        return None
    return response


def _request_bytes(connection: Connection, inputs: Inputs, written: Callable[[int], int]) -> int:
    """Returns how long a request is at most; `written` is how long so many bytes of a value are in it."""
    values = [value for column in inputs.values() for value in column]
    # A character of the name may take six bytes more than one in JSON.
    named = REQUEST_BYTES + 8 * len(connection.model) + INPUT_BYTES * max(0, len(inputs) - USUAL_INPUTS)
    return named + sum(VALUE_BYTES + (written(len(value)) if isinstance(value, bytes) else 0) for value in values)


def _json_value(name: str, value: bytes | float) -> Any:
    """Returns numbers and text as they are and an image file in base64, as TensorFlow Serving asks for."""
    if not isinstance(value, bytes):
        return value
    return value.decode() if name in TEXT_INPUTS else {"b64": base64.b64encode(value).decode("ascii")}


def _ssl_context(connection: Connection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=connection.ca)
        if connection.certificate:
            context.load_cert_chain(connection.certificate, connection.key)
    except (OSError, ssl.SSLError) as error:
        raise QueryError(f"cannot use the TLS files: {error.strerror or error}") from error
    return context
