"""The clinical picture: the same lesion from farther away, on its skin, in the light of the room."""

import numpy as np

from amfam_tf.data.synthetic import nuisance
from amfam_tf.data.synthetic.canvas import REFERENCE_HEIGHT, resample, soften, step, tint, unit_of
from amfam_tf.data.synthetic.relief import Spot, draw_surface, shade_elevation
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.data.synthetic.surroundings import draw_surroundings
from amfam_tf.data.synthetic.tissue import Tissue

VISIBILITY = 0.3
"""How much of a structure the naked eye sees."""

RADIUS: dict[str, tuple[float, float]] = {
    "BCC": (0.10, 0.18),
    "NEV": (0.09, 0.18),
    "MEL": (0.12, 0.23),
    "MISC": (0.09, 0.20),
    "SK": (0.12, 0.23),
}
"""Range of the lesion's radius relative to the picture's height: only here is its real size seen."""


def _place(tissue: Tissue, rng: np.random.Generator, diagnosis: str) -> tuple[Spot, np.ndarray]:
    """Returns where the lesion lies and its colour relative to the skin, [H, W, 3] near 1 outside.

    The dermoscopic drawing is shrunk as a whole, so outline, orientation and colours are the same.
    """
    lesion = tissue.lesion
    width, height = lesion.size
    scale = rng.uniform(*RADIUS[diagnosis]) * REFERENCE_HEIGHT * unit_of(lesion.size) / lesion.radius
    small = (max(2, round(width * scale)), max(2, round(height * scale)))
    seen = tissue.plain + VISIBILITY * (tissue.full - tissue.plain)
    left = round((width - small[0]) * rng.uniform(0.35, 0.65))
    top = round((height - small[1]) * rng.uniform(0.35, 0.65))
    window = (slice(top, top + small[1]), slice(left, left + small[0]))
    depth = np.full((height, width), 9.0, np.float32)
    depth[window] = resample(lesion.depth, small)
    area = np.zeros((height, width), np.float32)
    area[window] = np.clip(resample(lesion.area, small), 0, 1)
    colour = np.ones((height, width, 3), np.float32)
    for channel in range(3):
        colour[(*window, channel)] = resample(seen[..., channel] / tissue.skin[channel], small)
    centre = (left + lesion.centre[0] * small[0] / width, top + lesion.centre[1] * small[1] / height)
    return Spot(lesion.size, centre, lesion.radius * scale, depth, area), colour


def _draw_crease(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Draws a fold of the skin, in place."""
    angle, offset = rng.uniform(0, np.pi), rng.choice([-1, 1]) * rng.uniform(0.5, 0.8)
    columns = np.linspace(-1, 1, size[0], dtype=np.float32)[None, :]
    rows = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
    distance = np.cos(angle) * columns + np.sin(angle) * rows - offset + 0.05 * np.sin(3 * columns - 2 * rows)
    tint(picture, 0.5 * np.clip(1 - np.abs(distance) / 0.05, 0, 1), (0.72, 0.60, 0.55))


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """Returns the picture out of focus, [H, W, 3] in [0, 1]; radius in pixels."""
    return np.stack([soften(picture[..., channel], radius) for channel in range(3)], -1)


def draw_clinical(tissue: Tissue, seed: int, row: int, diagnosis: str, elevation: str) -> np.ndarray:
    """Returns the clinical picture, uint8 [H, W, 3] in [0, 255].

    Args:
        tissue: the drawn lesion.
        seed, row: of the random streams.
        diagnosis: class, e.g. MEL; decides surroundings, surface and size.
        elevation: flat, palpable or nodular.
    """
    size = tissue.lesion.size
    rng = stream(seed, row, "clinical")
    spot, colour = _place(tissue, stream(seed, row, "place"), diagnosis)
    picture = tissue.skin * nuisance.mottle(rng, size)[..., None]
    draw_surroundings(picture, stream(seed, row, "surroundings"), size, diagnosis)
    near = step(1.15 - spot.depth, 0.3)[..., None]
    picture += near * (tissue.skin * colour - picture)
    draw_surface(picture, spot, stream(seed, row, "surface"), diagnosis)
    shade_elevation(picture, spot, rng.uniform(0, 2 * np.pi), elevation)
    if rng.random() < 0.25:
        _draw_crease(picture, rng, size)
    if rng.random() < 0.35:
        nuisance.draw_hair(picture, rng, size, 1.4)
    if rng.random() < 0.2:
        nuisance.draw_ruler(picture, rng, size)
    nuisance.light(picture, rng, size, 0.45)
    if rng.random() < 0.4:
        picture = _blurred(picture, rng.uniform(0.4, 1.3) * unit_of(size))
    return nuisance.to_bytes(picture, rng)
