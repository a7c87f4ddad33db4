"""Prometheus metrics under upstream's names."""

import tracemalloc
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_tools import Client, floats, serving

from amfam_tf.server.metrics import RequestMetrics

PATH = "/monitoring/prometheus/metrics"


def test_requests_are_counted_and_timed(base_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitoring.config"
    config.write_text('prometheus_config { enable: true path: "/numbers" }')
    with serving(base_path, monitoring_config_file=str(config)) as client:
        for _ in range(3):
            client.predict(x=floats(1))
        client.predict_error(x=floats(1), signature="S")
        client.predict_error(name="other", x=floats(1))
        client.predict_error(name="n" * 1_000_000, x=floats(1))
        client.rest("POST", "/v1/models/%c3%bc%1b%00:predict", {"instances": [1]})
        client.rest("POST", "/v1/models/toy:predict", {"instances": [1]})
        status, text = client.rest("GET", "/numbers")
    lines = text.splitlines()
    assert status == 200
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert "# TYPE :tensorflow:serving:request_latency histogram" in lines
    for line in (
        ':tensorflow:serving:request_count{model_name="toy",status="OK"} 4.0',
        ':tensorflow:serving:request_count{model_name="toy",status="FAILED_PRECONDITION"} 1.0',
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 3.0',
        ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="GRPC",model_name="toy"} 3.0',
        ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="toy"} 1.0',
    ):
        assert line in lines
    assert "_total" not in text
    assert "other" not in text
    assert len(text) < 10_000


def test_buckets_are_upstreams_and_microseconds() -> None:
    metrics = RequestMetrics(lambda _: True)
    metrics.record("m", "OK", "Predict", "GRPC", 10.0)
    metrics.record("m", "OK", "Predict", "GRPC", 11.0)
    metrics.record("m", "OK", "Predict", "GRPC", 1e12)
    metrics.record("m", "INTERNAL", "Predict", "GRPC", 5.0)
    families = {family.name: family for family in text_string_to_metric_families(metrics.page().decode())}
    samples = families[":tensorflow:serving:request_latency"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert list(buckets)[:4] == ["10", "18", "32.4", "58.32"]
    assert len(buckets) == 34
    assert (buckets["10"], buckets["18"], list(buckets.values())[-2], buckets["+Inf"]) == (1, 2, 2, 3)
    assert [sample.value for sample in samples if sample.name.endswith("_sum")] == [1e12 + 21]


def test_invented_model_names_do_not_fill_the_memory() -> None:
    configured = {"now", "once"}
    metrics = RequestMetrics(configured.__contains__)
    tracemalloc.start()
    try:
        for name in ("now", "once", ""):
            metrics.record(name, "NOT_FOUND", "Predict", "GRPC", 1.0)
        configured.remove("once")
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5000):
            metrics.record(f"m{number}" * 100, "NOT_FOUND", "Predict", "GRPC", 1.0)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # One name of these has 300 bytes and more.
    assert grown < 10_000
    metrics.record("once", "NOT_FOUND", "Predict", "GRPC", 1.0)
    lines = [line for line in metrics.page().decode().splitlines() if not line.startswith("#")]
    assert lines == [
        f':tensorflow:serving:request_count{{model_name="{name}",status="NOT_FOUND"}} {count}'
        for name, count in (("", 5001.0), ("now", 1.0), ("once", 2.0))
    ]


def test_default_path(toy_server: Client) -> None:
    assert toy_server.rest("GET", PATH)[0] == 200


@pytest.mark.parametrize("text", [None, "prometheus_config { enable: false }"])
def test_without_configuration_there_is_no_page(base_path: Path, tmp_path: Path, text: str | None) -> None:
    config = tmp_path / "monitoring.config"
    config.write_text(text or "")
    with serving(base_path, monitoring_config_file=str(config) if text else "") as client:
        assert client.rest("GET", PATH)[0] == 404
