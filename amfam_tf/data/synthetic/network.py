"""Pigment network: a brown honeycomb. Typical is thin, even and fades out; atypical is thick, uneven and broken."""

import numpy as np
from scipy.spatial import Voronoi

from amfam_tf.data.synthetic.canvas import Strokes, noise, tint
from amfam_tf.data.synthetic.lesion import Lesion


def _cells(lesion: Lesion, rng: np.random.Generator, spacing: float, jitter: float) -> np.ndarray:
    """Returns the honeycomb's cell centres (x, y) [n, 2]: a triangular grid, moved by `jitter` spacings."""
    reach = 1.5 * lesion.radius
    columns = np.arange(-reach, reach, spacing)
    rows = np.arange(-reach, reach, spacing * 0.866)
    x, y = np.meshgrid(columns, rows)
    x = x + np.where(np.arange(len(rows)) % 2, spacing / 2, 0)[:, None]
    grid = np.stack([x.ravel(), y.ravel()], -1) + rng.normal(0, jitter * spacing, (x.size, 2))
    turn = rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return grid @ rotation.T + np.asarray(lesion.centre)


def _mesh(
    lesion: Lesion, rng: np.random.Generator, spacing: float, jitter: float, width: tuple[float, float], broken: float
) -> np.ndarray:
    """Returns the lines between the cells, [H, W] in [0, 1]; `broken` is the fraction of lines that are missing."""
    diagram = Voronoi(_cells(lesion, rng, spacing * lesion.unit, jitter))
    strokes = Strokes(lesion.size)
    edges = np.array([edge for edge in diagram.ridge_vertices if edge[0] >= 0])
    widths = rng.uniform(*width, len(edges)) * lesion.unit
    kept = rng.random(len(edges)) >= broken
    for points, line_width in zip(diagram.vertices[edges[kept]], widths[kept], strict=True):
        strokes.line(points, line_width)
    return strokes.mask(0.6 * lesion.unit)


def draw_network(picture: np.ndarray, lesion: Lesion, rng: np.random.Generator, raw: str) -> None:
    """Draws the network into the picture, in place; `raw` is typical or atypical."""
    strength = rng.uniform(0.5, 0.95)
    if raw == "typical":
        mesh = _mesh(lesion, rng, rng.uniform(17, 21), 0.11, (2.4, 3.6), 0.03)
        fade = np.clip(2.4 * (1.05 - lesion.depth), 0, 1) * np.clip(0.9 + 0.2 * noise(rng, lesion.size, 6), 0.3, 1)
        tint(picture, strength * mesh * fade * lesion.area, (0.52, 0.42, 0.36))
        return
    mesh = _mesh(lesion, rng, rng.uniform(26, 34), 0.26, (3.5, 10.0), rng.uniform(0.12, 0.28))
    uneven = np.clip(0.85 + 0.5 * noise(rng, lesion.size, 5), 0.15, 1)
    tint(picture, strength * mesh * uneven * lesion.area, (0.30, 0.24, 0.24))
