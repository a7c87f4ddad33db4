"""Parts of a network that are computed a second time for their gradient, instead of being kept until then.

Memory against arithmetic (Chen et al. 2016, "Training deep nets with sublinear memory cost"): of such a part only the
input stays in memory after the forward pass. tf.recompute_grad does the same, but would move the moving averages of
batch normalisation twice.
"""

from collections.abc import Callable

import tensorflow as tf

from amfam_tf.layers.fused_batch_norm import keeping_averages


def recomputed(part: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Returns part(inputs); of everything between, nothing is kept for the gradient.

    Args:
        part: deterministic (no dropout); its batch normalisations are `FusedBatchNormalization`.
        inputs: a tensor.
    """

    @tf.custom_gradient
    def compute(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor, variables: tuple = ()) -> tuple[tf.Tensor, list]:
            # Not before its turn: computed early, everything between would be in memory after all.
            with tf.control_dependencies([upstream]):
                again = tf.identity(inputs)
            with tf.GradientTape() as tape, keeping_averages():
                tape.watch(again)
                outputs = part(again)
            of_inputs, of_variables = tape.gradient(outputs, (again, list(variables)), output_gradients=upstream)
            return of_inputs, of_variables

        return part(inputs), gradient

    return compute(inputs)
