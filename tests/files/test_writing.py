"""The one writer: the old or the new, whole, at any moment; flushed before it gets its name; nothing left behind."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from amfam_tf.errors import DataError, RunError
from amfam_tf.files import writing
from amfam_tf.files.writing import PARTIAL


@pytest.fixture
def steps(monkeypatch):
    """Every flush and rename, in order: ("flush", path) and ("rename", path, new path)."""
    seen = []
    flush, replace, rename = os.fsync, os.replace, os.rename

    def of(descriptor):
        seen.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    def noted(move):
        def moving(source, target):
            seen.append(("rename", Path(source), Path(target)))
            move(source, target)

        return moving

    monkeypatch.setattr(os, "fsync", of)
    monkeypatch.setattr(os, "replace", noted(replace))
    monkeypatch.setattr(os, "rename", noted(rename))
    return seen


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WRITERS = {
    "text": lambda path: writing.write_text(path, "new é"),
    "bytes": lambda path: writing.write_bytes(path, "new é".encode()),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_is_flushed_then_renamed_then_its_folder_is_flushed(write, tmp_path, steps):
    path = tmp_path / "deep" / "er" / "model.weights.h5"
    write(path)
    partial = steps[0][1]
    assert steps == [("flush", partial), ("rename", partial, path), ("flush", path.parent)]
    assert partial.parent == path.parent
    assert partial.name.startswith(PARTIAL)
    assert partial.name.endswith("-model.weights.h5")
    assert path.read_text(encoding="utf-8") == "new é"
    assert names(tmp_path) == ["deep", "deep/er", "deep/er/model.weights.h5"]


def test_until_the_end_everybody_sees_the_old_file_and_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with writing.writing(path) as one, writing.writing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two, longer")
        assert path.read_text() == "old"
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("fault", [ZeroDivisionError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_an_error_leaves_the_old_file_and_nothing_else(fault, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(type(fault)), writing.writing(path) as partial:
        partial.write_text("half")
        raise fault
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_cannot_be_flushed_does_not_get_its_name(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError) as caught:
        writing.write_text(path, "new", RunError)
    assert str(caught.value) == f"cannot write {path}: Input/output error"
    with pytest.raises(OSError, match="Input/output error") as raw:
        writing.write_text(path, "new")
    assert raw.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_where_a_folder_cannot_be_flushed_files_are_written_all_the_same(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fail)
    writing.write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"


def test_an_error_of_opening_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.json"
    with pytest.raises(DataError) as caught:
        writing.write_text(path, "new", DataError)
    assert str(caught.value) == f"cannot write {path}: Not a directory"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raw:
        writing.write_text(tmp_path / "folder", "new")
    assert raw.value.filename == str(tmp_path / "folder")
    assert names(tmp_path) == ["file", "folder"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    target, path = tmp_path / "elsewhere", tmp_path / "link"
    target.write_text("old")
    path.symlink_to(target)
    writing.write_text(path, "new")
    assert not path.is_symlink()
    assert (path.read_text(), target.read_text()) == ("new", "old")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_file_has_the_permissions_that_the_process_gives_to_new_files(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        writing.write_text(tmp_path / "a.json", "new")
        with writing.appearing_folder(tmp_path / "folder", DataError("in use")):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path):
    path = tmp_path / f"{'é' * 125}.json"
    writing.write_text(path, "new")
    assert names(tmp_path) == [path.name]


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path, monkeypatch):
    for name in ("a.json", "b.json"):
        with monkeypatch.context() as killed, writing.writing(tmp_path / name) as partial:
            killed.setattr(Path, "replace", lambda *_: None)
            killed.setattr(Path, "unlink", lambda *_, **__: None)
            partial.write_text("half")
    (tmp_path / f"{PARTIAL}7").mkdir()
    (tmp_path / "mine").touch()
    assert len(names(tmp_path)) == 4
    writing.remove_leftovers(tmp_path, "a.json")
    assert len(names(tmp_path)) == 3
    writing.remove_leftovers(tmp_path)
    assert names(tmp_path) == [f"{PARTIAL}7", "mine"]


def test_a_folder_gets_its_name_when_all_that_is_in_it_is_flushed(tmp_path, steps):
    out = tmp_path / "new" / "out"
    with writing.appearing_folder(out, DataError("in use")) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("content")
        (folder / "other").write_text("content")
        assert not out.exists()
    inside = {folder, folder / "sub", folder / "sub/file", folder / "other"}
    assert {path for _, path in steps[:4]} == inside
    assert steps[4:] == [("rename", folder, out), ("flush", out.parent)]
    assert names(tmp_path) == ["new", "new/out", "new/out/other", "new/out/sub", "new/out/sub/file"]


def test_an_unfinished_folder_is_removed_and_so_is_what_a_killed_process_left(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), writing.appearing_folder(out, DataError("in use")) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    left = tmp_path / f"{PARTIAL}out"
    (left / "0123" / "deep").mkdir(parents=True)
    (left / "link").symlink_to(tmp_path)
    with writing.appearing_folder(out, DataError("in use")) as folder:
        assert list(left.iterdir()) == [folder]
    assert names(tmp_path) == ["out"]


def test_a_folder_that_another_process_makes_or_has_made_is_refused(tmp_path):
    out, partial = tmp_path / "out", tmp_path / f"{PARTIAL}out"
    partial.mkdir()
    holder = os.open(partial, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="^in use$"), writing.appearing_folder(out, DataError("in use")):
        pytest.fail("it was given")
    os.close(holder)
    with (
        pytest.raises(RunError, match=f"^{out} appeared in the meantime: try again$"),
        writing.appearing_folder(out, RunError("in use")) as folder,
    ):
        (folder / "ours").touch()
        out.mkdir()
    assert names(tmp_path) == ["out"]


def test_a_folder_that_is_gone_stays_so_where_that_is_asked(tmp_path):
    path = tmp_path / "gone" / "a.txt"
    with (
        pytest.raises(DataError, match=f"^cannot write {path}: No such file or directory$"),
        writing.writing(path, DataError, parents=False) as partial,
    ):
        partial.write_text("a")
    assert list(tmp_path.iterdir()) == []
