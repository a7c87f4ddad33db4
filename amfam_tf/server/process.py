"""The server from start to end: models first, then ports; at the end the other way round."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from amfam_tf.errors import ConfigError, one_line
from amfam_tf.server.admission import Admission
from amfam_tf.server.batching import read_batching_options
from amfam_tf.server.http_server import RestServer
from amfam_tf.server.inference import classify, multi_inference, regress
from amfam_tf.server.listening import cannot_listen, channel_arguments, listen
from amfam_tf.server.manager import SECONDS_TO_END, ModelManager
from amfam_tf.server.memory import MemoryBudget, RequestLimits
from amfam_tf.server.metrics import DEFAULT_PATH, RequestMetrics
from amfam_tf.server.model_config import initial_config
from amfam_tf.server.options import ServerOptions
from amfam_tf.server.predict import predict
from amfam_tf.server.rest import RestApi
from amfam_tf.server.roots import read_roots
from amfam_tf.server.servable import Servable
from amfam_tf.server.services import ModelService, PredictionService, UnparsedRequests
from amfam_tf.server.status import ServerError, ServingError
from amfam_tf.server.text_protos import MonitoringConfig, read_text_proto
from amfam_tf.server.tls import read_tls
from amfam_tf.server.warmup import warm_up

SPARE_THREADS = 16
"""Threads of gRPC, and of REST, beyond those of predictions, so that health and status always have one."""
HEALTH_NAMES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")

_log = logging.getLogger(__name__)


class Server:
    """The embedded server.

    Attributes:
        hangs: after the end, threads are left that only the end of the process ends.

    Raises:
        ConfigError: a configuration file that cannot be read or used, or threads asked for that cannot be set any more.
    """

    def __init__(self, options: ServerOptions) -> None:
        set_parallelism(options)
        self._options = options
        self._config = initial_config(options)
        self._channel_arguments = channel_arguments(options)
        self._tls = read_tls(options.ssl_config_file)
        self._metrics_path = _read_metrics_path(options.monitoring_config_file)
        self._batching = read_batching_options(options.batching_parameters_file) if options.enable_batching else None
        self._admission = Admission(options.max_concurrent_requests)
        self._limits = _request_limits(options)
        self._manager = ModelManager(
            self._load,
            read_roots(options, self._config),
            options.file_system_poll_wait_seconds,
            options.load_timeout_seconds,
            options.allow_version_labels_for_unavailable_models,
        )
        self._metrics = RequestMetrics(self._manager.is_configured)
        self.hangs = False
        self._health = health.HealthServicer()
        self._grpc: grpc.Server | None = None
        self._rest: RestServer | None = None
        self._stop_requested = threading.Event()
        self._config_thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads the models, then opens the ports; returns early if `request_stop` is called meanwhile.

        Raises:
            ServerError: a model cannot be loaded, or a port cannot be opened.
        """
        try:
            self._manager.start(self._config, give_up=self._stop_requested.is_set)
        except ServingError as error:
            self.hangs = not self._manager.stop()
            raise ServerError(f"Failed to start server. {one_line(error)}") from error
        if self._stop_requested.is_set():
            return
        try:
            self._open_ports()
        except ServerError:
            self.stop()
            raise
        if self._options.model_config_file and self._options.model_config_file_poll_wait_seconds > 0:
            self._config_thread = threading.Thread(target=self._poll_config, name="config-poll", daemon=True)
            self._config_thread.start()

    def request_stop(self) -> None:
        """Asks `wait` to return; safe in a signal handler."""
        self._stop_requested.set()

    def wait(self) -> None:
        """Returns once `request_stop` was called."""
        self._stop_requested.wait()

    def stop(self) -> None:
        """Stops accepting, lets requests in flight finish for at most `drain_seconds`, then ends everything."""
        self._stop_requested.set()
        end = time.monotonic() + self._options.drain_seconds
        self._health.enter_graceful_shutdown()
        stopped = self._grpc.stop(self._options.drain_seconds) if self._grpc else None
        if self._rest:
            self._rest.stop_accepting()
        ended = self._admission.wait_idle(max(0.0, end - time.monotonic()))
        if not ended:
            _log.warning("Requests were still in flight after %g s", self._options.drain_seconds)
        if self._grpc and stopped is not None:
            # Ends what never ends by itself: streams that watch the health.
            self._grpc.stop(0)
            ended = stopped.wait(SECONDS_TO_END) and ended
            if self._options.grpc_socket_path:
                Path(self._options.grpc_socket_path).unlink(missing_ok=True)
        if self._rest:
            self._rest.close()
        if self._config_thread is not None:
            self._config_thread.join(SECONDS_TO_END)
            ended = ended and not self._config_thread.is_alive()
        self.hangs = not (self._manager.stop() and ended)
        _log.info("Server stopped")

    def _load(self, name: str, version: int, path: Path) -> Servable:
        """Returns a version that is warm."""
        servable = Servable(path, self._batching)
        servable.limits = _request_limits(self._options)
        if self._options.enable_model_warmup:
            try:
                count = warm_up(path, self._methods(servable, version))
            except BaseException:
                servable.close()
                raise
            _log.info("Ran %d warmup requests of {name: %s version: %d}", count, name, version)
        # Only now: a swap must not fail because requests have all the memory.
        servable.limits = self._limits
        return servable

    def _methods(self, servable: Servable, version: int) -> dict[str, Callable[[Any], object]]:
        """Returns kind of a warm-up record -> what runs its request."""
        limit = self._options.max_message_bytes
        return {
            "predict_log": lambda request: predict(servable, version, request, limit),
            "classify_log": lambda request: classify(servable, version, request),
            "regress_log": lambda request: regress(servable, version, request),
            "multi_inference_log": lambda request: multi_inference(servable, version, request),
        }

    def _open_ports(self) -> None:
        options = self._options
        if options.port or options.grpc_socket_path:
            self._grpc = self._start_grpc()
        if options.port:
            _log.info("Running gRPC ModelServer at %s:%d ...", options.bind_address, options.port)
        if options.grpc_socket_path:
            _log.info("Running gRPC ModelServer at UNIX socket unix:%s ...", options.grpc_socket_path)
        if options.rest_api_port:
            api = RestApi(
                self._manager,
                self._metrics,
                self._admission,
                self._metrics_path,
                options.rest_api_timeout_in_ms,
                options.max_message_bytes,
            )
            try:
                threads = options.max_concurrent_requests + SPARE_THREADS
                self._rest = RestServer(api, self._admission, options.bind_address, options.rest_api_port, threads)
            except OSError as error:
                raise cannot_listen("rest_api_port", options.rest_api_port, error.strerror) from error
            _log.info("Exporting HTTP/REST API at:%s:%d ...", options.bind_address, options.rest_api_port)

    def _start_grpc(self) -> grpc.Server:
        options = self._options
        threads = options.max_concurrent_requests + SPARE_THREADS
        server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=[UnparsedRequests()],
            maximum_concurrent_rpcs=threads,
            options=self._channel_arguments,
        )
        prediction = PredictionService(
            self._manager, self._metrics, self._admission, self._limits, options.max_message_bytes
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
        model = ModelService(self._manager, self._admission, options.allow_reload_config or self._tls.verifies_clients)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        for name in HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        try:
            listen(server, options, self._tls.credentials)
        except ServerError:
            server.stop(0)
            raise
        server.start()
        return server

    def _poll_config(self) -> None:
        """Takes a changed configuration file over; a wrong one is logged and the present one stays."""
        path = self._options.model_config_file
        present = self._config
        while not self._stop_requested.wait(self._options.model_config_file_poll_wait_seconds):
            try:
                config = read_text_proto(path, ModelServerConfig)
                if config == present:
                    continue
                # Not to be held up by a model that does not come: the next reading may correct it.
                self._manager.reload(config, wait=False)
                present = config
            except ConfigError as error:
                _log.error("Failed to read ModelServerConfig file: %s", error)
            except ServingError as error:
                _log.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error.message)
            except Exception:
                _log.exception("Reading %s failed; trying again", path)


