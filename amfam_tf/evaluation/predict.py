"""Predictions of an inference model for every case of a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.errors import RunError
from amfam_tf.evaluation import predictions
from amfam_tf.finite import ADVICE


def predict(
    model: Any,
    dataset: Iterable[Mapping[str, Any]],
    temperatures: Mapping[str, float] | None = None,
    *,
    card: DataCard,
) -> pd.DataFrame:
    """Returns the predictions table (see `amfam_tf.evaluation.predictions`) of a dataset, in its order.

    Args:
        model: maps {"clinical", "dermoscopic"}, float32 [B, S, S, 3] in [0, 1], to {task name: logits [B, classes]}.
        dataset: yields batches with the keys clinical, dermoscopic, case_num [B] and a class number [B] per task name.
        temperatures: for each task name, what its logits are divided by; 1 by default.
        card: of the data, whose tasks the model answers.

    Raises:
        RunError: a logit is not finite.
    """
    case_numbers, labels, logits = _collect(model, dataset, [task.name for task in card.tasks])
    scales = dict.fromkeys(logits, 1.0) if temperatures is None else temperatures
    probabilities = {name: probabilities_of(values, scales[name]) for name, values in logits.items()}
    return predictions.to_frame(case_numbers, labels, probabilities, card)


def probabilities_of(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns softmax(logits / temperature), float64 [N, classes]; the float32 logits are not rounded again."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=-1)


def _collect(
    model: Any, dataset: Iterable[Mapping[str, Any]], tasks: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns case numbers [N], class numbers [N] per task and logits [N, classes] per task."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # the last batch may be smaller
    def infer(images: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = model(images, training=False)
        return {name: tf.cast(outputs[name], tf.float32) for name in tasks}

    case_numbers: list[np.ndarray] = []
    labels: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    logits: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    names = input_names(model)
    for batch in dataset:
        outputs = infer({name: batch[name] for name in names})
        case_numbers.append(np.asarray(batch[predictions.CASE]))
        for name in tasks:
            labels[name].append(np.asarray(batch[name]))
            logits[name].append(np.asarray(outputs[name]))
        _check_finite({name: parts[-1] for name, parts in logits.items()}, case_numbers[-1])
    joined = {name: np.concatenate(parts) for name, parts in labels.items()}
    return np.concatenate(case_numbers), joined, {name: np.concatenate(parts) for name, parts in logits.items()}


def input_names(model: Any) -> tuple[str, ...]:
    """Returns the names of a model's inputs: of a Keras model those it was built with, else the two modalities."""
    inputs = getattr(model, "input", None)
    return tuple(inputs) if isinstance(inputs, Mapping) else MODALITIES


def _check_finite(logits: Mapping[str, np.ndarray], case_numbers: np.ndarray) -> None:
    """Checks a batch: one answer that is no number makes every metric of its task wrong."""
    rows = {name: np.flatnonzero(~np.isfinite(values).all(axis=1)) for name, values in logits.items()}
    bad = {name: places for name, places in rows.items() if places.size}
    if not bad:
        return
    told = ", ".join(f"{name} for {places.size} of {len(case_numbers)} cases" for name, places in bad.items())
    first = case_numbers[min(places[0] for places in bad.values())]
    raise RunError(
        f"the model's answers are no finite numbers: {told} (of one batch; the first is case {first}): {ADVICE}"
    )
