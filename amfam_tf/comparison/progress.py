"""Progress over a whole grid: cells done, the epoch of those that run, the time that is probably left."""

import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from amfam_tf.comparison.children import Snapshot
from amfam_tf.comparison.grid import Cell, GridFolder
from amfam_tf.errors import RunError
from amfam_tf.models import METHODS
from amfam_tf.runs.folder import RunState


def seconds_left(
    epochs_left: Sequence[tuple[str, int]],
    epoch_seconds: Mapping[str, Sequence[float]],
    other_seconds: Sequence[float] = (),
    at_once: int = 1,
    in_one_go: Collection[str] = (),
) -> float | None:
    """Returns the time that the cells take that are not done; None if nothing timed so far tells it.

    Args:
        epochs_left: (group, epochs) of each cell that is not done.
        epoch_seconds: group -> the epochs of its cells so far. A group without any takes the mean of the others.
        other_seconds: what each cell that is done took beside its epochs: start, evaluation.
        at_once: cells that run at the same time.
        in_one_go: groups that are fitted in one epoch, which tells nothing about an epoch of training.
    """
    pace = {group: float(np.median(seconds)) for group, seconds in epoch_seconds.items() if len(seconds)}
    trained = [seconds for group, seconds in pace.items() if group not in in_one_go]
    other = float(np.mean(other_seconds)) if len(other_seconds) else 0.0
    total = 0.0
    for group, epochs in epochs_left:
        alike = [pace[group]] if group in pace else trained
        if group in in_one_go and not alike:
            alike = list(pace.values())
        if not alike:
            return None
        total += epochs * float(np.mean(alike)) + other
    return total / at_once


def describe_seconds(seconds: float | None) -> str:
    """Returns a time in words, rounded as an estimate deserves."""
    if seconds is None:
        return "time left not known yet"
    if seconds < 60:
        return "less than a minute left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 100 else f"about {minutes / 60:.1f} h left"


class GridProgress:
    """Shows how far a grid is: one line that changes, or a line for each event without a terminal.

    Args:
        console: where to.
        folder: of the grid.
        cells: all of it.
        to_do: those of them that are not done yet.
        at_once: cells that run at the same time.
    """

    def __init__(
        self, console: Console, folder: GridFolder, cells: Sequence[Cell], to_do: Sequence[Cell], at_once: int = 1
    ):
        self._console = console
        self._folder = folder
        self._cells = {cell.name: cell for cell in cells}
        self._done_before = len(cells) - len(to_do)
        self._at_once = at_once
        self._told: set[tuple[str, str]] = set()
        self._began: dict[str, tuple[float, int]] = {}
        self._other_seconds: dict[str, float] = {}
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "GridProgress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def watch(self, snapshot: Snapshot) -> None:
        """Shows where the cells are; see `amfam_tf.comparison.children.run_jobs`."""
        self._keep_time(snapshot)
        for name, error in snapshot.failed.items():
            self._tell(name, "failed", f"failed: {error}", snapshot)
        for name in snapshot.succeeded:
            self._tell(name, "done", "done", snapshot)
        if self._live is not None:
            self._live.update(Text(self.line(snapshot)), refresh=True)
            return
        for name in snapshot.running:
            self._tell(name, "begun", f"begins; {self._estimate(snapshot)}", snapshot)

    def line(self, snapshot: Snapshot) -> str:
        """Returns the line that changes."""
        running = ", ".join(self._epoch_of(name) for name in snapshot.running)
        parts = [f"{self._ended(snapshot)} of {len(self._cells)} cells", running, self._estimate(snapshot)]
        return " · ".join(part for part in parts if part)

    def _tell(self, name: str, what: str, text: str, snapshot: Snapshot) -> None:
        """Prints an event once."""
        if (name, what) not in self._told:
            self._told.add((name, what))
            line = f"[{self._ended(snapshot)} of {len(self._cells)}] {name} {text}"
            self._console.print(line, markup=False, soft_wrap=True)

    def _keep_time(self, snapshot: Snapshot) -> None:
        """Remembers when and after which epoch a cell began, and what it took beside its epochs when it is done."""
        for name in snapshot.running:
            if name not in self._began:
                self._began[name] = (time.monotonic(), self._state(self._cells[name]).epochs)
        for name in set(snapshot.succeeded) & set(self._began) - set(self._other_seconds):
            began, epochs = self._began[name]
            in_epochs = sum(self._state(self._cells[name]).seconds[epochs:])
            self._other_seconds[name] = max(0.0, time.monotonic() - began - in_epochs)

    def _ended(self, snapshot: Snapshot) -> int:
        return self._done_before + len(snapshot.succeeded) + len(snapshot.failed)

    def _epoch_of(self, name: str) -> str:
        state, epochs = self._state(self._cells[name]), self._cells[name].config.training.epochs
        if state.finished or state.stopped or state.epochs >= epochs:
            return f"{name} evaluating"
        return f"{name} epoch {state.epochs + 1}/{epochs}"

    def _estimate(self, snapshot: Snapshot) -> str:
        timed: dict[str, list[float]] = {}
        left = []
        open_cells = {*snapshot.running, *snapshot.waiting}
        for name, cell in self._cells.items():
            state = self._state(cell)
            timed.setdefault(cell.group, []).extend(state.seconds)
            if name in open_cells:
                left.append((cell.group, 0 if state.stopped else cell.config.training.epochs - state.epochs))
        fitted = {cell.group for cell in self._cells.values() if not METHODS[cell.config.method].network.TRAINED}
        others = list(self._other_seconds.values())
        return describe_seconds(seconds_left(left, timed, others, self._at_once, fitted))

    def _state(self, cell: Cell) -> RunState:
        # A damaged state is the cell's error to report, not the display's.
        try:
            return self._folder.run_of(cell).read_state()
        except RunError:
            return RunState()
