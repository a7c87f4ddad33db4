"""The REST API and the metrics page: from method, path and body to an answer."""

import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from amfam_tf.server import json_examples, json_tensors
from amfam_tf.server.admission import Admission
from amfam_tf.server.inference import classify, regress
from amfam_tf.server.manager import ModelManager
from amfam_tf.server.measured import measured
from amfam_tf.server.metrics import RequestMetrics
from amfam_tf.server.model_status import SIGNATURE_DEF, get_model_metadata, get_model_status
from amfam_tf.server.predict import predict_arrays
from amfam_tf.server.servable import DEFAULT_SIGNATURE, Servable
from amfam_tf.server.status import ServingError, from_exception, invalid_argument, truncate

HIGHEST_VERSION = 2**63 - 1
LONGEST_VERSION = len(str(HIGHEST_VERSION))
MANY_VALUES = 2**17
"""Of a document that is parsed only while no other such is: each may take some hundred megabytes."""
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
        self._many_values = threading.Lock()

    def answer(self, method: str, target: str, body: bytes | bytearray) -> Reply:
        """Returns the reply to a request; errors become {"error": "..."}.

        Args:
            target: path, perhaps with a query, or a whole URL.
        """
        path = _path(target)
        # The head of the answer to a GET: whoever sends it leaves the body away.
        method = "GET" if method == "HEAD" else method
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

    def _route(self, method: str, path: str, body: bytes | bytearray) -> bytes:
        match = {"POST": _PREDICT_PATH, "GET": _STATUS_PATH}.get(method, re.compile(r"(?!)")).fullmatch(path)
        if match is None or (method == "POST" and match["name"] is None):
            raise invalid_argument(f"Malformed request: {method} {path}")
        if match["name"] is None:
            raise invalid_argument("Missing model name in request.")
        spec = _model_spec(match)
        if method == "GET":
            return self._metadata(spec) if match["metadata"] else self._status(spec)
        verb = match["method"].lower()
        answers = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        with measured(self._admission, self._metrics, verb, "REST", spec.name):
            return answers[verb](spec, body)

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes | bytearray) -> bytes:
        with contextlib.ExitStack() as turn:
            if json_tensors.count_values(body) > MANY_VALUES:
                turn.enter_context(self._turn_of_many_values())
            document, signature = json_tensors.parse_body(body)
            with self._manager.lease(spec) as lease:
                request, row_form = _to_request(lease.servable, spec, document, signature)
                del document
                turn.close()
                outputs = predict_arrays(lease.servable, request, self.max_message_bytes, self._timeout_ms)
        return json_tensors.to_json(outputs, row_form)

    @contextlib.contextmanager
    def _turn_of_many_values(self) -> Iterator[None]:
        """Holds the place of the one document of many values.

        Raises:
            ServingError: DEADLINE_EXCEEDED, if it does not become free in the time of a prediction.
        """
        if not self._many_values.acquire(timeout=self._timeout_ms / 1000):
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: other large documents are read")
        try:
            yield
        finally:
            self._many_values.release()

    def _classify(self, spec: model_pb2.ModelSpec, body: bytes | bytearray) -> bytes:
        request = classification_pb2.ClassificationRequest(input=self._examples(spec, body), model_spec=spec)
        with self._manager.lease(spec) as lease:
            response = classify(lease.servable, lease.version, request, self._timeout_ms)
        return json_examples.classes_to_json(response.result)

    def _regress(self, spec: model_pb2.ModelSpec, body: bytes | bytearray) -> bytes:
        request = regression_pb2.RegressionRequest(input=self._examples(spec, body), model_spec=spec)
        with self._manager.lease(spec) as lease:
            response = regress(lease.servable, lease.version, request, self._timeout_ms)
        return json_examples.values_to_json(response.result)

    def _examples(self, spec: model_pb2.ModelSpec, body: bytes | bytearray) -> input_pb2.Input:
        """Returns the tf.Examples of a body, whose signature goes into the ModelSpec."""
        with contextlib.ExitStack() as turn:
            if json_tensors.count_values(body) > MANY_VALUES:
                turn.enter_context(self._turn_of_many_values())
            document, spec.signature_name = json_tensors.parse_body(body)
            return json_examples.to_input(document)

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


def _to_request(
    servable: Servable, spec: model_pb2.ModelSpec, document: dict[str, Any], signature: str
) -> tuple[predict_pb2.PredictRequest, bool]:
    """Returns a document as the request of gRPC, and whether it came in row form.

    Raises:
        ServingError: INVALID_ARGUMENT, if it does not fit the signature.
    """
    name = signature or DEFAULT_SIGNATURE
    if not servable.has_signature(name):
        raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
    infos = servable.signatures[name].inputs
    if not infos:
        raise invalid_argument(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    request = predict_pb2.PredictRequest(model_spec=spec)
    request.model_spec.signature_name = name
    tensors, row_form = json_tensors.to_tensors(document, infos)
    for alias, tensor in tensors.items():
        request.inputs[alias].CopyFrom(tensor)
    return request, row_form


def error_reply(message: str, status: int) -> Reply:
    """Returns {"error": message} with an HTTP status."""
    return Reply(_json({"error": truncate(message)}), status)


def _path(target: str) -> str:
    """Returns a target's path, its characters as they were sent."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    return re.sub(r"(?i)^https?://[^/]*", "", path)


def _model_spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        # Looked at first: Python does not read numbers of more than 4300 digits.
        if len(digits) > LONGEST_VERSION or int(digits) > HIGHEST_VERSION:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _as_dict(message: Any) -> dict[str, Any]:
    convert: Callable[..., dict[str, Any]] = json_format.MessageToDict
    return convert(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()
