"""The most confident errors: both pictures of the case, what was predicted, what the label is."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.data.cases import encoded_pair
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation import predictions, titles

OF_MAIN_TASK, OF_OTHERS = 8, 1
SIDE = 220
PAIRS_IN_A_ROW = 3
GAP = 4


@dataclass(frozen=True)
class Mistake:
    """A case that the model got wrong.

    Attributes:
        case_num: of the case.
        task: the question.
        predicted: number of the predicted class.
        truth: number of the label.
        probability: of the predicted class, in [0, 1].
        probability_of_truth: of the label, in [0, 1].
    """

    case_num: int
    task: Task
    predicted: int
    truth: int
    probability: float
    probability_of_truth: float


def most_confident_errors(table: pd.DataFrame, task: Task, count: int) -> list[Mistake]:
    """Returns the errors of a task with the highest probability of the predicted class, highest first."""
    truth, predicted = predictions.true_labels(table, task), predictions.predicted_labels(table, task)
    probabilities = predictions.task_probabilities(table, task)
    wrong = np.flatnonzero((truth != predicted) & predictions.labelled(table, task))
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    return [
        Mistake(
            case_num=int(table[predictions.CASE].iloc[row]),
            task=task,
            predicted=int(predicted[row]),
            truth=int(truth[row]),
            probability=float(probabilities[row, predicted[row]]),
            probability_of_truth=float(probabilities[row, truth[row]]),
        )
        for row in order[:count]
    ]


def choose_mistakes(table: pd.DataFrame, card: DataCard) -> list[Mistake]:
    """Returns what the gallery shows: 8 errors of the card's main task, then one of each other task that has any."""
    mistakes = most_confident_errors(table, card.main_task, OF_MAIN_TASK)
    others = titles.other_tasks(card)
    return mistakes + [one for task in others for one in most_confident_errors(table, task, OF_OTHERS)]


def pair_of(cases: pd.DataFrame, case_num: int, side: int = SIDE) -> np.ndarray:
    """Returns both pictures of a case beside each other on white, uint8 RGB [at most side, 2 * side + gap, 3]."""
    row = cases[cases[predictions.CASE] == case_num].iloc[0]
    small = [_thumbnail(content, side) for content in encoded_pair(row).values()]
    height = max(picture.height for picture in small)
    canvas = Image.new("RGB", (2 * side + GAP, height), "white")
    for place, picture in enumerate(small):
        left = place * (side + GAP) + (side - picture.width) // 2
        canvas.paste(picture, (left, (height - picture.height) // 2))
    return np.asarray(canvas)


def _thumbnail(content: bytes, side: int) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.draft("RGB", (side, side))
        small = picture.convert("RGB")
    small.thumbnail((side, side))
    return small


def to_jpeg(picture: np.ndarray) -> bytes:
    """Returns uint8 RGB [H, W, 3] as a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def draw_gallery(mistakes: Sequence[Mistake], cases: pd.DataFrame) -> Figure:
    """Returns the pictures of the errors with prediction, label and their probabilities.

    Args:
        mistakes: to show, possibly none.
        cases: rows of the data set, which say where the pictures are.
    """
    rows = max(1, -(-len(mistakes) // PAIRS_IN_A_ROW))
    with style.style():
        figure = style.new_figure(6.4, 1.35 * rows)
        grid = figure.subplots(rows, PAIRS_IN_A_ROW, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, mistake in zip(grid.flat, mistakes, strict=False):
            axes.imshow(pair_of(cases, mistake.case_num))
            axes.set_title("\n".join(describe(mistake)), loc="left", fontsize=7)
        if not mistakes:
            style.say(grid[0, 1], "no error in this split")
    return figure


def describe(mistake: Mistake) -> tuple[str, str]:
    """Returns two lines: which case and task; prediction and label with their probabilities."""
    names = mistake.task.classes
    predicted = f"{names[mistake.predicted]} {mistake.probability:.2f}"
    truth = f"{names[mistake.truth]} {mistake.probability_of_truth:.2f}"
    return f"case {mistake.case_num}, {mistake.task.name}", f"predicted {predicted}, label {truth}"
