"""Pictures and tables of pairs to ingest."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image
from releases import TinyRelease

from amfam_tf.data import derm7pt
from amfam_tf.tasks import METADATA, TASKS

COLUMNS = (
    "case_num",
    "clinical",
    "dermoscopic",
    "split",
    *(task.column for task in TASKS),
    *METADATA,
    "case_id",
)


def pair_rows(release: TinyRelease, root: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV of pairs that says what a written release says, paths relative to images/."""
    frame = derm7pt.read_release(root)
    images = (root / "images").resolve()
    rows = []
    for raw, case in zip(release.meta.to_dict("records"), frame.to_dict("records"), strict=True):
        paths = {name: str(Path(case[name]).relative_to(images)) for name in ("clinical", "dermoscopic")}
        rows.append({**raw, **paths, "split": case["split"]})
    return rows


def to_csv(rows: list[dict[str, str]], columns=COLUMNS) -> str:
    """Returns the text of a CSV of pairs."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def natural_picture(seed: int, width: int = 192, height: int = 128) -> Image.Image:
    """Returns a grey picture with the spectrum of a photograph (1 / frequency)."""
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=(height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis] * height, np.fft.rfftfreq(width) * width)
    frequency[0, 0] = 1
    pixels = np.fft.irfft2(noise / frequency, s=(height, width))
    pixels = 150 + 25 * (pixels - pixels.mean()) / pixels.std()
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
