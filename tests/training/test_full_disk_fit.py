"""`amfam-tf fit` onto a disk without enough room."""

import pytest
from recycled_trainers import recycled_trainers
from small import SMALL_FOR_ANY
from small_disks import full_disk
from staged_method import STAGED

from amfam_tf.cli import main
from amfam_tf.models import registry


@pytest.fixture(scope="module", autouse=True)
def recycled():
    with recycled_trainers():
        yield


@pytest.mark.parametrize("kilobytes", [4, 24, 60, 110])
def test_a_full_disk_is_one_line(drawn, tmp_path, monkeypatch, capsys, kilobytes):
    """Wherever it is noticed: with the first file, the log, a checkpoint, or later."""
    monkeypatch.setitem(registry.METHODS, "staged", STAGED)
    settings = [f"--set={value}" for value in (*SMALL_FOR_ANY, "training.epochs=2", "training.batch_size=8")]
    with full_disk(tmp_path / "disk", kilobytes, of_one_file=False) as disk:
        run = disk.folder / "run"
        words = ["fit", "--data", drawn, "--run", run, "--preset", "tiny", "--method", "staged", *settings]
        assert main.main([str(word) for word in words]) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert str(disk.folder) in lines[0]
        assert lines[0].endswith(f": {disk.reason}")
        assert not (run / "model.keras").exists()
