"""Answers averaged over the four flips of the pictures: how a case is turned over no longer matters."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
from keras import ops

from amfam_tf.card.schema import MODALITIES

FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Axes of a batch of pictures that each flip turns round: none, left and right, up and down, both."""


def over_flips(
    answer: Callable[[dict[str, Any]], Mapping[str, Any]], inputs: Mapping[str, Any], tasks: Iterable[str]
) -> dict[str, Any]:
    """Returns, for each task, logits [B, classes] whose softmax is the mean over the flips of that of the answers.

    Both pictures are flipped alike; one batch of 4B is answered.

    Args:
        answer: from inputs to {task name: logits}, and perhaps more.
        inputs: pictures [B, S, S, 3] by modality, and what else there is of a case.
        tasks: their names.
    """
    given = {
        name: in_all_flips(value) if name in MODALITIES else ops.concatenate([value] * len(FLIPS), axis=0)
        for name, value in inputs.items()
    }
    logits, found = answer(given), {}
    for name in tasks:
        parts = ops.split(ops.cast(logits[name], "float32"), len(FLIPS), axis=0)
        # One by one and in pairs: a flip of the pictures exchanges the terms of a sum and no more, so that its rounding
        # stays.
        parts = [ops.log_softmax(part, axis=-1) for part in parts]
        total = ops.logaddexp(ops.logaddexp(parts[0], parts[1]), ops.logaddexp(parts[2], parts[3]))
        found[name] = total - math.log(len(FLIPS))
    return found


def averaged_over_flips(model: keras.Model) -> keras.Model:
    """Returns a model with the same inputs and layers that gives `over_flips` of a model from inputs to logits."""

    answer = functools.partial(layer_by_layer, model)
    return keras.Model(model.input, over_flips(answer, model.input, model.output), name=model.name)


def layer_by_layer(model: keras.Model, given: dict[str, Any]) -> Any:
    """Returns a model's outputs for other inputs of a graph, where it would itself be a layer that hides its own."""
    return model._run_through_graph(given, operation_fn=lambda operation: operation)


def in_all_flips(pictures: Any) -> Any:
    """Returns the pictures [B, S, S, 3] in each of FLIPS, one flip after the other, [4B, S, S, 3]."""
    return ops.concatenate([flip(pictures, axes) for axes in FLIPS], axis=0)


def flip(pictures: Any, axes: tuple[int, ...]) -> Any:
    """Returns pictures or maps turned round along axes; the same again turns them back."""
    for axis in axes:
        pictures = ops.flip(pictures, axis)
    return pictures
