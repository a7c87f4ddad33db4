"""HOST:PORT of a server, checked before anything is sent: what is wrong with it, and what to write instead."""

import contextlib
import ipaddress
import re
import socket

from amfam_tf.errors import QueryError

HIGHEST_PORT = 65535
SOCKETS = ("unix:", "unix-abstract:")
"""How gRPC names a socket of this machine."""
RESOLVED_BY_GRPC = ("dns:///", "xds:///")
"""Names that gRPC looks up in its own way; taken as they are."""
ENCRYPTED_SCHEMES = ("https", "grpcs")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]+")


def check(server: str, rest: bool, default_port: int, encrypted: bool = False) -> str:
    """Returns the address as it is connected to: host:port, an IPv6 host in brackets; for gRPC also a socket's name.

    Args:
        server: as a user has written it.
        rest: whether it is asked over REST, not gRPC.
        default_port: to propose where there is none.
        encrypted: whether TLS is asked for already.

    Raises:
        QueryError: it cannot be an address; says why and what to write.
    """
    if not rest and server.startswith((*SOCKETS, *RESOLVED_BY_GRPC)):
        return server
    if not server.strip():
        raise QueryError(f"the server is empty: write HOST:PORT, e.g. localhost:{default_port}")
    if rest and server.startswith(SOCKETS):
        raise QueryError(f"server {server!r}: REST has no sockets of this machine: write HOST:PORT, or ask over gRPC")
    _check_that_it_is_no_url(server, rest, default_port, encrypted)
    host, port = _split(server, default_port)
    if not (
        port.isascii() and port.isdigit() and len(port) <= len(str(HIGHEST_PORT)) and 0 < int(port) <= HIGHEST_PORT
    ):
        raise QueryError(
            f"server {server!r}: the port must be a whole number from 1 to {HIGHEST_PORT}: write {host}:{default_port}"
        )
    return f"{host}:{int(port)}"


def is_loopback(address: str) -> bool:
    """Says whether what `check` has returned is this machine itself, by its name alone: no name is looked up."""
    if address.startswith(SOCKETS):
        return True
    host = host_of(address)
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            found = ipaddress.ip_address(socket.inet_aton(host))  # short forms, e.g. 127.1
        except (OSError, UnicodeError):
            return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return mapped.is_loopback or mapped.is_unspecified


def host_of(address: str) -> str:
    """Returns the host of what `check` has returned, an IPv6 one without its brackets."""
    for prefix in RESOLVED_BY_GRPC:
        address = address.removeprefix(prefix)
    return address.rpartition(":")[0].strip("[]") if ":" in address else address


def _check_that_it_is_no_url(server: str, rest: bool, default_port: int, encrypted: bool) -> None:
    match = _SCHEME.fullmatch(server)
    scheme, found = match.groups() if match else ("", server)
    place = re.split(r"[/?#]", found, maxsplit=1)[0]
    user, _, place = place.rpartition("@")
    proposal = _proposal(place, default_port)
    if scheme:
        more = []
        if scheme.lower() in ENCRYPTED_SCHEMES and not encrypted:
            more.append("--tls")
        if scheme.lower() in ("http", "https") and not rest:
            more.append("--rest if that is its REST port")
        words = f", with {' and '.join(more)}" if more else ""
        raise QueryError(f"server {_shown(server)} is a URL, {scheme}:// does not belong here: write {proposal}{words}")
    if user:
        raise QueryError(f"server {_shown(server)} has a user's name in front of @: write {proposal}")
    if place != found:
        raise QueryError(f"server {server!r} has a path, {found[len(place) :]!r}: write {proposal}; see --model")


def _shown(server: str) -> str:
    """Returns the address in quotes, without a password."""
    return repr(re.sub(r"//[^/@]*@|^[^/@]*@", lambda found: "//...@" if found[0].startswith("//") else "...@", server))


def _proposal(place: str, default_port: int) -> str:
    """Returns host:port to write, made from what was written where that is possible."""
    for candidate in (place, f"{place}:{default_port}", f"[{place}]:{default_port}"):
        with contextlib.suppress(QueryError):
            host, port = _split(candidate, default_port)
            return f"{host}:{port if port.isdigit() else default_port}"
    return f"HOST:PORT, e.g. localhost:{default_port}"


def _split(server: str, default_port: int) -> tuple[str, str]:
    """Returns host, in brackets if it is of IPv6, and port."""
    if _is_ipv6(server):
        raise QueryError(f"server {server!r}: brackets and port are missing: write [{server}]:{default_port}")
    if server.startswith("["):
        inside, closed, rest = server[1:].partition("]")
        if not closed or not _is_ipv6(inside):
            raise QueryError(f"server {server!r}: no IPv6 address in brackets: write e.g. [::1]:{default_port}")
        host = f"[{inside}]"
    else:
        name, colon, port = server.rpartition(":")
        host, rest = _host(server, name if colon else server, default_port), colon + port
    if not rest.startswith(":") or rest == ":":
        raise QueryError(f"server {server!r}: the port is missing: write {host}:{default_port}")
    return host, rest[1:]


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _host(server: str, name: str, default_port: int) -> str:
    """Returns a host's name in ASCII."""
    try:
        host = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not name or not _HOST.fullmatch(host) or any(len(label) > 63 for label in host.split(".")):
        reason = "the host is missing" if not name else f"{name!r} is no host's name"
        raise QueryError(f"server {server!r}: {reason}: write HOST:PORT, e.g. localhost:{default_port}")
    return host
