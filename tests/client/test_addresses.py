"""Addresses of servers: what is taken, and what is said and proposed where something is wrong."""

import pytest

from amfam_tf.client import address
from amfam_tf.client.client import Client
from amfam_tf.client.transport import Connection
from amfam_tf.errors import QueryError


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("localhost:8500", "localhost:8500"),
        ("models.example.org:443", "models.example.org:443"),
        ("lesion_server:1", "lesion_server:1"),
        ("10.0.0.1:65535", "10.0.0.1:65535"),
        ("[::1]:8500", "[::1]:8500"),
        ("[fe80::1%eth0]:8500", "[fe80::1%eth0]:8500"),
        ("h:08500", "h:8500"),
        ("müller.example:8500", "xn--mller-kva.example:8500"),
    ],
)
@pytest.mark.parametrize("rest", [False, True])
def test_addresses_that_are_taken(server, expected, rest):
    assert address.check(server, rest, 8500) == expected


@pytest.mark.parametrize("server", ["unix:/tmp/server", "unix-abstract:server", "dns:///models.example.org:8500"])
def test_names_that_only_grpc_knows(server):
    assert address.check(server, False, 8500) == server
    with pytest.raises(QueryError):
        address.check(server, True, 8501)


@pytest.mark.parametrize(
    ("server", "wrong", "proposal"),
    [
        ("", "the server is empty", "write HOST:PORT, e.g. localhost:8500"),
        ("  ", "the server is empty", "write HOST:PORT, e.g. localhost:8500"),
        ("localhost", "the port is missing", "write localhost:8500"),
        ("localhost:", "the port is missing", "write localhost:8500"),
        (":8500", "the host is missing", "write HOST:PORT, e.g. localhost:8500"),
        ("localhost:0", "the port must be a whole number from 1 to 65535", "write localhost:8500"),
        ("localhost:99999", "the port must be a whole number from 1 to 65535", "write localhost:8500"),
        ("localhost:-1", "the port must be", "write localhost:8500"),
        ("localhost:abc", "the port must be", "write localhost:8500"),
        ("localhost:８５００", "the port must be", "write localhost:8500"),
        ("localhost:" + "9" * 5000, "the port must be", "write localhost:8500"),
        ("::1", "brackets and port are missing", "write [::1]:8500"),
        ("[::1]", "the port is missing", "write [::1]:8500"),
        ("[::1]:x", "the port must be", "write [::1]:8500"),
        ("[localhost]:8500", "no IPv6 address in brackets", "write e.g. [::1]:8500"),
        ("[::1:8500", "no IPv6 address in brackets", "write e.g. [::1]:8500"),
        ("a b:8500", "'a b' is no host's name", "write HOST:PORT"),
        ("a..b:1:2", "'a..b:1' is no host's name", "write HOST:PORT"),
        ("a\nb:8500", r"'a\nb' is no host's name", "write HOST:PORT"),
        ("a" * 64 + ".org:8500", "is no host's name", "write HOST:PORT"),
        ("ü" * 64 + ".org:8500", "is no host's name", "write HOST:PORT"),
        ("localhost:8500/v1/models", "has a path, '/v1/models'", "write localhost:8500"),
        ("localhost/", "has a path, '/'", "write localhost:8500"),
        ("localhost:8500?x", "has a path, '?x'", "write localhost:8500"),
        ("me:secret@h:8500", "has a user's name in front of @", "write h:8500"),
        ("grpc://h:9000", "grpc:// does not belong here", "write h:9000"),
        ("grpc://::1", "grpc:// does not belong here", "write [::1]:8500"),
        ("grpc://h", "grpc:// does not belong here", "write h:8500"),
        ("tcp://[::1]:9000/x", "tcp:// does not belong here", "write [::1]:9000"),
        ("http://", "http:// does not belong here", "write HOST:PORT, e.g. localhost:8500"),
        ("HTTP://h:8501/v1", "HTTP:// does not belong here", "write h:8501, with --rest if that is its REST port"),
        ("https://h:443", "https:// does not belong", "write h:443, with --tls and --rest if that is its REST port"),
        ("grpcs://me:secret@h:443", "grpcs:// does not belong", "write h:443, with --tls"),
    ],
)
def test_what_is_wrong_and_what_to_write(server, wrong, proposal):
    with pytest.raises(QueryError) as caught:
        Client(server)
    message = str(caught.value)
    assert wrong in message
    assert message.endswith(proposal) or proposal in message
    assert "\n" not in message
    assert "secret" not in message


def test_rest_gets_a_proposal_of_its_own():
    with pytest.raises(QueryError, match=r"http:// does not belong here: write h:8501$"):
        Client("http://h", rest=True)
    with pytest.raises(QueryError, match=r"write h:443, with --tls$"):
        Client("https://h:443", rest=True)
    with pytest.raises(QueryError, match=r"write h:443$"):
        Client(Connection("https://h:443", tls=True), rest=True)
    # Nothing is encrypted unless that is said.
    with pytest.raises(QueryError, match=r"write h:443, with --tls$"):
        address.check("https://h:443", True, 8501)
    with pytest.raises(QueryError, match="REST has no sockets of this machine"):
        Client("unix:/tmp/server", rest=True)


@pytest.mark.parametrize(
    ("server", "is_loopback"),
    [
        ("localhost:1", True),
        ("LOCALHOST.:1", True),
        ("api.localhost:1", True),
        ("127.0.0.1:1", True),
        ("127.200.3.4:1", True),
        ("127.1:1", True),
        ("0.0.0.0:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("[0:0:0:0:0:0:0:1]:1", True),
        ("unix:/tmp/x", True),
        ("unix-abstract:x", True),
        ("128.0.0.1:1", False),
        ("[fe80::1%lo]:1", False),
        ("localhost.example.org:1", False),
        ("127.0.0.1.example.org:1", False),
        ("dns:///localhost:1", True),
        ("dns:///h:1", False),
    ],
)
def test_which_addresses_are_this_machine(server, is_loopback):
    assert address.is_loopback(server) == is_loopback
