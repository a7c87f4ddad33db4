"""Writes a drawn data set as files, in the layout of Derm7pt."""

import csv
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from amfam_tf import child_process
from amfam_tf.data.synthetic.case import SIZE, draw_case
from amfam_tf.data.synthetic.labels import LabelledCase, sample_labels
from amfam_tf.data.synthetic.marginals import DERM7PT_CASES
from amfam_tf.data.synthetic.metadata import describe
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.data.synthetic.workbook import write_workbook
from amfam_tf.environment import usable_cores
from amfam_tf.errors import UserError
from amfam_tf.files.writing import appearing_folder

COLUMNS = (
    "case_num",
    "diagnosis",
    "seven_point_score",
    "pigment_network",
    "streaks",
    "pigmentation",
    "regression_structures",
    "dots_and_globules",
    "blue_whitish_veil",
    "vascular_structures",
    "level_of_diagnostic_difficulty",
    "elevation",
    "location",
    "sex",
    "management",
    "clinic",
    "derm",
    "case_id",
    "notes",
)
FOLDERS = (
    *("A1l", "A2l", "A3l", "Aal", "Abl", "Acl", "Adl", "Ael", "Afl", "Agl", "Ahl"),
    *("FAL", "FBL", "FCL", "FDL", "FEL", "FFL", "FGL", "FHL", "FIL", "FLL", "FML"),
    *("NAL", "NBL", "NCL", "NDL", "NEL", "NFL", "NGL", "NHL", "NIL", "NML", "Nz"),
    "New",
)
INDEX_FILES = {"train": "train_indexes.csv", "validate": "valid_indexes.csv", "test": "test_indexes.csv"}
MISSPELT_FOLDER = ("FCL", "FCl")
SHARED_ROWS = (564, 799, 823, 826, 832, 833, 838, 843, 850)
"""Rows of Derm7pt whose dermoscopic file is the clinical one as well."""
# Of every case_id, so that no report mistakes drawn cases for patients.
DRAWN_PREFIX = "drawn-"
SHARED_NOTE = "clinical image not available: the dermoscopic image stands for it"

LIMITS = {"cases": (10, 1_000_000), "width": (32, 8192), "height": (32, 8192)}
JPEG_QUALITY = 90
CASES_PER_WORKER = 20
"""Fewer are not worth a process."""


Plan = TypeVar("Plan")


@dataclass(frozen=True)
class Drawing:
    """What one process needs to draw and write the files of one row."""

    row: int
    columns: dict[str, str]
    size: tuple[int, int]
    keeps_clinical: bool


def check_options(cases: int, seed: int, size: tuple[int, int], workers: int | None) -> None:
    """Raises UserError naming the option, for values that cannot be."""
    for name, value in (("cases", cases), ("width", size[0]), ("height", size[1])):
        low, high = LIMITS[name]
        if not low <= value <= high:
            option = "--cases" if name == "cases" else f"--size: {name}"
            raise UserError(f"{option} must be between {low} and {high}; received {value}")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more; received {seed}")
    if workers is not None and workers < 1:
        raise UserError(f"--workers must be 1 or more; received {workers}")


