"""The release pipeline for Kubeflow Pipelines v2: the steps of `amfam_tf.release.pipeline`, one component each.

    amfam-tf release --config FILE --kubeflow OUT.yaml --image IMAGE

Needs the extra `kubeflow` where it is compiled; the image has to have amfam-tf[beam] and kfp. The configuration is a
parameter of the pipeline; its paths are those within the containers, so the model's folder is on a volume, and the data
are on one or at a URL.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amfam_tf.config import to_dict
from amfam_tf.files import storage
from amfam_tf.release import trainer as training
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import ReleaseError
from amfam_tf.report import notice

try:
    from kfp import compiler, dsl
except ImportError as error:
    raise ReleaseError("the definition for Kubeflow needs kfp: pip install amfam-tf[kubeflow]") from error

NAME = "amfam-release"


def example_gen(config: str, examples: dsl.Output[dsl.Dataset]) -> None:
    """The source to records, with their statistics, schema and anomalies."""
    from amfam_tf.release.pipeline import run_step

    run_step("ExampleGen", config, {}, examples.path)


def example_validator(config: str, examples: dsl.Input[dsl.Dataset], findings: dsl.Output[dsl.Artifact]) -> None:
    """Whether the data are good enough."""
    from amfam_tf.release.pipeline import run_step

    run_step("ExampleValidator", config, {"ExampleGen": examples.path}, findings.path)


def trainer(
    config: str, examples: dsl.Input[dsl.Dataset], findings: dsl.Input[dsl.Artifact], model: dsl.Output[dsl.Model]
) -> None:
    """The records to a fitted run."""
    from amfam_tf.release.pipeline import run_step

    run_step("Trainer", config, {"ExampleGen": examples.path, "ExampleValidator": findings.path}, model.path)


def evaluator(
    config: str, examples: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model], blessing: dsl.Output[dsl.Artifact]
) -> None:
    """Measures, compares with the served version, blesses or not."""
    from amfam_tf.release.pipeline import run_step

    run_step("Evaluator", config, {"ExampleGen": examples.path, "Trainer": model.path}, blessing.path)


def infra_validator(
    config: str, examples: dsl.Input[dsl.Dataset], blessing: dsl.Input[dsl.Artifact], candidate: dsl.Output[dsl.Model]
) -> None:
    """Exports, serves and asks the candidate."""
    from amfam_tf.release.pipeline import run_step

    run_step("InfraValidator", config, {"ExampleGen": examples.path, "Evaluator": blessing.path}, candidate.path)


def pusher(
    config: str,
    examples: dsl.Input[dsl.Dataset],
    findings: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    blessing: dsl.Input[dsl.Artifact],
    candidate: dsl.Input[dsl.Model],
    pushed: dsl.Output[dsl.Artifact],
) -> None:
    """Makes the candidate the next version; the records of all steps travel with it."""
    from amfam_tf.release.pipeline import run_step

    inputs = {
        "ExampleGen": examples.path,
        "ExampleValidator": findings.path,
        "Trainer": model.path,
        "Evaluator": blessing.path,
        "InfraValidator": candidate.path,
    }
    run_step("Pusher", config, inputs, pushed.path)


COMPONENTS = (
    example_gen,
    example_validator,
    trainer,
    evaluator,
    infra_validator,
    pusher,
)
WIRES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "example_gen": ("examples", ()),
        "example_validator": ("findings", ("examples",)),
        "trainer": ("model", ("examples", "findings")),
        "evaluator": ("blessing", ("examples", "model")),
        "infra_validator": ("candidate", ("examples", "blessing")),
        "pusher": ("pushed", ("examples", "findings", "model", "blessing", "candidate")),
    }
)
"""Component -> what it makes, what it takes."""


def define(image: str, config: ReleaseConfig, volumes: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Returns the pipeline.

    Args:
        image: container image of every step.
        config: of the release, the default of the pipeline's parameter.
        volumes: name of a persistent volume claim -> where it is mounted in every step.
    """
    tasks = {function.__name__: _task_maker(function, image, volumes) for function in COMPONENTS}
    # One line: kfp repeats the default in a comment of the file.
    default = json.dumps(to_dict(config))

    @dsl.pipeline(name=NAME, description=f"Data to a served version of a lesion model. {notice.TOOL}.")
    def release(config: str = default) -> None:
        made: dict[str, Any] = {}
        for name, (output, inputs) in WIRES.items():
            made[output] = tasks[name](config=config, **{one: made[one] for one in inputs})

    return release


def _task_maker(function: Callable[..., Any], image: str, volumes: Mapping[str, str]) -> Callable[..., Any]:
    """Returns the function from a component's inputs to its output, for the body of a pipeline."""
    component = dsl.component(function, base_image=image, packages_to_install=[], install_kfp_package=False)
    # As the package kfp-kubernetes writes it.
    mounts = [
        {"constant": claim, "pvcNameParameter": {"runtimeValue": {"constant": claim}}, "mountPath": path}
        for claim, path in volumes.items()
    ]

    def make(**inputs: Any) -> Any:
        # Kubeflow's cache goes by the names of artifacts, and not by content or by what is served.
        task = component(**inputs).set_caching_options(False)
        if mounts:
            task.platform_config["kubernetes"] = {"pvcMount": mounts}
        return task.output

    return make


def compile_pipeline(out: Path, image: str, config: ReleaseConfig, volumes: Mapping[str, str]) -> None:
    """Writes the pipeline as the YAML that Kubeflow takes; see `define` for the arguments.

    Raises:
        ConfigError: the training names values that its method does not read.
        StorageError: the file cannot be written.
    """
    training.refuse_unread(config)
    with storage.one_line(out):
        compiler.Compiler().compile(define(image, config, volumes), str(out))
