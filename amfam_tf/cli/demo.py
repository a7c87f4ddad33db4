"""`amfam-tf demo`: the other verbs in a row on drawn data, each announced by the command line that repeats it."""

import importlib
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from amfam_tf.cli.options import console
from amfam_tf.cli.paths import UserPath
from amfam_tf.client import child
from amfam_tf.errors import RunError
from amfam_tf.files import json_file
from amfam_tf.files.writing import remove_leftovers

MARKER = "demo.json"
SEED = 0
MODEL = "amfam"
FIT = ("--preset", "laptop", "--set", "data.image_size=128", "--set", "training.epochs=5")
"""Pretrained weights, and little enough of the rest for a few minutes on two processor cores."""


@dataclass(frozen=True)
class DemoStep:
    """One verb of the demo.

    Attributes:
        title: the heading.
        words: the command line after `amfam-tf`.
    """

    title: str
    words: tuple[str, ...]


def steps(out: Path, cases: int) -> tuple[DemoStep, ...]:
    """Returns the verbs that the demo runs, in order."""
    data, run = str(out / "data"), str(out / "run")
    return (
        DemoStep("Draw a labelled data set", ("synth", "--out", data, "--cases", str(cases), "--seed", str(SEED))),
        DemoStep("Check it", ("check", data)),
        DemoStep("Fit AMFAM", ("fit", "--data", data, "--run", run, *FIT)),
        DemoStep("Evaluate on the test split", ("evaluate", run, "--data", data, "--split", "test")),
        DemoStep("Export it for TensorFlow Serving", ("export", run, "--out", str(out / "saved_models" / MODEL))),
    )


def serving_steps(out: Path, port: int, pair: tuple[Path, Path]) -> tuple[DemoStep, DemoStep]:
    """Returns the server, which runs beside, and the query that is sent to it."""
    served = ("--model-name", MODEL, "--model-base-path", str(out / "saved_models" / MODEL))
    where = ("--port", str(port), "--bind-address", child.LOCALHOST)
    asked = ("--clinical", str(pair[0]), "--dermoscopic", str(pair[1]), "--server", f"{child.LOCALHOST}:{port}")
    return (
        DemoStep("Serve it", ("serve", *served, *where)),
        DemoStep("Ask the server over gRPC about a case of the test split", ("query", *asked)),
    )


@click.command(short_help="Draw data, check, fit, evaluate, export, serve and query in one go.")
@click.option(
    "--out",
    type=UserPath(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the data set, the run and the exported model; the same folder again continues.",
)
@click.option("--cases", type=click.IntRange(50, 100_000), default=400, show_default=True, help="Cases to draw.")
def demo(out: Path, cases: int) -> None:
    """Draw a data set, check it, fit AMFAM (preset laptop on small pictures), evaluate, export, serve and ask it.

    The pictures are drawn, so the figures say that the program works, nothing about skin.
    """
    state = _open(out, cases)
    terminal = console()
    todo = steps(out, cases)
    total = len(todo) + 2
    for number, step in enumerate(todo, start=1):
        _announce(step, number, total)
        if step.words[0] == "synth" and state["drawn"]:
            terminal.print("already drawn")
            continue
        call(step.words)
        if step.words[0] == "synth":
            json_file.write(out / MARKER, state | {"drawn": True})
    _serve_and_query(out, total)
    _point_to_files(out)


def _announce(step: DemoStep, number: int, total: int) -> None:
    terminal = console()
    terminal.print()
    terminal.print(f"{number}/{total}  {step.title}", style="bold")
    terminal.print(f"$ amfam-tf {shlex.join(step.words)}", style="cyan", markup=False, soft_wrap=True)


def _serve_and_query(out: Path, total: int) -> None:
    port = child.free_port()
    server, query = serving_steps(out, port, first_test_pair(out / "data"))
    _announce(server, total - 1, total)
    with child.serving(server.words, port, out / "serve.log"):
        console().print("the model is loaded")
        _announce(query, total, total)
        call(query.words)
    console().print("the server is stopped")


def first_test_pair(data: Path) -> tuple[Path, Path]:
    """Returns the pictures of the first case of the test split."""
    from amfam_tf.data.derm7pt import read_release

    cases = read_release(data)
    case = cases[cases["split"] == "test"].iloc[0]
    return Path(case["clinical"]), Path(case["dermoscopic"])


def call(words: tuple[str, ...]) -> None:
    """Runs one verb as the command line would.

    Raises:
        RunError: the verb ended with a status other than 0.
    """
    module = importlib.import_module(f"amfam_tf.cli.{words[0]}")
    command: click.Command = getattr(module, words[0])
    status = command.main(list(words[1:]), prog_name=f"amfam-tf {words[0]}", standalone_mode=False)
    if isinstance(status, int) and status != 0:
        raise RunError(f"the demo stopped: amfam-tf {shlex.join(words)} ended with status {status}")


def _open(out: Path, cases: int) -> dict[str, Any]:
    """Returns the state of the demo in `out`, new or to be continued.

    Raises:
        RunError: the folder holds something else, or a demo of another size.
    """
    remove_leftovers(out, MARKER)
    if not out.exists() or not any(out.iterdir()):
        state = {"cases": cases, "seed": SEED, "drawn": False}
        json_file.write(out / MARKER, state)
        return state
    try:
        state = json_file.read(out / MARKER)
        held, drawn = int(state["cases"]), bool(state["drawn"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{out} is not empty and holds no demo: name another folder with --out") from error
    if held != cases:
        raise RunError(f"{out} holds a demo of {held} cases: pass --cases {held} or name another folder with --out")
    if not drawn and (out / "data").exists():
        shutil.rmtree(out / "data")
    return state


def _point_to_files(out: Path) -> None:
    from amfam_tf.runs import folder

    run = folder.RunFolder(out / "run")
    evaluation = run.evaluation("test")
    files = {
        out / "data/images": "the drawn pictures",
        run.config_file: "every value that decided the run",
        run.history_file: "losses and accuracies per epoch",
        run.pictures: "inputs, attention maps and reconstructions while training",
        run.tensorboard: f"the same as curves: tensorboard --logdir {shlex.quote(str(run.tensorboard))}",
        evaluation / folder.REPORT_FILE: "all results with figures, in one page",
        evaluation / folder.METRICS_FILE: "the table above, in full",
        evaluation / folder.PREDICTIONS_FILE: "one row per case",
        out / "saved_models" / MODEL: "the exported model, a folder per version, for TensorFlow Serving as well",
        out / "serve.log": "what the server printed",
    }
    terminal = console()
    terminal.print()
    terminal.print("Open", style="bold")
    for path, text in files.items():
        if path.exists():
            terminal.print(f"  {path}  {text}", markup=False, soft_wrap=True)
