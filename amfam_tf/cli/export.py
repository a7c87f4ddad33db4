"""`amfam-tf export`: a run as the next version of a model for TensorFlow Serving; or check such a version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import FOLDER, one_out, out_option
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from amfam_tf.export.export import Exported, Precision


@click.command()
@click.argument("run", required=False, type=UserPath(exists=True, file_okay=False, path_type=Path))
@out_option("Folder of the model's versions, e.g. saved_models/amfam; its last name is the model's.", required=False)
@click.option("--to", "former", type=FOLDER, hidden=True)
@click.option("--allow-unfinished", is_flag=True, help="Export the best weights so far of a run that is not finished.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the weights and of what is computed up to the logits.",
)
@click.option(
    "--onnx",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the network as an ONNX file; needs the extra onnx.",
)
@click.option("--thresholds", is_flag=True, help="Also give the class that the run's thresholds decide for.")
@click.option(
    "--verify",
    "to_verify",
    type=UserPath(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Check an exported version (or the latest one below DIR) instead.",
)
def export(
    run: Path | None,
    out: Path | None,
    former: Path | None,
    allow_unfinished: bool,
    precision: "Precision",
    onnx: Path | None,
    thresholds: bool,
    to_verify: Path | None,
) -> None:
    """Export RUN as the next version of a model for TensorFlow Serving, or verify one.

    Nothing that a server would load is there before it is complete; a version is never overwritten.
    """
    out = one_out(out, former) if out or former else None
    if to_verify is not None:
        if run is not None or out is not None or onnx is not None or thresholds:
            raise click.UsageError("--verify DIR stands alone: it exports nothing")
        _verify(to_verify)
        return
    if run is None or out is None:
        raise click.UsageError("RUN and --out are needed, or --verify DIR")
    from amfam_tf.export.export import export_run

    _print(export_run(run, out, allow_unfinished, precision, onnx, thresholds))
    if onnx is not None:
        echo(f"exported: {onnx}")


def _verify(folder: Path) -> None:
    from amfam_tf.export.verify import verify
    from amfam_tf.export.version_files import find_version

    version = find_version(folder)
    content = verify(version)
    echo(f"{version} is whole: {content['name']} version {content['version']}, {len(content['files'])} files")


def _print(exported: "Exported") -> None:
    files = exported.metadata["files"]
    for name, file in files.items():
        echo(f"{file['bytes']:>12,}  {name}")
    total = sum(file["bytes"] for file in files.values())
    echo(f"{total:>12,}  bytes in all: what a prediction needs, and nothing else")
    calibration = exported.metadata["calibration"]
    if not calibration["applied"]:
        echo("note: this run has no calibration; probabilities are those of the bare network")
    for note in exported.metadata["training"]["notes"]:
        echo(f"note: {note}")
    echo(f"exported: {exported.path}")
