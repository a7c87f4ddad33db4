"""SchemaGen: the schema that the data have to fit: the one under version control, else that of the records."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from amfam_tf.errors import DataError
from amfam_tf.export.version_files import sha256
from amfam_tf.ingest.schema import SCHEMA_FILE, read_schema
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.layout import RECORDS
from amfam_tf.release.step import StepOutcome, Work

COUNTED = (SCHEMA_FILE,)
RESUMABLE = False


def configuration(config: ReleaseConfig) -> dict:
    """Returns whether there is a schema under version control; its content is a fingerprint of `outside`."""
    return {"curated": config.validation.schema is not None}


def outside(config: ReleaseConfig, _: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprint of that schema.

    Raises:
        DataError: it cannot be read.
    """
    path = config.validation.schema
    if path is None:
        return {}
    try:
        return {"schema": sha256(Path(path))}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def run(work: Work) -> StepOutcome:
    """Takes the schema."""
    curated = work.config.validation.schema
    source = work.inputs["ExampleGen"] / RECORDS / SCHEMA_FILE if curated is None else Path(curated)
    count = len(read_schema(source).feature)
    shutil.copyfile(source, work.out / SCHEMA_FILE)
    origin = "as ingest writes them" if curated is None else f"as {curated} has them"
    return StepOutcome(f"{count} features, {origin}", details={"features": count, "curated": curated})
