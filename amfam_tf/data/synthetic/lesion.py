"""The lesion that both pictures show: outline, place, colour, and where its structures lie."""

from dataclasses import dataclass

import numpy as np

from amfam_tf.data.synthetic.canvas import noise, step, unit_of
from amfam_tf.tasks import DIAGNOSIS

ANGLES = 360

IRREGULARITY: dict[str, tuple[float, float]] = {
    "BCC": (0.04, 0.09),
    "NEV": (0.02, 0.08),
    "MEL": (0.05, 0.13),
    "MISC": (0.02, 0.09),
    "SK": (0.03, 0.08),
}
"""Range of the outline's waviness, as a fraction of the radius."""

TINTS: dict[str, tuple[float, float, float]] = {
    "BCC": (0.93, 0.72, 0.68),
    "NEV": (0.66, 0.55, 0.47),
    "MEL": (0.60, 0.50, 0.45),
    "MISC": (0.74, 0.62, 0.55),
    "SK": (0.70, 0.60, 0.48),
    "dermal nevus": (0.86, 0.70, 0.62),
    "blue nevus": (0.52, 0.54, 0.58),
    "vascular lesion": (0.70, 0.40, 0.45),
    "lentigo": (0.76, 0.64, 0.52),
    "dermatofibroma": (0.82, 0.66, 0.58),
    "melanoma metastasis": (0.60, 0.48, 0.50),
}
"""Colour of the lesion, relative to the skin, by diagnosis or raw diagnosis."""

VARIEGATION: dict[str, float] = {"BCC": 0.05, "NEV": 0.04, "MEL": 0.09, "MISC": 0.05, "SK": 0.06}


@dataclass(frozen=True)
class Lesion:
    """Geometry of the lesion in the dermoscopic picture.

    Attributes:
        size: (width, height) of the picture in pixels.
        centre: (x, y) in pixels.
        radius: mean radius in pixels.
        outline: radius per degree, relative to `radius`, [360].
        axis: angle in radians; structures of one side lie relative to it.
        depth: [H, W], 0 in the centre, 1 at the border, greater outside.
        area: [H, W] in [0, 1], 1 inside.
        tint: colour relative to the skin, three factors.
        variegation: how much the colour wanders, standard deviation.
    """

    size: tuple[int, int]
    centre: tuple[float, float]
    radius: float
    outline: np.ndarray
    axis: float
    depth: np.ndarray
    area: np.ndarray
    tint: np.ndarray
    variegation: float

    @property
    def unit(self) -> float:
        """Pixels of one reference pixel."""
        return unit_of(self.size)

    def at(self, angles: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Returns the points (x, y) [n, 2] in pixels at angles (radians) and depths (1 = border)."""
        angles = np.asarray(angles, float)
        degrees = np.degrees(angles) % ANGLES
        reach = np.interp(degrees, np.arange(ANGLES + 1), np.append(self.outline, self.outline[0]))
        distance = self.radius * reach * np.asarray(depths)
        directions = np.stack([np.cos(angles), np.sin(angles)], -1)
        return np.asarray(self.centre) + distance[..., None] * directions

    def scatter(self, rng: np.random.Generator, count: int, low: float = 0.0, high: float = 0.9) -> np.ndarray:
        """Returns `count` points (x, y) [n, 2], even over the area between depths low and high."""
        depths = np.sqrt(rng.uniform(low**2, high**2, count))
        return self.at(rng.uniform(0, 2 * np.pi, count), depths)

    def patch(self, rng: np.random.Generator, angle: float, depth: float, extent: float, edge: float) -> np.ndarray:
        """Returns an irregular spot inside the lesion, [H, W] in [0, 1].

        Args:
            angle: of its centre, radians from the lesion's axis.
            depth: of its centre.
            extent: radius, relative to the lesion's.
            edge: width of its soft border, relative to its radius.
        """
        x, y = self.at(np.array(self.axis + angle), np.array(depth))
        stretch = np.exp(rng.uniform(-0.25, 0.25))
        columns = (np.arange(self.size[0], dtype=np.float32) - x) / (extent * self.radius * stretch)
        rows = (np.arange(self.size[1], dtype=np.float32) - y) / (extent * self.radius / stretch)
        distance = np.sqrt(columns[None, :] ** 2 + rows[:, None] ** 2)
        return step(1 - distance + 0.20 * noise(rng, self.size, 8) + 0.08 * noise(rng, self.size, 26), edge) * self.area


def _outline(rng: np.random.Generator, irregularity: float) -> np.ndarray:
    """Returns the radius per degree [360], mean near 1: an ellipse with a few waves."""
    angles = np.radians(np.arange(ANGLES))
    outline = 1 + rng.uniform(0.02, 0.14) * np.cos(2 * angles + rng.uniform(0, 2 * np.pi))
    for waves in (1, 3, 4, 5, 7):
        outline += irregularity * rng.normal() / np.sqrt(waves) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    return np.clip(outline, 0.65, 1.3)


def _depth(size: tuple[int, int], centre: tuple[float, float], radius: float, outline: np.ndarray) -> np.ndarray:
    """Returns the distance from the centre relative to the outline, [H, W] float32."""
    columns = np.arange(size[0], dtype=np.float32)[None, :] - centre[0]
    rows = np.arange(size[1], dtype=np.float32)[:, None] - centre[1]
    degrees = np.degrees(np.arctan2(rows, columns)).astype(np.int32) % ANGLES
    return np.sqrt(columns**2 + rows**2) / (radius * outline.astype(np.float32)[degrees])


def make_lesion(raw_diagnosis: str, rng: np.random.Generator, size: tuple[int, int]) -> Lesion:
    """Returns the lesion of a case.

    Args:
        raw_diagnosis: decides how irregular the outline is and the colour.
        rng: the case's stream for its lesion.
        size: (width, height) of the dermoscopic picture.
    """
    diagnosis = DIAGNOSIS.classes[DIAGNOSIS.encode(raw_diagnosis)]
    extent = min(size[1], 0.75 * size[0])
    radius = extent * rng.uniform(0.29, 0.36)
    centre = (size[0] / 2 + extent * rng.uniform(-0.06, 0.06), size[1] / 2 + extent * rng.uniform(-0.04, 0.04))
    outline = _outline(rng, rng.uniform(*IRREGULARITY[diagnosis]))
    depth = _depth(size, centre, radius, outline)
    softness = rng.uniform(0.05, 0.10) if diagnosis == "SK" else rng.uniform(0.06, 0.22)
    wobble = 0.05 * noise(rng, size, 9) + 0.02 * noise(rng, size, 30)
    area = step(1 - depth + wobble, softness)
    colour = np.array(TINTS.get(raw_diagnosis, TINTS[diagnosis]))
    colour = np.clip(colour ** rng.uniform(0.7, 1.35) * rng.normal(1, 0.03, 3), 0.2, 1.0)
    axis = rng.uniform(0, 2 * np.pi)
    return Lesion(size, centre, radius, outline, axis, depth, area, colour, VARIEGATION[diagnosis])
