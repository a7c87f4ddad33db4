"""Object stores that do not answer: one line that says what is missing, after seconds and only once."""

import threading

import pytest

from amfam_tf.beam import engine as beam_engine
from amfam_tf.beam import urls
from amfam_tf.cli import main as command_line
from amfam_tf.errors import DataError

beam_engine.find_beam()  # without what other packages warn of

from apache_beam.io.filesystem import BeamIOError  # noqa: E402
from memory_store import MemoryStore  # noqa: E402


@pytest.fixture(autouse=True)
def forgotten():
    urls.unreachable.cache_clear()
    yield
    urls.unreachable.cache_clear()


class SilentStore(MemoryStore):
    """A store silent:// that never answers."""

    released = threading.Event()
    asked: list[str] = []  # noqa: RUF012  (Beam makes the instances)

    @classmethod
    def scheme(cls):
        return "silent"

    def exists(self, path):
        self.asked.append(path)
        self.released.wait()
        return False

    open = match = checksum = exists


class LockedStore(MemoryStore):
    """A store locked:// without credentials."""

    @classmethod
    def scheme(cls):
        return "locked"

    def exists(self, path):
        raise BeamIOError("no\ncredentials", {path: KeyError(path)})


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(urls, "ANSWER_SECONDS", 0.05)
    SilentStore.asked.clear()
    SilentStore.released.clear()
    yield SilentStore
    SilentStore.released.set()


EVERY_WAY = [urls.parent, urls.open_url, urls.read_bytes, urls.exists, urls.checksum, urls.list_files]


@pytest.mark.parametrize("ask", EVERY_WAY)
def test_a_store_that_never_answers_is_one_line_and_asked_once(ask, silent):
    for path in ("silent://bucket/a", "silent://bucket/b"):
        with pytest.raises(DataError) as caught:
            ask(path)
        message = str(caught.value)
        assert "silent://bucket gives no answer within 0.05 s: it needs credentials, and a way to its server" in message
        assert "\n" not in message
    assert silent.asked == ["silent://bucket/amfam-tf"]


@pytest.mark.usefixtures("silent")
def test_what_is_missing_is_said_by_store(monkeypatch):
    monkeypatch.setattr(urls, "NEEDS", {"silent": "a key"})
    with pytest.raises(DataError, match=r"within 0.05 s: it needs a key$"):
        urls.read_bytes("silent://bucket/a")


def test_a_store_that_refuses_says_why():
    with pytest.raises(DataError, match=r"^cannot be read: no credentials"):
        urls.read_bytes("locked://bucket/a")


def test_a_store_that_answers_is_read():
    MemoryStore.files["memory://other/a"] = b"x"
    try:
        assert urls.read_bytes("memory://other/a") == b"x"
    finally:
        del MemoryStore.files["memory://other/a"]


def test_a_scheme_that_nothing_reads_names_the_extras():
    with pytest.raises(DataError, match=r"gs:// needs apache-beam\[gcp\]"):
        urls.read_bytes("nonsense://bucket/a")


@pytest.mark.usefixtures("silent")
def test_ingest_says_it_in_one_line(tmp_path, capsys):
    assert command_line.main(["ingest", "silent://bucket/pairs.csv", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: silent://bucket/pairs.csv: cannot be read: silent://bucket gives no answer")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
