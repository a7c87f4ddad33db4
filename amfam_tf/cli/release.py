"""`amfam-tf release`: from data to a served version, by the steps of the release pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from amfam_tf.release.configuration import ReleaseConfig

FILE = UserPath(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config", "file", required=True, type=FILE, metavar="FILE", help="What to release, see docs/release.md."
)
@click.option("--dry-run", is_flag=True, help="Say which steps would run; run and write nothing.")
@click.option(
    "--kubeflow",
    "definition",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="OUT.yaml",
    help="Write the pipeline for Kubeflow instead; needs the extra kubeflow and --image.",
)
@click.option("--image", metavar="IMAGE", help="With --kubeflow: container image with amfam-tf[beam,kubeflow].")
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    metavar="CLAIM:PATH",
    help="With --kubeflow: persistent volume claim, and where to mount it. May be repeated.",
)
def release(file: Path, dry_run: bool, definition: Path | None, image: str | None, volumes: tuple[str, ...]) -> None:
    """Ingest, fit, evaluate, bless, try and push a version, or say what refused it.

    The same command goes on where an earlier one stopped and reuses every result whose inputs, configuration and code
    are as they were. If a step refuses, nothing is pushed, candidate and report are kept, and the exit status is 1.
    """
    from amfam_tf.release import configuration

    if (definition is None) != (image is None):
        raise click.UsageError("--kubeflow OUT.yaml and --image IMAGE belong together")
    if definition is not None and dry_run:
        raise click.UsageError("--kubeflow runs nothing: leave --dry-run out")
    if volumes and definition is None:
        raise click.UsageError("--volume can only be used with --kubeflow")
    mounts = dict(_volume(text) for text in volumes)
    config = configuration.read(file)
    if definition is not None and image is not None:
        _compile(config, definition, image, mounts)
        return
    from amfam_tf.beam import urls

    urls.ask_stores((config.data.source, config.data.images), config.data.beam_arguments)
    if dry_run:
        _plan(config)
    else:
        _release(config)


def _volume(text: str) -> tuple[str, str]:
    claim, _, path = text.partition(":")
    if not claim or not path.startswith("/"):
        raise click.UsageError(f"--volume must be CLAIM:PATH, the path absolute. Received: {text!r}")
    return claim, path


def _compile(config: "ReleaseConfig", definition: Path, image: str, volumes: dict[str, str]) -> None:
    from amfam_tf.release import kubeflow

    kubeflow.compile_pipeline(definition, image, config, volumes)
    echo(f"written: {definition}")


def _plan(config: "ReleaseConfig") -> None:
    from amfam_tf.release import dry_run
    from amfam_tf.release.pipeline import STEPS

    for line in dry_run.plan(STEPS, config):
        echo(line)


def _release(config: "ReleaseConfig") -> None:
    from amfam_tf.release import pipeline
    from amfam_tf.report.notice import RESEARCH_ONLY

    results = pipeline.run(config, echo)
    evaluated = results["Evaluator"]
    for note in evaluated.record["details"]["notes"]:
        echo(f"note: {note}")
    echo(f"report: {evaluated.folder / 'run' / 'evaluation' / config.blessing.split / 'report.html'}")
    echo(RESEARCH_ONLY)
