"""Grad-CAM (Selvaraju et al. 2017): where in each picture the features speak for a class.

For a logit y and the feature maps F [h, w, c] of one modality,

    a_k = mean over i, j of d y / d F_ijk,    map = relu(sum_k a_k F_k),

enlarged to the picture and divided by its own largest value; with several networks, as in an ensemble, it is the sum
of the maps of each before that. A map of zeros stays zeros: nothing there speaks for
the class. Each modality has maps of its own, so both pictures are scaled independently.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES

Tensors = Mapping[str, tf.Tensor]

PREDICTED = -1
"""Stands for the predicted class."""


def grad_cam(
    model: Callable[..., Tensors],
    inputs: Tensors,
    task_number: tf.Tensor,
    class_number: tf.Tensor,
    size: int,
    tasks: Sequence[Task],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the maps of a batch, each case for a class of its own, and the model's logits.

    Args:
        model: as `LesionModel.explanation_model()`: inputs -> {task name: logits [B, classes]} and
            `features_<modality>` [B, h, w, c] for each modality that it uses, see `feature_names`.
        inputs: {"clinical", "dermoscopic"}, float32 [B, S, S, 3] in [0, 1], and what else the model takes.
        task_number: position among the tasks, int32 [B].
        class_number: class number within the task, int32 [B]; PREDICTED for the predicted class.
        size: side of the maps, pixels.
        tasks: that the model answers.

    Returns:
        maps: {modality: float32 [B, size, size] in [0, 1]}; zeros for a modality that the model does not use.
        logits: {task name: float32 [B, classes]}.
    """
    with tf.GradientTape() as tape:
        # Weights that do not train would not put the features on the tape.
        tape.watch(list(inputs.values()))
        outputs = model(inputs, training=False)
        logits = {task.name: tf.cast(outputs[task.name], tf.float32) for task in tasks}
        # Cases do not depend on each other, so the gradient of the sum holds each case's own.
        target = tf.reduce_sum(_chosen_logits(logits, tasks, task_number, class_number))
    features = {name: [outputs[key] for key in names] for name, names in feature_names(outputs).items()}
    gradients = tape.gradient(target, features)
    maps = {
        name: enlarge([class_activation(*pair) for pair in zip(features[name], gradients[name], strict=True)], size)
        for name in features
    }
    nothing = tf.zeros((tf.shape(task_number)[0], size, size), tf.float32)
    return {name: maps.get(name, nothing) for name in MODALITIES}, logits


def feature_names(outputs: Iterable[str]) -> dict[str, list[str]]:
    """Returns, for each modality that a model uses, its outputs `features_<modality>` or `features_<modality>_<n>`."""
    found = {name: [key for key in outputs if f"{key}_".startswith(f"features_{name}_")] for name in MODALITIES}
    return {name: keys for name, keys in found.items() if keys}


def class_activation(features: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Returns relu(sum_k a_k F_k), a_k the spatial mean of the gradient: [B, h, w, c] twice -> float32 [B, h, w]."""
    weights = tf.reduce_mean(tf.cast(gradients, tf.float32), axis=(1, 2))
    return tf.nn.relu(tf.einsum("bhwc,bc->bhw", tf.cast(features, tf.float32), weights))


def enlarge(maps: Sequence[tf.Tensor], size: int) -> tf.Tensor:
    """Returns the sum of maps [B, h, w] >= 0 as [B, size, size] in [0, 1]: the largest value that is not zero is 1.

    Bilinear: unlike bicubic, it makes no values outside of those that it has.
    """
    first, *others = (tf.image.resize(one[..., tf.newaxis], (size, size), method="bilinear")[..., 0] for one in maps)
    enlarged = first
    for other in others:
        enlarged += other
    return tf.math.divide_no_nan(enlarged, tf.reduce_max(enlarged, axis=(1, 2), keepdims=True))


def chosen_classes(
    logits: Tensors, tasks: Sequence[Task], task_number: tf.Tensor, class_number: tf.Tensor
) -> tf.Tensor:
    """Returns the number of each case's class, int32 [B], the predicted one for PREDICTED."""
    predicted = tf.stack([tf.argmax(logits[task.name], axis=1, output_type=tf.int32) for task in tasks], axis=1)
    predicted = tf.gather(predicted, task_number, axis=1, batch_dims=1)
    return tf.where(class_number == PREDICTED, predicted, class_number)


def _chosen_logits(
    logits: Tensors, tasks: Sequence[Task], task_number: tf.Tensor, class_number: tf.Tensor
) -> tf.Tensor:
    """Returns the logit of each case's task and class, float32 [B]."""
    largest = max(len(task.classes) for task in tasks)
    # [B, classes] of each task -> [B, tasks, largest]
    padded = tf.stack([tf.pad(logits[task.name], ((0, 0), (0, largest - len(task.classes)))) for task in tasks], axis=1)
    chosen = chosen_classes(logits, tasks, task_number, class_number)
    return tf.gather_nd(padded, tf.stack([task_number, chosen], axis=1), batch_dims=1)
