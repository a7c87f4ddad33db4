"""Whatever a path leads to: what is no regular file, or far too large, is one line at once, for every reader."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from releases import META, TinyRelease, picture_names

from amfam_tf.batch_predict.source import open_source
from amfam_tf.beam import urls
from amfam_tf.client.client import Pair
from amfam_tf.client.pairs import find_pairs
from amfam_tf.config import Config
from amfam_tf.data import cases, derm7pt, pictures, shards
from amfam_tf.data.check import inspect_picture
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files
from amfam_tf.ingest.pair_table import read_pair_table

SPARSE_BYTES = 20 * 2**30

KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "named pipe": (os.mkfifo, "it is a named pipe, not a regular file"),
    "socket": (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "it is a socket, not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
    "folder": (Path.mkdir, "it is a folder, not a regular file"),
    "sparse": (lambda path: (path.touch(), os.truncate(path, SPARSE_BYTES)), "it has 20,480 MiB, and at most"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def put(kind: str, path: Path) -> str:
    """Puts something of a kind in the place of a file; returns the words that have to be said of it."""
    path.unlink(missing_ok=True)
    KINDS[kind][0](path)
    return KINDS[kind][1]


def table_of(path: Path) -> pd.DataFrame:
    return pd.DataFrame([{"case_num": 7, "clinical": str(path), "dermoscopic": str(path)}])


PICTURE_READERS: dict[str, Callable[[Path], object]] = {
    "ingest, batch-predict": lambda path: urls.read_bytes(str(path)),
    "query": lambda path: Pair.read(path, path),
    "fingerprint": lambda path: cases._file_digest(str(path)),
    "explain": lambda path: cases.encoded_pair(table_of(path).iloc[0]),
    "fit, evaluate": lambda path: pictures.references(table_of(path)),
}


@every_kind
@pytest.mark.parametrize("reader", PICTURE_READERS)
def test_a_picture_that_is_none_is_refused_in_one_line(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "a.jpg"
    words = put(kind, path)
    with pytest.raises(DataError) as caught:
        PICTURE_READERS[reader](path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@every_kind
def test_check_lists_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    words = put(kind, path)
    [(fault, message)] = inspect_picture(path).faults
    assert fault == "unreadable_image"
    assert message.startswith(f"cannot be read: {words}")


TABLE_READERS: dict[str, Callable[[str], object]] = {
    "query": lambda path: find_pairs(Path(path), print),
    "ingest": lambda path: read_pair_table(path, "."),
    "batch-predict": open_source,
}


@pytest.mark.parametrize("kind", ["named pipe", "socket", "device", "sparse"])
@pytest.mark.parametrize("reader", TABLE_READERS)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "pairs.csv"
    words = put(kind, path)
    with pytest.raises(DataError) as caught:
        TABLE_READERS[reader](str(path))
    # A source that is neither file nor folder is no table to begin with.
    assert words in str(caught.value) or "is none of these" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@every_kind
def test_a_table_of_a_release_that_is_none_is_one_problem(tmp_path: Path, kind: str) -> None:
    root = TinyRelease().write(tmp_path / "release")
    words = put(kind, root / META)
    _, problems = derm7pt.scan_data_set(root)
    assert any(problem.file == META and words in problem.message for problem in problems)


@pytest.mark.parametrize("kind", ["named pipe", "socket", "device", "folder"])
def test_a_file_of_records_that_is_none_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    [name] = shards.shard_names(1)
    words = put(kind, tmp_path / name)
    with pytest.raises(DataError, match=words) as caught:
        cases.read(tmp_path)
    assert name in str(caught.value)


def test_a_file_of_records_of_twenty_gigabytes_of_nothing_is_damaged(tmp_path: Path) -> None:
    [name] = shards.shard_names(1)
    put("sparse", tmp_path / name)
    with pytest.raises(DataError, match="damaged records in"):
        cases.read(tmp_path)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    assert regular_files.read(tmp_path / "link") == b"content"
    (tmp_path / "to_pipe").symlink_to("pipe")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(regular_files.IrregularFileError, match="named pipe"):
        regular_files.read(tmp_path / "to_pipe")


@pytest.mark.parametrize(("size", "taken"), [(0, True), (100, True), (101, False)])
def test_the_limit_itself_is_taken(tmp_path: Path, size: int, taken: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    if taken:
        assert regular_files.read(path, limit=100) == b"x" * size
        return
    with pytest.raises(regular_files.IrregularFileError, match="at most 0 are read"):
        regular_files.read(path, limit=100)


def test_a_file_that_says_less_than_it_has_is_read_up_to_the_limit() -> None:
    # The system states 0 bytes of these.
    path = "/proc/self/status"
    assert Path(path).stat().st_size == 0
    assert regular_files.read(path).startswith(b"Name:")
    with pytest.raises(regular_files.IrregularFileError):
        regular_files.read(path, limit=10)


def test_what_is_swapped_for_a_pipe_after_the_look_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    monkeypatch.setattr(regular_files, "check", lambda *_: None)
    with pytest.raises(regular_files.IrregularFileError, match="named pipe"):
        regular_files.read(path)


def test_descriptors_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    monkeypatch.setattr(regular_files, "check", lambda *_: None)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        with pytest.raises(OSError, match="named pipe"):
            regular_files.read(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_pipe_among_the_pictures_of_a_run_is_named_with_its_case(tmp_path: Path) -> None:
    root = TinyRelease().write(tmp_path / "release")
    frame = derm7pt.read_release(root)
    put("named pipe", root / "images" / picture_names(3)[1])
    with pytest.raises(DataError, match=r"case 4: cannot read dermoscopic picture .*Nel103\.JPG: it is a named pipe"):
        pictures.cached_pictures(frame, Config())
    shutil.rmtree(root)
