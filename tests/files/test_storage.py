"""A disk that is full or read-only: one line that names the place, whoever notices it; what is there stays whole."""

import contextlib
import errno
import os

import keras
import pytest
import tensorflow as tf
from small_disks import full_disk, read_only_disk

from amfam_tf.cli import main as command_line
from amfam_tf.errors import ExportError, RunError
from amfam_tf.files import storage
from amfam_tf.files.publish import LOCK, publishing, versions
from amfam_tf.files.storage import StorageError
from amfam_tf.files.writing import write_bytes, writing
from amfam_tf.training.weights_file import write_weights

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, FULL, "/a/b"), f"cannot write to /a/b: {FULL}"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot write to PLACE: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/c"), "cannot use /c: Permission denied"),
        (
            OSError(f"Can't write data (file write failed: time = now, errno = 28, error message = '{FULL}')"),
            f"cannot write to PLACE: {FULL}",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, f"{{{{function_node w}}}} /v/part-0; {FULL} [Op:SaveV2]"),
            f"cannot write to /v/part-0: {FULL}",
        ),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), None),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/d"), None),
        (ValueError(f"no error of a disk, though it says {FULL}"), None),
    ],
)
def test_what_is_said_of_an_error(error, expected):
    assert storage.describe(error, "PLACE") == expected
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(type(error) if expected is None else StorageError))
        with storage.one_line("PLACE"):
            raise error
    assert str(caught.value) == (str(error) if expected is None else expected)


def test_command_line_says_it_in_one_line(monkeypatch, capsys):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, f"/events.out; {FULL}\nFailed to flush 11 events")

    monkeypatch.setattr(command_line.amfam_tf, "main", fail)
    assert command_line.main(["fit"]) == 1
    assert capsys.readouterr().err == f"error: cannot write to /events.out: {FULL}\n"


def test_weights_on_a_full_disk(tmp_path, capfd):
    model = keras.Sequential([keras.Input((100,)), *(keras.layers.Dense(100) for _ in range(3))])
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    with writing(tmp_path / "m.weights.h5") as partial:
        write_weights(model, partial)
    needed = (tmp_path / "m.weights.h5").stat().st_size
    capfd.readouterr()
    with (
        full_disk(tmp_path / "disk", needed // 1024 - 20) as disk,
        pytest.raises(RunError) as caught,
        writing(disk.folder / "m.weights.h5", RunError) as partial,
    ):
        write_weights(model, partial)
    # On a really full disk HDF5 would write hundreds of lines, and could end the process.
    assert str(caught.value) == f"cannot write {disk.folder / 'm.weights.h5'}: {disk.reason}"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("layers", [1, 40])
def test_enough_is_reserved_and_nothing_of_it_stays(layers, tmp_path):
    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8) for _ in range(layers))])
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    write_weights(model, tmp_path / "new.weights.h5")
    model.save_weights(tmp_path / "plain.weights.h5")
    assert (tmp_path / "new.weights.h5").read_bytes() == (tmp_path / "plain.weights.h5").read_bytes()


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path):
    with full_disk(tmp_path / "disk", 64) as disk:
        path = disk.folder / "state.json"
        path.write_text("old")
        with pytest.raises(RunError, match=f"cannot write {path}: {disk.reason}"):
            write_bytes(path, bytes(2**20), RunError)
        assert path.read_text() == "old"
        assert [item.name for item in disk.folder.iterdir()] == ["state.json"]


def test_export_to_a_full_disk(tmp_path):
    module = tf.Module()
    module.weights = tf.Variable(tf.zeros((500, 500)))
    with full_disk(tmp_path / "disk", 200) as disk:
        base = disk.folder / "models" / "lesions"
        with pytest.raises(ExportError) as caught, publishing(base) as (folder, _):
            tf.saved_model.save(module, str(folder))
        assert str(caught.value) == f"cannot write to {base}: {disk.reason}"
        assert versions(base) == []
        assert [item.name for item in base.iterdir()] == [LOCK]


def test_a_read_only_target(tmp_path):
    with read_only_disk(tmp_path / "disk") as disk:
        base = disk.folder / "models" / "lesions"
        with pytest.raises(ExportError) as caught, publishing(base):
            pass
        assert str(caught.value) == f"cannot write to {base}: {disk.reason}"
