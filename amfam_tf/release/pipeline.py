"""The release pipeline: the steps of TFX on plain functions, each with its module in amfam_tf.release.

    ExampleGen ─▶ ExampleValidator ─▶ Trainer ─▶ Evaluator ─▶ InfraValidator ─▶ Pusher

Statistics and schema, steps of their own in TFX, are outputs of ExampleGen: ingest makes them with the records. A step
runs when all its inputs have accepted. `amfam_tf.release.local_runner` runs them on this machine,
`amfam_tf.release.kubeflow` defines them for a cluster.
"""

from collections.abc import Mapping
from pathlib import Path

from amfam_tf.release import infra_validator, local_runner, trainer
from amfam_tf.release.component import run_component
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import ReleaseError, Say, Step
from amfam_tf.release.work_lineage import Result

BEFORE_PUSH: tuple[Step, ...] = (
    Step("ExampleGen", "amfam_tf.release.example_gen"),
    Step("ExampleValidator", "amfam_tf.release.example_validator", ("ExampleGen",)),
    Step(
        "Trainer",
        "amfam_tf.release.trainer",
        ("ExampleGen", "ExampleValidator"),
        shows=("amfam_tf.terminal", "amfam_tf.training.panel", "amfam_tf.training.progress"),
    ),
    Step(
        "Evaluator",
        "amfam_tf.release.evaluator",
        ("ExampleGen", "Trainer"),
        shows=("amfam_tf.evaluation.html_report",),
    ),
    Step(
        "InfraValidator",
        "amfam_tf.release.infra_validator",
        ("ExampleGen", "Evaluator"),
        also=("amfam_tf.server.process",),
    ),
)
STEPS: tuple[Step, ...] = (
    *BEFORE_PUSH,
    # All of them: their records travel with the version.
    Step("Pusher", "amfam_tf.release.pusher", tuple(step.name for step in BEFORE_PUSH), always=True),
)


def run(config: ReleaseConfig, say: Say = print) -> dict[str, Result]:
    """Releases on this machine; see `local_runner.release` for what is reused and what is raised."""
    trainer.refuse_unread(config)
    infra_validator.describe_server(config)  # a server that is not there is told now, and not after the training
    return local_runner.release(STEPS, config, say)


def run_step(name: str, config: str, inputs: Mapping[str, str], out: str) -> None:
    """Runs one step for another orchestrator.

    Args:
        name: of the step.
        config: the configuration, YAML.
        inputs: folder of each input's result, by the step's name.
        out: folder for the result.

    Raises:
        ReleaseError: there is no such step: the definition was written by another version.
        UserError: see `run_component`.
    """
    step = next((step for step in STEPS if step.name == name), None)
    if step is None:
        raise ReleaseError(
            f"there is no step {name}: write the definition again, by amfam-tf release --kubeflow of this version"
        )
    run_component(step, config, {key: Path(folder) for key, folder in inputs.items()}, Path(out), print)
