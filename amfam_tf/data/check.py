"""Checks a data set before any training: every problem of its tables, paths and pictures, and counts as in Table 1.

Tables and paths are judged by the reader itself (`amfam_tf.data.derm7pt.scan_data_set`), pictures by training's decoder
(`amfam_tf.data.picture_file`); this file adds what only all of them together can tell. Source of the counts' layout:
Wang et al. 2022, Table 1.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard
from amfam_tf.data import identities
from amfam_tf.data.derm7pt import IMAGES, META_FILE, find_data_set, scan_data_set
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.data.pair_pictures import pictures_of
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.paths import worker_count
from amfam_tf.data.problems import Problem
from amfam_tf.data.stored import RGB
from amfam_tf.errors import DataError
from amfam_tf.files import digests, regular_files

DEFAULT_MIN_SIDE = 64
BLACK = 30
"""A corner is black if its mean is below this, of 255."""
CORNER_SHARE = 32
"""A corner is a square of the shorter side divided by this."""


@dataclass(frozen=True)
class CheckReport:
    """All that a check found.

    Attributes:
        data_set: the folder that holds images/ and meta/.
        cases: rows of meta.csv.
        splits: cases of each split.
        counts: columns task, class, train, validate, test, total; `total` also has the cases that are in no split.
        problems: what has to be repaired, in the order tables, paths, pictures.
        notes: what is worth knowing and no fault.
        shared_files: cases whose clinical picture is the dermoscopic file; Derm7pt has nine.
        sizes: pictures of each size, "width x height" in pixels, most frequent first.
        modes: pictures that are stored in another way than RGB, by that way, most frequent first; all are taken.
        profiles: pictures with a colour profile, by "name: what becomes of it", most frequent first.
        black_corners: for each modality, the share of its pictures with four black corners, in [0, 1].
    """

    data_set: Path
    cases: int
    splits: Mapping[str, int]
    counts: pd.DataFrame
    problems: Sequence[Problem]
    notes: Sequence[Problem]
    shared_files: int
    sizes: Mapping[str, int]
    modes: Mapping[str, int]
    profiles: Mapping[str, int]
    black_corners: Mapping[str, float]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain values, ready for JSON."""
        return {
            "release": str(self.data_set),
            "ok": self.ok,
            "cases": self.cases,
            "splits": dict(self.splits),
            "counts": self.counts.to_dict("records"),
            "problems": [asdict(problem) for problem in self.problems],
            "notes": [asdict(note) for note in self.notes],
            "shared_files": self.shared_files,
            "sizes": dict(self.sizes),
            "modes": dict(self.modes),
            "profiles": dict(self.profiles),
            "black_corners": dict(self.black_corners),
        }


@dataclass(frozen=True)
class CheckedPicture:
    """What one file of pixels is like.

    Attributes:
        digest: SHA-256 of the bytes, "" if there are none to compare.
        size: (width, height) in pixels, upright; None if the file cannot be used.
        black_corners: whether all four corners are black.
        mode, profile, treatment: see `amfam_tf.data.picture_file.PictureFile`; "" if the file cannot be used.
        faults: (kind, message) of each fault.
        notes: the same of what is worth knowing and no fault.
    """

    digest: str = ""
    size: tuple[int, int] | None = None
    black_corners: bool = False
    mode: str = ""
    profile: str = ""
    treatment: str = ""
    faults: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def check_data_set(root: str | Path, min_side: int = DEFAULT_MIN_SIDE, card: DataCard | None = None) -> CheckReport:
    """Checks everything about a data set and never stops at a problem.

    Args:
        root: as for `read_release`; with a card, the folder that its paths begin in.
        min_side: fewest pixels that the shorter side of a picture may have.
        card: of the data set; None for the layout of Derm7pt.
    """
    data_set = find_data_set(root) if card is None else Path(root)
    frame, findings = scan_data_set(data_set) if card is None else scan_pairs(card, data_set)
    table, folder = (META_FILE, IMAGES) if card is None else (card.cases.table, card.pictures.folder)
    images = (data_set / folder).resolve()
    uses = _uses(frame)
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:  # TensorFlow and hashlib release the GIL
        inspected = pool.map(lambda path: inspect_picture(Path(path), min_side), uses)
        pictures = dict(zip(uses, inspected, strict=True))
    names = {path: _name(Path(path), images, data_set.resolve()) for path in uses}
    for path, picture in pictures.items():
        findings += [Problem(names[path], uses[path][0], *fault) for fault in picture.faults]
        findings += [Problem(names[path], uses[path][0], *note, "note") for note in picture.notes]
    if card is None:
        findings += _leaking_identities(frame)
    findings += _shared_files(frame, names, table) + _duplicates(frame, uses, pictures, names)
    readable = [picture for picture in pictures.values() if picture.size]
    sizes = Counter(f"{width} x {height}" for width, height in filter(None, (picture.size for picture in readable)))
    return CheckReport(
        data_set=data_set,
        cases=len(frame),
        splits={split: int((frame["split"] == split).sum()) for split in SPLITS},
        counts=class_counts(frame, (card or cards.legacy()).tasks),
        problems=[finding for finding in findings if finding.severity == "problem"],
        notes=[finding for finding in findings if finding.severity == "note"],
        shared_files=int(frame["shared_file"].sum()),
        sizes=dict(sizes.most_common()),
        modes=dict(Counter(picture.mode for picture in readable if picture.mode != RGB).most_common()),
        profiles=dict(Counter(_profile(picture) for picture in readable if picture.profile).most_common()),
        black_corners={modality: _black_share(frame[modality], pictures) for modality in MODALITIES},
    )


