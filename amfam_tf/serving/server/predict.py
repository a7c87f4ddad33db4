"""Predict: a PredictRequest against a loaded version, by the rules and texts of TensorFlow Serving."""

from collections.abc import Iterable

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from amfam_tf.serving.server import tensors
from amfam_tf.serving.server.servable import DEFAULT_SIGNATURE, NO_TIMEOUT, Servable
from amfam_tf.serving.server.status import failed_precondition, from_exception, invalid_argument


def predict(
    servable: Servable,
    version: int,
    request: predict_pb2.PredictRequest,
    limit_bytes: int,
    timeout_ms: int = NO_TIMEOUT,
) -> predict_pb2.PredictResponse:
    """Returns the response of one version; arguments and errors are those of `predict_arrays`."""
    results = predict_arrays(servable, request, limit_bytes, timeout_ms)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    for name, array in results.items():
        response.outputs[name].CopyFrom(tensors.encode(array))
    return response


def predict_arrays(
    servable: Servable, request: predict_pb2.PredictRequest, limit_bytes: int, timeout_ms: int = NO_TIMEOUT
) -> dict[str, np.ndarray]:
    """Returns the outputs by name.

    Args:
        limit_bytes: largest memory of one input tensor.
        timeout_ms: milliseconds for the run, 0 for no limit.

    Raises:
        ServingError: with the status and text that the real server gives.
    """
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if not servable.has_signature(signature):
        raise failed_precondition(f'Serving signature key "{signature}" not found.')
    definition = servable.signatures[signature]
    inputs = _decode_inputs(definition, request, limit_bytes)
    outputs = _wanted_outputs(definition, request.output_filter)
    try:
        return servable.run(signature, inputs, outputs, timeout_ms)
    except Exception as error:
        raise from_exception(error) from error


def _decode_inputs(
    definition: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest, limit_bytes: int
) -> dict[str, np.ndarray]:
    """Returns the arrays by input name, defaults of the signature filled in."""
    required, given = set(definition.inputs), set(request.inputs)
    complete = given | set(definition.defaults)
    if len(given) > len(required) or (len(given) < len(required) and not definition.defaults):
        raise _size_mismatch(required, given)
    for name in sorted(given - required):
        raise invalid_argument(
            f"input tensor alias not found in signature: {name}. Inputs expected to be in the set {_join(required)}."
        )
    if not required <= complete:
        raise _size_mismatch(required, given)
    arrays = {}
    for position, name in enumerate(sorted(required)):
        proto = request.inputs[name] if name in given else definition.defaults[name]
        array = tensors.decode(name, proto, limit_bytes)
        expected = definition.inputs[name].dtype
        if proto.dtype != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {tensors.type_name(expected)} "
                f"but {tensors.type_name(proto.dtype)} is provided"
            )
        arrays[name] = array
    return arrays


def _size_mismatch(required: set[str], given: set[str]) -> Exception:
    return invalid_argument(
        f"input size does not match signature: {len(given)}!={len(required)} "
        f"len({_join(given)}) != len({_join(required)}). "
        f"Sent extra: {_join(given - required)}. Missing but required: {_join(required - given)}."
    )


def _wanted_outputs(definition: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]) -> list[str]:
    """Returns the names of the outputs to compute: those of the filter, or all."""
    known = set(definition.outputs)
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in known:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {_join(known)}."
            )
        if alias in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or sorted(known)


def _join(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
