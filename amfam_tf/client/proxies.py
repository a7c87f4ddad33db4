"""Whether a connection goes through an HTTP proxy of the environment: never to this machine, and said otherwise.

gRPC reads grpc_proxy, https_proxy and http_proxy, in this order and in small letters only, and takes http:// proxies
only; REST connects directly.
"""

import ipaddress
import os
import urllib.parse
import urllib.request
from dataclasses import dataclass

from amfam_tf.client import address as addresses

READ_BY_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
EXCEPTIONS = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
NOT_READ = ("HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
DIRECT_OPTION = ("grpc.enable_http_proxy", 0)


@dataclass(frozen=True)
class Route:
    """How a server is reached.

    Attributes:
        proxy: "variable=URL" of the proxy that the connection goes through, without user and password; None: directly.
        unused: the same of a proxy that is set and not used for a server of another machine; None if there is none.
    """

    proxy: str | None = None
    unused: str | None = None

    def describe(self) -> str:
        """Returns what to add to the message of a failure; empty where no proxy is set."""
        if self.proxy:
            return f" (through the proxy of {self.proxy}: no_proxy names the servers that are reached without it)"
        return f" (directly: the proxy of {self.unused} is not used for it)" if self.unused else ""


def route_to(address: str, rest: bool = False) -> Route:
    """Returns how a server is reached.

    Args:
        address: as `address.check` has returned it.
        rest: over REST, not gRPC.
    """
    if addresses.is_loopback(address) or _is_exception(address):
        return Route()
    # An empty value is one too: it turns the proxy off.
    name = next((name for name in READ_BY_GRPC if name in os.environ), None)
    shown = _without_password(os.environ[name]) if name else None
    if shown and not rest and urllib.parse.urlsplit(shown).scheme == "http":
        return Route(proxy=f"{name}={shown}")
    set_here = [name for name in (*READ_BY_GRPC, *NOT_READ) if os.environ.get(name)]
    return Route(unused=f"{set_here[0]}={_without_password(os.environ[set_here[0]])}" if set_here else None)


def channel_options(route: Route) -> list[tuple[str, int]]:
    """Returns the options of a gRPC channel that make it go where the route says."""
    return [] if route.proxy else [DIRECT_OPTION]


def _is_exception(address: str) -> bool:
    """Says whether no_proxy names the server: a host, the end of one, a network, or *."""
    names = next((os.environ[name] for name in EXCEPTIONS if name in os.environ), "")
    host = addresses.host_of(address)
    # With a port, as it may stand in the list, too.
    places = [host, address.removeprefix("dns:///")]
    # Not in Python's documents.
    if any(urllib.request.proxy_bypass_environment(place, {"no": names}) for place in places):  # type: ignore[attr-defined]
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(_holds(entry.strip(), found) for entry in names.split(","))


def _holds(network: str, found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return found in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _without_password(url: str) -> str:
    """Returns scheme, host and port of a proxy's URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no URL)"
    return f"{parts.scheme}://{place}" if place else "(no URL)"
