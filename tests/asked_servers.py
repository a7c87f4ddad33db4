"""Servers to ask: the embedded one with an exported version, and one that answers as a test says."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from ports import LOCALHOST, free_port

from amfam_tf.client import wire

NO_DESCRIPTION = 'Serving signature key "describe" not found.'


@contextmanager
def embedded_server(base: Path, name: str) -> Iterator[SimpleNamespace]:
    """Runs the embedded server; yields its addresses `grpc` and `rest`."""
    from amfam_tf.server import Server, ServerOptions

    ports = free_port(), free_port()
    server = Server(
        ServerOptions(
            port=ports[0],
            rest_api_port=ports[1],
            model_name=name,
            model_base_path=str(base),
            bind_address=LOCALHOST,
            drain_seconds=5,
        )
    )
    server.start()
    try:
        yield SimpleNamespace(grpc=f"{LOCALHOST}:{ports[0]}", rest=f"{LOCALHOST}:{ports[1]}")
    finally:
        server.stop()


@contextmanager
def grpc_server(answer: Callable[[Any, grpc.ServicerContext], Any], port: int = 0) -> Iterator[str]:
    """Runs a server whose Predict is `answer(request, context)`; yields its address.

    It has no signature `describe`, as versions of earlier times.
    """

    def told(request: Any, context: grpc.ServicerContext) -> Any:
        if request.model_spec.signature_name == "describe":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, NO_DESCRIPTION)
        return answer(request, context)

    handler = grpc.unary_unary_rpc_method_handler(
        told,
        request_deserializer=wire.PredictRequest.FromString,
        response_serializer=wire.PredictResponse.SerializeToString,
    )
    service, method = wire.PREDICT_METHOD.strip("/").split("/")
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port(f"{LOCALHOST}:{port}")
    server.start()
    try:
        yield f"{LOCALHOST}:{port}"
    finally:
        server.stop(None).wait()
