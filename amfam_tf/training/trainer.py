"""The trainer: a keras.Model around a network, with the custom train_step."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.tasks import MODALITIES, TASKS
from amfam_tf.training.losses import Loss, Tensors

TOTAL = "loss"


class Trainer(keras.Model):
    """Trains a network on Eq. 4, L = sum of weight * loss, and tracks every named loss and accuracy.

    Batches are flat dicts: "clinical" and "dermoscopic" float32 [B, S, S, 3] in [0, 1], and class numbers int [B] under
    each task's name. Metrics: "loss", each loss's name, "accuracy" (mean over the tasks), "accuracy_<TASK>"; each is
    a mean over cases, so a smaller last batch counts for what it holds.

    Args:
        network: maps {"clinical", "dermoscopic"} to outputs by name.
        losses: the terms of Eq. 4.
    """

    def __init__(self, network: LesionModel, losses: Sequence[Loss], **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.losses_by_name = {loss.name: loss for loss in losses}
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in (TOTAL, *self.losses_by_name, "accuracy", *(f"accuracy_{task.name}" for task in TASKS))
        }
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The trackers; Keras resets them between epochs."""
        return list(self._trackers.values())

    def call(self, inputs, training=False):
        return self.network({key: inputs[key] for key in MODALITIES}, training=training)

    def compute_losses(self, batch: Tensors, training: bool) -> dict[str, tf.Tensor]:
        """Returns {"loss": Eq. 4, and each of its terms by name}, scalars; updates the metrics."""
        outputs = self(batch, training=training)
        terms = {name: loss(batch, outputs) for name, loss in self.losses_by_name.items()}
        total = tf.add_n([self.losses_by_name[name].weight * value for name, value in terms.items()])
        losses = {TOTAL: total, **terms}
        self._update_metrics(batch, outputs, losses)
        return losses

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = self.compute_losses(batch, training=True)[TOTAL]
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self.get_metrics_result()

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        self.compute_losses(batch, training=False)
        return self.get_metrics_result()

    def _update_metrics(self, batch: Tensors, outputs: Tensors, losses: Tensors) -> None:
        cases = tf.cast(tf.shape(batch[TASKS[0].name])[0], tf.float32)
        accuracies = {f"accuracy_{task.name}": _accuracy(batch[task.name], outputs[task.name]) for task in TASKS}
        accuracies["accuracy"] = tf.add_n(list(accuracies.values())) / len(TASKS)
        for name, value in {**losses, **accuracies}.items():
            self._trackers[name].update_state(value, sample_weight=cases)


def _accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the share of cases whose largest logit is at their label; labels int [B], logits [B, classes]."""
    return tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float32))
