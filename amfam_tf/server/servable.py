"""One loaded version: a SavedModel in a session of its own, run by signature.

Like the real server, a version lives in a graph and a session: runs take a timeout, fetch only the wanted outputs
and report the kernels' own errors, and closing the session gives back all memory and all batch threads (batch
queues of eager functions are never freed).
"""

import gc
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from amfam_tf.files.plain_path import plain_path
from amfam_tf.server.batching import BatchingOptions, batched_call, is_batchable
from amfam_tf.server.graph_memory import GraphMemory
from amfam_tf.server.malloc_trim import trim_soon
from amfam_tf.server.memory import RequestLimits
from amfam_tf.server.status import invalid_argument, not_found

TAG = "serve"
DEFAULT_SIGNATURE = "serving_default"
NO_TIMEOUT = 0
LONGEST_GRAPH_BYTES = 2**31 - 1
"""Longest message of protobuf."""

_queue_numbers = itertools.count()


@dataclass(frozen=True)
class _Endpoint:
    """A signature in the graph: placeholders by input name, outputs by name, plain and (perhaps) batched."""

    inputs: Mapping[str, tf.Tensor]
    outputs: Mapping[str, tf.Tensor]
    batched_outputs: Mapping[str, tf.Tensor]


class Servable:
    """A version that answers.

    Args:
        path: the version's folder, with saved_model.pb.
        batching: merge concurrent requests; None runs each alone.

    Attributes:
        limits: what its requests may take; to be shared by all versions of a process.

    Raises:
        ServingError, tf.errors.OpError, OSError: the folder holds no SavedModel that can be loaded.
    """

    def __init__(self, path: Path, batching: BatchingOptions | None = None) -> None:
        self.path = path
        self.limits = RequestLimits()
        description = _read_description(path)
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = dict(description.signature_def)
        self._batching = batching
        self._graph = tf.Graph()
        load = self._load_objects if description.object_graph_def.nodes else self._load_graph
        with plain_path(path) as plain:
            load(plain)

    def _load_objects(self, path: Path) -> None:
        """Builds the graph and fills its variables, which are read when the session begins."""
        with self._graph.as_default():
            # The restored functions hold the variables only weakly: the model must outlive them.
            self._model = tf.saved_model.load(str(path), tags=[TAG])
            self._endpoints = {name: self._build(name) for name in self._model.signatures}
            sizes = GraphMemory(self._graph)
            self._row_bytes = {name: sizes.row_bytes(self._model.signatures[name].graph) for name in self._endpoints}
            initializers = [
                tf.compat.v1.global_variables_initializer(),
                tf.compat.v1.tables_initializer(),
                *tf.compat.v1.get_collection("saved_model_initializers"),
            ]
        self._graph.finalize()
        self._session = _open_session(self._graph)
        try:
            self._session.run(initializers)
        except BaseException:
            self._session.close()
            raise

    def _load_graph(self, path: Path) -> None:
        """Loads a SavedModel of TensorFlow 1: a graph without objects, whose signatures name tensors. Never batched.

        Signatures with sparse tensors, which no request can hold, are left out.
        """
        self._model = None
        self._session = _open_session(self._graph)
        try:
            tf.compat.v1.saved_model.loader.load(self._session, [TAG], str(path))
            self._endpoints = {
                name: _Endpoint(self._named(definition.inputs), self._named(definition.outputs), {})
                for name, definition in self.signatures.items()
                if all(info.name for info in (*definition.inputs.values(), *definition.outputs.values()))
            }
            # All signatures are in one graph: what it needs at its highest is more than any of them does.
            self._row_bytes = dict.fromkeys(self._endpoints, GraphMemory(self._graph).row_bytes(self._graph))
            self._graph.finalize()
        except BaseException:
            self._session.close()
            raise

    def _named(self, tensors: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, tf.Tensor]:
        """Returns the tensors of one side of a signature."""
        return {key: self._graph.get_tensor_by_name(info.name) for key, info in tensors.items()}

    def has_signature(self, name: str) -> bool:
        """Says whether the signature can be run."""
        return name in self._endpoints and name in self.signatures

    def row_bytes(self, signature: str) -> int:
        """Returns what the graph of a signature needs per row, in bytes, as far as its shapes tell."""
        return self._row_bytes[signature]

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], timeout_ms: int = NO_TIMEOUT
    ) -> dict[str, Any]:
        """Returns the wanted outputs by name; all are computed.

        A session keeps what it has compiled for each set of outputs that it was ever asked for: with every set of its
        own, requests could fill the memory, and the first of each would wait for seconds after a swap.

        Args:
            inputs: one array per input of the signature.
            timeout_ms: milliseconds, 0 for no limit.

        Raises:
            tf.errors.OpError: the kernels' own error, or DeadlineExceededError.
            UnicodeDecodeError: the kernels' own error, if its text quotes bytes that are not UTF-8.
        """
        endpoint = self._endpoints[signature]
        feed = {endpoint.inputs[name]: array for name, array in inputs.items()}
        options = tf.compat.v1.RunOptions(timeout_in_ms=timeout_ms)
        if endpoint.batched_outputs and self._fits_a_batch(inputs):
            try:
                results = self._session.run(dict(endpoint.batched_outputs), feed, options)
                return {name: results[name] for name in outputs}
            except (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.CancelledError):
                raise
            except (tf.errors.OpError, UnicodeDecodeError):
                # Perhaps another request of the batch was wrong: alone, each gets its own answer.
                pass
        try:
            results = self._session.run(dict(endpoint.outputs), feed, options)
        except UnicodeDecodeError:
            # The kernels' own error too.
            raise
        except ValueError as error:
            # Python compares with the shapes of a TensorFlow 1 graph's own placeholders before the kernels can.
            raise invalid_argument(str(error)) from error
        return {name: results[name] for name in outputs}

    def close(self) -> None:
        """Gives back memory and threads; no run may be in flight."""
        self._session.close()
        self._endpoints = {}
        self._model = None
        del self._graph, self._session
        # Graphs are full of reference cycles: what they hold would stay until some later collection.
        gc.collect()
        trim_soon()

    def _fits_a_batch(self, inputs: Mapping[str, np.ndarray]) -> bool:
        rows = {array.shape[0] if np.ndim(array) else 0 for array in inputs.values()}
        most = self._batching.max_batch_size if self._batching else 0
        return len(rows) == 1 and 0 < rows.pop() <= most

    def _build(self, name: str) -> _Endpoint:
        """Adds a signature to the graph: placeholders of unknown shape, so that only kernels judge shapes."""
        function = self._model.signatures[name]
        placeholders, inputs = {}, {}
        for key, spec in function.structured_input_signature[1].items():
            placeholders[key] = tf.compat.v1.placeholder(spec.dtype)
            inputs[key] = tf.identity(placeholders[key])
            inputs[key].set_shape(spec.shape)
        outputs = dict(function(**inputs))
        batched = {}
        if self._batching and is_batchable([*inputs.values()]) and is_batchable([*outputs.values()]):
            queue = f"batch_queue_{next(_queue_numbers)}"
            names = list(outputs)
            results = batched_call(self._batching, queue, self._model, name, function, inputs, names)
            batched = dict(zip(names, results, strict=True))
        return _Endpoint(placeholders, outputs, batched)


def _open_session(graph: tf.Graph) -> tf.compat.v1.Session:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    return tf.compat.v1.Session(graph=graph, config=config)


def _read_description(path: Path) -> meta_graph_pb2.MetaGraphDef:
    """Returns the description of the graph with tag "serve"."""
    file = path / "saved_model.pb"
    if not file.is_file():
        raise not_found(f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}")
    if file.stat().st_size > LONGEST_GRAPH_BYTES:
        raise OSError(f"Can't parse {file} as binary proto: it is longer than {LONGEST_GRAPH_BYTES} bytes")
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(file.read_bytes())
    except Exception as error:
        raise OSError(f"Can't parse {file} as binary proto") from error
    for graph in saved_model.meta_graphs:
        if TAG in graph.meta_info_def.tags:
            return graph
    raise not_found(
        f"Could not find meta graph def matching supplied tags: {{ {TAG} }}. "
        "To inspect available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )
