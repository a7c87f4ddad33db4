"""Training of preset paper on a GPU, images per second, against PyTorch: eager and compiled, float32 and bfloat16.

    python -m benchmarks.gpu             every variant in turns; ends with status 1 where there is no GPU
    python -m benchmarks.gpu --any-device --small --turns 1 --steps 8     to try the command on a processor

TensorFlow's variants: XLA off and on, 1 and 8 steps in one call (training.steps_per_execution). All variants of a
precision are processes that share the GPU and make steps when they are told to, A B A B; a turn is some steps after
each other, and only its end is waited for. The batch is on the device already: this is the step, without the input.

The environment that the command makes for PyTorch has its build for processors. For a GPU, name an interpreter with
PyTorch's CUDA build by --peer-python; a PyTorch that sees no GPU is an error, not a slow side.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import turns
from benchmarks.peers.environment import create_peer
from benchmarks.train_step import POLICIES, SMALL
from benchmarks.wire import Side

STEPS_IN_A_CALL = (1, 8)
NO_GPU = "benchmarks.gpu: TensorFlow sees no GPU; nothing is measured"
NO_DEVICE = "the processor"
GROWING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""Else the first TensorFlow process would take all of the GPU's memory."""


@dataclass(frozen=True)
class Variant:
    """A way to make the step.

    Attributes:
        peer: PyTorch, not TensorFlow.
        precision: float32 or bfloat16.
        compiled: by XLA, or by torch.compile.
        steps: in one call (TensorFlow).
    """

    peer: bool
    precision: str
    compiled: bool
    steps: int = 1

    @property
    def name(self) -> str:
        """Returns the name to show."""
        if self.peer:
            return f"PyTorch {'compiled' if self.compiled else 'eager'}"
        return f"TensorFlow, XLA {'on' if self.compiled else 'off'}, {self.steps} in a call"

    def overrides(self) -> list[str]:
        """Returns the configuration of TensorFlow's variant."""
        return [
            f"training.precision={POLICIES[self.precision]}",
            f"training.jit_compile={'on' if self.compiled else 'off'}",
            f"training.steps_per_execution={self.steps}",
        ]


def variants(precision: str) -> list[Variant]:
    """Returns all variants of a precision, PyTorch's first."""
    ours = [Variant(False, precision, xla, steps) for xla in (False, True) for steps in STEPS_IN_A_CALL]
    return [Variant(True, precision, False), Variant(True, precision, True), *ours]


def rows_of(seconds: Mapping[Variant, float], images: int) -> list[list[str]]:
    """Returns rows of a table: variant, milliseconds per step, images per second, times PyTorch's best and eager.

    Args:
        seconds: per step.
        images: in a step.
    """
    best = min(value for variant, value in seconds.items() if variant.peer)
    eager = next(value for variant, value in seconds.items() if variant.peer and not variant.compiled)
    return [
        [variant.name, f"{1000 * value:.1f}", f"{images / value:.1f}", f"{best / value:.2f}", f"{eager / value:.2f}"]
        for variant, value in seconds.items()
    ]


@click.command()
@click.option("--turns", "count", default=5, show_default=True, help="Turns of each variant.")
@click.option("--steps", default=32, show_default=True, help="Steps in one turn, a multiple of 8.")
@click.option("--warm-up", default=16, show_default=True, help="Steps of each before the turns, a multiple of 8.")
@click.option("--small", is_flag=True, help="Preset tiny at its smallest: to try the command, not to measure.")
@click.option("--any-device", is_flag=True, help="Go on without a GPU.")
@click.option(
    "--peer-python", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Interpreter with PyTorch."
)
def main(count: int, steps: int, warm_up: int, small: bool, any_device: bool, peer_python: Path | None) -> None:
    """Print images per second of each variant and ratios to PyTorch."""
    if not any_device and not has_gpu():
        click.echo(NO_GPU, err=True)
        sys.exit(1)
    preset, overrides = ("tiny", SMALL) if small else ("paper", ())
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as folder:
        setting = prepare(preset, ["model.weights=none", *overrides], Path(folder), peer_python or create_peer())
        if not any_device:
            check_peer(setting["peer"])
        for precision in POLICIES:
            measure(setting, variants(precision), count, steps, warm_up)


def has_gpu() -> bool:
    """Returns whether TensorFlow sees a GPU; takes none of its memory."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def check_peer(python: Path) -> None:
    """Checks that PyTorch sees a GPU too.

    Raises:
        click.ClickException: it does not.
    """
    with Side("PyTorch", python, "benchmarks.peers.gpu") as side:
        about = side.ask("describe")
    if about.endswith(NO_DEVICE):
        raise click.ClickException(f"{python}: {about}: name an interpreter with its CUDA build by --peer-python")


def prepare(preset: str, overrides: Sequence[str], folder: Path, peer: Path) -> dict[str, Any]:
    """Returns the setting: weights and batch are written once, for all variants."""
    setting = {"preset": preset, "overrides": list(overrides), "arrays": str(folder / "arrays.npz")}
    with our_side("weights") as side:
        side.ask("start", **setting, make=True)
        return setting | {"peer": peer, "peer_config": side.ask("peer_config")}


def our_side(name: str) -> Side:
    """Returns a process of TensorFlow."""
    return Side(name, sys.executable, "benchmarks.tensorflow_gpu", environment=GROWING)


def start(setting: Mapping[str, Any], variant: Variant) -> Side:
    """Returns the process of a variant, ready to make steps."""
    if variant.peer:
        side = Side(variant.name, setting["peer"], "benchmarks.peers.gpu")
        kind = {"bfloat16": variant.precision == "bfloat16", "compiled": variant.compiled}
        side.ask("start", config=setting["peer_config"], arrays=setting["arrays"], **kind)
        return side
    side = our_side(variant.name)
    overrides = [*setting["overrides"], *variant.overrides()]
    side.ask("start", preset=setting["preset"], overrides=overrides, arrays=setting["arrays"])
    return side


def measure(setting: Mapping[str, Any], chosen: Sequence[Variant], count: int, steps: int, warm_up: int) -> None:
    """Prints the table of one precision."""
    with ExitStack() as stack:
        sides = {variant: stack.enter_context(start(setting, variant)) for variant in chosen}
        for side in sides.values():
            side.ask("seconds_per_step", count=warm_up)
        measures = {
            variant: lambda side=side: side.ask("seconds_per_step", count=steps) for variant, side in sides.items()
        }
        seconds = turns.medians(turns.take_turns(measures, count))
        about = {side.ask("describe") for side in sides.values()}
    click.echo(f"\n{chosen[0].precision}: {'; '.join(sorted(about))}; {turns.load()}")
    heads = ["variant", "ms / step", "images / s", "times PyTorch's fastest", "times PyTorch eager"]
    click.echo(turns.table(heads, rows_of(seconds, setting["peer_config"]["images"])))


if __name__ == "__main__":
    main()
