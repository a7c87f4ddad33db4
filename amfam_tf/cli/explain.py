"""`amfam-tf explain`: where in both pictures a run sees what speaks for a class (Grad-CAM)."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.card.schema import SPLITS
from amfam_tf.cli.options import card_option, data_option, out_option
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from amfam_tf.card.questions import Task
    from amfam_tf.explain.run import CaseExplanation
    from amfam_tf.runs.finished import FinishedRun

FOLDER = UserPath(exists=True, file_okay=False, path_type=Path)
FIRST_CASES = 4


@click.command(short_help="Draw where in both pictures a RUN sees what speaks for a class (Grad-CAM).")
@click.argument("run", type=FOLDER)
@data_option
@card_option
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="ID",
    help="Id of a case in the data, or its number in predictions.csv; may be repeated. Without it: the first "
    f"{FIRST_CASES} cases of the split.",
)
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option("--task", "task_name", metavar="TASK", help="A task of the run.  [default: the main one]")
@click.option("--class", "class_name", metavar="CLASS", help="Without it: the predicted class of each case.")
@click.option("--against", type=FOLDER, metavar="OTHER_RUN", help="Show this run beside it.")
@out_option("Folder of the pictures.  [default: RUN/explain]", required=False)
def explain(
    run: Path,
    data: Path,
    card: Path | None,
    cases: tuple[str, ...],
    split: str,
    task_name: str | None,
    class_name: str | None,
    against: Path | None,
    out: Path | None,
) -> None:
    """Draw where in both pictures a finished RUN sees what speaks for a class (Grad-CAM).

    One PNG per case: both pictures, their maps over them, the probability of each class, label and prediction.
    A map shows what moved this network, not what is medically right.
    """
    from amfam_tf.runs.finished import FinishedRun

    finished = FinishedRun.open(run)
    task = _find_task(finished, task_name, class_name)

    from amfam_tf.evaluation.run import file_part, read_for, short_names
    from amfam_tf.explain.grad_cam import PREDICTED
    from amfam_tf.explain.run import choose_cases, explain_run

    chosen = choose_cases(data, split, cases, FIRST_CASES, read_for(finished, data, card))
    number = PREDICTED if class_name is None else task.classes.index(class_name)
    runs = [run] if against is None else [run, against]
    names = [run.resolve().name] if against is None else short_names(run.resolve(), against.resolve())
    found = [explain_run(one, chosen, task, number, name) for one, name in zip(runs, names, strict=True)]
    name = "" if class_name is None else f"-{class_name}"
    name += "" if against is None else f"-against-{file_part(names[1])}"
    for explanations in zip(*found, strict=True):
        path = _write(explanations, run / "explain" if out is None else out, name)
        echo(f"written: {path}")


def _find_task(run: "FinishedRun", name: str | None, class_name: str | None) -> "Task":
    """Returns the question; wrong usage if the run has none of this name, or it has no such class."""
    names = [task.name for task in run.card.tasks]
    if name is not None and name not in names:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(map(repr, names))}.", param_hint="'--task'")
    task = run.card.main_task if name is None else run.card.task(name)
    if class_name is not None and class_name not in task.classes:
        raise click.BadParameter(f"{task.name} has the classes {', '.join(task.classes)}", param_hint="'--class'")
    return task


def _write(explanations: "tuple[CaseExplanation, ...]", folder: Path, name: str) -> Path:
    from amfam_tf.errors import RunError
    from amfam_tf.evaluation.figure_style import write_png
    from amfam_tf.explain.panel import draw_panel

    first = explanations[0]
    path = folder / f"case-{first.case_num:04d}-{first.task.name}{name}.png"
    made_from = {f"model_sha256 of {one.run}": one.model_sha256 for one in explanations}
    write_png(draw_panel(explanations), path, made_from, RunError)
    return path
