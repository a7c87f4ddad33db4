"""Height and surface of the lesion, which only the clinical picture shows: shadows, waxy and pearly shine."""

from dataclasses import dataclass

import numpy as np

from amfam_tf.data.synthetic.canvas import blend, noise, soften, step, tint

HEIGHT: dict[str, float] = {"flat": 0.0, "palpable": 0.16, "nodular": 0.36}
WAXY: dict[str, float] = {"BCC": 0.03, "NEV": 0.03, "MEL": 0.03, "MISC": 0.05, "SK": 0.80}
PEARLY: dict[str, float] = {"BCC": 0.80, "NEV": 0.04, "MEL": 0.03, "MISC": 0.05, "SK": 0.04}


@dataclass(frozen=True)
class Spot:
    """Where the lesion lies in the clinical picture.

    Attributes:
        size: (width, height) of the picture in pixels.
        centre: (x, y) in pixels.
        radius: mean radius in pixels.
        depth: [H, W], 0 in the centre, 1 at the border, greater outside.
        area: [H, W] in [0, 1], 1 inside.
    """

    size: tuple[int, int]
    centre: tuple[float, float]
    radius: float
    depth: np.ndarray
    area: np.ndarray

    def side(self, angle: float) -> np.ndarray:
        """Returns how far each pixel lies towards `angle`, in radii, [H, W]."""
        columns = (np.arange(self.size[0], dtype=np.float32) - self.centre[0]) / self.radius
        rows = (np.arange(self.size[1], dtype=np.float32) - self.centre[1]) / self.radius
        return np.cos(angle) * columns[None, :] + np.sin(angle) * rows[:, None]


def shade_elevation(picture: np.ndarray, spot: Spot, lamp: float, elevation: str) -> None:
    """Lights the side towards the lamp (angle in radians), darkens the other and casts a shadow there, in place."""
    height = HEIGHT[elevation]
    if not height:
        return
    towards = spot.side(lamp)
    slope = np.clip(spot.depth, 0, 1) ** 1.5 * spot.area
    picture *= (1 + height * 1.3 * slope * np.clip(towards, -1, 1))[..., None]
    away = step(-towards, 0.8) * np.clip(1.45 - spot.depth, 0, 0.45) / 0.45 * (1 - spot.area)
    tint(picture, np.clip(2.0 * height * away, 0, 1), (0.45, 0.38, 0.36))
    glint = soften(np.clip(1 - 6 * ((towards - 0.35) ** 2 + spot.side(lamp + np.pi / 2) ** 2), 0, 1), spot.radius * 0.1)
    blend(picture, 0.9 * height * glint, (1.0, 0.97, 0.94))


def draw_surface(picture: np.ndarray, spot: Spot, rng: np.random.Generator, diagnosis: str) -> None:
    """Draws the waxy, fissured surface of a keratosis or the pearly rim of a carcinoma, in place, by chance."""
    waxy, pearly = rng.random(2)
    crumbs = 0.6 * noise(rng, spot.size, 60) + 0.6 * noise(rng, spot.size, 120)
    sparkle = noise(rng, spot.size, 60)
    if waxy < WAXY[diagnosis]:
        tint(picture, spot.area * step(crumbs - 0.3, 1.2), (0.74, 0.66, 0.56))
        blend(picture, 0.35 * spot.area * step(sparkle - 0.7, 0.8), (0.95, 0.88, 0.74))
    if pearly < PEARLY[diagnosis]:
        rim = step(0.28 - np.abs(spot.depth - 0.88), 0.25)
        blend(picture, 0.4 * rim, (0.97, 0.86, 0.84))
        blend(picture, 0.7 * rim * step(sparkle - 0.5, 0.4), (1.0, 0.97, 0.96))
