"""The losses of AMFAM, Eq. 1 to 4: pure functions, and the small objects that name what they read."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import LossConfig
from amfam_tf.data.answers import answer_key
from amfam_tf.data.mixing import SHARE, other_label
from amfam_tf.models.lesion_model import FINAL, given_name, output_name
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.class_losses.table import Counts, OfCases, loss_of_cases
from amfam_tf.training.class_weights import batch_class_weights
from amfam_tf.training.distillation import softened_divergence
from amfam_tf.training.replicas import mean_of_known
from amfam_tf.training.task_weights import Weighing

Tensors = Mapping[str, tf.Tensor]
Mixture = tuple[tf.Tensor, tf.Tensor]
"""The labels of the other cases, int [B], and the shares of the own ones, float32 [B]."""

CLASS_WEIGHTS = ("none", "batch")


def sum_in_order(terms: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of scalars; that of tf.add_n, added as buffers get free, differs in its last digit at times."""
    return tf.reduce_sum(tf.stack(terms))


def cross_entropy(
    labels: tf.Tensor,
    logits: tf.Tensor,
    class_weights: str = "none",
    incomplete: bool = False,
    of_cases: OfCases = adjusted_cross_entropy,
    weigh: Callable[[tf.Tensor], tf.Tensor] | None = None,
    mixture: Mixture | None = None,
) -> tf.Tensor:
    """Returns the mean over the batch of the cross-entropy of labels int [B] and logits [B, classes].

    Of mixed cases it is share * loss of the own label + (1 - share) * loss of the other one, whatever the loss; one
    that nobody knows is left out with its share.

    Args:
        labels: class numbers.
        logits: of any type; computed in float32.
        class_weights: "none", or "batch" for `batch_class_weights`.
        incomplete: leave out the cases with a label below 0, which nobody knows: the mean is over the others.
        of_cases: another loss in its place.
        weigh: what the task counts, see `Weighing`.
        mixture: of mixed cases, the other labels and the own shares.

    Raises:
        ValueError: unknown class weights.
    """
    if class_weights not in CLASS_WEIGHTS:
        raise ValueError(f"`class_weights` must be one of {', '.join(CLASS_WEIGHTS)}. Received: {class_weights!r}")
    shares = None
    if mixture is not None:
        other, own_share = mixture
        labels, logits = tf.concat([labels, other], axis=0), tf.concat([logits, logits], axis=0)
        shares = tf.concat([own_share, 1.0 - own_share], axis=0)
    known = tf.maximum(labels, 0) if incomplete else labels
    losses = of_cases(known, tf.cast(logits, tf.float32))
    if class_weights == "batch":
        losses *= batch_class_weights(labels, logits.shape[-1], shares)
    if weigh is not None:
        losses = weigh(losses)
    if incomplete:
        counted = tf.cast(labels >= 0, tf.float32)
        return mean_of_known(losses, counted if shares is None else counted * shares)
    # The shares of a case sum to 1, and the mean is over twice the cases.
    return tf.reduce_mean(losses if shares is None else 2.0 * shares * losses)


def classification_loss(
    labels: Tensors,
    logits: Tensors,
    class_weights: str = "none",
    incomplete: Collection[str] = (),
    of_cases: Mapping[str, OfCases] = MappingProxyType({}),
) -> tf.Tensor:
    """Returns L_P, the sum over tasks of the mean cross-entropy (Eq. 3).

    Args:
        labels: {task name: class numbers, int [B]}; other keys are ignored.
        logits: {task name: [B, classes]}; the tasks summed over, in this order, are those with a key here and in
            `labels`.
        class_weights: see `cross_entropy`; counted for each task on its own.
        incomplete: names of the tasks whose labels may be unknown, see `cross_entropy`.
        of_cases: {task name: another loss in place of the cross-entropy}.
    """
    return sum_in_order([*losses_by_task(labels, logits, class_weights, incomplete, of_cases).values()])


def losses_by_task(
    labels: Tensors,
    logits: Tensors,
    class_weights: str = "none",
    incomplete: Collection[str] = (),
    of_cases: Mapping[str, OfCases] = MappingProxyType({}),
    weighing: Weighing = MappingProxyType({}),
) -> dict[str, tf.Tensor]:
    """Returns the terms of `classification_loss`, by the name of the task; of cases that may be mixed."""
    names = [name for name in logits if name in labels]
    if not names:
        raise ValueError(f"`labels` and `logits` share no task. Received: {sorted(labels)} and {sorted(logits)}")
    found = {}
    for name in names:
        of_task = of_cases.get(name, adjusted_cross_entropy)
        known = labels[name], logits[name], class_weights, name in incomplete
        mixture = (labels[other_label(name)], labels[SHARE]) if SHARE in labels else None
        found[name] = cross_entropy(*known, of_task, weighing.get(name), mixture)
    return found


