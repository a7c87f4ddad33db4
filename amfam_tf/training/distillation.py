"""Distillation: a network learns what another one answers, beside the labels.

Of each task, with the share w = `loss.distillation` and T = `loss.distillation_temperature`,

    (1 - w) * loss of the labels + w * T^2 * KL(p || q),    p = softmax(u / T),  q = softmax(z / T),

where z are the logits of the network and u those of its teacher. The labels' loss is any of `loss.classification`, over
the cases with a label; the other term is over all cases. T^2 keeps its gradient, T (q - p), as large as that of the
labels' loss, whatever T.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", Sec. 2; there with the cross-entropy of p
and q, which differs from KL(p || q) by the entropy of p, that nothing learned changes.
"""

import tensorflow as tf


def softened_divergence(answers: tf.Tensor, logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Returns T^2 KL(p || q) of each case, float32 [B], at least 0 but for rounding; 0 for equal answers.

    Args:
        answers: u, logits or logarithms of probabilities, float32 [B, classes]; no gradient goes through them.
        logits: z, float32 [B, classes].
        temperature: T, greater than 0.
    """
    wanted = tf.nn.log_softmax(tf.stop_gradient(answers) / temperature)
    found = tf.nn.log_softmax(logits / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)
