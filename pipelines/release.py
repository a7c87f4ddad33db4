"""The release pipeline: the steps of TFX on plain functions, each with its module in amfam_tf.release.

    ExampleGen ─▶ StatisticsGen ─▶ ExampleValidator ─▶ Trainer ─▶ Evaluator ─▶ InfraValidator ─▶ Pusher
             └──▶ SchemaGen ─────▶┘

A step runs when all its inputs have accepted. `amfam_tf.release.local_runner` runs them on this machine,
`amfam_tf.pipelines.kubeflow` defines them for a cluster.
"""

from amfam_tf.release import local_runner
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import Say, Step
from amfam_tf.release.work_lineage import Result

STEPS: tuple[Step, ...] = (
    Step("ExampleGen", "amfam_tf.release.example_gen"),
    Step("StatisticsGen", "amfam_tf.release.statistics_gen", ("ExampleGen",)),
    Step("SchemaGen", "amfam_tf.release.schema_gen", ("ExampleGen",)),
    Step("ExampleValidator", "amfam_tf.release.example_validator", ("ExampleGen", "StatisticsGen", "SchemaGen")),
    Step("Trainer", "amfam_tf.release.trainer", ("ExampleGen", "ExampleValidator")),
    Step("Evaluator", "amfam_tf.release.evaluator", ("ExampleGen", "Trainer")),
    Step("InfraValidator", "amfam_tf.release.infra_validator", ("ExampleGen", "Evaluator")),
    Step("Pusher", "amfam_tf.release.pusher", ("InfraValidator",), always=True),
)


def run(config: ReleaseConfig, say: Say = print) -> dict[str, Result]:
    """Releases on this machine; see `local_runner.release` for what is reused and what is raised."""
    return local_runner.release(STEPS, config, say)
