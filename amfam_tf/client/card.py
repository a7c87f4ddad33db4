"""An answer for people (card), for programs (JSON, CSV), and as a picture with Grad-CAM laid over."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfam_tf.card.schema import MODALITIES
from amfam_tf.card.served import ServedCard, output_of_target
from amfam_tf.client.client import Answer, Explanation, joined
from amfam_tf.errors import DataError, UserError
from amfam_tf.report.notice import RESEARCH_ONLY

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR = 30
HEAT = np.array([[0, 0, 64], [110, 20, 130], [225, 70, 60], [255, 180, 30], [255, 255, 170]], np.float64)
"""Colours from nothing to most, evenly spaced, RGB in [0, 255]."""
MOST_HEAT = 0.65
GAP = 8
ERROR = "error"
"""Column and key of why there is no answer."""


def print_card(answer: Answer, names: Sequence[str], console: "Console") -> None:
    """Prints what the model says about a pair, to be read by a person."""
    version = "" if answer.version is None else f", version {answer.version}"
    heading = f"{joined(names)}   ({answer.model}{version})"
    console.print(heading, style="bold", markup=False, soft_wrap=True)
    for line in (*_told_of_pictures(answer.card, names), *_told_beside(answer)):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_main_task(answer))
    if len(answer.card.tasks) > 1:
        console.print(_other_tasks(answer))
    for name in _told_apart(answer.card):
        title = answer.card.targets[name].title or name.replace("_", " ")
        console.print(f"{title}: {_percent(answer.targets[name])}", markup=False, soft_wrap=True)
    for name, value in answer.scores.items():
        low, high = answer.card.scores[name].range_of(answer.card.tasks)
        scale = f"{value} of {high}" if low == 0 else f"{value} of {low} to {high}"
        console.print(
            f"{title_of_score(answer.card, name)} {scale}: {verdict(answer, name)}", markup=False, soft_wrap=True
        )
    console.print(RESEARCH_ONLY, style="yellow", soft_wrap=True)


def _told_of_pictures(card: ServedCard, names: Sequence[str]) -> list[str]:
    """Returns a line if either picture may be left out: which one was, or that it may."""
    missing = [modality for modality, name in zip(MODALITIES, names, strict=True) if not name]
    if missing:
        return [f"answered without the {missing[0]} picture"]
    return ["either picture may be left out"] if card.one_picture else []


def _told_beside(answer: Answer) -> Iterator[str]:
    """Yields what the model was told beside the pictures, what it was not, and what it must not be believed with."""
    titles = {name: column.title or name.replace("_", " ") for name, column in answer.card.metadata.items()}
    known = [name for name in titles if answer.metadata.get(name)]
    told = ", ".join(f"{titles[name]} {answer.metadata[name]}" for name in known) or "nothing"
    unknown = ", ".join(titles[name] for name in titles if name not in known)
    if titles:
        yield f"told beside the pictures: {told}" + (f"; unknown: {unknown}" if unknown else "")
    for name in known:
        cause = answer.card.metadata[name].follows_from
        if cause is not None:
            yield (
                f"{titles[name]} is decided from the {answer.card.task(cause).title}: the model can answer without "
                "looking at a picture"
            )


def _main_task(answer: Answer) -> "Table":
    """Returns the classes of the main task, the most probable one above."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    main = answer.card.main
    rows = zip(main.classes, main.class_titles, answer.probabilities[main.name], strict=True)
    for name, title, probability in sorted(rows, key=lambda row: -row[2]):
        table.add_row(name, Text(title), f"{100 * probability:5.1f} %", "█" * round(BAR * probability))
    return table


def _other_tasks(answer: Answer) -> "Table":
    """Returns the most probable class of each other task, and what it adds to each score that counts one of them."""
    from rich.table import Table
    from rich.text import Text

    others = [task for task in answer.card.tasks if task != answer.card.main]
    scores = {name: score for name, score in answer.card.scores.items() if score.counted(others)}
    criteria = any(score.counted(answer.card.tasks) == tuple(others) for score in scores.values())
    table = Table("criterion" if criteria else "task", "finding", box=None, padding=(0, 2, 0, 0))
    several = len(scores) > 1
    headings = [f"points, {title_of_score(answer.card, name)}" if several else "points" for name in scores]
    for heading in ("probability", *headings):
        table.add_column(heading, justify="right")
    for task in others:
        number = int(np.argmax(answer.probabilities[task.name]))
        points = (str(score.points_of(task)[number]) if score.counted([task]) else "" for score in scores.values())
        share = _percent(answer.probabilities[task.name][number])
        table.add_row(Text(task.title), Text(task.class_titles[number]), share, *points)
    return table


