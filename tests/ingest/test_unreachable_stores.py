"""Object stores that do not answer: one line that says what is missing, after seconds and only once."""

import subprocess
import sys
import threading

import pytest

from amfam_tf.beam import engine as beam_engine
from amfam_tf.beam import urls
from amfam_tf.cli import main as command_line
from amfam_tf.errors import ConfigError, DataError

beam_engine.find_beam()  # without what other packages warn of

from apache_beam.io.filesystem import BeamIOError  # noqa: E402
from apache_beam.io.filesystems import FileSystems  # noqa: E402
from memory_store import MemoryStore  # noqa: E402


@pytest.fixture(autouse=True)
def forgotten():
    urls.unreachable.cache_clear()
    yield
    urls.unreachable.cache_clear()
    FileSystems.set_options(None)


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


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("ingest", ["silent://bucket/pairs.csv", "out"]),
        ("ingest", ["here.csv", "out", "--images", "silent://bucket/pictures"]),
        ("batch-predict", ["silent://bucket/pairs.csv", "--version", ".", "--out", "out"]),
        ("batch-predict", ["here.csv", "--version", ".", "--out", "out", "--images", "silent://bucket/pictures"]),
        ("release", ["--config", "release.yaml"]),
        ("release", ["--config", "release.yaml", "--dry-run"]),
    ],
)
def test_a_verb_asks_the_store_before_it_imports_what_takes_long(verb, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(
        "model: m\nwork: w\ndata: {source: silent://bucket/pairs.csv}\n"
        "blessing: {thresholds: [{metric: average.accuracy, at_least: 0.5}]}\n",
        encoding="utf-8",
    )
    for name in ("ingest", "batch_predict", "release"):
        monkeypatch.setitem(sys.modules, f"amfam_tf.{name}.pipeline", None)  # cannot be imported
    assert command_line.main([verb, *words]) == 1
    error = capsys.readouterr().err
    assert "silent://bucket gives no answer within 0.05 s" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["release.yaml"]


def test_what_asks_a_store_imports_no_tensorflow():
    code = "import sys, amfam_tf.beam.urls; print(sorted({'tensorflow', 'keras', 'pandas'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


class OptionStore(MemoryStore):
    """A store option:// that, as s3:// does, opens nothing without Beam's options."""

    def __init__(self, pipeline_options):
        super().__init__(pipeline_options)
        self.options = pipeline_options

    @classmethod
    def scheme(cls):
        return "option"

    def exists(self, path):
        if self.options is None or self.options.get_all_options()["job_name"] != "j":
            raise ValueError("Must provide one of client or options")
        return super().exists(path)


def test_the_store_is_told_beams_options():
    urls.ask_stores(["option://bucket/pairs.csv", None], ["--job_name=j"])
    assert urls.exists("option://bucket/pairs.csv") is False


def test_an_option_that_beam_does_not_have_is_said_before_a_store_is_asked(silent):
    with pytest.raises(ConfigError, match="there is none named 'no_such_option'"):
        urls.ask_stores(["silent://bucket/pairs.csv"], ["--no_such_option=1"])
    assert silent.asked == []


def test_paths_of_this_machine_ask_nobody(monkeypatch):
    monkeypatch.setattr(urls.beam_engine, "tell_stores", None)
    urls.ask_stores(["pairs.csv", None, "/x"], ["--no_such_option=1"])
