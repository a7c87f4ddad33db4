"""A data set in the Derm7pt layout as a source, here or in an object store: its rows are those of meta.csv."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from amfam_tf.beam import urls
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES
from amfam_tf.data import identities, names
from amfam_tf.data.derm7pt import IMAGES, INDEX_FILES, META_FILE, UNKNOWN, scan_data_set
from amfam_tf.data.paths import PathError, PathResolver
from amfam_tf.data.problems import Problem
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files
from amfam_tf.ingest.anomaly import Anomaly
from amfam_tf.ingest.case_table import Case, CaseTable, DeadLetter

CARD = cards.legacy()
CASE_COLUMNS = ("case_num", *MODALITIES, "split", *(task.name for task in CARD.tasks), *CARD.metadata, "case_id")


def read_data_set(root: str, images: str | None = None) -> CaseTable:
    """Reads the tables of a data set.

    A row of meta.csv with a problem becomes a dead letter; any other problem is one of the data set as a whole.

    Args:
        root: folder or URL that holds images/ and meta/, or the one around its release_v0/.
        images: folder or URL of the pictures, if they are not in images/.

    Raises:
        DataError: a table is missing or cannot be used, or an object store cannot be read.
    """
    frame, findings = _scan_store(root, images) if urls.is_url(root) else _scan_folder(root, images)
    problems = [finding for finding in findings if finding.severity == "problem"]
    dead: dict[int, DeadLetter] = {}
    for problem in problems:
        if problem.file != META_FILE or problem.row is None:
            raise DataError(f"{root}: {problem}")
        dead.setdefault(problem.row, _dead_letter(problem.row, problem, int(frame["case_num"][problem.row])))
    columns = [*CASE_COLUMNS, *(name for name in identities.COLUMNS if name in frame and name not in CASE_COLUMNS)]
    cases = [_case(row, raw) for row, raw in enumerate(frame[columns].to_dict("records")) if row not in dead]
    notes = [Anomaly(one.kind, f"{one.file}: {one.message}", "note") for one in findings if one.severity == "note"]
    return CaseTable(META_FILE, cases, [dead[row] for row in sorted(dead)], CARD, notes)


class StoreResolver:
    """Finds files of an object store whatever the letter case of the path: `PathResolver` for a listing.

    Args:
        folder: URL.
        paths: URLs of all files below it.
    """

    def __init__(self, folder: str, paths: Iterable[str]) -> None:
        self._found: dict[str, list[str]] = defaultdict(list)
        self._start = folder.rstrip("/") + "/"
        for path in paths:
            self._found[names.without_case(path.removeprefix(self._start))].append(path)

    def resolve(self, relative: str) -> str:
        """Returns the URL of the one file that `relative` names, nearest matches first as in `PathResolver`.

        Raises:
            PathError: no file or several files match it.
        """
        wanted = PurePosixPath(relative).as_posix()
        matches = self._found.get(names.without_case(wanted), [])
        if self._start + wanted in matches:
            return self._start + wanted
        same = [path for path in matches if names.one_form(path) == names.one_form(self._start + wanted)]
        matches = same or matches
        if len(matches) > 1:
            found = names.spelled_out(matches)
            raise PathError("ambiguous_path", f"is ambiguous, it differs in letter case or form only from: {found}")
        if not matches:
            raise PathError("missing_image", f"names no file in {self._start}")
        return matches[0]


def _scan_folder(root: str, images: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    return scan_data_set(root, None if images is None else _resolver(images).resolve)


def _scan_store(root: str, images: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """Returns what `scan_data_set` does, from copies of the tables."""
    inner = urls.join(root, "release_v0")
    start = root if urls.exists(urls.join(root, META_FILE)) else inner
    with tempfile.TemporaryDirectory() as folder:
        for name in (META_FILE, *INDEX_FILES.values()):
            if urls.exists(urls.join(start, name)):
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(urls.read_bytes(urls.join(start, name), regular_files.MAX_TABLE_BYTES))
        return scan_data_set(folder, _resolver(urls.join(start, IMAGES) if images is None else images).resolve)


def _resolver(images: str) -> PathResolver | StoreResolver:
    if urls.is_url(images):
        return StoreResolver(images, urls.list_files(images))
    if not Path(images).is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    return PathResolver(Path(images), names.allowed_targets(Path(images)), IMAGES)


def _dead_letter(row: int, problem: Problem, number: int) -> DeadLetter:
    return DeadLetter(row, None if number == UNKNOWN else number, problem.kind, problem.message)


def _case(row: int, raw: dict[str, Any]) -> Case:
    numbers = {name: int(raw[name]) for name in ("case_num", *(task.name for task in CARD.tasks))}
    return {"row": row, **raw, **numbers}
