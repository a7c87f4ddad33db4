"""A small source, and a release whose slow parts are replaced."""

import pytest
import stand_ins
from releases import TinyRelease

from amfam_tf.release import configuration, pipeline


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory):
    """A release of 12 noise pictures pairs; not to be changed."""
    return TinyRelease().write(tmp_path_factory.mktemp("source") / "release")


@pytest.fixture
def quick(monkeypatch):
    """Replaces ingest, fit, evaluation, export and serving."""
    for module, name, function in stand_ins.replacements():
        monkeypatch.setattr(module, name, function)


@pytest.fixture
def release_quickly(quick, tmp_path, tiny_source):  # noqa: ARG001
    """Returns the function that releases into tmp_path, and gives the results and the lines that were shown."""

    def run(source=tiny_source, **values):
        lines = []
        text = stand_ins.config_text(tmp_path, source, **values)
        return pipeline.run(configuration.parse(text, "release.yaml"), lines.append), lines

    return run
