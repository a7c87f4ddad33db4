"""sweep.csv, sweep.md and sweep.png."""

from pathlib import Path
from typing import Any

from amfam_tf.comparison import tables
from amfam_tf.comparison.heat_map import draw_sweep
from amfam_tf.comparison.measures import AVERAGE
from amfam_tf.comparison.sweep import Point, SweepOutcome
from amfam_tf.config import as_text
from amfam_tf.errors import RunError
from amfam_tf.evaluation import figure_style
from amfam_tf.files.writing import write_bytes
from amfam_tf.report import csv_text
from amfam_tf.report.markdown import to_markdown
from amfam_tf.report.numbers import UNDEFINED, ends, share
from amfam_tf.report.table import Table, TableRow

FIGURE = "sweep.png"
CHOSEN = (
    "The best point is chosen on these very cases, so its value here is too high for new ones: evaluate its run once "
    "on the test split."
)


def sweep_table(outcome: SweepOutcome) -> Table:
    """Returns every point with its validation accuracy, the best one marked."""
    headline, main = outcome.headline, outcome.card.main_task.name
    headings = [*outcome.axes, "seeds", f"{headline.short} ± SD", "95 %", f"{main} accuracy", ""]
    rows = [TableRow(_cells(outcome, point), "total" if point == outcome.best else "") for point in outcome.points]
    caption = f"{outcome.method}: {headline.title}, in percent of {outcome.cases} validation cases"
    told = tables.labelled_note(outcome.labelled)
    note = f"SD: standard deviation over the seeds (n - 1). {tables.intervals_text(outcome.card)}. {CHOSEN}"
    note += f" {told}" if told else ""
    return Table(caption, headings, rows, note, headers=len(outcome.axes))


def _cells(outcome: SweepOutcome, point: Point) -> list[str]:
    begin, result = [as_text(value) for value in point.values], outcome.results.get(point.name)
    if result is None:
        return [*begin, "0", *[UNDEFINED] * 3, "failed"]
    value = result.values[outcome.headline.name]
    shown = [tables.mean_and_deviation(value), ends(value.ends)]
    main = outcome.measures.tasks[outcome.card.tasks.index(outcome.card.main_task)]
    accuracy = share(result.values[main.name].mean)
    return [*begin, str(len(result.seeds)), *shown, accuracy, "best" if point == outcome.best else ""]


def to_csv(outcome: SweepOutcome) -> str:
    """Returns sweep.csv: one row per point; values in [0, 1], nothing where no run has finished."""
    rows = []
    for point in outcome.points:
        row: dict[str, Any] = dict(zip(outcome.axes, map(as_text, point.values), strict=True))
        result = outcome.results.get(point.name)
        row |= {"seeds": 0 if result is None else len(result.seeds), "best": point == outcome.best}
        if result is not None:
            headline = outcome.headline.name
            value = result.values[headline]
            row |= {"accuracy" if headline == AVERAGE else headline: value.mean, "standard_deviation": value.deviation}
            row |= {"ci95_low": value.low, "ci95_high": value.high}
            row |= {name: result.values[name].mean for name in outcome.measures.by_name if name != headline}
        rows.append(row)
    return csv_text.to_csv(rows)


def to_markdown_page(outcome: SweepOutcome) -> str:
    """Returns sweep.md."""
    parts = [f"# Sweep of {outcome.method}\n", f"![{_alternative(outcome)}]({FIGURE})\n"]
    parts.append(to_markdown(sweep_table(outcome)))
    if outcome.failed:
        parts.append(to_markdown(tables.failure_table(outcome.failed)))
    return "\n".join(parts)


def _alternative(outcome: SweepOutcome) -> str:
    best = outcome.results[outcome.best.name].values[outcome.headline.name].mean
    over = " and ".join(outcome.axes)
    return f"Validation {outcome.headline.short} over {over}; best {share(best)} at {outcome.best.name}"


def write(outcome: SweepOutcome, out: Path) -> list[Path]:
    """Writes the files of a sweep and returns their paths.

    Raises:
        RunError: a file cannot be written.
    """
    contents = {
        "sweep.csv": to_csv(outcome).encode(),
        "sweep.md": to_markdown_page(outcome).encode(),
        FIGURE: figure_style.to_png(draw_sweep(outcome)),
    }
    for name, content in contents.items():
        write_bytes(out / name, content, RunError)
    return [out / name for name in contents]
