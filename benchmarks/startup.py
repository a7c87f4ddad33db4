"""From the start of a process to what it is for: `--help`, `query` and the first training step of `fit`.

    python -m benchmarks.startup --data DATA [--turns 5] [--fits 1]

DATA is a data set, as `amfam-tf synth --out DATA` draws. `fit` runs one epoch of preset tiny with --profile, which says
when the first step was done; its run is exported and served, and `query` asks that server about one pair. Processor
seconds are those of the process until then, user and system; on a busy machine they are what can be compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from amfam_tf.client import child
from benchmarks import turns

GOALS = {"--help": 0.5, "query": 4.0, "fit, first step": 25.0}
"""Seconds that each may take."""
COMMAND = (sys.executable, "-m", "amfam_tf")


@dataclass(frozen=True)
class Taken:
    """Seconds of one process: by the clock, and of processor time."""

    seconds: float
    processor: float


def run(words: Sequence[str]) -> Taken:
    """Runs the command line to its end.

    Raises:
        click.ClickException: it did not succeed; with what it printed.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen([*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise click.ClickException(f"amfam-tf {' '.join(words)} ended with {process.returncode}: {said}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime)


def first_pair(data: Path) -> tuple[str, str]:
    """Returns the pictures of the first case of a data set."""
    from amfam_tf.data.derm7pt import read_release

    case = read_release(data).iloc[0]
    return case["clinical"], case["dermoscopic"]


def fit_once(data: Path, folder: Path) -> Taken:
    """Fits one epoch into the new folder; returns what the first step took, from the start of the process."""
    words = ("fit", "--data", str(data), "--run", str(folder), "--preset", "tiny", "--set", "training.epochs=1")
    run((*words, "--profile"))
    profile = json.loads((folder / "profile.json").read_text())
    return Taken(profile["first_step_seconds"], profile["first_step_processor_seconds"])


def alternate(sides: dict[str, Callable[[], Taken]], count: int) -> dict[str, Taken]:
    """Returns the medians of turns A B A B."""
    taken: dict[str, list[Taken]] = {name: [] for name in sides}

    def measure(name: str) -> Callable[[], float]:
        def call() -> float:
            taken[name].append(sides[name]())
            return taken[name][-1].seconds

        return call

    seconds = turns.medians(turns.take_turns({name: measure(name) for name in sides}, count))
    processor = turns.medians({name: [one.processor for one in values] for name, values in taken.items()})
    return {name: Taken(seconds[name], processor[name]) for name in sides}


def rows_of(taken: dict[str, Taken]) -> list[list[str]]:
    """Returns the rows of the printed table."""
    return [
        [
            name,
            f"{one.seconds:.2f}",
            f"{one.processor:.2f}",
            f"{GOALS[name]:g}",
            "yes" if one.seconds <= GOALS[name] else "no",
        ]
        for name, one in taken.items()
    ]


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--turns", "count", type=click.IntRange(min=1), default=5, show_default=True, help="Of --help and query.")
@click.option("--fits", type=click.IntRange(min=1), default=1, show_default=True, help="How often to fit.")
def main(data: Path, count: int, fits: int) -> None:
    """Print seconds until each is there, and the phases of the last fit."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / f"run-{number}" for number in range(fits)]
        fitted = [fit_once(data, each) for each in runs]
        models = Path(folder) / "amfam"
        run(("export", str(runs[-1]), "--out", str(models)))
        port = child.free_port()
        served = ("--model-name", "amfam", "--model-base-path", str(models), "--port", str(port))
        clinical, dermoscopic = first_pair(data)
        asked = ("query", "--clinical", clinical, "--dermoscopic", dermoscopic, "--server", f"{child.LOCALHOST}:{port}")
        with child.serving(("serve", *served), port, Path(folder) / "serve.log"):
            taken = alternate({"--help": lambda: run(("--help",)), "query": lambda: run(asked)}, count)
        both = {name: [getattr(one, name) for one in fitted] for name in ("seconds", "processor")}
        taken["fit, first step"] = Taken(**turns.medians(both))
        profile = json.loads((runs[-1] / "profile.json").read_text())
    click.echo(turns.machine())
    heads = ["start of", "s until it is there", "s of processor", "goal, s", "reached"]
    click.echo(turns.table(heads, rows_of(taken)))
    phases = [[row["phase"], f"{row['seconds']:.2f}"] for row in profile["until_first_step"]]
    click.echo(turns.table(["fit until its first step", "s"], phases))


if __name__ == "__main__":
    main()
