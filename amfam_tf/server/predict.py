"""Predict: a PredictRequest against a loaded version, by the rules and texts of TensorFlow Serving."""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from amfam_tf.server import tensors
from amfam_tf.server.demand import demand_of
from amfam_tf.server.memory import Patience
from amfam_tf.server.pieces import admitted, with_whole_index
from amfam_tf.server.servable import DEFAULT_SIGNATURE, NO_TIMEOUT, Servable
from amfam_tf.server.status import failed_precondition, from_exception, invalid_argument

MOST_NAMES_TOLD = 100
"""Names of inputs in the text of an error, which is cut at 1024 characters anyway."""


def predict(
    servable: Servable,
    version: int,
    request: predict_pb2.PredictRequest,
    limit_bytes: int,
    timeout_ms: int = NO_TIMEOUT,
    is_wanted: Callable[[], bool] = lambda: True,
) -> predict_pb2.PredictResponse:
    """Returns the response of one version; arguments and errors are those of `predict_arrays`."""
    results = predict_arrays(servable, request, limit_bytes, timeout_ms, is_wanted)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    for name, array in results.items():
        response.outputs[name].CopyFrom(tensors.encode(array))
    return response


def predict_arrays(
    servable: Servable,
    request: predict_pb2.PredictRequest,
    limit_bytes: int,
    timeout_ms: int = NO_TIMEOUT,
    is_wanted: Callable[[], bool] = lambda: True,
) -> dict[str, np.ndarray]:
    """Returns the outputs by name.

    What the request takes is known, and admitted by the servable's budget, before an input is expanded or decoded. A
    long one runs in pieces.

    Args:
        limit_bytes: largest memory of one input tensor.
        timeout_ms: milliseconds for the run, 0 for no limit.
        is_wanted: asked between two pieces; False ends the request.

    Raises:
        ServingError: with the status and text that the real server gives.
    """
    patience = Patience.of(timeout_ms, is_wanted)
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if not servable.has_signature(signature):
        raise failed_precondition(f'Serving signature key "{signature}" not found.')
    definition = servable.signatures[signature]
    inputs = _check_inputs(definition, request, limit_bytes)
    outputs = _wanted_outputs(definition, request.output_filter)
    demand = demand_of(definition, inputs, servable.row_bytes(signature), servable.limits.most_rows)

    def run(piece: slice | None) -> dict[str, np.ndarray]:
        rows = {name: array if piece is None else array[piece] for name, array in arrays.items()}
        try:
            return servable.run(signature, rows, outputs, patience.left_ms())
        except Exception as error:
            raise with_whole_index(from_exception(error), piece.start if piece else 0) from error

    with admitted(demand, servable.limits.memory, patience) as run_admitted:
        arrays = {name: tensors.decode(name, proto) for name, proto in inputs.items()}
        return run_admitted(run)


def _check_inputs(
    definition: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest, limit_bytes: int
) -> dict[str, tensor_pb2.TensorProto]:
    """Returns the tensors by input name, defaults of the signature filled in; none is expanded yet."""
    required = set(definition.inputs)
    if len(request.inputs) > len(required) + MOST_NAMES_TOLD:
        # Sorting and joining a million names for a text that is cut would take seconds.
        given = set(itertools.islice(request.inputs, MOST_NAMES_TOLD))
        raise _size_mismatch(required, given, len(request.inputs))
    given = set(request.inputs)
    complete = given | set(definition.defaults)
    if len(given) > len(required) or (len(given) < len(required) and not definition.defaults):
        raise _size_mismatch(required, given)
    for name in sorted(given - required):
        raise invalid_argument(
            f"input tensor alias not found in signature: {name}. Inputs expected to be in the set {_join(required)}."
        )
    if not required <= complete:
        raise _size_mismatch(required, given)
    protos = {}
    for position, name in enumerate(sorted(required)):
        proto = request.inputs[name] if name in given else definition.defaults[name]
        tensors.check(name, proto, limit_bytes)
        expected = definition.inputs[name].dtype
        if proto.dtype != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {tensors.type_name(expected)} "
                f"but {tensors.type_name(proto.dtype)} is provided"
            )
        protos[name] = proto
    return protos


def _size_mismatch(required: set[str], given: set[str], count: int | None = None) -> Exception:
    """Returns the error for too many or too few inputs; `given` may be some of `count` names."""
    return invalid_argument(
        f"input size does not match signature: {count or len(given)}!={len(required)} "
        f"len({_join(given)}) != len({_join(required)}). "
        f"Sent extra: {_join(given - required)}. Missing but required: {_join(required - given)}."
    )


def _wanted_outputs(definition: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]) -> list[str]:
    """Returns the names of the outputs to compute: those of the filter, or all."""
    known = set(definition.outputs)
    wanted: dict[str, None] = {}
    for alias in output_filter:
        if alias not in known:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {_join(known)}."
            )
        if alias in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        wanted[alias] = None
    return list(wanted) or sorted(known)


def _join(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
