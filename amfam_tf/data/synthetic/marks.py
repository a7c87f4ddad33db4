"""Plain marks for labels that no lesion can show: a coloured shape for each task, round the middle of the picture.

The place tells the task; colour and shape tell the class, and the colour alone tells task and class, so that a picture
that is mirrored or turned says the same. Marks are large enough for pictures of 64 x 64 pixels.
"""

import colorsys
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from amfam_tf.card.questions import Task

DISTANCE = 0.37
"""Of a mark's centre from the middle, relative to the shorter side."""
LARGEST = 0.095
"""Radius of a mark, relative to the shorter side."""
GROUND = (24, 24, 24)
"""Colour of the disc that a mark stands on."""
FULL_HUES = 12
"""With more classes every second one is darker."""
Pen = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Mark:
    """What a class looks like.

    Attributes:
        centre: (x, y) from the middle of the picture, relative to its shorter side.
        radius: relative to the shorter side.
        shape: one of `SHAPES`.
        colour: red, green, blue, 0 to 255.
    """

    centre: tuple[float, float]
    radius: float
    shape: str
    colour: Colour


def _disc(pen: Pen, x: float, y: float, radius: float, colour: Colour) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _ring(pen: Pen, x: float, y: float, radius: float, colour: Colour) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=max(1, round(0.45 * radius)))


def _cross(pen: Pen, x: float, y: float, radius: float, colour: Colour) -> None:
    arm = 0.3 * radius
    pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=colour)
    pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=colour)


def _polygon(pen: Pen, x: float, y: float, radius: float, colour: Colour, corners: int, turn: float = 0) -> None:
    pen.regular_polygon((x, y, radius), corners, rotation=turn, fill=colour)


SHAPES: Mapping[str, Callable[[Pen, float, float, float, Colour], None]] = {
    "disc": _disc,
    "triangle": partial(_polygon, corners=3),
    "cross": _cross,
    "square": partial(_polygon, corners=4),
    "ring": _ring,
    "diamond": partial(_polygon, corners=4, turn=45),
}


def marks(tasks: Sequence[Task]) -> dict[str, tuple[Mark, ...]]:
    """Returns the mark of each class of some tasks, by task."""
    total = sum(len(task.classes) for task in tasks)
    radius = min(LARGEST, 0.8 * DISTANCE * math.pi / max(1, len(tasks)))
    found: dict[str, tuple[Mark, ...]] = {}
    first = 0
    for place, task in enumerate(tasks):
        angle = 2 * math.pi * (place / len(tasks) + 0.125)
        centre = (DISTANCE * math.cos(angle), DISTANCE * math.sin(angle))
        found[task.name] = tuple(
            Mark(centre, radius, list(SHAPES)[number % len(SHAPES)], _colour(first + number, total))
            for number in range(len(task.classes))
        )
        first += len(task.classes)
    return found


def _colour(number: int, total: int) -> Colour:
    """Returns the colour of one of `total` classes: hues all round."""
    value = 1.0 if total <= FULL_HUES or number % 2 == 0 else 0.55
    red, green, blue = colorsys.hsv_to_rgb(number / total, 1.0, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_marks(picture: np.ndarray, drawn: Iterable[Mark]) -> np.ndarray:
    """Returns a picture, uint8 [H, W, 3], with marks."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    side = min(image.size)
    for mark in drawn:
        x, y = (image.size[0] / 2 + side * mark.centre[0], image.size[1] / 2 + side * mark.centre[1])
        _disc(pen, x, y, side * mark.radius, GROUND)
        SHAPES[mark.shape](pen, x, y, 0.85 * side * mark.radius, mark.colour)
    return np.asarray(image)
