"""Forward and backward through EfficientNet-Lite 0, whose depthwise convolutions are slow in some libraries.

    python -m benchmarks.lite_step                       parity, then float32 and bfloat16 in turns
    python -m benchmarks.lite_step --size 64 --pictures 4 --precision float32   to try the command

Both sides have the installed ImageNet weights and the same pictures (extra lite). Parity is that of
benchmarks.train_step. Then each side is a process of its own and makes steps when it is told to.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from amfam_tf.models.efficientnet_lite import find_file
from benchmarks import turns
from benchmarks.peers.environment import create_peer
from benchmarks.train_step import OURS, PEER, REFEREE, loss_errors, report_parity
from benchmarks.wire import Side

PATCHES = 8
"""Random colours along each side of a picture."""


@click.command()
@click.option("--size", default=224, show_default=True, help="Of a picture, pixels; a multiple of 32.")
@click.option("--pictures", default=16, show_default=True, help="In a batch: 8 pairs.")
@click.option("--precision", "precisions", type=click.Choice(["float32", "bfloat16"]), multiple=True)
@click.option("--turns", "count", default=5, show_default=True, help="Turns of each side.")
@click.option("--steps", default=2, show_default=True, help="Steps in one turn; their median counts.")
def main(size: int, pictures: int, precisions: Sequence[str], count: int, steps: int) -> None:
    """Print seconds per step of both sides."""
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as folder:
        arrays, peer = Path(folder) / "arrays.npz", create_peer()
        write_arrays(arrays, size, pictures)
        check_parity(arrays, peer, Path(folder))
        for precision in precisions or ("float32", "bfloat16"):
            measure(arrays, peer, precision, count, steps)


def write_arrays(path: Path, size: int, pictures: int) -> None:
    """Writes pictures [B, S, S, 3] in [0, 1], patches, and the direction of the loss [B, S/32, S/32, 1280]."""
    random = np.random.default_rng(0)
    coarse = random.random((pictures, PATCHES, PATCHES, 3), np.float32)
    side = size // PATCHES
    large = coarse.repeat(side, axis=1).repeat(side, axis=2)
    # What is equal in many places would be exactly at the kinks of ReLU6 in all of them.
    noisy = np.clip(large + random.normal(0.0, 0.05, large.shape), 0.0, 1.0).astype(np.float32)
    direction = random.random((pictures, size // 32, size // 32, 1280), np.float32)
    np.savez(path, pictures=noisy, direction=direction)


def check_parity(arrays: Path, peer: Path, folder: Path) -> None:
    """Prints the largest differences of loss and gradients in float32; PyTorch's float64 is the referee.

    Raises:
        click.ClickException: one is larger than it may be.
    """
    losses, gradients = {}, {}
    for name in (OURS, PEER, REFEREE):
        with start(name, arrays, peer, "float32") as side:
            losses[name] = {"loss": side.ask("gradients", to=str(folder / f"{name}.npz"))}
        gradients[name] = dict(np.load(folder / f"{name}.npz"))
    errors = {name: gradient_errors(gradients[name], gradients[REFEREE]) for name in (OURS, PEER)}
    report_parity(loss_errors(losses[OURS], losses[PEER]), errors[OURS], errors[PEER])


def gradient_errors(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the norm of the difference of each gradient, relative to its norm, by name.

    A bias that the next batch norm takes away has no gradient but rounding errors: the gradient of the factor beside it
    is the scale of a bias.

    Args:
        ours, theirs: {name: array}.

    Raises:
        click.ClickException: one side has gradients that the other has not.
    """
    if ours.keys() != theirs.keys():
        raise click.ClickException(f"gradients of one side only: {sorted(ours.keys() ^ theirs.keys())}")
    scales = {name: theirs[name.replace(".bias", ".weight")] for name in theirs}
    return {
        name: float(np.linalg.norm(value - theirs[name]) / np.linalg.norm(scales[name])) for name, value in ours.items()
    }


def start(name: str, arrays: Path, peer: Path, precision: str) -> Side:
    """Returns a side, ready to make steps."""
    half = {"bfloat16": precision == "bfloat16"}
    if name == OURS:
        side = Side(name, sys.executable, "benchmarks.tensorflow_lite")
        side.ask("start", arrays=str(arrays), **half)
    else:
        side = Side(name, peer, "benchmarks.peers.efficientnet_lite")
        side.ask("start", arrays=str(arrays), weights=str(find_file(0)), float64=name == REFEREE, **half)
    return side


def measure(arrays: Path, peer: Path, precision: str, count: int, steps: int) -> None:
    """Prints one table: seconds per step and the ratio."""
    with start(OURS, arrays, peer, precision) as ours, start(PEER, arrays, peer, precision) as theirs:
        sides = {OURS: ours, PEER: theirs}
        for side in sides.values():
            side.ask("steps", count=2)
        results = turns.take_turns(
            {name: lambda side=side: float(np.median(side.ask("steps", count=steps))) for name, side in sides.items()},
            count,
        )
    seconds = turns.medians(results)
    rows = [[name, f"{value:.2f}", f"{seconds[PEER] / value:.2f}"] for name, value in seconds.items()]
    click.echo(f"\n{precision}; {turns.load()}")
    click.echo(turns.table(["side", "s / step", "times PyTorch"], rows))


if __name__ == "__main__":
    main()
