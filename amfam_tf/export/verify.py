"""Checks an exported version: every file as it was written, metadata that fit the signatures, answers as stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from amfam_tf.card.schema import DataCard
from amfam_tf.card.served import ServedCard
from amfam_tf.data.images import reason
from amfam_tf.errors import ExportError, one_line
from amfam_tf.export import metadata, samples, version_files
from amfam_tf.export.signature_names import DESCRIBE, SERVING_DEFAULT
from amfam_tf.export.stored_weights import check_weights
from amfam_tf.files.plain_path import plain_path
from amfam_tf.finite import ADVICE, broken_tasks

TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}
"""Largest difference of a probability on another machine, by precision."""
MAP_TOLERANCES = {"float32": 1e-2, "bfloat16": 2e-1}
"""Of a Grad-CAM value: maps are divided by their largest value, which enlarges what rounding has changed."""


def verify(folder: Path) -> dict[str, Any]:
    """Loads a version, checks everything, and returns its metadata.

    Args:
        folder: of the version.

    Raises:
        ExportError: what is wrong, in one line; the first thing that is.
    """
    content = version_files.read_metadata(folder)
    version_files.check_number(folder, content)
    version_files.check_files(folder, content["files"])
    card = version_files.read_card(folder)
    try:
        with plain_path(folder) as plain:
            model = tf.saved_model.load(str(plain))
        check_weights(folder)
        _check_signatures(folder, content, card)
        _check_answers(folder, content["precision"], model.signatures, card)
        _check_card(folder, model.signatures, card, content)
    except (tf.errors.OpError, OSError, ValueError, DecodeError) as error:
        text = reason(error) if isinstance(error, tf.errors.OpError) else one_line(error)
        raise ExportError(f"{folder} is damaged: {text[:300]}") from error
    return content


def _check_signatures(folder: Path, content: Mapping[str, Any], card: DataCard) -> None:
    stated, found = content["signatures"], metadata.describe_signatures(folder, card)
    wrong = [name for name in sorted(stated.keys() | found.keys()) if stated.get(name) != found.get(name)]
    if wrong:
        raise ExportError(f"{folder}: metadata.json does not fit the signature {wrong[0]}")
    outputs = found[SERVING_DEFAULT]["outputs"]
    listed = {task["name"]: tuple(one["name"] for one in task["classes"]) for task in content["tasks"]}
    for task in card.tasks:
        shape = outputs[task.name]["shape"] if task.name in outputs else []
        if shape != [None, len(task.classes)] or listed.get(task.name) != task.classes:
            raise ExportError(f"{folder}: metadata.json does not fit the output {task.name}")


def _check_answers(folder: Path, precision: str, functions: Mapping[str, Any], card: DataCard) -> None:
    # Only then do answers of another processor agree to the tolerance.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for request, response in samples.read_samples(folder):
        signature = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        answers = functions[signature](**inputs)
        broken = broken_tasks({name: value.numpy() for name, value in answers.items()}, card.tasks)
        if broken:
            told = ", ".join(f"{name} for {count} cases" for name, count in broken.items())
            raise ExportError(f"{folder}: the answers of {signature} are no finite numbers: {told}; {ADVICE}")
        for key, value in response.outputs.items():
            difference = largest_difference(answers[key].numpy(), tf.make_ndarray(value))
            if not difference <= tolerance(key, precision):
                raise ExportError(
                    f"{folder}: {signature} does not give the stored answer: {key} differs by up to {difference:.3g}"
                )


def _check_card(folder: Path, functions: Mapping[str, Any], card: DataCard, content: Mapping[str, Any]) -> None:
    """Checks that clients are told the card of the version, and what it takes; older versions tell none."""
    if DESCRIBE in functions:
        told = functions[DESCRIBE](anything=tf.constant([""]))["card"].numpy()[0]
        known = ServedCard.of(card, content.get("metadata", {}), content.get(metadata.ONE_PICTURE, False))
        if ServedCard.from_json(told) != known:
            raise ExportError(f"{folder}: the signature {DESCRIBE} does not tell the card of the version, {card.name}")


def tolerance(output: str, precision: str) -> float:
    """Returns the largest difference of an output from the stored one that rounding explains."""
    if output.endswith("_image"):
        return 1  # a value on the edge between two
    return (MAP_TOLERANCES if output.endswith("_map") else TOLERANCES)[precision]


def largest_difference(found: np.ndarray, stored: np.ndarray) -> float:
    """Returns the largest difference of two arrays; infinity if their shapes, or texts, differ."""
    if found.shape != stored.shape:
        return float("inf")
    if found.dtype == object:
        return 0.0 if (found == stored).all() else float("inf")
    return float(np.abs(found.astype(np.float64) - stored.astype(np.float64)).max(initial=0))
