"""One exported version that all tests of this folder look at; not to be changed."""

import pytest
from exported_runs import CALIBRATED, OVERRIDES, Version, write_run

from amfam_tf.cli import main as command_line


@pytest.fixture(scope="session")
def version(tmp_path_factory) -> Version:
    """A calibrated run with a border crop and a limit of pixels, exported by the command line."""
    folder = tmp_path_factory.mktemp("exported")
    network = write_run(folder / "run", *OVERRIDES, temperatures=CALIBRATED)
    assert command_line.main(["export", str(folder / "run"), "--to", str(folder / "models" / "lesions")]) == 0
    return Version(folder / "run", folder / "models" / "lesions" / "1", network)


@pytest.fixture(scope="session")
def loaded(version):
    """The loaded SavedModel."""
    import tensorflow as tf

    return tf.saved_model.load(str(version.path))
