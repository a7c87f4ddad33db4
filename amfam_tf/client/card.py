"""An answer for people (card), for programs (JSON, CSV), and as a picture with Grad-CAM laid over."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfam_tf.client.client import Answer, Explanation
from amfam_tf.errors import DataError, UserError
from amfam_tf.report.notice import RESEARCH_ONLY
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, MODALITIES, SEVEN_POINT_THRESHOLDS, TASKS

if TYPE_CHECKING:
    from rich.console import Console

BAR = 30
HIGHEST_SCORE = sum(max(task.scores) for task in CRITERIA)
HEAT = np.array([[0, 0, 64], [110, 20, 130], [225, 70, 60], [255, 180, 30], [255, 255, 170]], np.float64)
"""Colours from nothing to most, evenly spaced, RGB in [0, 255]."""
MOST_HEAT = 0.65
GAP = 8
ERROR = "error"
"""Column and key of why there is no answer."""


def print_card(answer: Answer, names: Sequence[str], console: "Console") -> None:
    """Prints what the model says about a pair, to be read by a person."""
    from rich.table import Table

    version = "" if answer.version is None else f", version {answer.version}"
    heading = f"{names[0]} + {names[1]}   ({answer.model}{version})"
    console.print(heading, style="bold", markup=False, soft_wrap=True)
    diagnosis = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows = zip(DIAGNOSIS.classes, DIAGNOSIS.class_titles, answer.probabilities[DIAGNOSIS.name], strict=True)
    for name, title, probability in sorted(rows, key=lambda row: -row[2]):
        bar = "█" * round(BAR * probability)
        diagnosis.add_row(name, title, f"{100 * probability:5.1f} %", bar)
    console.print(diagnosis)
    criteria = Table("criterion", "finding", box=None, padding=(0, 2, 0, 0))
    for heading in ("probability", "points"):
        criteria.add_column(heading, justify="right")
    for task in CRITERIA:
        number = int(np.argmax(answer.probabilities[task.name]))
        share = f"{100 * answer.probabilities[task.name][number]:.1f} %"
        criteria.add_row(task.title, task.class_titles[number], share, str(task.scores[number]))
    console.print(criteria)
    console.print(f"7-point score {answer.seven_point_score} of {HIGHEST_SCORE}: {verdict(answer)}", soft_wrap=True)
    console.print(RESEARCH_ONLY, style="yellow", soft_wrap=True)


def print_failure(error: UserError, names: Sequence[str], console: "Console") -> None:
    """Prints, in place of a card, why there is no answer."""
    console.print(f"{names[0]} + {names[1]}", style="bold", markup=False, soft_wrap=True)
    console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)


def verdict(answer: Answer) -> str:
    """Returns what the score suggests by each rule of the checklist."""
    parts = []
    for rule, is_suspicious in answer.suspicious.items():
        word = "suspicious" if is_suspicious else "not suspicious"
        parts.append(f"{word} by the {rule} rule ({SEVEN_POINT_THRESHOLDS[rule]} or more)")
    return "; ".join(parts)


def to_json(answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    """Returns the answer as plain values."""
    tasks = {
        task.name: {
            "class": answer.classes[task.name],
            "probabilities": dict(zip(task.classes, answer.probabilities[task.name], strict=True)),
        }
        for task in TASKS
    }
    return {
        **dict(zip(MODALITIES, names, strict=True)),
        "model": answer.model,
        "version": answer.version,
        "tasks": tasks,
        "melanoma_probability": answer.melanoma_probability,
        "seven_point_score": answer.seven_point_score,
        "suspicious": answer.suspicious,
        "notice": RESEARCH_ONLY,
    }


def failure_to_json(error: UserError, names: Sequence[str]) -> dict[str, Any]:
    """Returns, as plain values, why there is no answer."""
    return {**dict(zip(MODALITIES, names, strict=True)), "error": str(error)}


def columns() -> list[str]:
    """Returns the columns of a table of answers; `error` says in a row that is empty otherwise why it is."""
    of_tasks = [f"{task.name}_{name}" for task in TASKS for name in ("pred", *task.classes)]
    return [*MODALITIES, "model", "version", *of_tasks, "melanoma_probability", "seven_point_score", ERROR]


def to_row(answer: Answer | UserError, names: Sequence[str]) -> dict[str, Any]:
    """Returns the answer as a row of a table; the columns of the tasks are those of predictions.csv."""
    row: dict[str, Any] = dict(zip(MODALITIES, names, strict=True))
    if isinstance(answer, UserError):
        return dict.fromkeys(columns(), "") | row | {ERROR: str(answer)}
    row |= {"model": answer.model, "version": "" if answer.version is None else answer.version}
    for task in TASKS:
        row[f"{task.name}_pred"] = answer.classes[task.name]
        names_of_classes = (f"{task.name}_{name}" for name in task.classes)
        row |= dict(zip(names_of_classes, answer.probabilities[task.name], strict=True))
    row |= {"melanoma_probability": answer.melanoma_probability, "seven_point_score": answer.seven_point_score}
    return row | {ERROR: ""}


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Returns a picture with a map laid over it, the more opaque the larger the map.

    Args:
        image: uint8 [S, S, 3].
        heat: [S, S] in [0, 1]; where it is 0 the picture stays as it is.
    """
    places = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(heat, places, HEAT[:, channel]) for channel in range(3)], axis=-1)
    share = MOST_HEAT * heat[..., np.newaxis]
    return np.round(image * (1 - share) + colours * share).astype(np.uint8)


def panel(explanation: Explanation) -> np.ndarray:
    """Returns both pictures as the network saw them, each beside its map, uint8 [2 S + gap, 2 S + gap, 3]."""
    rows = []
    for name in MODALITIES:
        image, heat = explanation.images[name], explanation.maps[name]
        gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([image, gap, overlay(image, heat)], axis=1))
    return np.concatenate([rows[0], np.full((GAP, rows[0].shape[1], 3), 255, np.uint8), rows[1]])


def write_panel(explanation: Explanation, path: Path) -> None:
    """Writes `panel` to an image file.

    Raises:
        DataError: the file cannot be written.
    """
    from PIL import Image

    try:
        Image.fromarray(panel(explanation)).save(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
