"""Whether two runs were the same training."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from amfam_tf.runs.folder import RunFolder

TOLERANCE = 1e-4


def assert_same_training(run: Path, expected: Path) -> None:
    """Losses and accuracies of every epoch, last weights and Adam's moments are equal to TOLERANCE of their size."""
    ours, theirs = (pd.read_csv(RunFolder(path).history_file) for path in (run, expected))
    assert list(ours.columns) == list(theirs.columns)
    pd.testing.assert_frame_equal(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    found = last_values(run)
    for name, value in last_values(expected).items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(found[name], value, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def last_values(run: Path) -> dict[str, np.ndarray]:
    """Returns every array of a run's last checkpoint, by its place in the file."""
    folder = RunFolder(run)
    found: dict[str, np.ndarray] = {}
    with h5py.File(folder.checkpoints / folder.read_state().weights) as file:
        file.visititems(
            lambda name, item: found.update({name: np.array(item)}) if isinstance(item, h5py.Dataset) else None
        )
    return found