def _name(picture: Path, images: Path, data_set: Path) -> str:
    """Returns what to call a picture: its path in the data set, or all of it if a link leads out of that."""
    for folder, start in ((images, f"{images.name}/"), (data_set, "")):
        if picture.is_relative_to(folder):
            return f"{start}{picture.relative_to(folder).as_posix()}"
    return str(picture)


def class_counts(frame: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """Returns the cases of each class and split: columns task, class, train, validate, test, total (Table 1).

    A task with labels that nobody knows has one more row, of the class "".

    Args:
        frame: what `read_release` or `scan_pairs` returns.
        tasks: of the data set.
    """
    rows = []
    for task in tasks:
        unknown = [(UNKNOWN, "")] if task.missing and (frame[task.name] == UNKNOWN).any() else []
        for number, name in [*enumerate(task.classes), *unknown]:
            splits = frame["split"][frame[task.name] == number]
            by_split = {split: int((splits == split).sum()) for split in SPLITS}
            rows.append({"task": task.name, "class": name, **by_split, "total": len(splits)})
    return pd.DataFrame(rows)


def inspect_picture(path: Path, min_side: int = DEFAULT_MIN_SIDE) -> CheckedPicture:
    """Reads and decodes one file to its last pixel, with the decoder of training."""
    # Imports TensorFlow: other readers of this module need none.
    from amfam_tf.data import picture_file

    try:
        content = regular_files.read(path)
    except OSError as error:
        return CheckedPicture(faults=(("unreadable_image", f"cannot be read: {error.strerror}"),))
    digest = digests.of_bytes(content)
    try:
        found = picture_file.judge(content)
    except DataError as error:
        return CheckedPicture(digest, faults=((_kind_of_fault(str(error)), str(error)),))
    height, width, _ = found.pixels.shape
    small = f"is {width} x {height} pixels; the shorter side needs at least {min_side}"
    faults = (("too_small", small),) if min(width, height) < min_side else ()
    return CheckedPicture(
        digest,
        (width, height),
        _has_black_corners(found.pixels),
        found.mode,
        found.profile,
        found.treatment,
        faults,
        (("unusual_image", f"is decoded whole, but a strict decoder says: {found.remark}"),) if found.remark else (),
    )


def _kind_of_fault(message: str) -> str:
    if "damaged: part of it" in message:
        return "damaged_image"
    return "truncated_image" if "truncated" in message.lower() else "unreadable_image"


def _profile(picture: CheckedPicture) -> str:
    return f"{picture.profile}: {picture.treatment}"


def _has_black_corners(pixels: np.ndarray) -> bool:
    """Returns whether the mean grey values of all four corners of uint8 [h, w, 3] are below `BLACK`."""
    side = max(1, min(pixels.shape[:2]) // CORNER_SHARE)
    corners = (
        pixels[:side, :side],
        pixels[:side, -side:],
        pixels[-side:, :side],
        pixels[-side:, -side:],
    )
    return all(np.asarray(Image.fromarray(corner).convert("L")).mean() < BLACK for corner in corners)


def _uses(frame: pd.DataFrame) -> dict[str, list[int]]:
    """Returns, for each picture, the rows that use it, in order and each once."""
    uses: dict[str, list[int]] = defaultdict(list)
    for row, views in enumerate(zip(*(pictures_of(frame, modality) for modality in MODALITIES), strict=True)):
        for path in sorted({path for paths in views for path in paths} - {""}):
            uses[path].append(row)
    return dict(uses)


def _leaking_identities(frame: pd.DataFrame) -> list[Problem]:
    """Returns each patient, lesion or case that is in several splits."""
    cases = ({**case, "row": row} for row, case in enumerate(frame.to_dict("records")))
    return [
        Problem(META_FILE, max(rows[0] for rows in one.rows.values()), "leakage", str(one), one.severity)
        for one in identities.in_several_splits(cases)
    ]


def _shared_files(frame: pd.DataFrame, names: Mapping[str, str], table: str) -> list[Problem]:
    """Returns a note for each case whose clinical picture is the dermoscopic file."""
    return [
        Problem(table, row, "shared_file", f"{names[path]} is both the clinical and the dermoscopic picture", "note")
        for row, path in frame["clinical"][frame["shared_file"]].items()
    ]


def _duplicates(
    frame: pd.DataFrame, uses: Mapping[str, list[int]], pictures: Mapping[str, CheckedPicture], names: Mapping[str, str]
) -> list[Problem]:
    """Returns the pictures that have the same bytes as one before them."""
    first_uses: dict[str, tuple[int, str]] = {}
    found = []
    for row, path in sorted((row, path) for path, rows in uses.items() for row in rows):
        digest = pictures[path].digest
        first_row, first_path = first_uses.setdefault(digest, (row, path))
        if digest and (first_row, first_path) != (row, path):
            found.append(_duplicate(frame["split"], (row, names[path]), (first_row, names[first_path])))
    return found


def _duplicate(splits: pd.Series, use: tuple[int, str], first: tuple[int, str]) -> Problem:
    """Returns what it means that two uses, (row, file), have the same bytes."""
    (row, name), (first_row, first_name) = use, first
    if row == first_row:
        return Problem(name, row, "shared_bytes", f"has the same bytes as {first_name} of the same row", "note")
    ours, theirs = splits[row], splits[first_row]
    if ours != theirs and ours and theirs:
        message = f"has the same bytes as {first_name} of row {first_row}: a picture of {theirs} leaks into {ours}"
        return Problem(name, row, "leakage", message)
    return Problem(name, row, "duplicate_image", f"has the same bytes as {first_name} of row {first_row}")


def _black_share(paths: pd.Series, pictures: Mapping[str, CheckedPicture]) -> float:
    """Returns the share of `paths` with black corners, 0 if there are none."""
    flags = [pictures[path].black_corners for path in paths if path]
    return sum(flags) / len(flags) if flags else 0.0
