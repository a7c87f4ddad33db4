"""Parts of a network that are computed a second time for their gradient, instead of being kept until then.

Memory against arithmetic (Chen et al. 2016, "Training deep nets with sublinear memory cost"): of such a part only the
input stays in memory after the forward pass. tf.recompute_grad does the same, but would move the moving averages of
batch normalisation twice, and lets parts that do not need each other run, and be in memory, at once.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from amfam_tf.layers.fused_batch_norm import keeping_averages

TURNS = "amfam_tf_recomputed"
"""Collection of a graph: the output or gradient of the part that was computed last."""


def recomputed(part: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Returns part(inputs); of everything between, nothing is kept for the gradient.

    Args:
        part: deterministic (no dropout); its batch normalisations are `BatchNormalization`.
        inputs: a tensor.
    """

    @tf.custom_gradient
    def compute(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor, variables: tuple[Any, ...] = ()) -> tuple[tf.Tensor, list[Any]]:
            # Not before its gradient is asked for: computed early, everything between would be in memory after all.
            again = _in_turn(inputs, upstream)
            with tf.GradientTape() as tape, keeping_averages():
                tape.watch(again)
                outputs = part(again)
            of_inputs, of_variables = tape.gradient(outputs, (again, list(variables)), output_gradients=upstream)
            _end_turn(of_inputs)
            return of_inputs, of_variables

        outputs = part(_in_turn(inputs))
        _end_turn(outputs)
        return outputs, gradient

    return compute(inputs)


def _in_turn(inputs: tf.Tensor, *after: tf.Tensor) -> tf.Tensor:
    """Returns the inputs, but not before `after` is there and the part before is done.

    What is traced later never comes before what is traced earlier, so nothing waits for itself. Replicas wait for each
    other by other means; there, parts take no turns.
    """
    if tf.executing_eagerly():
        return tf.identity(inputs)
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    before = _turns() if alone else []
    with tf.control_dependencies([*after, *before]):
        return tf.identity(inputs)


def _end_turn(result: tf.Tensor) -> None:
    if not tf.executing_eagerly():
        _turns()[:] = [result]


def _turns() -> list[tf.Tensor]:
    return tf.compat.v1.get_default_graph().get_collection_ref(TURNS)
