"""An exported model against PyTorch (eager) and ONNX Runtime: one pair and batches of 8, float32 and bfloat16.

    python -m benchmarks.inference                             preset paper, random weights and drawn pictures
    python -m benchmarks.inference --run RUN --data DATA    a fitted run
    python -m benchmarks.inference --small                     smallest sizes; seconds

Needs the extra onnx. Each side is a process of its own; they take turns. Answers are compared first: float32 must agree
to 1e-4 in every probability; the predicted classes of bfloat16 are compared with those of float32, side by side, which
says something for a fitted run only: with random weights the classes are nearly equally probable.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from benchmarks import turns
from benchmarks.peers.environment import create_peer
from benchmarks.wire import Side

SMALL = (
    "data.image_size=64",
    "model.backbone=resnet14_narrow",
    "model.decoder_channels=[8, 8, 8]",
    "model.discriminator_units=16",
    "model.classifier_units=16",
)
PRECISIONS = ("float32", "bfloat16")
OURS, TORCH, ONNX = "SavedModel", "PyTorch", "ONNX Runtime"
TOLERANCE = 1e-4
BATCHES = (1, 8)


@click.command()
@click.option("--run", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A finished AMFAM run.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A data set to ask about.")
@click.option("--small", is_flag=True, help="Smallest sizes: to try the command, not to measure.")
@click.option("--cases", default=16, show_default=True, help="Cases whose answers are compared.")
@click.option("--turns", "count", default=5, show_default=True)
@click.option("--calls", default=5, show_default=True, help="Calls in one turn; their median counts.")
def main(run: Path | None, data: Path | None, small: bool, cases: int, count: int, calls: int) -> None:
    """Print milliseconds per answer of all sides, and whether the answers are the same."""
    if (run is None) != (data is None):
        raise click.UsageError("--run and --data go together")
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        files = prepare(folder, run, data, SMALL if small else (), cases)
        sides = start(folder, files, stack)
        report_answers(ask_all(sides, folder))
        for batch in BATCHES:
            measures = {
                name: lambda side=side, batch=batch: side.ask("seconds", batch=batch, calls=calls)
                for name, side in sides.items()
            }
            report(batch, turns.medians(turns.take_turns(measures, count)))


def prepare(folder: Path, run: Path | None, data: Path | None, overrides: tuple[str, ...], cases: int) -> dict:
    """Returns the versions by precision, and PyTorch's configuration; writes weights, pictures and the ONNX file."""
    with Side(OURS, sys.executable, "benchmarks.tensorflow_inference") as maker:
        if run is None:
            run, data = folder / "run", folder / "release"
            maker.ask("make_run", run=str(run), overrides=list(overrides), data=str(data), cases=cases)
        versions = {
            precision: maker.ask(
                "export",
                run=str(run),
                base=str(folder / precision),
                precision=precision,
                onnx=str(folder / "model.onnx") if precision == "float32" else None,
            )
            for precision in PRECISIONS
        }
        maker.ask("write_pictures", run=str(run), data=str(data), cases=cases, to=str(folder / "pictures.npz"))
        config = maker.ask("weights", run=str(run), to=str(folder / "weights.npz"))
    return {"versions": versions, "config": config}


def start(folder: Path, files: dict, stack: ExitStack) -> dict[str, Side]:
    """Returns all sides, ready to answer."""
    sides, peer = {}, create_peer()
    for precision in PRECISIONS:
        ours = stack.enter_context(Side(OURS, sys.executable, "benchmarks.tensorflow_inference"))
        ours.ask("start", version=files["versions"][precision])
        torch = stack.enter_context(Side(TORCH, peer, "benchmarks.peers.inference"))
        weights, config = str(folder / "weights.npz"), files["config"]
        torch.ask("start_torch", config=config, weights=weights, bfloat16=precision == "bfloat16")
        sides |= {f"{OURS} {precision}": ours, f"{TORCH} {precision}": torch}
    onnx = stack.enter_context(Side(ONNX, peer, "benchmarks.peers.inference"))
    onnx.ask("start_onnx", config=files["config"], path=str(folder / "model.onnx"))
    sides[f"{ONNX} float32"] = onnx
    for side in sides.values():
        side.ask("load", pictures=str(folder / "pictures.npz"))
    return sides


def ask_all(sides: dict[str, Side], folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns each side's probabilities [N, classes] by task."""
    answers = {}
    for name, side in sides.items():
        file = folder / f"{name}.npz"
        side.ask("answers", to=str(file))
        with np.load(file) as arrays:
            answers[name] = {task: arrays[task] for task in arrays.files}
    return answers


def report_answers(answers: dict[str, dict[str, np.ndarray]]) -> None:
    """Prints how far the sides' answers are apart.

    Raises:
        click.ClickException: float32 answers differ.
    """
    reference = answers[f"{OURS} float32"]
    for name in (f"{TORCH} float32", f"{ONNX} float32"):
        difference = max(float(np.abs(answers[name][task] - reference[task]).max()) for task in reference)
        click.echo(f"{name}: largest difference of a probability {difference:.1e}")
        if not difference <= TOLERANCE:
            raise click.ClickException(f"{name} gives other answers: {difference:.1e}")
    for name in (f"{OURS} bfloat16", f"{TORCH} bfloat16"):
        click.echo(f"{name}: predicted class that of float32 in {100 * same_class(answers[name], reference):.1f} %")


def same_class(answers: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
    """Returns the share of cases and tasks whose most probable class is the same."""
    return float(np.mean([answers[task].argmax(1) == reference[task].argmax(1) for task in reference]))


def report(batch: int, seconds: dict[str, float]) -> None:
    """Prints one table, the ratio at equal precision: the fastest other side's time over the SavedModel's."""
    click.echo(f"\nbatch of {batch}; {turns.load()}")
    rows = []
    for precision in PRECISIONS:
        here = {name: value for name, value in seconds.items() if name.endswith(precision)}
        fastest = min(value for name, value in here.items() if not name.startswith(OURS))
        rows += [
            [name, f"{1e3 * value:.0f}", f"{fastest / value:.2f}" if name.startswith(OURS) else ""]
            for name, value in here.items()
        ]
    click.echo(turns.table(["side", "ms", "fastest other / SavedModel"], rows))
    gain = seconds[f"{OURS} float32"] / seconds[f"{OURS} bfloat16"]
    click.echo(f"SavedModel: bfloat16 is {gain:.2f} times as fast as float32")


if __name__ == "__main__":
    main()
