"""The embedded server starts from the very files in deploy/ that the real one gets, with only the paths changed."""

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
import yaml
from server_tools import LOCALHOST, Client, error_of, floats, free_port, predict_request, publish, serving

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("bash"), reason="needs openssl and bash")
def test_the_deployed_configuration_serves_with_tls(toys: dict, tmp_path: Path) -> None:
    (tmp_path / "amfam").mkdir()
    publish(toys[1], tmp_path / "amfam", 1)
    models = tmp_path / "models.config"
    models.write_text((DEPLOY / "models.config").read_text().replace('"/models/', f'"{tmp_path}/'))
    tls = tmp_path / "tls"
    command = ["sh", str(DEPLOY / "make_tls.sh")]
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin", "TLS_FOLDER": str(tls)}, capture_output=True)
    files = {
        "model_config_file": str(models),
        "batching_parameters_file": str(DEPLOY / "batching.config"),
        "monitoring_config_file": str(DEPLOY / "monitoring.config"),
        "ssl_config_file": str(tls / "ssl.config"),
    }
    with serving(enable_batching=True, **files) as plain:
        request = predict_request(name="amfam", x=floats(2))
        assert error_of(lambda: plain.prediction.Predict(request, timeout=5)).code == grpc.StatusCode.UNAVAILABLE
        credentials = grpc.ssl_channel_credentials((tls / "ca.crt").read_bytes())
        client = Client(plain.options, grpc.secure_channel(f"localhost:{plain.options.port}", credentials))
        assert client.prediction.Predict(request, timeout=20).outputs["y"].float_val[0] == 7.0
        status, text = plain.rest("GET", "/monitoring/prometheus/metrics")
        assert (status, 'model_name="amfam"' in text) == (200, True)
        assert is_healthy(plain.options.rest_api_port)
        client.close()
    assert not is_healthy(free_port())


def is_healthy(rest_api_port: int) -> bool:
    """Runs the health check of the compose file against a port of this machine."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    words = compose["services"]["serving"]["healthcheck"]["test"]
    assert words[0] == "CMD"
    command = words[-1].replace("127.0.0.1/8501", f"{LOCALHOST}/{rest_api_port}")
    return subprocess.run([*words[1:-1], command], capture_output=True, timeout=20, check=False).returncode == 0
