"""Classify, Regress and MultiInference: tf.Examples against signatures of these methods, by upstream's rules and texts.

Such signatures come from TensorFlow 1: one input "inputs", serialized tf.Examples [B], and outputs "classes" (strings)
and "scores" (floats), both [B, classes], or "outputs" (floats), [B] or [B, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, model_pb2, regression_pb2

from amfam_tf.server.demand import check_rows, demand_of_examples
from amfam_tf.server.memory import Patience
from amfam_tf.server.pieces import admitted, with_whole_index
from amfam_tf.server.servable import DEFAULT_SIGNATURE, NO_TIMEOUT, Servable
from amfam_tf.server.status import ServingError, failed_precondition, from_exception, invalid_argument
from amfam_tf.server.tensors import type_name

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
CLASSIFY = tf.compat.v1.saved_model.signature_constants.CLASSIFY_METHOD_NAME
REGRESS = tf.compat.v1.saved_model.signature_constants.REGRESS_METHOD_NAME
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


@dataclass(frozen=True)
class _Examples:
    """The tf.Examples of a request, and what each is merged into."""

    given: Sequence[tf.train.Example]
    context: tf.train.Example | None

    def __len__(self) -> int:
        return len(self.given)

    def merged(self) -> np.ndarray:
        """Returns them serialized, [B]; with a context, as large as B times the context."""
        if self.context is None:
            return np.array([example.SerializeToString() for example in self.given], object)
        return np.array([self._with_context(example) for example in self.given], object)

    def _with_context(self, example: tf.train.Example) -> bytes:
        merged = tf.train.Example()
        merged.CopyFrom(self.context)
        merged.MergeFrom(example)
        return merged.SerializeToString()


@dataclass(frozen=True)
class _Call:
    """A signature that has the right form, and what it is asked."""

    servable: Servable
    name: str
    definition: meta_graph_pb2.SignatureDef
    examples: _Examples
    patience: Patience

    def run(self, *outputs: str) -> dict[str, np.ndarray]:
        """Returns the outputs by name; what that takes is admitted before an example is merged or a picture decoded."""
        limits = self.servable.limits
        check_rows(len(self.examples), limits.most_rows)
        given = [example.SerializeToString() for example in self.examples.given]
        context = b"" if self.examples.context is None else self.examples.context.SerializeToString()
        demand = demand_of_examples(self.definition, given, context, self.servable.row_bytes(self.name))

        def run(piece: slice | None) -> dict[str, np.ndarray]:
            rows = arrays if piece is None else arrays[piece]
            try:
                return self.servable.run(self.name, {INPUTS: rows}, outputs, self.patience.left_ms())
            except Exception as error:
                raise with_whole_index(from_exception(error), piece.start if piece else 0) from error

        with admitted(demand, limits.memory, self.patience) as run_admitted:
            arrays = self.examples.merged()
            return run_admitted(run)


def classify(
    servable: Servable,
    version: int,
    request: classification_pb2.ClassificationRequest,
    timeout_ms: int = NO_TIMEOUT,
    is_wanted: Callable[[], bool] = lambda: True,
) -> classification_pb2.ClassificationResponse:
    """Returns label and score per class and example; what that takes is counted and admitted as of Predict.

    Args:
        timeout_ms: milliseconds for the run, 0 for no limit.
        is_wanted: asked between two pieces; False ends the request.

    Raises:
        ServingError: with the status and text that the real server gives.
    """
    response = classification_pb2.ClassificationResponse()
    _fill_spec(response.model_spec, request.model_spec, version)
    _fill_classes(response.result, _call(servable, request, CLASSIFY, Patience.of(timeout_ms, is_wanted)))
    return response


def regress(
    servable: Servable,
    version: int,
    request: regression_pb2.RegressionRequest,
    timeout_ms: int = NO_TIMEOUT,
    is_wanted: Callable[[], bool] = lambda: True,
) -> regression_pb2.RegressionResponse:
    """Returns a value per example; errors as of `classify`."""
    response = regression_pb2.RegressionResponse()
    _fill_spec(response.model_spec, request.model_spec, version)
    _fill_values(response.result, _call(servable, request, REGRESS, Patience.of(timeout_ms, is_wanted)))
    return response


def multi_inference(
    servable: Servable,
    version: int,
    request: inference_pb2.MultiInferenceRequest,
    timeout_ms: int = NO_TIMEOUT,
    is_wanted: Callable[[], bool] = lambda: True,
) -> inference_pb2.MultiInferenceResponse:
    """Returns the results of several signatures on the same examples; errors as of `classify`."""
    definitions: dict[str, meta_graph_pb2.SignatureDef] = {}
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in definitions:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        if task.method_name not in _KINDS:
            message = f"Unsupported signature method_name: {task.method_name}"
            raise ServingError(grpc.StatusCode.UNIMPLEMENTED, message)
        definitions[name] = _definition(
            servable, name, task.method_name, "Requested signature not found in model graph: "
        )
    if len({definition.inputs[INPUTS].name for definition in definitions.values()}) > 1:
        raise invalid_argument("Input tensor must be the same for all Signatures.")
    examples, patience = _examples(request.input), Patience.of(timeout_ms, is_wanted)
    response = inference_pb2.MultiInferenceResponse()
    for task, (name, definition) in zip(request.tasks, definitions.items(), strict=True):
        result = response.results.add()
        _fill_spec(result.model_spec, task.model_spec, version)
        call = _Call(servable, name, definition, examples, patience)
        if task.method_name == CLASSIFY:
            _fill_classes(result.classification_result, call)
        else:
            _fill_values(result.regression_result, call)
    return response


def check_tasks(request: inference_pb2.MultiInferenceRequest) -> None:
    """Raises INVALID_ARGUMENT if there is no task, or if they do not name the same model."""
    if not request.tasks:
        raise invalid_argument("Inference request contains no tasks.")
    names = [task.model_spec.name for task in request.tasks]
    if not all(names):
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if len(set(names)) > 1:
        raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")


def _call(servable: Servable, request: Any, method: str, patience: Patience) -> _Call:
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    definition = _definition(servable, name, method, "No signature was found with the name: ")
    return _Call(servable, name, definition, _examples(request.input), patience)


def _fill_spec(spec: model_pb2.ModelSpec, asked: model_pb2.ModelSpec, version: int) -> None:
    spec.name, spec.signature_name = asked.name, asked.signature_name or DEFAULT_SIGNATURE
    spec.version.value = version


def _definition(servable: Servable, name: str, method: str, not_found: str) -> meta_graph_pb2.SignatureDef:
    """Returns a signature of the method, with the input and the outputs that it must have."""
    kind = _KINDS[method]
    if not servable.has_signature(name):
        raise invalid_argument(f"{not_found}{name}")
    definition = servable.signatures[name]
    if definition.method_name != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {definition.method_name}")
    if len(definition.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if INPUTS not in definition.inputs:
        raise failed_precondition(f"No {kind} inputs found in SignatureDef: {definition}")
    if method == REGRESS:
        if len(definition.outputs) != 1:
            raise invalid_argument("Expected one output Tensor.")
        if OUTPUTS not in definition.outputs:
            raise failed_precondition(f"No regression outputs found in SignatureDef: {definition}")
        return definition
    if len(definition.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(definition.outputs)}")
    if not {CLASSES, SCORES} & set(definition.outputs):
        raise failed_precondition(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {definition}"
        )
    return definition


def _examples(given: input_pb2.Input) -> _Examples:
    """Returns the tf.Examples of a request, and the context that they have in common if there is one."""
    examples = _Examples(given.example_list.examples, None)
    if given.WhichOneof("kind") == "example_list_with_context":
        with_context = given.example_list_with_context
        examples = _Examples(with_context.examples, with_context.context)
    if not examples:
        raise invalid_argument("Input is empty.")
    return examples


def _fill_classes(result: classification_pb2.ClassificationResult, call: _Call) -> None:
    found = call.run(*({CLASSES, SCORES} & set(call.definition.outputs)))
    for output, wanted in ((CLASSES, tf.string), (SCORES, tf.float32)):
        if output in found:
            if np.ndim(found[output]) != 2:
                shape = _shape(found[output])
                raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {shape}")
            _check_type(call, output, wanted, f"Expected {output} Tensor of {{}}. Got: {{}}")
            if len(found[output]) != len(call.examples):
                sizes = f"{len(call.examples)}. Got: {len(found[output])}"
                raise invalid_argument(f"Expected {output} output batch size of {sizes}")
    widths = [found[output].shape[1] for output in (CLASSES, SCORES) if output in found]
    if len(set(widths)) > 1:
        raise invalid_argument(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")
    for row in range(len(call.examples)):
        classes = result.classifications.add().classes
        for column in range(widths[0]):
            values = {output: array[row, column] for output, array in found.items()}
            classes.add(label=values.get(CLASSES), score=values.get(SCORES))


def _fill_values(result: regression_pb2.RegressionResult, call: _Call) -> None:
    values = np.asarray(call.run(OUTPUTS)[OUTPUTS])
    if values.ndim != 1 and (values.ndim, values.shape[-1:]) != (2, (1,)):
        shapes = f"either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        raise invalid_argument(f"Expected output Tensor shape to be {shapes}")
    if len(values) != len(call.examples):
        sizes = f"{len(call.examples)} vs. {len(values)}"
        raise invalid_argument(f"Input batch size did not match output batch size: {sizes}")
    _check_type(call, OUTPUTS, tf.float32, "Expected output Tensor of {}.  Got: {}")
    for value in values.ravel().tolist():
        result.regressions.add(value=value)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, np.shape(array)))}]"


def _check_type(call: _Call, output: str, wanted: tf.DType, text: str) -> None:
    given = call.definition.outputs[output].dtype
    if given != wanted.as_datatype_enum:
        names = (f"DT_{type_name(number).upper()}" for number in (wanted.as_datatype_enum, given))
        raise invalid_argument(text.format(*names))