def _told_apart(card: ServedCard) -> list[str]:
    """Returns the targets to tell; none if there is but one, and it is a class of the main task, which is shown."""
    only = [*card.targets.values()]
    shown = len(only) == 1 and only[0].task == card.main.name and len(only[0].classes) == 1
    return [] if shown else list(card.targets)


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def title_of_score(card: ServedCard, name: str) -> str:
    """Returns what to call a score."""
    return card.scores[name].title or name.replace("_", " ")


def print_failure(error: UserError, names: Sequence[str], console: "Console") -> None:
    """Prints, in place of a card, why there is no answer."""
    console.print(joined(names), style="bold", markup=False, soft_wrap=True)
    console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)


def verdict(answer: Answer, name: str) -> str:
    """Returns what a score suggests by each of its rules."""
    score = answer.card.scores[name]
    parts = []
    for rule, is_reached in answer.reached[name].items():
        no, least = "" if is_reached else "not ", f"({score.thresholds[rule]} or more)"
        if score.suggests is None:
            parts.append(f"{rule} {no}reached {least}")
        else:
            parts.append(f"{no}suspicious by the {rule} rule {least}")
    return "; ".join(parts)


def to_json(answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    """Returns the answer as plain values; `suspicious` is by rule, or by score and rule if there are several scores."""
    tasks = {
        task.name: {
            "class": answer.classes[task.name],
            "probabilities": dict(zip(task.classes, answer.probabilities[task.name], strict=True)),
        }
        for task in answer.card.tasks
    }
    suspicious: Mapping[str, Any] = answer.suspicious if len(answer.scores) == 1 else answer.reached
    return {
        **dict(zip(MODALITIES, names, strict=True)),
        "model": answer.model,
        "version": answer.version,
        **({"metadata": _metadata(answer)} if answer.card.metadata else {}),
        "tasks": tasks,
        **_derived(answer),
        **({"suspicious": suspicious} if suspicious else {}),
        "notice": RESEARCH_ONLY,
    }


def _metadata(answer: Answer) -> dict[str, str | float | None]:
    """Returns what the model was told beside the pictures, by column; None where nobody knows."""
    return {
        name: (float(text) if column.range is not None else text) if (text := answer.metadata.get(name)) else None
        for name, column in answer.card.metadata.items()
    }


def _derived(answer: Answer) -> dict[str, float]:
    """Returns targets and scores by the names of their outputs."""
    return {output_of_target(name): value for name, value in answer.targets.items()} | dict(answer.scores)


def failure_to_json(error: UserError, names: Sequence[str]) -> dict[str, Any]:
    """Returns, as plain values, why there is no answer."""
    return {**dict(zip(MODALITIES, names, strict=True)), "error": str(error)}


def columns(card: ServedCard) -> list[str]:
    """Returns the columns of a table of answers; `error` says in a row that is empty otherwise why it is."""
    of_tasks = [f"{task.name}_{name}" for task in card.tasks for name in ("pred", *task.classes)]
    asked = [*MODALITIES, "model", "version", *card.metadata]
    return [*asked, *of_tasks, *map(output_of_target, card.targets), *card.scores, ERROR]


def to_row(answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    """Returns the answer as a row of a table; the columns of the tasks are those of predictions.csv."""
    row: dict[str, Any] = dict(zip(MODALITIES, names, strict=True))
    row |= {"model": answer.model, "version": "" if answer.version is None else answer.version}
    row |= {name: answer.metadata.get(name, "") for name in answer.card.metadata}
    for task in answer.card.tasks:
        row[f"{task.name}_pred"] = answer.classes[task.name]
        names_of_classes = (f"{task.name}_{name}" for name in task.classes)
        row |= dict(zip(names_of_classes, answer.probabilities[task.name], strict=True))
    return row | _derived(answer) | {ERROR: ""}


def failure_to_row(error: UserError, names: Sequence[str], card: ServedCard) -> dict[str, Any]:
    """Returns, as a row of a table, why there is no answer."""
    return dict.fromkeys(columns(card), "") | dict(zip(MODALITIES, names, strict=True)) | {ERROR: str(error)}


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