def set_parallelism(options: ServerOptions) -> None:
    """Sets the numbers of TensorFlow's threads, which all models of the process share; 0 leaves them alone.

    Raises:
        ConfigError: TensorFlow has already made its threads.
    """
    try:
        if options.tensorflow_intra_op_parallelism:
            tf.config.threading.set_intra_op_parallelism_threads(options.tensorflow_intra_op_parallelism)
        if options.tensorflow_inter_op_parallelism:
            tf.config.threading.set_inter_op_parallelism_threads(options.tensorflow_inter_op_parallelism)
    except RuntimeError as error:
        raise ConfigError("the number of TensorFlow's threads must be set before anything has run in it") from error


def _request_limits(options: ServerOptions) -> RequestLimits:
    budget = MemoryBudget(options.memory_budget_bytes, options.max_request_memory_bytes)
    return RequestLimits(options.max_request_rows, budget)


def _read_metrics_path(config_file: str) -> str:
    """Returns the path of the metrics page, "" if they are not enabled."""
    if not config_file:
        return ""
    config: Any = read_text_proto(config_file, MonitoringConfig)
    if not config.prometheus_config.enable:
        return ""
    path = config.prometheus_config.path or DEFAULT_PATH
    if not path.startswith("/"):
        raise ConfigError(f"{config_file}: prometheus_config.path must start with /. Received: {path}")
    return path
