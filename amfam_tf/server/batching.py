"""Server-side batching: concurrent requests of one signature run as one, in TensorFlow's own batch scheduler.

A signature is batched if all its inputs and outputs have a free first dimension. A model may split it in two so
that only the second half runs on merged rows: if the loaded object has an attribute `batching` whose item of the
signature's name has the functions `before` (named inputs to a dict of tensors, all [B, ...]) and `batched` (those
tensors by name to the signature's outputs), then a picture that cannot be decoded fails in `before`, alone.
Without it, a failed batch is undone: each of its requests runs again alone, so that only the wrong one fails.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from amfam_tf.errors import ConfigError
from amfam_tf.server.text_protos import BatchingParameters, read_text_proto

STAGES_ATTRIBUTE = "batching"
Function = Callable[..., Mapping[str, tf.Tensor]]


@dataclass(frozen=True)
class BatchingOptions:
    """BatchingParameters with the defaults of TensorFlow Serving's batch scheduler.

    Attributes:
        max_batch_size: rows of a batch; a request with more runs alone.
        batch_timeout_micros: longest wait for more rows, in microseconds.
        max_enqueued_batches: full queue length; beyond it a request is UNAVAILABLE.
        num_batch_threads: batches that run at a time.
        allowed_batch_sizes: batches are padded up to one of these; empty for no padding.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"batching parameter {name} must be at least 1. Received: {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ConfigError(
                f"batching parameter batch_timeout_micros must not be negative. Received: {self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise ConfigError(
                "batching parameter allowed_batch_sizes must increase and end with max_batch_size "
                f"({self.max_batch_size}). Received: {list(sizes)}"
            )


def read_batching_options(path: str) -> BatchingOptions:
    """Returns the options of a BatchingParameters text proto; all defaults without a path.

    Raises:
        ConfigError: the file cannot be read, or a value cannot be.
    """
    if not path:
        return BatchingOptions()
    proto: Any = read_text_proto(path, BatchingParameters)
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    given = {name: getattr(proto, name).value for name in names if proto.HasField(name)}
    return BatchingOptions(**given, allowed_batch_sizes=tuple(proto.allowed_batch_sizes))


def is_batchable(tensors: Sequence[tf.Tensor]) -> bool:
    """Says whether all tensors have a first dimension that is free."""
    return bool(tensors) and all(
        tensor.shape.rank is not None and tensor.shape.rank > 0 and tensor.shape[0] is None for tensor in tensors
    )


def batched_call(
    options: BatchingOptions,
    queue: str,
    model: Any,
    signature: str,
    whole: Function,
    inputs: Mapping[str, tf.Tensor],
    outputs: Sequence[str],
) -> list[tf.Tensor]:
    """Returns the outputs of a signature in the current graph, computed in merged batches.

    Args:
        queue: name of the batch queue: two of the same name would answer each other's requests.
        model: the loaded SavedModel, which may offer two stages for this signature.
        whole: the signature's function.
        inputs: by name, each [B, ...].
        outputs: names, in the order to return.
    """
    stages = (getattr(model, STAGES_ATTRIBUTE, None) or {}).get(signature)
    with tf.name_scope("before"):
        tensors = dict(inputs) if stages is None else dict(stages.before(**inputs))
    names = sorted(tensors)

    def compute(*rows: tf.Tensor) -> list[tf.Tensor]:
        arguments = dict(zip(names, rows, strict=True))
        results = whole(**arguments) if stages is None else stages.batched(**arguments)
        return [results[name] for name in outputs]

    with tf.name_scope(queue):
        decorate = tf.nondifferentiable_batch_function(
            num_batch_threads=options.num_batch_threads,
            max_batch_size=options.max_batch_size,
            batch_timeout_micros=options.batch_timeout_micros,
            allowed_batch_sizes=list(options.allowed_batch_sizes) or None,
            max_enqueued_batches=options.max_enqueued_batches,
            autograph=False,
        )
        return list(decorate(compute)(*(tensors[name] for name in names)))
