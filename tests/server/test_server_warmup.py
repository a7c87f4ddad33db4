"""Warm-up requests: run before a version answers; a failing one fails the version."""

import logging
from pathlib import Path

import pytest
from server_tools import floats, free_port, predict_log, predict_request, serving, write_warmup
from tensorflow_serving.apis import prediction_log_pb2

from amfam_tf.server import Server, ServerError, ServerOptions


def start_error(base_path: Path) -> str:
    """Returns why a server cannot start."""
    server = Server(ServerOptions(port=free_port(), model_name="toy", model_base_path=str(base_path)))
    with pytest.raises(ServerError) as error:
        server.start()
    return str(error.value)


def test_records_are_run_and_counted(base_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    session = prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog())
    write_warmup(base_path / "1", [predict_log(predict_request(x=floats(1)))] * 3 + [session])
    with serving(base_path) as client:
        assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0
    assert "Ran 3 warmup requests of {name: toy version: 1}" in caplog.text
    assert "this server has no session_run_log" in caplog.text


def test_a_failing_record_fails_the_load(base_path: Path) -> None:
    write_warmup(base_path / "1", [predict_log(predict_request(signature="S"))])
    assert 'FAILED_PRECONDITION: Serving signature key "S" not found.' in start_error(base_path)
    with serving(base_path, enable_model_warmup=False) as client:
        assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_answers_that_are_no_numbers_fail_the_load(base_path: Path, value: float) -> None:
    records = [predict_log(predict_request(x=floats(1))), predict_log(predict_request(x=floats(1, value)))]
    write_warmup(base_path / "1", records)
    told = start_error(base_path)
    assert "FAILED_PRECONDITION: The answers to warmup record 2 of " in told
    assert "are not finite: y (1 of 2 values); the model has diverged: export another run" in told
    with serving(base_path, enable_model_warmup=False) as client:
        assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0


def test_at_most_1000_records(base_path: Path) -> None:
    write_warmup(base_path / "1", [predict_log(predict_request(x=floats(1)))] * 1001)
    assert "Number of warmup records exceeds the maximum (1000)" in start_error(base_path)


@pytest.mark.parametrize("content", [b"no TFRecord at all", b""])
def test_damaged_files_fail_the_load(base_path: Path, content: bytes) -> None:
    write_warmup(base_path / "1", [prediction_log_pb2.PredictionLog()])
    file = base_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    if content:
        file.write_bytes(content)
    assert ("DATA_LOSS" if content else "Unsupported log_type for warmup") in start_error(base_path)
