"""What the server is told at its start: upstream's flags with upstream's defaults, and some of our own."""

from dataclasses import dataclass

from amfam_tf.errors import ConfigError
from amfam_tf.limits import MAX_MESSAGE_BYTES, MEBIBYTE
from amfam_tf.ranges import bounded, check

HIGHEST_PORT = 65535
LONGEST_MESSAGE_BYTES = 2**31 - 1
LONGEST_TIME = 2**31 - 1
"""Seconds or milliseconds: upstream's flags are of 32 bits, and Python's own waits end not far above."""
MOST_THREADS = 4096
MOST_REQUESTS = 65_536
MOST_MEMORY_BYTES = 2**50


@dataclass(frozen=True)
class ServerOptions:
    """Flags of `tensorflow_model_server` (same names and defaults), then those that only this server has.

    Attributes:
        port: of gRPC; 0 turns gRPC off.
        rest_api_port: of REST and metrics; 0 turns them off.
        model_name, model_base_path: the one model to serve; ignored with `model_config_file`.
        model_config_file: text proto ModelServerConfig.
        model_config_file_poll_wait_seconds: seconds between two readings of that file; 0 reads it once.
        file_system_poll_wait_seconds: seconds between two looks for versions; 0 looks once.
        enable_batching, batching_parameters_file: merge concurrent requests; text proto BatchingParameters.
        ssl_config_file: text proto SSLConfig, for gRPC.
        monitoring_config_file: text proto MonitoringConfig.
        enable_model_warmup: run the warm-up requests of a version before it is AVAILABLE.
        rest_api_timeout_in_ms: longest time of a REST prediction, in milliseconds.
        tensorflow_intra_op_parallelism: threads within one operation; 0 lets TensorFlow choose.
        tensorflow_inter_op_parallelism: operations that run at a time; 0 lets TensorFlow choose.
        grpc_socket_path: Unix socket for gRPC, beside the port.
        grpc_channel_arguments: KEY=VALUE[,KEY=VALUE...] for the gRPC server.
        allow_version_labels_for_unavailable_models: a new label may point to a version that does not answer yet.
        bind_address: interface to listen on (ours; upstream listens on all).
        model_roots: folders below which models may be (ours; upstream has none); empty for the base paths of the start.
        allow_reload_config: answer HandleReloadConfigRequest without mutual TLS too (ours; upstream always answers).
        load_timeout_seconds: longest load of a version, warm-up included (ours; upstream has no limit).
        max_message_bytes: longest request and largest input tensor (ours; upstream 2 GiB - 1).
        max_concurrent_requests: predictions that run or wait at a time (ours; upstream has no limit).
        max_request_rows: rows of one request (ours; upstream has no limit).
        max_request_memory_bytes: largest memory that one request may take while it runs (ours).
        memory_budget_bytes: the same for all requests in flight together, at least twice as much (ours).
        drain_seconds: longest wait for requests in flight at the end (ours; upstream does not wait).
    """

    port: int = bounded(8500, 0, HIGHEST_PORT)
    rest_api_port: int = bounded(0, 0, HIGHEST_PORT)
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = bounded(0, 0, LONGEST_TIME)
    file_system_poll_wait_seconds: float = bounded(1, 0, LONGEST_TIME)
    enable_batching: bool = False
    batching_parameters_file: str = ""
    ssl_config_file: str = ""
    monitoring_config_file: str = ""
    enable_model_warmup: bool = True
    rest_api_timeout_in_ms: int = bounded(30_000, 1, LONGEST_TIME)
    tensorflow_intra_op_parallelism: int = bounded(0, 0, MOST_THREADS)
    tensorflow_inter_op_parallelism: int = bounded(0, 0, MOST_THREADS)
    grpc_socket_path: str = ""
    grpc_channel_arguments: str = ""
    allow_version_labels_for_unavailable_models: bool = False
    bind_address: str = "127.0.0.1"
    model_roots: tuple[str, ...] = ()
    allow_reload_config: bool = False
    load_timeout_seconds: float = bounded(300, 0, LONGEST_TIME, open_low=True)
    max_message_bytes: int = bounded(MAX_MESSAGE_BYTES, 1, LONGEST_MESSAGE_BYTES)
    max_concurrent_requests: int = bounded(64, 1, MOST_REQUESTS)
    max_request_rows: int = bounded(1000, 1, LONGEST_MESSAGE_BYTES)
    max_request_memory_bytes: int = bounded(1024 * MEBIBYTE, 1, MOST_MEMORY_BYTES)
    memory_budget_bytes: int = bounded(2048 * MEBIBYTE, 1, 2 * MOST_MEMORY_BYTES)
    drain_seconds: float = bounded(30, 0, LONGEST_TIME)

    def __post_init__(self) -> None:
        check(self, "")
        if self.port == self.rest_api_port and not (self.port == 0 and self.grpc_socket_path):
            raise ConfigError(f"port and rest_api_port must differ and not both be 0. Received: {self.port} for both")
        if not self.model_base_path and not self.model_config_file:
            raise ConfigError("nothing to serve: give --model-base-path or --model-config-file")
        if self.batching_parameters_file and not self.enable_batching:
            raise ConfigError("batching_parameters_file has no effect: add --enable-batching")
        if self.memory_budget_bytes < 2 * self.max_request_memory_bytes:
            raise ConfigError(
                "memory_budget_bytes must be at least twice max_request_memory_bytes "
                f"({self.max_request_memory_bytes}), so that small requests get through beside a large one. "
                f"Received: {self.memory_budget_bytes}"
            )
