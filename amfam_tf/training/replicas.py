"""What the replicas of a network tell each other within a step, so that it is a step on the whole batch.

Each replica sees its own cases of the batch, their number n_r of n in all; one may have none. Whoever calls these
functions in a training without several replicas gets back what was given, bit for bit.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from amfam_tf.layers.shared_moments import replica_among_others


def sum_over_replicas(tensors: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Returns the sums over all replicas; None stays None."""
    context, known = replica_among_others(), [one for one in tensors if one is not None]
    # Nothing cannot be reduced.
    if context is None or not known:
        return list(tensors)
    sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, known))
    return [None if one is None else next(sums) for one in tensors]


def part_of_mean(mean: tf.Tensor, cases: tf.Tensor) -> tf.Tensor:
    """Returns n_r / n times the mean over this replica's cases: these parts sum to the mean over all, gradients too.

    Without cases the mean, and the part with it, is no number, but its gradient is 0.

    Args:
        mean: over this replica's cases, float32 [].
        cases: n_r, float32 [].
    """
    if replica_among_others() is None:
        return mean
    return mean * (cases / sum_over_replicas([cases])[0])


def means_over_replicas(means: Mapping[str, tf.Tensor], cases: tf.Tensor) -> tuple[Mapping[str, tf.Tensor], tf.Tensor]:
    """Returns the means over the cases of all replicas, and their number n; the same on every replica.

    Args:
        means: over this replica's cases, float32 []; ignored where it has none.
        cases: n_r, float32 [].
    """
    if replica_among_others() is None:
        return means, cases
    sums = [tf.where(cases > 0, mean * cases, 0.0) for mean in means.values()]
    # One vector: a message between machines takes its time however short it is.
    *sums, total = tf.unstack(sum_over_replicas([tf.stack([*sums, cases])])[0])
    return {name: one / total for name, one in zip(means, sums, strict=True)}, total


def mean_of_known(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the values of all replicas that are known, in such a form that `part_of_mean` is exact.

    That is, for a single replica, their mean. 0 where none is known.

    Args:
        values: of this replica's cases, finite float32 [n_r].
        known: float32 [n_r], how much each counts, from 0 to 1.
    """
    total = tf.reduce_sum(values * known)
    if replica_among_others() is None:
        return tf.math.divide_no_nan(total, tf.reduce_sum(known))
    own = tf.cast(tf.shape(values)[0], tf.float32)
    all_known, cases = tf.unstack(sum_over_replicas([tf.stack([tf.reduce_sum(known), own])])[0])
    return tf.math.divide_no_nan(total, all_known) * (cases / own)


def with_a_case(inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    """Returns the network's inputs [n_r, ...], with a blank case where this replica has none.

    TensorFlow's convolutions cannot all do without: those of oneDNN give 0 images the shape of their input.
    """
    if replica_among_others() is None:
        return inputs
    filled = {}
    for name, value in inputs.items():
        missing = 1 - tf.minimum(tf.shape(value)[0], 1)
        filled[name] = tf.concat([value, tf.zeros((missing, *value.shape[1:]), value.dtype)], axis=0)
    return filled


def without_blank(outputs: Mapping[str, tf.Tensor], inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    """Returns the network's outputs for this replica's own inputs [n_r, ...], without that for a blank case."""
    if replica_among_others() is None:
        return outputs
    cases = tf.shape(next(iter(inputs.values())))[0]
    return {name: value[:cases] for name, value in outputs.items()}
