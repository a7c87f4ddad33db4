"""The two gRPC services: thin wrappers that measure, admit and turn errors into statuses."""

import logging
import time
from collections.abc import Callable
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
from amfam_tf.server.memory import Patience, RequestLimits
from amfam_tf.server.metrics import RequestMetrics
from amfam_tf.server.model_status import get_model_metadata, get_model_status
from amfam_tf.server.predict import predict
from amfam_tf.server.request_parts import parse, parsed_bytes
from amfam_tf.server.servable import NO_TIMEOUT
from amfam_tf.server.status import ServingError, deadline_exceeded, from_exception, invalid_argument, truncate

Response = TypeVar("Response")
PREDICT = "/tensorflow.serving.PredictionService/Predict"
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
        return answer(context, self._admission, lambda: self._measured_predict(request, context))

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of one version."""
        return answer(context, self._admission, lambda: get_model_metadata(self._manager, request))

    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Runs one signature of TensorFlow 1's method classify on tf.Examples."""
        return self._measured_inference("Classify", classify, request, request.model_spec, context)

    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Runs one signature of TensorFlow 1's method regress on tf.Examples."""
        return self._measured_inference("Regress", regress, request, request.model_spec, context)

    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Runs several of those signatures on the same tf.Examples."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        return self._measured_inference("MultiInference", multi_inference, request, spec, context)

    def _measured_inference(
        self,
        api: str,
        function: Callable[..., Response],
        request: Any,
        spec: model_pb2.ModelSpec,
        context: grpc.ServicerContext,
    ) -> Response:
        def infer() -> Response:
            if api == "MultiInference":
                check_tasks(request)
            elif not request.HasField("model_spec"):
                raise invalid_argument("Missing ModelSpec")
            patience = Patience.of(timeout_ms(context), context.is_active)
            with self._limits.memory.holding(request.ByteSize(), patience), self._manager.lease(spec) as lease:
                return function(lease.servable, lease.version, request, timeout_ms(context))

        return answer(context, self._admission, lambda: self._measured(api, spec.name, infer))

    def _measured(self, api: str, model_name: str, function: Callable[[], Response]) -> Response:
        started = time.perf_counter()
        status = grpc.StatusCode.OK
        try:
            with self._admission.prediction():
                return function()
        except Exception as error:
            status = from_exception(error).code
            raise
        finally:
            microseconds = (time.perf_counter() - started) * 1e6
            self._metrics.record(model_name, status.name, api, "GRPC", microseconds)

    def _measured_predict(self, data: bytes, context: grpc.ServicerContext) -> predict_pb2.PredictResponse:
        started = time.perf_counter()
        status, request = grpc.StatusCode.OK, predict_pb2.PredictRequest()
        try:
            patience = Patience.of(timeout_ms(context), context.is_active)
            size = parsed_bytes(data)
            with self._admission.prediction(), self._limits.memory.holding(size, patience):
                request = parse(data)
                return self._predict(request, context)
        except Exception as error:
            status = from_exception(error).code
            raise
        finally:
            microseconds = (time.perf_counter() - started) * 1e6
            self._metrics.record(request.model_spec.name, status.name, "Predict", "GRPC", microseconds)

    def _predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        with self._manager.lease(request.model_spec) as lease:
            timeout = timeout_ms(context)
            return predict(lease.servable, lease.version, request, self._max_message_bytes, timeout, context.is_active)


class UnparsedPredict(grpc.ServerInterceptor):
    """Hands Predict its request as bytes: what they hold is counted before they are parsed."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a call."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method != PREDICT:
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
