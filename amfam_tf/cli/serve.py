"""amfam-tf serve: the embedded server or the real one, with the flags of tensorflow_model_server."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from amfam_tf import __version__
from amfam_tf.cli.paths import Place
from amfam_tf.limits import MAX_MESSAGE_BYTES
from amfam_tf.server.other_flags import OTHER_FLAGS, tell

if TYPE_CHECKING:
    from amfam_tf.server import ServerOptions

OPTIONAL_BOOLEAN: dict[str, Any] = {"is_flag": False, "flag_value": "true", "type": bool, "show_default": True}
"""`--flag`, `--flag=true` and `--flag=false`, as upstream's."""
EMBEDDED, REAL = "embedded", "tensorflow-serving"
ONLY_EMBEDDED = (
    "model_roots",
    "allow_reload_config",
    "load_timeout_seconds",
    "max_message_bytes",
    "max_concurrent_requests",
    "max_request_rows",
    "max_request_memory_bytes",
    "memory_budget_bytes",
    "drain_seconds",
)
"""Flags that the real server does not have."""
SECONDS_BEYOND_DRAIN = 20
"""After these the process ends whatever hangs."""
SWITCH_SECONDS = 0.001


def _dashes(token: str) -> str:
    """Returns a flag with dashes: --model_name is --model-name."""
    return token.replace("_", "-")


def _split(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the values of an option that may be repeated and may hold several values each."""
    del context, parameter
    return tuple(value for values_ in values for value in values_.split(",") if value)


def _with_other_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds upstream's flags that have no meaning here; they are not in the help."""
    for name in OTHER_FLAGS:
        kind = Place() if name.endswith("_file") else str
        option = click.option(
            _dashes(f"--{name}"), name, default=None, is_flag=False, flag_value="true", hidden=True, type=kind
        )
        command = option(command)
    return command


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Prints what upstream's --version prints, and ends."""
    del parameter
    if value:
        click.echo(f"TensorFlow ModelServer: amfam-tf {__version__}\nTensorFlow Library: {version('tensorflow')}")
        context.exit()


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
@click.option("--model-base-path", type=Place(), default="", help="Folder with one numbered folder per version.")
@click.option("--model-config-file", type=Place(), default="", help="ModelServerConfig, instead of name and base path.")
@click.option("--model-config-file-poll-wait-seconds", default=0.0, help="Seconds between two readings of it; 0: once.")
@click.option("--file-system-poll-wait-seconds", default=1.0, help="Seconds between two looks for versions; 0: once.")
@click.option("--enable-batching", default=False, help="Merge concurrent requests.", **OPTIONAL_BOOLEAN)
@click.option("--batching-parameters-file", type=Place(), default="", help="BatchingParameters.")
@click.option("--ssl-config-file", type=Place(), default="", help="SSLConfig: TLS of the gRPC port.")
@click.option(
    "--monitoring-config-file", type=Place(), default="", help="MonitoringConfig: Prometheus on the REST port."
)
@click.option("--enable-model-warmup", default=True, help="Run a version's warm-up requests.", **OPTIONAL_BOOLEAN)
@click.option("--rest-api-timeout-in-ms", default=30_000, help="Longest REST prediction, in milliseconds.")
@click.option("--tensorflow-intra-op-parallelism", default=0, help="Threads within one operation; 0: automatic.")
@click.option("--tensorflow-inter-op-parallelism", default=0, help="Operations at a time; 0: automatic.")
@click.option("--grpc-socket-path", type=Place(), default="", help="Unix socket for gRPC, beside the port.")
@click.option("--grpc-channel-arguments", default="", help="KEY=VALUE[,KEY=VALUE...] for the gRPC server.")
@click.option(
    "--allow-version-labels-for-unavailable-models",
    default=False,
    help="A new label may point to a version that does not answer yet.",
    **OPTIONAL_BOOLEAN,
)
@click.option("--bind-address", default="127.0.0.1", help="Interface to listen on, 0.0.0.0 for all. Not in upstream.")
@click.option(
    "--model-roots",
    multiple=True,
    default=(),
    callback=_split,
    metavar="FOLDER[,FOLDER...]",
    help="Folders below which models may be; the base paths of the start by default. Not in upstream.",
)
@click.option(
    "--allow-reload-config",
    default=False,
    help="Take HandleReloadConfigRequest from everybody, not only with mutual TLS. Not in upstream.",
    **OPTIONAL_BOOLEAN,
)
@click.option("--load-timeout-seconds", default=300.0, help="Longest load of a version. Not in upstream.")
@click.option("--max-message-bytes", default=MAX_MESSAGE_BYTES, help="Longest request. Not in upstream.")
@click.option("--max-concurrent-requests", default=64, help="Predictions at a time. Not in upstream.")
@click.option("--max-request-rows", default=1000, help="Rows of a request. Not in upstream.")
@click.option("--max-request-memory-bytes", default=1 << 30, help="Memory that a request may take. Not in upstream.")
@click.option("--memory-budget-bytes", default=1 << 31, help="Memory of all requests together. Not in upstream.")
@click.option("--drain-seconds", default=30.0, help="Longest wait for requests at the end. Not in upstream.")
@_with_other_flags
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show versions and end."
)
@click.argument("more_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- FLAG ...]")
@click.pass_context
def serve(context: click.Context, /, engine: str, image: str, more_flags: tuple[str, ...], **flags: Any) -> None:
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
    from amfam_tf.server import ServerOptions

    others = {name: flags.pop(name) for name in OTHER_FLAGS}
    others = {name: value for name, value in others.items() if value is not None}
    try:
        options = ServerOptions(**flags)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if engine == REAL:
        _serve_real(context, options, image, [*(f"--{name}={value}" for name, value in others.items()), *more_flags])
    elif image or more_flags:
        words = "--image" if image else " ".join(more_flags)
        raise click.UsageError(f"{words} can only be used with --engine {REAL}")
    else:
        _serve_embedded(options, others)


def _serve_real(context: click.Context, options: "ServerOptions", image: str, more_flags: Sequence[str]) -> None:
    """Replaces this process by TensorFlow Serving, or by a container with it."""
    from amfam_tf.cli.quiet import loud_environment
    from amfam_tf.server.real_server import become_real_server

    for name in ONLY_EMBEDDED:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{_dashes('--' + name)} can only be used with --engine {EMBEDDED}")
    become_real_server(options, image, more_flags, loud_environment())


def _serve_embedded(options: "ServerOptions", others: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT, then ends, by force if threads hang."""
    import atexit
    import gc
    import logging
    import os
    import signal
    import sys
    import threading

    from amfam_tf.errors import UserError
    from amfam_tf.server import Server
    from amfam_tf.text import LineFormatter

    # Python's lock changes hands when a version is loaded beside the requests: sooner than after 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What the imports made stays for ever: looking through it would stop all requests for half a second at a swap.
    gc.collect()
    gc.freeze()
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    tell(others)
    server = Server(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.request_stop())
    try:
        server.start()
    except UserError:
        if server.hangs:
            # What hangs is in TensorFlow's own code, which the interpreter would wait for after the message.
            atexit.register(os._exit, 1)
        raise
    server.wait()
    watchdog = threading.Timer(options.drain_seconds + SECONDS_BEYOND_DRAIN, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
    server.stop()
    if server.hangs:
        logging.shutdown()
        os._exit(0)
    watchdog.cancel()
