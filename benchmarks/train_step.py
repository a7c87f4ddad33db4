"""A training step of preset paper, all losses, against a PyTorch AMFAM of the same mathematics.

    python -m benchmarks.train_step                            parity, then float32 and bfloat16 in turns
    python -m benchmarks.train_step --precision bfloat16       one precision only
    python -m benchmarks.train_step --small                    preset tiny, smallest sizes; seconds
    python -m benchmarks.train_step --parity-only

Parity: the same weights by name and the same batch. Every loss must agree to 1e-4, every gradient to 1e-3, relative; a
gradient that float32 does not determine so well, by PyTorch's own distance to its float64, may be twice as far from
that float64 as PyTorch is. Then each side is a process of its own and makes steps when it is told to, A B A B. The
first steps of each (tracing, choice of kernels) are not counted.
"""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import turns
from benchmarks.peers.environment import create_peer
from benchmarks.wire import Side

SMALL = (
    "data.image_size=64",
    "model.decoder_channels=[8, 8, 8]",
    "model.discriminator_units=16",
    "model.classifier_units=16",
    "training.batch_size=4",
)
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
OF_ROUNDING = 2.0
OURS, PEER, REFEREE = "TensorFlow", "PyTorch", "PyTorch, float64"


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        preset, overrides: configuration of the run.
        arrays: .npz file with weights and batch.
        peer: interpreter of PyTorch's environment.
        peer_config: of PyTorch's model.
    """

    preset: str
    overrides: tuple[str, ...]
    arrays: str
    peer: Path
    peer_config: dict[str, Any]


@click.command()
@click.option("--small", is_flag=True, help="Preset tiny at its smallest: to try the command, not to measure.")
@click.option("--precision", "precisions", type=click.Choice([*POLICIES]), multiple=True, help="Default: both.")
@click.option("--turns", "count", default=3, show_default=True, help="Turns of each side.")
@click.option("--steps", default=1, show_default=True, help="Steps in one turn; their median counts.")
@click.option("--warm-up", default=2, show_default=True, help="Steps of each side before the turns.")
@click.option("--xla", is_flag=True, help="Also measure TensorFlow's step compiled with XLA.")
@click.option("--compiled", is_flag=True, help="Also measure PyTorch's step through torch.compile.")
@click.option("--parity/--no-parity", default=True, show_default=True)
@click.option("--parity-only", is_flag=True, help="Stop after parity.")
@click.option("--set", "extra", multiple=True, metavar="SECTION.KEY=VALUE", help="Change the configuration.")
def main(
    small: bool, precisions: Sequence[str], parity: bool, parity_only: bool, extra: Sequence[str], **measured: Any
) -> None:
    """Print seconds per step, peak memory and share of the arithmetic limit of both sides."""
    overrides = ("model.weights=none", *(SMALL if small else ()), *extra)
    preset = "tiny" if small else "paper"
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as folder:
        setting = prepare(preset, overrides, Path(folder), check=parity or parity_only)
        for precision in () if parity_only else precisions or POLICIES:
            measure(setting, precision, **measured)


def prepare(preset: str, overrides: Sequence[str], folder: Path, check: bool) -> Setting:
    """Returns the setting, weights and batch written; with `check`, parity is checked and printed.

    Raises:
        click.ClickException: the sides do not agree.
    """
    arrays, peer = str(folder / "arrays.npz"), create_peer()
    files = {name: folder / f"{name}.npz" for name in (OURS, PEER, REFEREE)}
    # One after the other: both in memory at once is not needed.
    with Side(OURS, sys.executable, "benchmarks.tensorflow_step") as ours:
        ours.ask("start", preset=preset, overrides=list(overrides), arrays=arrays, make=True)
        setting = Setting(preset, tuple(overrides), arrays, peer, ours.ask("peer_config"))
        if not check:
            return setting
        our_losses = ours.ask("gradients", to=str(files[OURS]))
    for name in (PEER, REFEREE):
        with Side(name, peer, "benchmarks.peers.train_step") as theirs:
            theirs.ask("start", config=setting.peer_config, arrays=arrays, float64=name == REFEREE)
            their_losses = theirs.ask("gradients", to=str(files[name]))
    gradients = {name: dict(np.load(file)) for name, file in files.items()}
    errors = {name: gradient_errors(gradients[name], gradients[REFEREE]) for name in (OURS, PEER)}
    report_parity(loss_errors(our_losses, their_losses), errors[OURS], errors[PEER])
    return setting


def loss_errors(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    """Returns the relative difference of each loss.

    Raises:
        click.ClickException: one side has losses that the other has not.
    """
    if ours.keys() != theirs.keys():
        raise click.ClickException(f"losses of one side only: {sorted(ours.keys() ^ theirs.keys())}")
    return {name: abs(ours[name] - theirs[name]) / abs(theirs[name]) for name in ours}


def gradient_errors(ours: Any, theirs: Any) -> dict[str, float]:
    """Returns the norm of the difference of each parameter's gradients, relative to its norm.

    The bias of a convolution before a batch norm has no effect, and a gradient of rounding errors only: its difference
    is relative to the gradient of the kernel beside it.

    Args:
        ours, theirs: {path: array}.

    Raises:
        click.ClickException: one side has gradients that the other has not.
    """
    if set(ours) != set(theirs):
        raise click.ClickException(f"gradients of one side only: {sorted(set(ours) ^ set(theirs))}")
    scales = {path: path.replace("/bias", "/kernel") if "upsample_conv" in path else path for path in theirs}
    return {
        path: float(np.linalg.norm(ours[path] - theirs[path]) / np.linalg.norm(theirs[scale]))
        for path, scale in scales.items()
    }


def report_parity(losses: dict[str, float], gradients: dict[str, float], rounding: dict[str, float]) -> None:
    """Prints the largest differences.

    Args:
        losses: our difference from PyTorch's float64, by name.
        gradients: likewise, by path.
        rounding: that of PyTorch's float32.

    Raises:
        click.ClickException: one is larger than it may be.
    """
    allowed = {
        "loss": dict.fromkeys(losses, LOSS_TOLERANCE),
        "gradient": {path: max(GRADIENT_TOLERANCE, OF_ROUNDING * error) for path, error in rounding.items()},
    }
    for what, errors in (("loss", losses), ("gradient", gradients)):
        worst = max(errors, key=errors.__getitem__)
        click.echo(f"parity: {len(errors)} {what} values, largest relative difference {errors[worst]:.1e} ({worst})")
        for name, error in errors.items():
            if not error <= allowed[what][name]:
                raise click.ClickException(f"the sides do not agree: {what} {name} differs by {error:.1e}")
    loose = [path for path, error in rounding.items() if OF_ROUNDING * error > GRADIENT_TOLERANCE]
    median = np.median([gradients[path] / rounding[path] for path in loose]) if loose else 0.0
    click.echo(
        f"parity: PyTorch's own float32 gradients differ from its float64 by up to {max(rounding.values()):.1e}; "
        f"{len(loose)} gradients are determined to less than {GRADIENT_TOLERANCE:g}"
        + (f", ours differ by {median:.2f} times as much there (median)" if loose else "")
    )


def measure(setting: Setting, precision: str, count: int, steps: int, warm_up: int, xla: bool, compiled: bool) -> None:
    """Prints one table: seconds per step, images per second, peak memory, share of the arithmetic limit."""
    with ExitStack() as stack:
        sides = {OURS: stack.enter_context(start_ours(setting, precision, jit="off"))}
        sides[PEER] = stack.enter_context(start_peer(setting, precision, compiled=False))
        if xla:
            sides[f"{OURS}, XLA"] = stack.enter_context(start_ours(setting, precision, jit="on"))
        if compiled:
            sides[f"{PEER}, compiled"] = stack.enter_context(start_peer(setting, precision, compiled=True))
        for side in sides.values():
            side.ask("steps", count=warm_up)
        results = turns.take_turns(
            {name: lambda side=side: float(np.median(side.ask("steps", count=steps))) for name, side in sides.items()},
            count,
        )
        ours = sides[OURS]
        rate = max(ours.ask("matrix_gflop_per_second", dtype=precision) for _ in range(8))
        gflop = {name: ours.ask("gflop", merged=name.startswith(OURS)) for name in sides}
        memory = {name: side.ask("peak_memory_gib") for name, side in sides.items()}
    report(precision, turns.medians(results), memory, gflop, rate, setting.peer_config["images"])


def report(
    precision: str,
    seconds: dict[str, float],
    memory: dict[str, float],
    gflop: dict[str, float],
    rate: float,
    images: int,
) -> None:
    """Prints the table of one precision and the ratios to PyTorch."""
    rows = [
        [
            name,
            f"{value:.2f}",
            f"{images / value:.2f}",
            f"{seconds[PEER] / value:.2f}",
            f"{memory[name]:.1f}",
            f"{memory[name] / memory[PEER]:.2f}",
            f"{gflop[name]:.0f}",
            f"{100 * gflop[name] / value / rate:.0f} %",
        ]
        for name, value in seconds.items()
    ]
    heads = ["side", "s / step", "images / s", "times PyTorch", "peak GiB", "of PyTorch's", "GFLOP", "of the limit"]
    click.echo(f"\n{precision}: matrices are multiplied at {rate:.0f} GFLOP/s; {turns.load()}")
    click.echo(turns.table(heads, rows))


def start_ours(setting: Setting, precision: str, jit: str) -> Side:
    """Returns TensorFlow's side, ready to make steps."""
    side = Side(f"{OURS} {jit}", sys.executable, "benchmarks.tensorflow_step")
    changes = [f"training.precision={POLICIES[precision]}", f"training.jit_compile={jit}"]
    side.ask("start", preset=setting.preset, overrides=[*setting.overrides, *changes], arrays=setting.arrays)
    return side


def start_peer(setting: Setting, precision: str, compiled: bool) -> Side:
    """Returns PyTorch's side, ready to make steps."""
    side = Side(PEER, setting.peer, "benchmarks.peers.train_step")
    bfloat16 = precision == "bfloat16"
    side.ask("start", config=setting.peer_config, bfloat16=bfloat16, compiled=compiled, arrays=setting.arrays)
    return side


if __name__ == "__main__":
    main()
