"""One batch prediction of the drawn release that all tests of this folder look at; not to be changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from amfam_tf.batch_predict.model import LoadedVersion, load_shared
from amfam_tf.batch_predict.report import BatchReport
from amfam_tf.data.derm7pt import read_release


@dataclass(frozen=True)
class Results:
    """A folder of results with its settings, what was reported about it, and its table."""

    settings: Mapping[str, int]
    folder: Path
    report: BatchReport
    table: pd.DataFrame


@pytest.fixture(scope="session")
def cases(drawn) -> pd.DataFrame:
    """The cases of the drawn release."""
    return read_release(drawn)


@pytest.fixture(scope="session")
def loaded_once(version) -> LoadedVersion:
    """The version in memory: as long as somebody holds it, every run in this process uses it."""
    return load_shared(str(version.path))


@pytest.fixture(scope="session")
def predicted(drawn, version, tmp_path_factory) -> Results:
    """All pairs of the drawn release, predicted in one go."""
    from amfam_tf.batch_predict.pipeline import run

    settings = {"shards": 3, "batch_size": 4}
    folder = tmp_path_factory.mktemp("predicted") / "out"
    report = run(str(drawn), str(version.path), str(folder), **settings)
    return Results(settings, folder, report, pd.read_parquet(folder))
