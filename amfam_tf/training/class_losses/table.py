"""The losses of classification by the name that a configuration has for them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.config import LossConfig
from amfam_tf.training.class_losses.asymmetric import asymmetric
from amfam_tf.training.class_losses.balanced_softmax import balanced_softmax
from amfam_tf.training.class_losses.class_balanced_focal import class_balanced_focal, effective_weights
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.class_losses.large_margin_focal import large_margin_focal
from amfam_tf.training.class_losses.ldam import ldam
from amfam_tf.training.class_losses.logit_adjustment import logit_adjustment

OfCases = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From labels int [B] and logits float32 [B, classes] to the loss of each case, [B]."""
Counts = Mapping[str, np.ndarray]
"""Task name -> training cases of each class, float32 [classes]."""

CLASS_LOSSES: Mapping[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor, LossConfig], tf.Tensor]] = MappingProxyType(
    {
        "balanced_softmax": balanced_softmax,
        "logit_adjustment": logit_adjustment,
        "class_balanced_focal": class_balanced_focal,
        "ldam": ldam,
        "large_margin_focal": large_margin_focal,
        "asymmetric": asymmetric,
    }
)
"""All but the cross-entropy, which needs no counts."""


def class_counts(training: pd.DataFrame, tasks: tuple[Task, ...]) -> Counts:
    """Returns how many training cases each class of each task has.

    A class without any counts as one: its share must not be 0.
    """
    counts = {}
    for task in tasks:
        labels = training[task.name].to_numpy()
        found = np.bincount(labels[labels >= 0], minlength=len(task.classes))
        counts[task.name] = np.maximum(found, 1).astype(np.float32)
    return counts


def loss_of_cases(values: LossConfig, counts: np.ndarray, deferred: DeferredWeights | None = None) -> OfCases:
    """Returns the loss that a configuration names, for a task with these counts of its classes.

    Args:
        values: of the run.
        counts: see `Counts`.
        deferred: what weights of the classes wait for, if there are any.
    """
    chosen = CLASS_LOSSES[values.classification]

    def of_cases(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        losses = chosen(labels, logits, tf.constant(counts), values)
        if deferred is None:
            return losses
        return deferred.weigh(losses, labels, effective_weights(tf.constant(counts), values.effective_samples))

    return of_cases
