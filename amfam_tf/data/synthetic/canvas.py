"""What every drawn part needs: smooth noise, strokes, blending. Pictures are float32 [H, W, 3] in [0, 1]."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Point = Sequence[float] | np.ndarray
SUPERSAMPLE = 2
REFERENCE_HEIGHT = 384


def unit_of(size: tuple[int, int]) -> float:
    """Returns the pixels of one reference pixel, 1.0 at the reference size of 512 x 384 (width, height)."""
    return min(size[1], size[0] * 0.75) / REFERENCE_HEIGHT


def resample(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns a float32 [h, w] field resized to (width, height), averaging when it shrinks."""
    image = Image.fromarray(np.ascontiguousarray(field, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Returns smooth noise [H, W], about 0 with standard deviation near 0.8, `cells` bumps over the height."""
    width, height = size
    columns = max(2, round(cells * width / height))
    return resample(rng.standard_normal((max(2, cells), columns)), size)


def soften(mask: np.ndarray, radius: float) -> np.ndarray:
    """Returns a mask in [0, 1] after a Gaussian blur of `radius` pixels (8-bit precision)."""
    image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def step(field: np.ndarray, width: float) -> np.ndarray:
    """Returns a smooth step of the field from 0 (<= -width / 2) to 1 (>= width / 2)."""
    ramp = np.clip(field / width + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def blend(picture: np.ndarray, mask: np.ndarray, colour: Sequence[float] | np.ndarray) -> None:
    """Moves the picture towards a colour, in place; mask [H, W] in [0, 1]."""
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def tint(picture: np.ndarray, mask: np.ndarray, factors: Sequence[float]) -> None:
    """Multiplies the picture by `factors` (one per channel) where mask [H, W] is 1, in place."""
    picture *= 1 + mask[..., None] * (np.asarray(factors, np.float32) - 1)


class Strokes:
    """Lines and discs, drawn at twice the resolution and averaged, so that thin ones stay visible."""

    def __init__(self, size: tuple[int, int]):
        """Starts empty; size is (width, height) in pixels."""
        self._image = Image.new("L", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: np.ndarray, width: float, value: float = 1.0) -> None:
        """Draws a polyline; points [n, 2] (x, y) and width in pixels, value in [0, 1]."""
        flat = (np.asarray(points) * SUPERSAMPLE).ravel().tolist()
        self._draw.line(flat, fill=round(255 * value), width=max(1, round(width * SUPERSAMPLE)), joint="curve")

    def disc(self, centre: Point, radius: float, value: float = 1.0, aspect: float = 1.0) -> None:
        """Draws a filled ellipse, `aspect` times as wide as high; centre (x, y) and radius in pixels."""
        x, y = centre[0] * SUPERSAMPLE, centre[1] * SUPERSAMPLE
        a, b = max(radius * aspect * SUPERSAMPLE, 0.5), max(radius * SUPERSAMPLE, 0.5)
        self._draw.ellipse((x - a, y - b, x + a, y + b), fill=round(255 * value))

    def ring(self, centre: Point, radius: float, width: float, value: float = 1.0) -> None:
        """Draws a circle of the given line width; centre (x, y), radius and width in pixels."""
        x, y, r = centre[0] * SUPERSAMPLE, centre[1] * SUPERSAMPLE, radius * SUPERSAMPLE
        thickness = max(1, round(width * SUPERSAMPLE))
        self._draw.ellipse((x - r, y - r, x + r, y + r), outline=round(255 * value), width=thickness)

    def mask(self, blur: float = 0.0) -> np.ndarray:
        """Returns what was drawn as [H, W] in [0, 1], blurred by `blur` pixels."""
        image = self._image.reduce(SUPERSAMPLE)
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        return np.asarray(image, np.float32) / 255
