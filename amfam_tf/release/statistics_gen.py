"""StatisticsGen: counts and distributions of the records.

Ingest has computed them while it had each picture in hand; here they become a result of their own, with a fingerprint.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from amfam_tf.ingest.statistics import STATISTICS_FILE
from amfam_tf.ingest.statistics_proto import STATISTICS_PROTO_FILE
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.layout import RECORDS
from amfam_tf.release.step import StepOutcome, Work

COUNTED = (STATISTICS_FILE,)
RESUMABLE = False


def configuration(_: ReleaseConfig) -> dict:
    """Nothing decides but the input."""
    return {}


def outside(_: ReleaseConfig, __: Mapping[str, Path]) -> dict[str, str]:
    """Nothing is read beside the input."""
    return {}


def run(work: Work) -> StepOutcome:
    """Takes the statistics of the records."""
    records = work.inputs["ExampleGen"] / RECORDS
    for name in (STATISTICS_FILE, STATISTICS_PROTO_FILE):
        shutil.copyfile(records / name, work.out / name)
    found = json.loads((work.out / STATISTICS_FILE).read_text(encoding="utf-8"))
    shares = ", ".join(f"{count} {split}" for split, count in found["splits"].items())
    return StepOutcome(f"statistics of {found['cases']} cases: {shares}", details={"splits": found["splits"]})
