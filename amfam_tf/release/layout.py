"""Where the results of the steps keep what later steps read."""

from pathlib import Path

from amfam_tf.release.configuration import ReleaseConfig

RECORDS = "records"
"""In ExampleGen's: the folder of records."""
RUN = "run"
"""In Trainer's and Evaluator's: a run folder."""
CANDIDATE, CANDIDATE_VERSION = "candidate", 1
"""In InfraValidator's: the folder that holds the exported model, and the number of its version there."""


def model_name(config: ReleaseConfig) -> str:
    """Returns the name that the model is served by."""
    return Path(config.model).resolve().name


def candidate_folder(result: Path, config: ReleaseConfig) -> Path:
    """Returns the folder of the exported version in InfraValidator's result."""
    return result / CANDIDATE / model_name(config) / str(CANDIDATE_VERSION)
