"""The REST API and the metrics page, over the standard library's HTTP server.

`http.server` with one thread per connection is enough here: TensorFlow releases the GIL, the number of
connections and the length of every part of a request are limited, and no web framework is among the project's
dependencies.
"""

import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from amfam_tf.serving.server import json_tensors
from amfam_tf.serving.server.admission import Admission
from amfam_tf.serving.server.manager import ModelManager
from amfam_tf.serving.server.metrics import RequestMetrics
from amfam_tf.serving.server.model_status import SIGNATURE_DEF, get_model_metadata, get_model_status
from amfam_tf.serving.server.predict import predict_arrays
from amfam_tf.serving.server.servable import DEFAULT_SIGNATURE
from amfam_tf.serving.server.status import ServingError, from_exception, invalid_argument, out_of_scope, truncate

MOST_CONNECTIONS = 256
SOCKET_TIMEOUT_SECONDS = 60
DISCARD_SECONDS = 10
SECONDS_TO_NOTICE_THE_END = 0.05
CHUNK_BYTES = 1 << 16
HIGHEST_VERSION = 2**63 - 1
JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"
_MODEL = r"(?i)/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT_PATH = re.compile(_MODEL + r":(?P<method>classify|regress|predict)")
_STATUS_PATH = re.compile(_MODEL + r"(?:/(?P<metadata>metadata))?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """Status, media type and body of an answer."""

    body: bytes
    status: int = 200
    media_type: str = JSON_TYPE


class RestApi:
    """Answers requests; knows nothing of sockets.

    Args:
        metrics_path: path of the metrics page, "" for none.
        timeout_ms: longest run of a prediction, in milliseconds.
        max_message_bytes: longest body and largest input tensor.
    """

    def __init__(
        self,
        manager: ModelManager,
        metrics: RequestMetrics,
        admission: Admission,
        metrics_path: str,
        timeout_ms: int,
        max_message_bytes: int,
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._admission = admission
        self._metrics_path = metrics_path
        self._timeout_ms = timeout_ms
        self.max_message_bytes = max_message_bytes

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        """Returns the reply to a request; errors become {"error": "..."}."""
        path = urlsplit(target).path
        try:
            if self._metrics_path and path == self._metrics_path:
                return Reply(self._metrics.page(), media_type=TEXT_TYPE)
            if not path.lower().startswith("/v1/"):
                return error_reply(f"Not found: {path}", 404)
            return Reply(self._route(method, path, body))
        except ServingError as error:
            return error_reply(error.message, error.http_status)
        except Exception as error:
            _log.exception("Answering %s %s failed", method, path)
            failure = from_exception(error)
            return error_reply(failure.message, failure.http_status)

    def _route(self, method: str, path: str, body: bytes) -> bytes:
        match = {"POST": _PREDICT_PATH, "GET": _STATUS_PATH}.get(method, re.compile(r"(?!)")).fullmatch(path)
        if match is None or (method == "POST" and match["name"] is None):
            raise invalid_argument(f"Malformed request: {method} {path}")
        if match["name"] is None:
            raise invalid_argument("Missing model name in request.")
        spec = _model_spec(match)
        if method == "GET":
            return self._metadata(spec) if match["metadata"] else self._status(spec)
        verb = match["method"].lower()
        if verb != "predict":
            raise out_of_scope(verb.capitalize())
        return self._measured_predict(spec, body)

    def _measured_predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        started = time.perf_counter()
        status = grpc.StatusCode.OK
        try:
            with self._admission.prediction():
                return self._predict(spec, body)
        except Exception as error:
            status = from_exception(error).code
            raise
        finally:
            microseconds = (time.perf_counter() - started) * 1e6
            self._metrics.record(spec.name, status.name, "predict", "REST", microseconds)

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        document, signature = json_tensors.parse_body(body)
        with self._manager.lease(spec) as lease:
            name = signature or DEFAULT_SIGNATURE
            if not lease.servable.has_signature(name):
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            infos = lease.servable.signatures[name].inputs
            if not infos:
                raise invalid_argument(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
            request = predict_pb2.PredictRequest(model_spec=spec)
            request.model_spec.signature_name = name
            tensors, row_form = json_tensors.to_tensors(document, infos)
            for alias, tensor in tensors.items():
                request.inputs[alias].CopyFrom(tensor)
            outputs = predict_arrays(lease.servable, request, self.max_message_bytes, self._timeout_ms)
        return json_tensors.to_json(outputs, row_form)

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        response = get_model_status(self._manager, get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        return _json(_as_dict(response))

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        response = get_model_metadata(self._manager, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        document = {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {SIGNATURE_DEF: _as_dict(signatures)},
        }
        return _json(document)


class RestServer:
    """Listens, and hands every request to the API.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, api: RestApi, admission: Admission, address: str, port: int) -> None:
        self._server = _HttpServer((address, port), api, admission)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SECONDS_TO_NOTICE_THE_END,), name="rest", daemon=True
        )
        self._thread.start()

    def stop_accepting(self) -> None:
        """Closes the port; requests in flight go on, and their connections close after them."""
        self._server.draining = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def close(self) -> None:
        """Closes the connections that are still open."""
        self._server.close_connections()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: RestApi, admission: Admission) -> None:
        self.api = api
        self.admission = admission
        self.draining = False
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            full = len(self._connections) >= MOST_CONNECTIONS
            if not full:
                self._connections.add(request)
        if not full:
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.settimeout(1)
            request.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request
        _log.debug("Connection from %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "amfam-tf"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_SECONDS
    disable_nagle_algorithm = True

    def handle_request(self) -> None:
        """Answers one request, whatever its method."""
        self.server.admission.call_opened()
        try:
            try:
                body = self._read_body()
            except ServingError as error:
                self.close_connection = True
                reply = error_reply(error.message, error.http_status)
            else:
                reply = self.server.api.answer(self.command, self.path, body)
            self._write(reply)
        finally:
            self.server.admission.call_closed()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = handle_request

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no HTTP request."""
        del explain
        self.close_connection = True
        # What cannot be read as a request has no version that says how to answer it.
        self.request_version = self.protocol_version
        self._write(error_reply(message or "Bad request", code))

    def log_message(self, format: str, *values: Any) -> None:
        _log.debug(format, *values)

    def _read_body(self) -> bytes:
        """Returns the request's body.

        Raises:
            ServingError: it is too long, or not sent in a way that this server reads.
        """
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise invalid_argument(f"Content-Encoding {self.headers['Content-Encoding']} is not supported")
        if "Transfer-Encoding" in self.headers:
            if self.headers["Transfer-Encoding"].lower() != "chunked":
                raise invalid_argument(f"Transfer-Encoding {self.headers['Transfer-Encoding']} is not supported")
            return self._read_chunks()
        text = self.headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit()):
            raise invalid_argument(f"Content-Length {text} is not a number")
        length = int(text)
        if length > self.server.api.max_message_bytes:
            self._discard(length)
            raise self._too_long()
        body = self.rfile.read(length)
        if len(body) < length:
            raise invalid_argument(f"the body ended after {len(body)} of {length} bytes")
        return body

    def _read_chunks(self) -> bytes:
        """Returns a body of Transfer-Encoding: chunked."""
        body = bytearray()
        while True:
            line = self.rfile.readline(CHUNK_BYTES).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                raise invalid_argument("the length of a chunk is not a number")
            size = int(line, 16)
            if len(body) + size > self.server.api.max_message_bytes:
                raise self._too_long()
            body += self.rfile.read(size)
            if self.rfile.readline(CHUNK_BYTES).strip():
                if size:
                    raise invalid_argument("a chunk is longer than it says")
                while self.rfile.readline(CHUNK_BYTES).strip():
                    pass
            if size == 0:
                return bytes(body)

    def _too_long(self) -> ServingError:
        limit = self.server.api.max_message_bytes
        return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request is longer than {limit} bytes")

    def _discard(self, length: int) -> None:
        """Reads and drops a body, for a while: most clients listen only after they have sent all."""
        end = time.monotonic() + DISCARD_SECONDS
        while length > 0 and time.monotonic() < end:
            piece = self.rfile.read(min(length, CHUNK_BYTES))
            if not piece:
                return
            length -= len(piece)

    def _write(self, reply: Reply) -> None:
        """Sends head and body in one piece: two would wait for each other's acknowledgement."""
        if self.server.draining:
            self.close_connection = True
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.media_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        if self.command != "HEAD":
            self._headers_buffer.append(b"\r\n" + reply.body)
            self.flush_headers()
        else:
            self.end_headers()


def error_reply(message: str, status: int) -> Reply:
    """Returns {"error": message} with an HTTP status."""
    return Reply(_json({"error": truncate(message)}), status)


def _model_spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        if int(match["version"]) > HIGHEST_VERSION:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _as_dict(message: Any) -> dict[str, Any]:
    convert: Callable[..., dict[str, Any]] = json_format.MessageToDict
    return convert(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()