def _paths(row: int, cases: int, seed: int) -> dict[str, str]:
    """Returns the two paths below images/ and the case's identifier; about a third of the names end in .JPG."""
    first = row * len(FOLDERS) // cases
    folder = FOLDERS[first]
    start = -(-first * cases // len(FOLDERS))
    number = 2 * (row - start) + 1
    endings = stream(seed, row, "names").choice(["jpg", "jpg", "JPG"], 2)
    return {
        "clinic": f"{folder}/{folder}{number:03d}.{endings[0]}",
        "derm": f"{folder}/{folder.capitalize()}{number + 1:03d}.{endings[1]}",
        "case_id": f"{DRAWN_PREFIX}{folder}{number:03d}",
        "notes": "",
    }


def _shared_rows(cases: int) -> set[int]:
    """Returns the rows with one file for both pictures: Derm7pt's, or as large a share of fewer cases."""
    if cases == DERM7PT_CASES:
        return set(SHARED_ROWS)
    count = max(1, round(len(SHARED_ROWS) * cases / DERM7PT_CASES))
    return {cases - 1 - 7 * index for index in range(count) if cases - 1 - 7 * index >= 0}


def _plan(cases: int, seed: int, size: tuple[int, int], traps: bool) -> tuple[list[LabelledCase], list[Drawing]]:
    """Returns the labels (in the order of the index files) and what to draw (in row order)."""
    labelled = sample_labels(cases, seed)
    shared = _shared_rows(cases) if traps else set()
    drawings = []
    for case in sorted(labelled, key=lambda case: case.row):
        columns = describe(case, seed) | _paths(case.row, cases, seed)
        if case.row in shared:
            columns |= {"clinic": columns["derm"], "notes": SHARED_NOTE}
        square = traps and case.row % 10 == 7
        frame = (min(size), min(size)) if square else size
        drawings.append(Drawing(case.row, columns, frame, case.row not in shared))
    return labelled, drawings


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Writes a picture, uint8 [H, W, 3], as the PNG or BMP that its name says, or as JPEG.

    A JPEG does not thin the colours: vessels are fine and red.
    """
    image = Image.fromarray(picture)
    kind = path.suffix.lower().removeprefix(".").upper()
    if kind in ("PNG", "BMP"):
        image.save(path, kind)
    else:
        image.save(path, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a table as CSV, or as the workbook that its name says."""
    if path.suffix.lower() == ".xlsx":
        write_workbook(path, header, rows)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _draw_files(drawing: Drawing, images: Path, seed: int) -> None:
    """Draws one row and writes its one or two files."""
    clinical, dermoscopic = draw_case(drawing.columns, seed, drawing.row, drawing.size)
    save_picture(dermoscopic, images / drawing.columns["derm"])
    if drawing.keeps_clinical:
        save_picture(clinical, images / drawing.columns["clinic"])


def each_done(draw: Callable[[Plan], None], drawings: Sequence[Plan], workers: int | None) -> Iterator[None]:
    """Draws all rows, in this process or in several; yields once per row that is done."""
    if workers is None:
        workers = max(1, min(usable_cores(), len(drawings) // CASES_PER_WORKER))
    if workers == 1:
        yield from map(draw, drawings)
        return
    # Spawned, not forked: the caller may have threads (TensorFlow starts many).
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=child_process.end_pool_process_with_parent,
    )
    try:
        with child_process.safe_pool_path():  # for all of the work: a pool starts its processes when it needs them
            yield from pool.map(draw, drawings, chunksize=4)
    except BrokenProcessPool as error:
        raise UserError("a drawing process ended early (out of memory?); try --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _misspell(drawings: list[Drawing]) -> None:
    """Changes the letter case of the folder in one row's dermoscopic path, in place; the file keeps its name."""
    folder, wrong = MISSPELT_FOLDER
    candidates = [drawing for drawing in drawings if drawing.columns["derm"].startswith(f"{folder}/")]
    for drawing in candidates or drawings[:1]:
        if drawing.keeps_clinical:
            columns = drawing.columns
            name = columns["derm"]
            columns["derm"] = name.replace(folder, wrong, 1) if candidates else name.swapcase()
            return


def _write_meta(meta: Path, labelled: list[LabelledCase], drawings: list[Drawing], traps: bool) -> None:
    """Writes meta.csv (line ends CR LF with traps) and the three index files."""
    with (meta / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n" if traps else "\n")
        writer.writeheader()
        writer.writerows(drawing.columns for drawing in drawings)
    for split, name in INDEX_FILES.items():
        lines = ["indexes", *(str(case.row) for case in labelled if case.split == split)]
        (meta / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def appearing_at_once(out: Path) -> Iterator[Path]:
    """Gives a folder that becomes `out` at the end, which may be an empty folder, or disappears on any error."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: already exists and is not an empty folder; remove it or choose another")
    try:
        with appearing_folder(out, UserError(f"{out}: another process draws it")) as folder:
            yield folder
            if out.exists():
                out.rmdir()
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from error


def write_data_set(
    out: str | os.PathLike[str],
    cases: int = DERM7PT_CASES,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    traps: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Draws a data set and writes it in the layout of Derm7pt; equal arguments give equal bytes.

    Args:
        out: folder to make; it appears complete or not at all.
        cases: number of cases, 10 or more; 1011 gives exactly the class counts of Table 1.
        seed: >= 0.
        size: (width, height) in pixels, 32 or more each.
        traps: also the traps of Derm7pt: a path with another letter case, cases with one file for both pictures,
            CR LF line ends, pictures of more than one size.
        workers: processes; None is one per core, as far as there are cases for each. With more than 1, a script needs
            the usual `if __name__ == "__main__"`. The files do not depend on it.
        progress: called with the number of cases done after each.

    Raises:
        UserError: a value that cannot be, or `out` exists and is not an empty folder.
    """
    check_options(cases, seed, size, workers)
    out = Path(out).absolute()
    with appearing_at_once(out) as hidden:
        labelled, drawings = _plan(cases, seed, size, traps)
        images, meta = hidden / "images", hidden / "meta"
        meta.mkdir()
        for folder in {Path(drawing.columns["derm"]).parent for drawing in drawings}:
            (images / folder).mkdir(parents=True, exist_ok=True)
        for done, _ in enumerate(each_done(partial(_draw_files, images=images, seed=seed), drawings, workers), 1):
            if progress is not None:
                progress(done)
        if traps:
            _misspell(drawings)
        _write_meta(meta, labelled, drawings, traps)
