"""The progress display of a fit: named losses and validation accuracy, epoch by epoch."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, track
from rich.text import Text

from amfam_tf.training.monitor import MONITORED, in_words
from amfam_tf.training.stages import StagePlan


class _BarWithValues(Progress):
    """A progress bar with a line of text under it, wrapped where the terminal is narrow."""

    values = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.values)


class ProgressDisplay(keras.callbacks.Callback):
    """Shows every named loss and what an epoch is judged by: a bar per epoch, or a line without a terminal.

    Args:
        console: where to.
        epochs: at most.
        steps: in an epoch.
        loss_names: the named losses to show.
        plan: of the training; the stage is shown if there are several.
        monitored: the logged value to show.
    """

    def __init__(
        self,
        console: Console,
        epochs: int,
        steps: int,
        loss_names: tuple[str, ...],
        plan: StagePlan,
        monitored: str = MONITORED,
    ):
        super().__init__()
        self._monitored = monitored
        self._plan = plan
        self._console = console
        self._epochs = epochs
        self._steps = steps
        self._names = ("loss", *loss_names, "accuracy")
        self._bar: _BarWithValues | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._began = time.perf_counter()
        if not self._console.is_terminal:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = _BarWithValues(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(self._title(epoch), total=self._steps)
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._bar is not None:
            self._bar.values = self._describe(logs or {})
            self._bar.update(self._task, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._stop_bar()
        seconds = time.perf_counter() - self._began
        self._console.print(
            f"{self._title(epoch)}  {seconds:.1f} s  {self._describe(logs)}  "
            f"[bold]{in_words(self._monitored).removeprefix('mean ')} {logs[self._monitored]:.4f}[/bold]",
            markup=True,
            soft_wrap=True,
        )

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        self._stop_bar()

    def _title(self, epoch: int) -> str:
        stage = f" ({self._plan.stage(epoch).name})" if self._plan.staged else ""
        return f"epoch {epoch + 1}/{self._epochs}{stage}"

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _describe(self, logs: Mapping[str, float]) -> str:
        return "  ".join(f"{name} {logs[name]:.4f}" for name in self._names if name in logs)


def with_bar(batches: Iterable[Any], title: str, count: int, console: Console) -> Iterable[Any]:
    """Returns the batches, and shows how many of `count` are done where there is a terminal."""
    return track(batches, title, count, console=console, transient=True, disable=not console.is_terminal)
