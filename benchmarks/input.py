"""Training input of preset paper against PyTorch's DataLoader with Pillow and 2 workers, images per second in turns.

    python -m benchmarks.input                     on 64 drawn cases, about 2 minutes
    python -m benchmarks.input --data DATA      on a data set
    python -m benchmarks.input --fit-steps 5       also the share of real training steps that wait for a batch

Same operations on both sides: decode, turn upright, resize to 299 x 299 (bilinear, antialiased), pad, crop, rotate,
flip, scale to [0, 1]. From cache means that the squares are kept in memory and only augmented anew.
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

OURS, PEER = "TensorFlow", "PyTorch"
DRAWN_SIZE = (768, 512)
SAMPLE_TOLERANCE = 1.5 / 255
"""Each side rounds once to whole numbers."""


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: drawn cases.")
@click.option("--cases", default=64, show_default=True, help="Drawn cases.")
@click.option("--turns", "count", default=5, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Length of one turn.")
@click.option("--fit-steps", default=0, show_default=True, help="Training steps of preset paper to watch.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change the configuration.")
def main(data: Path | None, cases: int, count: int, seconds: float, fit_steps: int, overrides: tuple[str, ...]) -> None:
    """Print images per second of both sides, uncached and from cache."""
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as folder:
        measure(data or draw(Path(folder) / "release", cases), list(overrides), count, seconds, fit_steps, Path(folder))


def draw(data: Path, cases: int) -> Path:
    """Writes a small data set and returns it."""
    from amfam_tf.data import synthetic

    synthetic.write_data_set(data, cases=cases, seed=0, size=DRAWN_SIZE, workers=2)
    return data


def measure(data: Path, overrides: list[str], count: int, seconds: float, fit_steps: int, folder: Path) -> None:
    """Prints the table and, if asked for, the share of training steps that wait."""
    with ExitStack() as stack:
        sides = {}
        for cached in (False, True):
            ours = stack.enter_context(Side(OURS, sys.executable, "benchmarks.tensorflow_input"))
            ours.ask("start", data=str(data), overrides=overrides, cached=cached)
            peer = stack.enter_context(Side(PEER, create_peer(), "benchmarks.peers.input"))
            peer.ask("start", cached=cached, **ours.ask("settings"))
            what = "from cache" if cached else "uncached"
            sides |= {f"{OURS}, {what}": ours, f"{PEER}, {what}": peer}
        difference = compare_samples(ours, peer, folder)
        click.echo(f"same picture before augmentation: mean difference {difference:.4f} of [0, 1]")
        rates = turns.medians(
            turns.take_turns(
                {name: lambda side=side: side.ask("rate", seconds=seconds) for name, side in sides.items()}, count
            )
        )
        report(rates)
        if fit_steps:
            total, waited = sides[f"{OURS}, from cache"].ask("waiting", steps=fit_steps)
            click.echo(
                f"{fit_steps} training steps: {total / fit_steps:.2f} s a step, {100 * waited / total:.2f} % waiting"
            )


def compare_samples(ours: Side, peer: Side, folder: Path) -> float:
    """Returns the mean absolute difference of both sides' first pair.

    Raises:
        click.ClickException: they are not the same pictures.
    """
    files = {side.name: folder / f"{side.name}.npy" for side in (ours, peer)}
    for side in (ours, peer):
        side.ask("sample", to=str(files[side.name]))
    difference = float(np.abs(np.load(files[OURS]) - np.load(files[PEER])).mean())
    if difference > SAMPLE_TOLERANCE:
        raise click.ClickException(f"the sides do not prepare the same pictures: mean difference {difference:.4f}")
    return difference


def report(rates: dict[str, float]) -> None:
    """Prints images per second and the ratio to PyTorch at the same cache."""
    rows = []
    for name, rate in rates.items():
        same = rates[name.replace(OURS, PEER)]
        rows.append([name, f"{rate:.0f}", f"{rate / same:.2f}", f"{rate / rates[f'{PEER}, uncached']:.2f}"])
    click.echo(turns.load())
    click.echo(turns.table(["side", "images / s", "times PyTorch", "times PyTorch uncached"], rows))


if __name__ == "__main__":
    main()
