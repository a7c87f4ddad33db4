"""A server as a child process: it is there when the body begins and gone when it ends."""

import socket

import pytest
from exported_runs import encoded_pairs

from amfam_tf.client import child
from amfam_tf.client.client import Client, Connection, Pair
from amfam_tf.errors import QueryError


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((child.LOCALHOST, port)) == 0


def test_serves_while_the_body_lasts_even_if_it_fails(version, tmp_path):
    port = child.free_port()
    words = ["serve", "--model-name", "lesions", "--model-base-path", str(version.path.parent), "--port", str(port)]
    files = encoded_pairs(1)
    with pytest.raises(ZeroDivisionError), child.serving(words, port, tmp_path / "log"):
        with Client(Connection(f"localhost:{port}", "lesions")) as client:
            assert client.predict(Pair(files["clinical"][0], files["dermoscopic"][0])).version == 1
        raise ZeroDivisionError
    assert not is_open(port)


def test_a_server_that_ends_names_the_log(tmp_path):
    running = child.serving(["serve", "--no-such-flag"], child.free_port(), tmp_path / "log")
    with pytest.raises(QueryError, match=r"^the server ended, Error: No such option.*: see .*log$"), running:
        raise AssertionError
    assert "No such option" in (tmp_path / "log").read_text()


def test_a_server_that_never_opens_its_port_is_ended(tmp_path):
    base = tmp_path / "empty"
    base.mkdir()
    port = child.free_port()
    words = ["serve", "--model-base-path", str(base), "--port", str(port)]
    running = child.serving(words, port, tmp_path / "log", patience=0.5)
    with pytest.raises(QueryError, match=r"^the server did not answer within 0.5 s: see .*log$"), running:
        raise AssertionError
