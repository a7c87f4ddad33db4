"""The trainer: a keras.Model around a network, with the custom train_step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from amfam_tf.data.mixing import SHARE, other_label
from amfam_tf.layers.shared_moments import weighing_values
from amfam_tf.models.backbones import first_stages
from amfam_tf.models.lesion_model import LesionModel, Stage
from amfam_tf.training.case_answers import CaseAnswers
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.losses import Loss, Tensors, sum_in_order
from amfam_tf.training.replicas import means_over_replicas, part_of_mean, sum_over_replicas, with_a_case, without_blank
from amfam_tf.training.task_weights import TaskUncertainty

TOTAL = "loss"


class Trainer(keras.Model):
    """Trains a network on Eq. 4, L = sum of weight * loss, and tracks every named loss and accuracy.

    Batches are flat dicts: "clinical" and "dermoscopic" float32 [B, S, S, 3] in [0, 1], class numbers int [B] under
    each task's name, below 0 where nobody knows, and "metadata" float32 [B, n] if the network takes it; of mixed cases
    also what `amfam_tf.data.mixing` adds: a case counts as right if its own label is answered; with a teacher its
    answers, see `amfam_tf.data.answers`. Metrics:
    "loss", each loss's name, "accuracy" (mean over the tasks), "accuracy_<TASK>"; each is a mean over cases, so a
    smaller last batch counts for what it holds; a task's accuracy and its part of a classification loss are over the
    cases with a label, whatever the batches. Made and fitted within the scope of a tf.distribute strategy, it takes a
    batch as the parts that its replicas see, and a step is one on the whole of it.

    Args:
        network: maps {"clinical", "dermoscopic"} (and "metadata") to outputs by name.
        losses: the terms of Eq. 4.
        uncertainty: what the losses are weighed with, if that is learned.
        deferred: what waits for an epoch in them, if anything does.

    Raises:
        ValueError: a stage of the network names a loss or a part that does not exist.
    """

    def __init__(
        self,
        network: LesionModel,
        losses: Sequence[Loss],
        uncertainty: TaskUncertainty | None = None,
        deferred: DeferredWeights | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.uncertainty = uncertainty
        self.deferred = deferred
        self.losses_by_name = {loss.name: loss for loss in losses}
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in (TOTAL, *self.losses_by_name, "accuracy", *(f"accuracy_{task.name}" for task in network.tasks))
        }
        self._terms = {
            loss.name: {task.name: keras.metrics.Mean(name=f"{loss.name}_{task.name}") for task in network.tasks}
            for loss in losses
            if loss.by_task is not None
        }
        self.answers: CaseAnswers | None = None
        self._check_stages()
        self._stage = Stage("all")
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The trackers; Keras resets them between epochs."""
        return [*self._trackers.values(), *(one for terms in self._terms.values() for one in terms.values())]

    def average_answers(self, answers: CaseAnswers | None) -> None:
        """Makes the accuracies of a validation those of the gathered answers to cases; None: of each row by itself.

        Losses are means over the rows in either case.
        """
        self.answers = answers
        self.train_function = self.test_function = None

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self.answers is not None:
            self.answers.reset()

    def call(self, inputs: Tensors, training: bool = False) -> Tensors:
        wanted = {key: inputs[key] for key in self.network.input}
        return without_blank(self.network(with_a_case(wanted), training=training), wanted)

    def enter_stage(self, stage: Stage) -> None:
        """Makes a stage the one that the following steps train in.

        What it freezes stays as it is bit for bit: variables get no gradient and no weight decay, and batch
        normalisation uses and keeps its moving averages. The functions that run a step are made anew.
        """
        for one, trainable in ((self._stage, True), (stage, False)):
            for name in one.frozen:
                self._set_trainable(name, trainable)
            # Layer by layer: a backbone that is trainable itself does not pass it on again.
            for network in [part for name in self.network.backbones for part in self.network.parts[name]]:
                for layer in first_stages(network, one.frozen_stages):
                    layer.trainable = trainable
        self._stage = stage
        self.train_function = self.test_function = None

    def _set_trainable(self, part: str, trainable: bool) -> None:
        for layer in self.network.parts[part]:
            layer.trainable = trainable

    def _check_stages(self) -> None:
        for stage in self.network.stages:
            unknown = {*(stage.losses or ())} - set(self.losses_by_name) | {*stage.frozen} - set(self.network.parts)
            if unknown:
                raise ValueError(f"Stage {stage.name!r} names no loss and no part. Received: {sorted(unknown)}")

    def compute_losses(self, batch: Tensors, training: bool) -> dict[str, tf.Tensor]:
        """Returns {"loss": Eq. 4, and each of its terms by name}, scalars; updates the metrics.

        The sum is of the losses that the stage minimises; the others are only logged. Of several replicas, each returns
        the means over its own cases, while the metrics are of the cases of all.
        """
        outputs = self(batch, training=training)
        of_tasks = {
            name: loss.by_task(batch, outputs) for name, loss in self.losses_by_name.items() if loss.by_task is not None
        }
        terms = {
            name: sum_in_order([*of_tasks[name].values()]) if name in of_tasks else loss(batch, outputs)
            for name, loss in self.losses_by_name.items()
        }
        losses = {TOTAL: self._total(terms), **terms}
        self._update_metrics(batch, outputs, losses, of_tasks)
        if self.answers is not None and not training:
            self.answers.add(batch, outputs)
        return losses

    def _total(self, terms: Tensors) -> tf.Tensor:
        """Returns the weighted sum of the losses that the stage minimises."""
        minimised = tuple(self.losses_by_name) if self._stage.losses is None else self._stage.losses
        beside = [name for name, loss in self.losses_by_name.items() if loss.beside in minimised]
        names = dict.fromkeys((*minimised, *beside))
        return sum_in_order([self.losses_by_name[name].weight * terms[name] for name in names])

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        variables = self.trainable_variables
        # The gradient too: it computes parts of the network again.
        with weighing_values(tf.minimum(self._cases(batch), 1.0)):
            with tf.GradientTape() as tape:
                loss = self.compute_losses(batch, training=True)[TOTAL]
                scaled_loss = self.optimizer.scale_loss(part_of_mean(loss, self._cases(batch)))
            gradients = sum_over_replicas(tape.gradient(scaled_loss, variables))
        self.optimizer.apply_gradients(self._updates(gradients, variables))
        return self.get_metrics_result()

    def _updates(self, gradients: list[Any], variables: list[Any]) -> list[tuple[Any, ...]]:
        """Returns (gradient, variable) of what the stage trains; a variable that none of its losses reaches is left."""
        pairs = zip(gradients, variables, strict=True)
        # A stage of all losses reaches everything: there, Keras warns of a variable without a gradient.
        return [pair for pair in pairs if pair[0] is not None or self._stage.losses is None]

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        self.compute_losses(batch, training=False)
        return self.get_metrics_result()

    def _update_metrics(
        self, batch: Tensors, outputs: Tensors, losses: Tensors, of_tasks: Mapping[str, Tensors]
    ) -> None:
        tasks = self.network.tasks
        incomplete = [task for task in tasks if task.missing]
        accuracies = {f"accuracy_{task.name}": _accuracy(batch[task.name], outputs[task.name]) for task in tasks}
        accuracies["accuracy"] = sum_in_order(list(accuracies.values())) / len(tasks)
        terms = {f"{loss} {task}": value for loss, found in of_tasks.items() for task, value in found.items()}
        means, cases = means_over_replicas({**losses, **accuracies, **terms}, self._cases(batch))
        counts = dict.fromkeys(means, cases)
        # An unknown label is no class, so that no answer is right: only the number of cases differs.
        known = [tf.reduce_sum(tf.cast(batch[task.name] >= 0, tf.float32)) for task in incomplete]
        counted = [_labels_of(batch, task.name) for task in incomplete] if SHARE in batch else known
        totals = sum_over_replicas([*known, *counted])
        for task, count, of_loss in zip(incomplete, totals, totals[len(known) :], strict=False):
            name = f"accuracy_{task.name}"
            counts |= {name: count} | dict.fromkeys([f"{loss} {task.name}" for loss in of_tasks], of_loss)
            means = {**means, name: tf.math.divide_no_nan(means[name] * cases, count)}
        trackers = self._trackers | {
            f"{loss} {task}": one for loss, found in self._terms.items() for task, one in found.items()
        }
        for name, value in means.items():
            trackers[name].update_state(value, sample_weight=counts[name])

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """Returns the value of each metric; "accuracy" is the mean over the tasks that have a label."""
        results = {name: tracker.result() for name, tracker in self._trackers.items()}
        if self._terms:
            results |= {
                loss: sum_in_order([term.result() for term in terms.values()]) for loss, terms in self._terms.items()
            }
            results[TOTAL] = self._total(results)
        names = [f"accuracy_{task.name}" for task in self.network.tasks]
        if self.answers is not None:
            # Without any, the epoch is one of training.
            averaged = zip(names, self.answers.accuracies().values(), strict=True)
            results |= {name: tf.where(self.answers.any, value, results[name]) for name, value in averaged}
        if self.answers is not None or any(task.missing for task in self.network.tasks):
            labelled = tf.stack([tf.cast(self._trackers[name].count > 0, tf.float32) for name in names])
            values = tf.stack([tf.convert_to_tensor(results[name]) for name in names])
            results["accuracy"] = tf.math.divide_no_nan(tf.reduce_sum(values * labelled), tf.reduce_sum(labelled))
        return results

    def _cases(self, batch: Tensors) -> tf.Tensor:
        """Returns the number of cases in a batch, float32 []."""
        return tf.cast(tf.shape(batch[self.network.tasks[0].name])[0], tf.float32)

    def _make_function(self, step_function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the compiled function that takes an iterator one step on; of Keras' making if there is one replica.

        Keras' own would ask all workers for the mean of each metric after each step, but every replica has it already.
        """
        strategy = self._distribute_strategy
        if strategy is None:
            return super()._make_function(step_function)

        def step(iterator: Iterator[Tensors]) -> Tensors:
            logs = strategy.run(step_function, args=(next(iterator),))
            return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

        return tf.function(step, autograph=False, reduce_retracing=True)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing is left to build. Keras would take a batch for it, and with several workers cannot."""


def _labels_of(batch: Tensors, task: str) -> tf.Tensor:
    """Returns how many labels of mixed cases are known, each counted by its share."""
    own, other = (tf.cast(batch[name] >= 0, tf.float32) for name in (task, other_label(task)))
    return tf.reduce_sum(batch[SHARE] * own + (1.0 - batch[SHARE]) * other)


def _accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the share of cases whose largest logit is at their label; labels int [B], logits [B, classes]."""
    return tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float32))
