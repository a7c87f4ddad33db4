"""Fills a grid: fits and evaluates the cells that are not done, each in a child process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from amfam_tf import config as configuration
from amfam_tf.comparison import children, records, worker
from amfam_tf.comparison.children import Job
from amfam_tf.comparison.grid import Cell, GridFolder
from amfam_tf.comparison.progress import GridProgress


def cells_to_do(folder: GridFolder, cells: Sequence[Cell], split: str, fingerprint: str) -> list[Cell]:
    """Returns the cells that are not fitted, not evaluated, or whose evaluation is of something else by now."""
    return [cell for cell in cells if not records.evaluation_holds(folder.run_of(cell), cell, split, fingerprint)]


def job_of(folder: GridFolder, cell: Cell, data: Path, split: str, fingerprint: str, card: Path | None = None) -> Job:
    """Returns the job that fits and evaluates a cell."""
    arguments: dict[str, Any] = {
        "data": str(data),
        "run": str(folder.run_of(cell).path),
        "split": split,
        "fingerprint": fingerprint,
    }
    arguments |= {} if card is None else {"card": str(card)}
    config = configuration.to_dict(cell.config)
    return Job(cell.name, worker.command("fit_and_evaluate", config=config, **arguments))


def fill(
    folder: GridFolder,
    cells: Sequence[Cell],
    data: Path,
    split: str,
    fingerprint: str,
    console: Console,
    at_once: int = 1,
    card: Path | None = None,
) -> dict[str, str]:
    """Fits and evaluates what is not done; returns the errors of the cells that failed, by name.

    Args:
        folder: of the grid, locked.
        cells: all of it.
        data: a data set, or a folder of records.
        split: to evaluate.
        fingerprint: of the data.
        console: for the progress.
        at_once: cells at the same time; they share the processors.
        card: file of the data's card, if it does not lie beside them.
    """
    to_do = cells_to_do(folder, cells, split, fingerprint)
    if not to_do:
        return {}
    jobs = [job_of(folder, cell, data, split, fingerprint, card) for cell in to_do]
    threads = children.threads_of_each(at_once)
    with GridProgress(console, folder, cells, to_do, at_once) as progress:
        return children.run_jobs(jobs, folder.logs, at_once=at_once, watch=progress.watch, threads=threads)


def measure(folder: GridFolder, cells: Sequence[Cell], console: Console) -> dict[str, str]:
    """Measures parameters and inference time of one finished cell per group that has no measurement yet.

    One after the other, so that no other cell takes processors away from the clock.

    Returns:
        Errors, by the name of the job.
    """
    jobs = [
        Job(f"{cell.name}-measure", worker.command("measure", run=str(folder.run_of(cell).path)))
        for cell in first_of_each_group(cells)
        if records.read_measurement(folder.run_of(cell).path) is None
    ]
    if not jobs:
        return {}
    console.print(f"measuring parameters and inference time of {len(jobs)} cells", soft_wrap=True)
    return children.run_jobs(jobs, folder.logs)


def first_of_each_group(cells: Sequence[Cell]) -> list[Cell]:
    """Returns the first cell of each group, in order."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.group, cell)
    return list(first.values())
