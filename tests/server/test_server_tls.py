"""TLS and mutual TLS of the gRPC port."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from server_tools import LOCALHOST, Client, error_of, floats, free_port, serving
from test_server_versions import config_text, reload_request

from amfam_tf.errors import ConfigError
from amfam_tf.server.tls import read_tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


def openssl(folder: Path, *words: str) -> None:
    """Runs the openssl program."""
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """PEM texts: an authority, and key and certificate of a server and of a client that it signed."""
    folder = tmp_path_factory.mktemp("pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test ca")
    for name in ("server", "client"):
        openssl(folder, "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text(f"subjectAltName=IP:{LOCALHOST},DNS:localhost\n")
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
    names = ("ca.crt", "server.key", "server.crt", "client.key", "client.crt")
    return SimpleNamespace(**{name.replace(".", "_"): (folder / name).read_text() for name in names})


def ssl_config(path: Path, pem: SimpleNamespace, verify: bool) -> str:
    """Writes an SSLConfig with PEM inline."""
    values = {"server_key": pem.server_key, "server_cert": pem.server_crt, "custom_ca": pem.ca_crt}
    lines = [f"{name}: {value.encode().decode('unicode_escape')!r}" for name, value in values.items()]
    path.write_text("\n".join([*lines, f"client_verify: {str(verify).lower()}"]))
    return str(path)


def call(port: int, credentials: grpc.ChannelCredentials | None) -> float | grpc.StatusCode:
    """Returns the answer to x = 1, or the status."""
    address = f"{LOCALHOST}:{port}"
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    client = Client(SimpleNamespace(port=port, rest_api_port=free_port()), channel)
    try:
        return client.predict(timeout=5, x=floats(1)).outputs["y"].float_val[0]
    except grpc.RpcError as error:
        return error.code()
    finally:
        client.close()


@pytest.mark.parametrize("verify", [False, True])
def test_who_may_connect(base_path: Path, tmp_path: Path, pem: SimpleNamespace, verify: bool) -> None:
    authority = pem.ca_crt.encode()
    one_sided = grpc.ssl_channel_credentials(authority)
    mutual = grpc.ssl_channel_credentials(authority, pem.client_key.encode(), pem.client_crt.encode())
    with serving(base_path, ssl_config_file=ssl_config(tmp_path / "ssl", pem, verify)) as client:
        port = client.options.port
        assert call(port, mutual) == 4.0
        assert call(port, one_sided) == (grpc.StatusCode.UNAVAILABLE if verify else 4.0)
        assert call(port, None) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("verify", [False, True])
def test_only_mutual_tls_lets_reload(base_path: Path, tmp_path: Path, pem: SimpleNamespace, verify: bool) -> None:
    key, certificate = pem.client_key.encode(), pem.client_crt.encode()
    credentials = grpc.ssl_channel_credentials(pem.ca_crt.encode(), key, certificate)
    with serving(base_path, ssl_config_file=ssl_config(tmp_path / "ssl", pem, verify)) as server:
        client = Client(server.options, grpc.secure_channel(f"{LOCALHOST}:{server.options.port}", credentials))
        request = reload_request(config_text(base_path, name="renamed"))
        if verify:
            client.model.HandleReloadConfigRequest(request, timeout=60)
            assert client.predict(name="renamed", x=floats(1)).model_spec.version.value == 1
        else:
            error = error_of(lambda: client.model.HandleReloadConfigRequest(request, timeout=20))
            assert error.code == grpc.StatusCode.PERMISSION_DENIED
        client.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('server_key: "x"', "server_key must hold a PEM text"),
        ('server_key: "-----BEGIN x" server_cert: "-----BEGIN y" client_verify: true', "client_verify needs custom_ca"),
        ("server_keys: 1", "^Error parsing text-format tensorflow.serving.SSLConfig: 1:1 : "),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ssl").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_tls(str(tmp_path / "ssl"))
