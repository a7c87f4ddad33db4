"""What varies from picture to picture and says nothing about the case: light, hair, rulers, black corners, bubbles."""

import numpy as np

from amfam_tf.data.synthetic.canvas import Strokes, blend, noise, step, unit_of


def draw_hair(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int], width: float) -> None:
    """Draws a few to many hairs, in place; width in reference pixels."""
    unit = unit_of(size)
    strokes = Strokes(size)
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(2, 13))):
        angle = heading + rng.normal(0, 0.5) + np.linspace(0, rng.normal(0, 0.7), 12)
        length = rng.uniform(60, 220) * unit
        steps = length / 12 * np.stack([np.cos(angle), np.sin(angle)], -1)
        start = rng.uniform(0, 1, 2) * size - steps.sum(0) / 2
        strokes.line(start + np.cumsum(steps, axis=0), width * rng.uniform(0.6, 1.2) * unit)
    shade = rng.uniform(0.05, 0.3)
    blend(picture, rng.uniform(0.5, 0.85) * strokes.mask(), (shade, 0.8 * shade, 0.65 * shade))


def draw_ruler(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Draws a scale along one side, in place: a row of ticks, each fifth longer."""
    unit = unit_of(size)
    strokes = Strokes(size)
    spacing = rng.uniform(9, 16) * unit
    top = rng.random() < 0.5
    base = rng.uniform(2, 10) * unit
    for index in range(int(size[0] / spacing) + 1):
        x, length = index * spacing, (16 if index % 5 == 0 else 9) * unit
        ends = np.array([[x, base], [x, base + length]])
        if not top:
            ends[:, 1] = size[1] - ends[:, 1]
        strokes.line(ends, 1.4 * unit)
    blend(picture, 0.8 * strokes.mask(), (0.08, 0.08, 0.08))


def draw_bubbles(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Draws air bubbles of the immersion fluid, in place: bright rings of all sizes."""
    unit = unit_of(size)
    strokes = Strokes(size)
    for _ in range(int(rng.integers(2, 8))):
        strokes.ring(rng.uniform(0, 1, 2) * size, rng.uniform(4, 18) * unit, 1.5 * unit)
    blend(picture, 0.5 * strokes.mask(0.6 * unit), (0.97, 0.96, 0.95))


def draw_glare(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Draws one reflection of the lamp, in place."""
    strokes = Strokes(size)
    radius = rng.uniform(5, 14) * unit_of(size)
    strokes.disc(rng.uniform(0.1, 0.9, 2) * size, radius, aspect=rng.uniform(1, 2.5))
    blend(picture, rng.uniform(0.4, 0.8) * strokes.mask(0.6 * radius), (1.0, 1.0, 1.0))


def _distance(size: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    """Returns the distance from a point in pixels, [H, W]."""
    columns = np.arange(size[0], dtype=np.float32)[None, :] - centre[0]
    rows = np.arange(size[1], dtype=np.float32)[:, None] - centre[1]
    return np.sqrt(columns**2 + rows**2)


def draw_black_corners(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Darkens what lies outside the dermoscope's round field, in place."""
    radius = rng.uniform(0.52, 0.60) * size[0]
    centre = (size[0] * rng.uniform(0.47, 0.53), size[1] * rng.uniform(0.47, 0.53))
    outside = step(_distance(size, centre) - radius, 0.03 * size[0])
    blend(picture, outside, (0.02, 0.02, 0.025))


def light(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int], uneven: float) -> None:
    """Changes exposure, white balance and evenness of the light, in place; `uneven` is the slope over the picture."""
    gains = rng.uniform(0.86, 1.05) * (1 + rng.normal(0, 0.025, 3))
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, uneven)
    columns = np.linspace(-0.5, 0.5, size[0], dtype=np.float32)[None, :]
    rows = np.linspace(-0.5, 0.5, size[1], dtype=np.float32)[:, None]
    ramp = 1 + slope * (np.cos(angle) * columns + np.sin(angle) * rows) - slope * (columns**2 + rows**2)
    picture *= ramp[..., None] * gains.astype(np.float32)


def to_bytes(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the picture as uint8 [H, W, 3] in [0, 255], with the camera's grain."""
    height, width, _ = picture.shape
    grain = rng.standard_normal((height // 2 + 1, width // 2 + 1), dtype=np.float32).repeat(2, 0).repeat(2, 1)
    picture = picture + rng.uniform(0.004, 0.012) * grain[:height, :width, None]
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def mottle(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Returns the unevenness of healthy skin as a factor near 1, [H, W]."""
    return 1 + 0.020 * noise(rng, size, 6) + 0.018 * noise(rng, size, 40) + 0.018 * noise(rng, size, 110)
