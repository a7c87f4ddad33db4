"""TLS and mutual TLS of the gRPC port, from an SSLConfig text proto with PEM inline."""

from dataclasses import dataclass
from typing import Any

import grpc

from amfam_tf.errors import ConfigError
from amfam_tf.server.text_protos import SSLConfig, read_text_proto


@dataclass(frozen=True)
class Tls:
    """What a port asks and shows.

    Attributes:
        credentials: of the port; None for plain text.
        verifies_clients: only clients with a certificate of the authority get through (mutual TLS).
    """

    credentials: grpc.ServerCredentials | None = None
    verifies_clients: bool = False


def read_tls(path: str) -> Tls:
    """Returns what an SSLConfig says, plain text without a path.

    Raises:
        ConfigError: the file cannot be read, or key, certificate or, to verify clients, the authority is missing.
    """
    if not path:
        return Tls()
    config: Any = read_text_proto(path, SSLConfig)
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(config, name):
            raise ConfigError(f"{path}: {name} must hold a PEM text (-----BEGIN ...)")
    if config.client_verify and "-----BEGIN" not in config.custom_ca:
        raise ConfigError(f"{path}: client_verify needs custom_ca, the PEM certificate that signs clients")
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
    return Tls(credentials, config.client_verify)
