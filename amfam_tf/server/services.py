"""The two gRPC services: thin wrappers that measure, admit and turn errors into statuses."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from amfam_tf.server.admission import Admission
from amfam_tf.server.inference import check_tasks, classify, multi_inference, regress
from amfam_tf.server.manager import ModelManager
from amfam_tf.server.measured import measured
from amfam_tf.server.memory import Patience, RequestLimits
from amfam_tf.server.metrics import RequestMetrics
from amfam_tf.server.model_status import get_model_metadata, get_model_status
from amfam_tf.server.predict import predict
from amfam_tf.server.request_parts import parse, parsed_bytes, parsed_examples_bytes
from amfam_tf.server.servable import NO_TIMEOUT, Servable
from amfam_tf.server.status import ServingError, deadline_exceeded, from_exception, invalid_argument, truncate

Response = TypeVar("Response")
UNPARSED = frozenset(
    f"/tensorflow.serving.PredictionService/{name}" for name in ("Predict", "Classify", "Regress", "MultiInference")
)
LONGEST_TIMEOUT_SECONDS = 7 * 24 * 3600
RELOAD_IS_OFF = (
    "HandleReloadConfigRequest is off: the server takes it with mutual TLS (client_verify: true in its "
    "ssl_config_file) or when started with --allow-reload-config"
)

_log = logging.getLogger(__name__)


def answer(context: grpc.ServicerContext, admission: Admission, function: Callable[[], Response]) -> Response:
    """Returns the function's response, or ends the call with the status of its error.

    The call counts as open until its answer is sent.
    """
    admission.call_opened()
    if not context.add_callback(admission.call_closed):
        admission.call_closed()
    try:
        return function()
    except ServingError as error:
        failure = error
    except Exception as error:
        _log.exception("Answering a call failed")
        failure = from_exception(error)
    context.abort(failure.code, truncate(failure.message))
    raise AssertionError("abort always raises")


def timeout_ms(context: grpc.ServicerContext) -> int:
    """Returns the milliseconds that the client still waits, 0 if it set no deadline.

    Raises:
        ServingError: DEADLINE_EXCEEDED, if that time is over: the work would be for nobody.
    """
    remaining = context.time_remaining()
    if remaining is None or remaining > LONGEST_TIMEOUT_SECONDS:
        return NO_TIMEOUT
    if remaining <= 0:
        raise deadline_exceeded()
    return max(1, int(remaining * 1000))


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; Classify, Regress and MultiInference for the signatures of TensorFlow 1."""

    def __init__(
        self,
        manager: ModelManager,
        metrics: RequestMetrics,
        admission: Admission,
        limits: RequestLimits,
        max_message_bytes: int,
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._admission = admission
        self._limits = limits
        self._max_message_bytes = max_message_bytes

    def Predict(  # noqa: N802
        self, request: bytes, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs one signature of one version; `request` is a PredictRequest that is not parsed yet."""

        def run(servable: Servable, version: int, parsed: predict_pb2.PredictRequest, *patience: Any) -> Any:
            return predict(servable, version, parsed, self._max_message_bytes, *patience)

        method = _Method("Predict", predict_pb2.PredictRequest, parsed_bytes, run)
        return self._answer(method, request, context)

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of one version."""
        return answer(context, self._admission, lambda: get_model_metadata(self._manager, request))

    def Classify(  # noqa: N802
        self, request: bytes, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Runs one signature of TensorFlow 1's method classify on tf.Examples; `request` is not parsed yet."""
        method = _Method("Classify", classification_pb2.ClassificationRequest, self._size_of_examples, classify)
        return self._answer(method, request, context)

    def Regress(  # noqa: N802
        self, request: bytes, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Runs one signature of TensorFlow 1's method regress on tf.Examples; `request` is not parsed yet."""
        method = _Method("Regress", regression_pb2.RegressionRequest, self._size_of_examples, regress)
        return self._answer(method, request, context)

    def MultiInference(  # noqa: N802
        self, request: bytes, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Runs several of those signatures on the same tf.Examples; `request` is not parsed yet."""
        method = _Method("MultiInference", inference_pb2.MultiInferenceRequest, self._size_of_examples, multi_inference)
        return self._answer(method, request, context)

    def _size_of_examples(self, data: bytes) -> int:
        return parsed_examples_bytes(data, self._limits.most_rows)

    def _answer(self, method: "_Method", data: bytes, context: grpc.ServicerContext) -> Any:
        """Counts a request, parses it, and runs it on the version that it asks for."""

        def run() -> Any:
            with measured(self._admission, self._metrics, method.name, "GRPC") as prediction:
                patience = Patience.of(timeout_ms(context), context.is_active)
                with self._limits.memory.holding(method.size(data), patience):
                    request = parse(method.request, data)
                    spec = _spec(request)
                    prediction.model_name = spec.name
                    _check_spec(request)
                    with self._manager.lease(spec) as lease:
                        left = timeout_ms(context)
                        return method.run(lease.servable, lease.version, request, left, context.is_active)

        return answer(context, self._admission, run)


@dataclass(frozen=True)
class _Method:
    """How a method that runs a model is answered.

    Attributes:
        name: of it.
        request: class of its message.
        size: returns the most memory that a message takes once it is parsed, from its bytes.
        run: returns the response from servable, version, request, milliseconds left, and whether it is still wanted.
    """

    name: str
    request: type[Any]
    size: Callable[[bytes], int]
    run: Callable[..., Any]


def _spec(request: Any) -> model_pb2.ModelSpec:
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    return request.model_spec


def _check_spec(request: Any) -> None:
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        check_tasks(request)
    elif not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


class UnparsedRequests(grpc.ServerInterceptor):
    """Hands the methods that run a model their requests as bytes: what they hold is counted before they are parsed."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a call."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method not in UNPARSED:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            handler.unary_unary, request_deserializer=bytes, response_serializer=handler.response_serializer
        )


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and, if it is allowed, HandleReloadConfigRequest."""

    def __init__(self, manager: ModelManager, admission: Admission, reloadable: bool) -> None:
        self._manager = manager
        self._admission = admission
        self._reloadable = reloadable

    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the states of a model's versions."""
        return answer(context, self._admission, lambda: get_model_status(self._manager, request))

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the list of models; answers when the new ones are available."""
        return answer(context, self._admission, lambda: self._reload(request, context))

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        if not self._reloadable:
            raise ServingError(grpc.StatusCode.PERMISSION_DENIED, RELOAD_IS_OFF)
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._manager.reload(request.config, give_up=lambda: not context.is_active())
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response
