"""`amfam-tf evaluate`: predict a split with a finished run, measure, print the table."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from amfam_tf.evaluation.run import Evaluation

RESEARCH_ONLY = "A research tool, not a medical device: no number here says anything about a patient."


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The release: folder that holds images/ and meta/.",
)
@click.option("--split", type=click.Choice(["train", "validate", "test"]), default="test", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json instead of the tables.")
def evaluate(run: Path, data: Path, split: str, as_json: bool) -> None:
    """Predict a split of DATA with the finished RUN and measure it.

    Writes predictions.csv and metrics.json to RUN/evaluation/SPLIT.
    """
    from amfam_tf.evaluation import report_json
    from amfam_tf.evaluation.run import evaluate_run

    evaluation = evaluate_run(run, data, split, _track)
    if as_json:
        click.echo(report_json.dumps(evaluation.report), nl=False)
        for note in evaluation.notes:
            click.echo(f"note: {note}", err=True)
        return
    _print(evaluation)


def _track(batches: Iterable[Mapping[str, Any]], count: int) -> Iterable[Mapping[str, Any]]:
    """Passes batches through and shows a progress bar on stderr."""
    from rich.progress import track

    from amfam_tf.cli.options import console

    yield from track(batches, "predicting", total=count, console=console(stderr=True), transient=True)


def _print(evaluation: "Evaluation") -> None:
    from amfam_tf.cli.options import console
    from amfam_tf.evaluation.run import METRICS_FILE, PREDICTIONS_FILE

    terminal = console()
    terminal.print(accuracy_table(evaluation))
    terminal.print(average_table(evaluation.report))
    terminal.print(auc_table(evaluation.report))
    for note in evaluation.notes:
        terminal.print(f"note: {note}", markup=False, soft_wrap=True)
    for name in (PREDICTIONS_FILE, METRICS_FILE):
        terminal.print(f"written: {evaluation.folder / name}", markup=False, soft_wrap=True)
    terminal.print(RESEARCH_ONLY, markup=False, soft_wrap=True)


def percent(value: float | None) -> str:
    """Returns a value of [0, 1] in percent with one decimal; "-" where it is undefined."""
    return "-" if value is None or value != value else f"{100 * value:.1f}"


def accuracy_table(evaluation: "Evaluation") -> "Table":
    """Returns accuracy with its interval beside the majority class, for each task and on average."""
    from rich.table import Table

    from amfam_tf.tasks import TASKS

    report = evaluation.report
    source = "train" if "train" in report["majority_baseline"] else "evaluated"
    baseline = report["majority_baseline"][source]
    where = "training" if source == "train" else "evaluated"
    title = f"Accuracy in %, {report['cases']} cases of the split {report['split']}"
    table = Table("task", "", title=title, caption=f"majority: always the most frequent class of the {where} split")
    for heading in ("accuracy", "95 % interval", "majority", "gain", "balanced", "kappa"):
        table.add_column(heading, justify="right")
    for task in TASKS:
        values, majority = report["tasks"][task.name], baseline["tasks"][task.name]
        table.add_row(
            task.name,
            task.title,
            percent(values["accuracy"]),
            _interval(values["accuracy_ci95"]),
            f"{percent(majority['accuracy'])} {majority['class']:>4}",
            f"{100 * (values['accuracy'] - majority['accuracy']):+.1f}",
            percent(values["balanced_accuracy"]),
            _kappa(values["kappa"]),
        )
    table.add_section()
    average = report["average"]
    table.add_row(
        "average",
        "of the 8 tasks",
        percent(average["accuracy"]),
        _interval(average.get("accuracy_ci95")),
        f"{percent(baseline['average'])}     ",
        f"{100 * (average['accuracy'] - baseline['average']):+.1f}",
        percent(average["balanced_accuracy"]),
        _kappa(average["kappa"]),
        style="bold",
    )
    return table


def _interval(bounds: Iterable[float] | None) -> str:
    return "" if bounds is None else " to ".join(percent(bound) for bound in bounds)


def _kappa(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def average_table(report: Mapping[str, Any]) -> "Table":
    """Returns the averages over classes, each with the classes that it is taken over."""
    from rich.table import Table

    from amfam_tf.evaluation.metrics import PAPER_METRICS

    rows = {
        "paper_criteria": "19 classes of the seven criteria, as the paper's Table 3",
        "paper_diagnosis": "5 classes of DIAG, as the paper's Tables 4 and 7",
        "macro": "mean over the 8 tasks of each task's mean",
    }
    table = Table("average over", title="Averages over classes, one class against the rest, in %")
    for metric in PAPER_METRICS:
        table.add_column("AUC" if metric == "auc" else metric, justify="right")
    for key, text in rows.items():
        table.add_row(text, *(percent(report["average"][key][metric]) for metric in PAPER_METRICS))
    return table


def auc_table(report: Mapping[str, Any]) -> "Table":
    """Returns the AUC of each class with the number of its cases."""
    from rich.table import Table

    table = Table("task", title="AUC in %, one class against the rest (cases of the class)")
    table.add_column("class: AUC (cases)")
    for name, values in report["tasks"].items():
        cells = (f"{label} {percent(row['auc']):>5} ({row['support']:.0f})" for label, row in values["classes"].items())
        table.add_row(name, "   ".join(cells))
    return table