def adversarial_loss(
    modality_logits_clinical: tf.Tensor,
    modality_logits_dermoscopic: tf.Tensor,
    given_clinical: tf.Tensor | None = None,
    given_dermoscopic: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns L_D = -E[log D(G(x^c))] - E[log(1 - D(G(x^d)))] (Eq. 1), what D minimises.

    D is the probability of class 0, "clinical". The gradient reversal inside D's network turns the sign for G.

    Args:
        modality_logits_clinical: D's logits [B, 2] for clinical images.
        modality_logits_dermoscopic: D's logits [B, 2] for dermoscopic images.
        given_clinical, given_dermoscopic: 1 where the image is there and 0 where it is missing, float32 [B]: the means
            are over those that are there. By default, all are.
    """
    pairs = ((modality_logits_clinical, given_clinical), (modality_logits_dermoscopic, given_dermoscopic))
    terms = []
    for label, (logits, given) in enumerate(pairs):
        labels = tf.fill(tf.shape(logits)[:1], label)
        known = labels if given is None else tf.where(given > 0, labels, -1)
        terms.append(cross_entropy(known, logits, incomplete=given is not None))
    return tf.add_n(terms)


ATTENTION_WEIGHTS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "none": tf.ones_like,
    "linear": tf.identity,
    "exponential": tf.exp,
}


def reconstruction_loss(
    image: tf.Tensor,
    reconstruction: tf.Tensor,
    attention: tf.Tensor | None,
    weighting: str,
    given: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns L_R = mean over images of 1/(w h) * sum_ij weight(m_ij) * ||xhat_ij - x_ij||^2 (Eq. 2).

    The squared error is summed over the colour channels.

    Args:
        image: x [B, h, w, 3] in [0, 1].
        reconstruction: xhat [B, h, w, 3].
        attention: m [B, h, w, 1] or [B, h, w] in [0, 1]; ignored (may be None) when `weighting` is "none".
        weighting: "none" (weight 1), "linear" (m) or "exponential" (exp(m): e where attention is 1, 1 where it is 0).
        given: 1 where the image is there and 0 where it is missing, float32 [B]: the mean is over those that are there.
            By default, all are.

    Raises:
        ValueError: unknown weighting.
    """
    if weighting not in ATTENTION_WEIGHTS:
        raise ValueError(f"`weighting` must be one of {', '.join(ATTENTION_WEIGHTS)}. Received: {weighting!r}")
    difference = tf.cast(reconstruction, tf.float32) - tf.cast(image, tf.float32)
    squared = tf.reduce_sum(tf.square(difference), axis=-1)
    if weighting != "none":
        attention = tf.cast(attention, tf.float32)
        attention = attention if attention.shape.rank == 3 else tf.squeeze(attention, axis=-1)
        squared *= ATTENTION_WEIGHTS[weighting](attention)
    if given is not None:
        return mean_of_known(tf.reduce_mean(squared, axis=(1, 2)), given)
    return tf.reduce_mean(squared)


@dataclass(frozen=True)
class Loss:
    """One term of Eq. 4.

    Attributes:
        name: under which it is logged.
        weight: its factor in the sum.
        compute: from the batch and the network's outputs, by name, to a scalar.
        by_task: the same, to the terms that the scalar is the sum of, if their means are over different cases.
        beside: name of the loss whose stages it is minimised in, too; None for its own name.
    """

    name: str
    weight: float
    compute: Callable[[Tensors, Tensors], tf.Tensor]
    by_task: Callable[[Tensors, Tensors], Mapping[str, tf.Tensor]] | None = None
    beside: str | None = None

    def __call__(self, batch: Tensors, outputs: Tensors) -> tf.Tensor:
        return self.compute(batch, outputs)


def build_losses(
    output_names: Sequence[str],
    weights: LossConfig,
    attention: str,
    tasks: Sequence[Task],
    branches: Sequence[str] = (FINAL,),
    counts: Counts | None = None,
    weighing: Weighing = MappingProxyType({}),
    deferred: DeferredWeights | None = None,
) -> tuple[Loss, ...]:
    """Returns the terms of Eq. 4 for which the network has outputs: L_P of each branch, then L_D, L_RC, L_RD.

    With a teacher, L_P is the sum of two of them, see `distillation`; the second one stands at the end.

    Args:
        output_names: names of the network's outputs.
        weights: lambda, gamma, and what L_P is.
        attention: weighting of the reconstruction, see `reconstruction_loss`.
        tasks: `LesionModel.tasks`.
        branches: `LesionModel.branches`.
        counts: training cases of each class, for what `weights.classification` names beside the cross-entropy.
        weighing: what each task counts.
        deferred: see `loss_of_cases`.

    Raises:
        ValueError: there are no counts where they are needed.
    """
    of_cases = losses_of_cases(weights, counts, tasks, deferred)
    losses = [_classification(branch, weights, tasks, of_cases, weighing) for branch in branches]
    if all(f"modality_logits_{key}" in output_names for key in MODALITIES):
        losses.append(Loss("adversarial", weights.adversarial, _adversarial_term))
    reconstructed = [key for key in MODALITIES if f"reconstruction_{key}" in output_names]
    losses += [
        Loss(f"reconstruction_{key}", weights.reconstruction, _reconstruction_term(key, attention))
        for key in reconstructed
    ]
    if weights.taught:
        losses += [_distillation(branch, weights, tasks, weighing) for branch in branches]
    return tuple(losses)


def classification_name(branch: str) -> str:
    """Returns the name of a branch's classification loss: "classification" of FINAL, "classification_clinical"."""
    return "classification" if branch == FINAL else f"classification_{branch}"


def losses_of_cases(
    weights: LossConfig, counts: Counts | None, tasks: Sequence[Task], deferred: DeferredWeights | None = None
) -> dict[str, OfCases]:
    """Returns {task name: the loss of each case}; {} for the plain cross-entropy.

    Raises:
        ValueError: there are no counts where they are needed.
    """
    if weights.classification != "cross_entropy":
        if counts is None:
            raise ValueError(f"`counts` must be given for {weights.classification}")
        return {task.name: loss_of_cases(weights, counts[task.name], deferred) for task in tasks}
    if not weights.label_smoothing:
        return {}
    return dict.fromkeys(
        (task.name for task in tasks), functools.partial(adjusted_cross_entropy, smoothing=weights.label_smoothing)
    )


def _classification(
    branch: str, values: LossConfig, tasks: Sequence[Task], of_cases: Mapping[str, OfCases], weighing: Weighing
) -> Loss:
    incomplete = [task.name for task in tasks if task.missing]

    def by_task(batch: Tensors, outputs: Tensors) -> Mapping[str, tf.Tensor]:
        logits = {task.name: outputs[output_name(branch, task.name)] for task in tasks}
        return losses_by_task(batch, logits, values.class_weights, incomplete, of_cases, weighing)

    def compute(batch: Tensors, outputs: Tensors) -> tf.Tensor:
        return sum_in_order([*by_task(batch, outputs).values()])

    weight = 1.0 - values.distillation if values.taught else 1.0
    return Loss(classification_name(branch), weight, compute, by_task if incomplete else None)


def _distillation(branch: str, values: LossConfig, tasks: Sequence[Task], weighing: Weighing) -> Loss:
    """Returns how far a branch is from a teacher's answers, over all cases; mixed and weighed as labels are."""
    of_cases = functools.partial(softened_divergence, temperature=values.distillation_temperature)

    def compute(batch: Tensors, outputs: Tensors) -> tf.Tensor:
        terms = []
        for task in tasks:
            key, logits = answer_key(task.name), outputs[output_name(branch, task.name)]
            mixture = (batch[other_label(key)], batch[SHARE]) if SHARE in batch else None
            weigh = weighing.get(task.name)
            terms.append(cross_entropy(batch[key], logits, of_cases=of_cases, weigh=weigh, mixture=mixture))
        return sum_in_order(terms)

    beside = classification_name(branch)
    return Loss(beside.replace("classification", "distillation"), values.distillation, compute, beside=beside)


def _adversarial_term(batch: Tensors, outputs: Tensors) -> tf.Tensor:  # noqa: ARG001  (every term has this signature)
    logits = (outputs[f"modality_logits_{key}"] for key in MODALITIES)
    return adversarial_loss(*logits, *(outputs.get(given_name(key)) for key in MODALITIES))


def _reconstruction_term(key: str, attention: str) -> Callable[[Tensors, Tensors], tf.Tensor]:
    def compute(batch: Tensors, outputs: Tensors) -> tf.Tensor:
        maps = outputs.get(f"attention_{key}")
        given = outputs.get(given_name(key))
        return reconstruction_loss(batch[key], outputs[f"reconstruction_{key}"], maps, attention, given)

    return compute
