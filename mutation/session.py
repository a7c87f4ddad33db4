"""Sessions of Cosmic Ray: which mutants of a room there are, which of them are tried, what became of them."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem

from mutation.annotations import annotation_ranges


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test saw: where it is, and its changed lines."""

    place: str
    operator: str
    change: str


@dataclass(frozen=True)
class Score:
    """What became of the mutants of a room: all that there are, those tried, those killed, those that survived."""

    room: str
    mutants: int
    tried: int
    killed: int
    survivors: tuple[Survivor, ...]


def prepare(path: Path, modules: Sequence[Path], every: int, seed: int) -> None:
    """Writes a new session with a sample of the mutants of some modules: one of `every`, drawn with `seed`.

    What is in annotations is left out before the draw: a wrong one ends at the import, which says nothing of tests.
    """
    path.unlink(missing_ok=True)
    with use_db(path) as database:
        init(modules, database, {})
        items = sorted(database.work_items, key=_order)
        annotations = {module: list(annotation_ranges(module.read_text(encoding="utf-8"))) for module in modules}
        wanted = [item for item in items if not _inside(item.mutations[0], annotations)]
        random.Random(seed).shuffle(wanted)
        sample = wanted[: -(-len(wanted) // every)]
        database.clear()
        database.add_work_items([WorkItem.single(item.job_id, item.mutations[0]) for item in sample])
    path.with_suffix(".count").write_text(f"{len(wanted)}\n", encoding="utf-8")


def _order(item: WorkItem) -> tuple:
    spec = item.mutations[0]
    return str(spec.module_path), spec.operator_name, spec.occurrence


def _inside(spec: MutationSpec, ranges: dict[Path, list]) -> bool:
    return any(start <= spec.start_pos and spec.end_pos <= end for start, end in ranges[spec.module_path])


def run(
    path: Path, command: str, seconds: float, again: bool, minutes: float | None, say: Callable[[str], None]
) -> None:
    """Tries what has no result yet; with `again` also what survived, with the tests as they are now.

    Args:
        path: of the session.
        command: of the tests.
        seconds: for the tests of a mutant, then it counts as killed.
        again: see above.
        minutes: after which no further mutant is begun; None for all of them.
        say: shows a line.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with use_db(path, WorkDB.Mode.open) as database:
        results = dict(database.results)
        waiting = [item for item in sorted(database.work_items, key=_order) if _open(results.get(item.job_id), again)]
        # In a drawn order, so that what a budget leaves undone is no part of the file.
        random.Random(0).shuffle(waiting)
        for place, item in enumerate(waiting, start=1):
            if end is not None and time.monotonic() > end:
                break
            result = mutate_and_test(item.mutations, command, seconds)
            database.set_result(item.job_id, result)
            say(f"{path.stem} {place} of {len(waiting)}: {result.test_outcome and result.test_outcome.value}")


def _open(result: object | None, again: bool) -> bool:
    return result is None or (again and not result.is_killed)


def score(path: Path) -> Score:
    """Returns what became of the mutants of a session that have been tried."""
    with use_db(path, WorkDB.Mode.open) as database:
        tried = [
            (item, result)
            for item, result in database.completed_work_items
            if result.worker_outcome == WorkerOutcome.NORMAL and result.test_outcome != TestOutcome.INCOMPETENT
        ]
    survivors = sorted((_survivor(item, result.diff) for item, result in tried if not result.is_killed), key=_place)
    mutants = int(path.with_suffix(".count").read_text(encoding="utf-8"))
    return Score(path.stem, mutants, len(tried), len(tried) - len(survivors), tuple(survivors))


def _place(survivor: Survivor) -> tuple[str, int]:
    module, _, line = survivor.place.rpartition(":")
    return module, int(line)


def _survivor(item: WorkItem, diff: str) -> Survivor:
    spec = item.mutations[0]
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    change = " -> ".join(" ".join(line[1:].split()) for line in lines)
    return Survivor(f"{spec.module_path}:{spec.start_pos[0]}", spec.operator_name.partition("/")[2], change)
