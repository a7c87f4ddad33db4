"""amfam-tf serve: the embedded server or the real one, with the flags of tensorflow_model_server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from amfam_tf.serving.limits import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from amfam_tf.serving.server import ServerOptions

OPTIONAL_BOOLEAN: dict[str, Any] = {"is_flag": False, "flag_value": "true", "type": bool, "show_default": True}
"""`--flag`, `--flag=true` and `--flag=false`, as upstream's."""
EMBEDDED, REAL = "embedded", "tensorflow-serving"
ONLY_EMBEDDED = (
    "bind_address",
    "max_message_bytes",
    "max_concurrent_requests",
    "max_request_rows",
    "max_request_memory_bytes",
    "memory_budget_bytes",
    "drain_seconds",
)
"""Flags that the real server does not have."""
SWITCH_SECONDS = 0.001


def _dashes(token: str) -> str:
    """Returns a flag with dashes: --model_name is --model-name."""
    return token.replace("_", "-")


@click.command(context_settings={"token_normalize_func": _dashes, "show_default": True})
@click.option(
    "--engine",
    type=click.Choice([EMBEDDED, REAL]),
    default=EMBEDDED,
    help="This package's server, or the real one: tensorflow_model_server if it is on PATH, else a container.",
)
@click.option("--image", default="", help="Container image of the real server, also if the binary is there.")
@click.option("--port", default=8500, help="Port of gRPC; 0 for none.")
@click.option("--rest-api-port", default=0, help="Port of REST and metrics; 0 for none.")
@click.option("--model-name", default="default", help="Name of the model.")
@click.option("--model-base-path", default="", help="Folder with one numbered folder per version.")
@click.option("--model-config-file", default="", help="ModelServerConfig, instead of name and base path.")
@click.option("--model-config-file-poll-wait-seconds", default=0.0, help="Seconds between two readings of it; 0: once.")
@click.option("--file-system-poll-wait-seconds", default=1.0, help="Seconds between two looks for versions; 0: once.")
@click.option("--enable-batching", default=False, help="Merge concurrent requests.", **OPTIONAL_BOOLEAN)
@click.option("--batching-parameters-file", default="", help="BatchingParameters.")
@click.option("--ssl-config-file", default="", help="SSLConfig: TLS of the gRPC port.")
@click.option("--monitoring-config-file", default="", help="MonitoringConfig: Prometheus on the REST port.")
@click.option("--enable-model-warmup", default=True, help="Run a version's warm-up requests.", **OPTIONAL_BOOLEAN)
@click.option("--rest-api-timeout-in-ms", default=30_000, help="Longest REST prediction, in milliseconds.")
@click.option("--tensorflow-intra-op-parallelism", default=0, help="Threads within one operation; 0: automatic.")
@click.option("--tensorflow-inter-op-parallelism", default=0, help="Operations at a time; 0: automatic.")
@click.option("--bind-address", default="0.0.0.0", help="Interface to listen on. Not in upstream.")
@click.option("--max-message-bytes", default=MAX_MESSAGE_BYTES, help="Longest request. Not in upstream.")
@click.option("--max-concurrent-requests", default=64, help="Predictions at a time. Not in upstream.")
@click.option("--max-request-rows", default=1000, help="Rows of a request. Not in upstream.")
@click.option("--max-request-memory-bytes", default=1 << 30, help="Memory that a request may take. Not in upstream.")
@click.option("--memory-budget-bytes", default=1 << 31, help="Memory of all requests together. Not in upstream.")
@click.option("--drain-seconds", default=30.0, help="Longest wait for requests at the end. Not in upstream.")
@click.argument("more_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- FLAG ...]")
@click.pass_context
def serve(context: click.Context, engine: str, image: str, more_flags: tuple[str, ...], **flags: Any) -> None:
    """Serve a model like TensorFlow Serving: gRPC, and REST if asked for.

    The flags are those of tensorflow_model_server; --model_name works as well as --model-name. Configuration files
    are protobuf text. SIGTERM and SIGINT finish the requests in flight, then end with exit status 0. With
    --engine tensorflow-serving the real server gets the same flags, and those after -- as they are.
    """
    from amfam_tf.errors import ConfigError
    from amfam_tf.fast_kernels import give_memory_back

    if engine == EMBEDDED:
        # TensorFlow reads it when it is imported.
        give_memory_back()
    from amfam_tf.serving.server import ServerOptions

    try:
        options = ServerOptions(**flags)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if engine == REAL:
        _serve_real(context, options, image, more_flags)
    elif image or more_flags:
        words = "--image" if image else " ".join(more_flags)
        raise click.UsageError(f"{words} can only be used with --engine {REAL}")
    else:
        _serve_embedded(options)


def _serve_real(context: click.Context, options: "ServerOptions", image: str, more_flags: Sequence[str]) -> None:
    """Becomes the real server."""
    from amfam_tf.cli.quiet import loud_environment
    from amfam_tf.serving.real_server import become_real_server

    for name in ONLY_EMBEDDED:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{_dashes('--' + name)} can only be used with --engine {EMBEDDED}")
    become_real_server(options, image, more_flags, loud_environment())


def _serve_embedded(options: "ServerOptions") -> None:
    """Serves until SIGTERM or SIGINT."""
    import gc
    import logging
    import signal
    import sys

    from amfam_tf.serving.server import Server
    from amfam_tf.text import LineFormatter

    # Python's lock changes hands when a version is loaded beside the requests: sooner than after 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What the imports made stays for ever: looking through it would stop all requests for half a second at a swap.
    gc.collect()
    gc.freeze()
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    server = Server(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.request_stop())
    server.start()
    server.wait()
    server.stop()
