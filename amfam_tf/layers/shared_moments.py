"""What all replicas of a network see, whitened by its common mean and variance: batch normalisation together."""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_weight = contextvars.ContextVar("weight", default=None)


@contextlib.contextmanager
def weighing_values(weight: tf.Tensor) -> Iterator[None]:
    """Within it, this replica's values count with a weight, float32 [], in common moments: with 0 for a blank case that
    stands in where there is none."""
    token = _weight.set(weight)
    try:
        yield
    finally:
        _weight.reset(token)


def replica_among_others() -> tf.distribute.ReplicaContext | None:
    """Returns the context of this replica if there are others; None too while a graph is only described."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def whiten_over_replicas(inputs: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns (x - mean) / sqrt(variance + epsilon) as float32 [..., c], and mean and variance of the channels, float32
    [c], the same on every replica; only within one.

    First the mean, then the squared differences from it, as on one device. The difference of the mean square and the
    squared mean, which is what Keras takes, needs one message less but has nothing left of a variance that is small
    beside the mean.

    Args:
        inputs: x, this replica's values [..., c]; there may be none.
        epsilon: added to the variance.
    """
    context = replica_among_others() or tf.distribute.get_replica_context()
    values = tf.cast(inputs, tf.float32)
    axes = list(range(values.shape.rank - 1))
    weight = 1.0 if _weight.get() is None else _weight.get()
    count = weight * tf.cast(tf.reduce_prod(tf.shape(values)[:-1]), tf.float32)
    total, count = context.all_reduce(tf.distribute.ReduceOp.SUM, [weight * tf.reduce_sum(values, axes), count])
    mean = total / count
    differences = values - mean
    # The differences sum to 0: what the gradient of their squares sends through the mean is 0 too.
    squares = weight * tf.reduce_sum(tf.square(values - tf.stop_gradient(mean)), axes)
    variance = context.all_reduce(tf.distribute.ReduceOp.SUM, squares) / count
    return differences * tf.math.rsqrt(variance + epsilon), mean, variance
