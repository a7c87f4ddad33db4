"""A picture of many cases with their labels as captions."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from amfam_tf.data.csv_table import CsvTable, TableError
from amfam_tf.errors import DataError, UserError
from amfam_tf.tasks import CRITERIA, DIAGNOSIS

TILE = (232, 174)
CAPTION = 50
GAP = 8
COLUMNS = 3
POOL = 8
"""Cases of a diagnosis to choose from: with more, only the extreme ones would be shown."""
BACKGROUND = (252, 252, 250)
INK = (30, 30, 34)
FAINT = (95, 95, 105)


def _read_rows(root: Path) -> list[dict[str, str]]:
    """Returns the rows of meta.csv."""
    path = root / "meta" / "meta.csv"
    if not path.is_file():
        raise DataError(f"{path}: not found; the folder must be a data set with images/ and meta/")
    try:
        return list(CsvTable(lambda: path.open("rb"), mixed=True).rows())
    except TableError as error:
        raise DataError(f"{path}: {error}") from error


def _choose(rows: list[dict[str, str]], count: int) -> list[int]:
    """Returns `count` row numbers in which diagnoses take turns and as many criteria as possible are seen."""
    seen: dict[str, int] = {}
    chosen: list[int] = []
    for turn in range(count):
        wanted = DIAGNOSIS.classes[turn % len(DIAGNOSIS.classes)]
        free = [index for index in range(len(rows)) if index not in chosen and not rows[index]["notes"]]
        of_class = [i for i in free if DIAGNOSIS.classes[DIAGNOSIS.encode(rows[i]["diagnosis"])] == wanted] or free
        if not of_class:
            break
        values = {i: [f"{task.name} {rows[i][task.column]}" for task in CRITERIA] for i in of_class[:POOL]}
        best = max(values, key=lambda i: sum(0.4 ** seen.get(value, 0) for value in values[i]))
        chosen.append(best)
        for value in values[best]:
            seen[value] = seen.get(value, 0) + 1
    return chosen


def _caption(row: dict[str, str]) -> tuple[str, list[str]]:
    """Returns the heading and two lines that name the criteria that are present."""
    heading = f"{row['diagnosis']}, {row['elevation']}, score {row['seven_point_score']}"
    present = [
        f"{task.name} {row[task.column] if row[task.column] != 'present' else 'yes'}"
        for task in CRITERIA
        if row[task.column] != "absent"
    ]
    half = (len(present) + 1) // 2
    return heading, [" · ".join(present[:half]) or "no criterion", " · ".join(present[half:])]


def _open(images: Path, name: str) -> Image.Image:
    """Returns a picture of the data set as a tile; a path whose letter case is off is found all the same."""
    path = images
    for part in Path(name).parts:
        exact = path / part
        path = exact if exact.exists() else next((p for p in path.iterdir() if p.name.lower() == part.lower()), exact)
    with Image.open(path) as image:
        return image.convert("RGB").resize(TILE, Image.Resampling.LANCZOS)


def contact_sheet(
    data_root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    cases: int | Sequence[int] = 15,
    quality: int = 82,
) -> None:
    """Writes a picture with the pairs of some cases: clinical left, dermoscopic right, labels below.

    Args:
        data_root: folder with images/ and meta/.
        out: file to write; its ending decides the format (.png, .jpg).
        cases: how many (chosen to show as much as possible) or which row numbers.
        quality: of a JPEG, 1 to 95.

    Raises:
        DataError: there is no meta.csv or a row or picture is missing.
        UserError: the file cannot be written.
    """
    root, out = Path(data_root), Path(out)
    rows = _read_rows(root)
    chosen = _choose(rows, cases) if isinstance(cases, int) else list(cases)
    if not chosen or not all(0 <= index < len(rows) for index in chosen):
        raise DataError(f"{root}: rows must be 0 to {len(rows) - 1}; received {chosen}")
    cell = (2 * TILE[0] + 2, TILE[1] + CAPTION)
    lines = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (cell[0] + GAP) + GAP, lines * (cell[1] + GAP) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, index in enumerate(chosen):
        x, y = GAP + place % COLUMNS * (cell[0] + GAP), GAP + place // COLUMNS * (cell[1] + GAP)
        try:
            sheet.paste(_open(root / "images", rows[index]["clinic"]), (x, y))
            sheet.paste(_open(root / "images", rows[index]["derm"]), (x + TILE[0] + 2, y))
        except OSError as error:
            raise DataError(f"{root}: row {index}: a picture cannot be read: {error}") from error
        heading, present = _caption(rows[index])
        draw.text((x, y + TILE[1] + 2), heading, INK, ImageFont.load_default(14))
        for number, line in enumerate(present):
            draw.text((x, y + TILE[1] + 19 + 14 * number), line, FAINT, ImageFont.load_default(12))
    try:
        sheet.save(out, quality=quality)
    except (OSError, ValueError) as error:
        raise UserError(f"{out}: the contact sheet cannot be written: {error}") from error
