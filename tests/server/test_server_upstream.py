"""What upstream's own integration test does: its command lines, its models of TensorFlow 1, its texts."""

import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from server_tools import Client, error_of, floats, free_port, publish, quiet_environment, serving, write_warmup
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    prediction_log_pb2,
    regression_pb2,
)
from test_server_process import CODE
from test_server_versions import AVAILABLE, END, config_text, states, until

from amfam_tf.errors import ConfigError
from amfam_tf.server import Server, ServerError, ServerOptions
from amfam_tf.server.listening import channel_arguments
from amfam_tf.server.other_flags import OTHER_FLAGS, tell

v1 = tf.compat.v1
INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def half_plus(folder: Path, number: float) -> Path:
    """Writes a SavedModel as TensorFlow 1 does: y = x / 2 + number, for Predict, Classify and Regress."""
    with tf.Graph().as_default(), v1.Session() as session:
        half, plus = v1.get_variable("a", initializer=0.5), v1.get_variable("b", initializer=number)
        examples = v1.placeholder(tf.string, name="tf_example")
        features = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
        parsed = tf.io.parse_example(examples, features)
        x = tf.identity(parsed["x"], "x")
        y = tf.add(tf.multiply(half, x), plus, "y")
        one = v1.placeholder(tf.string, [], name="one_example")
        single = tf.io.parse_single_example(one, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        names = tf.tile(tf.constant([["half"]]), [tf.shape(x)[0], 1])
        signatures = {
            "serving_default": signature({"x": x}, {"y": y}, "tensorflow/serving/predict"),
            "classify_x_to_y": signature({"inputs": examples}, {"scores": y}, CLASSIFY),
            "classify_names": signature({"inputs": examples}, {"scores": y, "classes": names}, CLASSIFY),
            "classify_flat": signature({"inputs": examples}, {"scores": y[:, 0]}, CLASSIFY),
            "classify_numbers": signature({"inputs": examples}, {"classes": y}, CLASSIFY),
            "classify_other": signature({"inputs": examples}, {"z": y}, CLASSIFY),
            "classify_input": signature({"examples": examples}, {"scores": y}, CLASSIFY),
            "regress_x_to_y": signature({"inputs": examples}, {"outputs": y}, REGRESS),
            "regress_flat": signature({"inputs": examples}, {"outputs": y[:, 0]}, REGRESS),
            "regress_first": signature({"inputs": examples}, {"outputs": y[:1, 0]}, REGRESS),
            "regress_scalar": signature({"inputs": one}, {"outputs": single / 2 + plus}, REGRESS),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def signature(inputs: dict, outputs: dict, method: str) -> v1.saved_model.signature_def_utils.build_signature_def:
    """Returns a SignatureDef."""
    build = v1.saved_model.utils.build_tensor_info
    return v1.saved_model.signature_def_utils.build_signature_def(
        {name: build(tensor) for name, tensor in inputs.items()},
        {name: build(tensor) for name, tensor in outputs.items()},
        method,
    )


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Base paths of half plus two, version 123, and half plus three, version 124."""
    root = tmp_path_factory.mktemp("halves")
    half_plus(root / "two" / "00000123", 2.0)
    half_plus(root / "three" / "124", 3.0)
    return SimpleNamespace(root=root, two=root / "two", three=root / "three")


@pytest.fixture(scope="module")
def half_server(halves: SimpleNamespace) -> Iterator[Client]:
    """Serves half plus two as "default"; tests must not change it."""
    with serving(halves.two, model_name="default") as client:
        yield client


def ask(client: Client, name: str = "default") -> tuple[float, int]:
    """Returns y for x = 2 and the version."""
    answer = client.predict(name=name, x=floats(2))
    return answer.outputs["y"].float_val[0], answer.model_spec.version.value


def examples(*values: float) -> list[tf.train.Example]:
    found = []
    for value in values:
        found.append(tf.train.Example())
        found[-1].features.feature["x"].float_list.value.append(value)
    return found


def given(*values: float) -> input_pb2.Input:
    """Returns an Input of one tf.Example per value."""
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples(*values)))


def classification(name: str, *values: float) -> classification_pb2.ClassificationRequest:
    request = classification_pb2.ClassificationRequest(input=given(*values))
    request.model_spec.name, request.model_spec.signature_name = "default", name
    return request


def regression(name: str, *values: float) -> regression_pb2.RegressionRequest:
    request = regression_pb2.RegressionRequest(input=given(*values))
    request.model_spec.name, request.model_spec.signature_name = "default", name
    return request


def inference(*tasks: tuple[str, str], values: tuple[float, ...] = (2.0,)) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=given(*values))
    for name, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "default", name
    return request


def test_upstreams_command_line_answers_over_port_and_socket(halves: SimpleNamespace, tmp_path: Path) -> None:
    port, rest_port = free_port(), free_port()
    config, path = tmp_path / "models.config", tmp_path / "s"
    config.write_text(config_text(halves.two, name="default"))
    batching = tmp_path / "batching.config"
    batching.write_text("max_batch_size { value: 8 }")
    words = [f"--port={port}", f"--rest_api_port={rest_port}", "--rest_api_timeout_in_ms=5000"]
    words += [f"--grpc_socket_path={path}", f"--model_config_file={config}", "--prefer_tflite_model=true"]
    words += ["--model_config_file_poll_wait_seconds=1", "--grpc_channel_arguments=grpc.so_reuseaddr=1"]
    words += ["--enable_batching", f"--batching_parameters_file={batching}", f"--model_roots={halves.root}"]
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    process = subprocess.Popen([sys.executable, "-c", CODE, *words], env=quiet_environment(), stderr=subprocess.PIPE)
    over_port = Client(SimpleNamespace(port=port, rest_api_port=rest_port))
    over_socket = Client(over_port.options, grpc.insecure_channel(f"unix:{path}"))
    try:
        grpc.channel_ready_future(over_port.channel).result(timeout=120)
        assert ask(over_port) == ask(over_socket) == (3.0, 123)
        assert over_port.rest("POST", "/v1/models/default:predict", {"instances": [[2.0], [3.0]]}) == (
            200,
            {"predictions": [[3.0], [3.5]]},
        )
        config.write_text(config_text(halves.three, name="other"))
        until(lambda: answers(over_socket, "other"), 60)
        assert ask(over_socket, "other") == (4.0, 124)
        until(lambda: states(over_port, "default") == {123: END}, 60)
        config.write_text("improper model config file")
        log = ""
        while "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1 : " not in log:
            line = process.stderr.readline().decode()
            assert line
            log += line
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        over_port.close()
        over_socket.close()
        process.kill()
        process.communicate()
    assert not path.exists()
    assert "--prefer_tflite_model=true has no effect: there are no TFLite models here" in log


def answers(client: Client, name: str) -> bool:
    try:
        return bool(ask(client, name))
    except grpc.RpcError:
        return False


def test_a_bad_configuration_says_what_upstream_says(tmp_path: Path) -> None:
    config = tmp_path / "bad_model_config.txt"
    config.write_text("improper model config file")
    command = [sys.executable, "-m", "amfam_tf", "serve", f"--port={free_port()}", f"--model_config_file={config}"]
    done = subprocess.run(command, env=quiet_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1 : ")
    assert line.endswith(f"Invalid protobuf file: '{config}'")


def test_models_of_tensorflow_1_stand_beside_others(
    halves: SimpleNamespace, toys: dict, base_path: Path, tmp_path: Path
) -> None:
    models = {"toy": base_path, "two": halves.two, "three": halves.three}
    entries = (f'config {{ name: "{n}" base_path: "{p}" model_platform: "tensorflow" }}' for n, p in models.items())
    config = tmp_path / "models.config"
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    for batching in (False, True):
        with serving(model_config_file=str(config), enable_batching=batching) as client:
            assert client.predict(x=floats(1)).outputs["y"].float_val[0] == 4.0
            assert ask(client, "two") == (3.0, 123)
            assert ask(client, "three") == (4.0, 124)
            error = client.predict_error(name="two", x=np.array([["text"]], object))
            assert (error.code, "to be float but string is provided" in error.text) == (INVALID, True)
            # Shapes that the graph's own placeholder excludes are the request's fault.
            scalar = {"inputs": np.array([b""], object)}
            error = client.predict_error(name="two", signature="regress_scalar", **scalar)
            assert (error.code, "shape" in error.text) == (INVALID, True)
    publish(halves.two / "00000123", base_path, 2)
    with serving(base_path) as client:
        assert ask(client, "toy") == (3.0, 2)
        publish(toys[1], base_path, 3)
        until(lambda: states(client) == {3: AVAILABLE, 2: END})
        assert ask(client, "toy") == (7.0, 3)


def test_classify(half_server: Client) -> None:
    answer = half_server.prediction.Classify(classification("classify_x_to_y", 2.0, 20.0), timeout=20)
    assert [[entry.score for entry in row.classes] for row in answer.result.classifications] == [[3.0], [12.0]]
    assert [entry.label for row in answer.result.classifications for entry in row.classes] == ["", ""]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("default", 123, "classify_x_to_y")
    answer = half_server.prediction.Classify(classification("classify_names", 2.0), timeout=20)
    assert [(entry.label, entry.score) for entry in answer.result.classifications[0].classes] == [("half", 3.0)]


def test_regress(half_server: Client) -> None:
    for name in ("regress_x_to_y", "regress_flat"):
        answer = half_server.prediction.Regress(regression(name, 2.0, 20.0), timeout=20)
        assert [row.value for row in answer.result.regressions] == [3.0, 12.0]
        spec = answer.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("default", 123, name)


def test_examples_are_merged_into_their_context(half_server: Client) -> None:
    request = regression("regress_x_to_y")
    with_context = request.input.example_list_with_context
    with_context.context.features.feature["x"].float_list.value.append(20.0)
    with_context.examples.extend([tf.train.Example(), *examples(2.0)])
    answer = half_server.prediction.Regress(request, timeout=20)
    # What the second example says itself counts.
    assert [row.value for row in answer.result.regressions] == [12.0, 3.0]


def test_multi_inference(half_server: Client) -> None:
    request = inference(("regress_x_to_y", REGRESS), ("classify_x_to_y", CLASSIFY))
    answer = half_server.prediction.MultiInference(request, timeout=20)
    first, second = answer.results
    assert first.regression_result.regressions[0].value == 3.0
    assert second.classification_result.classifications[0].classes[0].score == 3.0
    specs = [(r.model_spec.name, r.model_spec.version.value, r.model_spec.signature_name) for r in answer.results]
    assert specs == [("default", 123, "regress_x_to_y"), ("default", 123, "classify_x_to_y")]


@pytest.mark.parametrize(
    ("name", "values", "code", "text"),
    [
        ("classify_x_to_y", (), INVALID, "Input is empty."),
        ("none", (1.0,), INVALID, "No signature was found with the name: none"),
        (
            "",
            (1.0,),
            INVALID,
            f"Expected classification signature method_name to be {CLASSIFY}. Was: tensorflow/serving/predict",
        ),
        ("classify_flat", (1.0,), INVALID, "Expected Tensor shape: [batch_size num_classes] but got [1]"),
        ("classify_numbers", (1.0,), INVALID, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ("classify_other", (1.0,), PRECONDITION, 'to contain at least one of "classes" or "scores". Signature was: '),
        ("classify_input", (1.0,), PRECONDITION, "No classification inputs found in SignatureDef: "),
    ],
)
def test_what_classify_refuses(half_server: Client, name: str, values: tuple[float, ...], code, text: str) -> None:
    error = error_of(lambda: half_server.prediction.Classify(classification(name, *values), timeout=20))
    assert error.code == code
    assert text in error.text


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("regress_x_to_y", (), "Input is empty."),
        ("classify_x_to_y", (1.0,), f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"),
        ("regress_first", (1.0, 2.0), "Input batch size did not match output batch size: 2 vs. 1"),
        ("regress_scalar", (1.0,), "shape"),
    ],
)
def test_what_regress_refuses(half_server: Client, name: str, values: tuple[float, ...], text: str) -> None:
    error = error_of(lambda: half_server.prediction.Regress(regression(name, *values), timeout=20))
    assert error.code == INVALID
    assert text in error.text


def test_small_requests_that_would_grow_are_refused(half_server: Client) -> None:
    stub = half_server.prediction
    error = error_of(lambda: stub.Classify(classification("classify_x_to_y", *[1.0] * 10_000), timeout=20))
    assert (error.code, "more than 1000 rows (--max-request-rows)" in error.text) == (EXHAUSTED, True)
    error = error_of(lambda: stub.Regress(regression("regress_x_to_y", *[1.0] * 1001), timeout=20))
    assert (error.code, "the request has 1001 rows; the limit is 1000" in error.text) == (EXHAUSTED, True)
    request = inference(("regress_x_to_y", REGRESS))
    with_context = request.input.example_list_with_context
    with_context.context.features.feature["y"].bytes_list.value.append(bytes(2**20))
    with_context.examples.extend(examples(*[1.0] * 1000))
    error = error_of(lambda: stub.MultiInference(request, timeout=20))
    assert (error.code, "the request of 1000 rows would take about" in error.text) == (EXHAUSTED, True)


def test_what_multi_inference_refuses(half_server: Client) -> None:
    task = ("regress_x_to_y", REGRESS)
    other = inference(task, task)
    other.tasks[1].model_spec.name = "other"
    nameless = inference(task)
    nameless.tasks[0].model_spec.name = ""
    cases = {
        "Inference request contains no tasks.": inference(),
        "Duplicate evaluation of signature: regress_x_to_y": inference(task, task),
        "Requested signature not found in model graph: none": inference(("none", REGRESS)),
        "Input tensor must be the same for all Signatures.": inference(task, ("regress_scalar", REGRESS)),
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.": other,
        "Found ModelSpec with an empty model name.": nameless,
        "Input is empty.": inference(task, values=()),
    }
    for text, request in cases.items():
        error = error_of(lambda request=request: half_server.prediction.MultiInference(request, timeout=20))
        assert (error.code, error.text) == (INVALID, text)
    request = inference(("regress_x_to_y", "tensorflow/serving/predict"))
    error = error_of(lambda: half_server.prediction.MultiInference(request, timeout=20))
    assert (error.code, error.text) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    )


def test_classify_and_regress_over_rest(half_server: Client) -> None:
    def post(verb: str, **document: object) -> tuple[int, dict]:
        return half_server.rest("POST", f"/v1/models/default:{verb}", document)

    rows = [{"x": 2.0}, {"x": [20.0]}]
    assert post("classify", signature_name="classify_x_to_y", examples=rows) == (
        200,
        {"results": [[["", 3.0]], [["", 12.0]]]},
    )
    assert post("classify", signature_name="classify_names", examples=rows[:1]) == (200, {"results": [[["half", 3.0]]]})
    assert post("regress", signature_name="regress_x_to_y", examples=rows) == (200, {"results": [3.0, 12.0]})
    merged = post("regress", signature_name="regress_x_to_y", context={"x": 20.0}, examples=[{}, {"x": 2.0}])
    assert merged == (200, {"results": [12.0, 3.0]})
    wrong = {
        "When method is classify, key 'examples' is expected and was not found": {},
        "Expecting 'examples' value to be an list/array": {"examples": {}},
        "'examples' value is an empty array": {"examples": []},
        "Example must be JSON object but got JSON 1": {"examples": [1]},
        "Value of feature x must be a number, a string or b64. Received: true": {"examples": [{"x": True}]},
        "Values of feature x must be of one type": {"examples": [{"x": [1, 2.0]}]},
        "Value of feature x has more than 64 bits": {"examples": [{"x": 2**63}]},
        "not formatted correctly for base64 data": {"examples": [{"x": {"b65": ""}}]},
        "Expected regression signature method_name to be": {"examples": rows},
    }
    for text, document in wrong.items():
        status, answer = post("regress", **document)
        assert status == 400, document
        assert text in answer["error"]
    # A tf.Example of the wrong type reaches the kernel: texts and whole numbers are kept as what they are.
    for value in ("text", {"b64": "AA=="}, 1):
        status, answer = post("regress", signature_name="regress_x_to_y", examples=[{"x": value}])
        assert (status, "float" in answer["error"]) == (400, True)
    assert half_server.rest("POST", "/v1/models/none:regress", {"examples": rows})[0] == 404


def test_missing_specs_and_unknown_models(half_server: Client) -> None:
    stub = half_server.prediction
    for call in (
        lambda: stub.Classify(classification_pb2.ClassificationRequest(), timeout=20),
        lambda: stub.Regress(regression_pb2.RegressionRequest(), timeout=20),
    ):
        error = error_of(call)
        assert (error.code, error.text) == (INVALID, "Missing ModelSpec")
    request = classification("classify_x_to_y", 1.0)
    request.model_spec.name = "other"
    error = error_of(lambda: stub.Classify(request, timeout=20))
    assert error.code == grpc.StatusCode.NOT_FOUND
    assert error.text == "Servable not found for request: Latest(other)"


def test_warm_up_runs_all_methods(halves: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = publish(halves.two / "00000123", tmp_path, 1)
    base = tmp_path / "base"
    base.mkdir()
    log = prediction_log_pb2.PredictionLog
    logs = [log(), log(), log()]
    logs[0].classify_log.request.CopyFrom(classification("classify_x_to_y", 1.0))
    logs[1].regress_log.request.CopyFrom(regression("regress_x_to_y", 1.0))
    logs[2].multi_inference_log.request.CopyFrom(inference(("regress_x_to_y", REGRESS)))
    write_warmup(folder, logs)
    folder.rename(base / "1")
    with serving(base, model_name="default") as client:
        assert ask(client) == (3.0, 1)
    assert "Ran 3 warmup requests of {name: default version: 1}" in caplog.text


def test_new_labels_of_versions_to_come(base_path: Path, toys: dict, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    label = 'model_version_policy { all {} } version_labels { key: "next" value: 2 }'
    config.write_text(config_text(base_path, label))
    with pytest.raises(ServerError, match="not currently available"), serving(model_config_file=str(config)):
        pass
    with serving(model_config_file=str(config), allow_version_labels_for_unavailable_models=True) as client:
        error = client.predict_error(label="next", x=floats(1))
        assert error.text == "Servable not found for request: Specific(toy, 2)"
        publish(toys[2], base_path, 2)
        until(lambda: states(client) == {1: AVAILABLE, 2: AVAILABLE})
        assert client.predict(label="next", x=floats(1)).model_spec.version.value == 2


def socket_error(base_path: Path, path: Path | str) -> str:
    """Returns why a server cannot listen on a socket."""
    server = Server(ServerOptions(port=0, grpc_socket_path=str(path), model_base_path=str(base_path)))
    with pytest.raises(ServerError) as error:
        server.start()
    return str(error.value).removeprefix(f"cannot listen on grpc_socket_path {path}: ")


def test_a_socket_is_not_taken_from_others(base_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A path of a socket is at most 107 bytes long: relative to here, it is short.
    monkeypatch.chdir(tmp_path)
    with serving(base_path, port=0, rest_api_port=0, grpc_socket_path="a b%41") as client:
        over_socket = Client(client.options, grpc.insecure_channel("unix:a%20b%2541"))
        assert over_socket.predict(x=floats(1)).model_spec.version.value == 1
        assert socket_error(base_path, "a b%41") == "another server listens there"
        over_socket.close()
    assert not Path("a b%41").exists()
    Path("file").write_text("kept")
    assert socket_error(base_path, "file") == "what stands there is no socket"
    assert Path("file").read_text() == "kept"
    assert socket_error(base_path, "none/s") == "there is no folder none"
    assert socket_error(base_path, "x" * 108) == "a socket's path has at most 107 bytes"


def test_channel_arguments_are_numbers_or_texts() -> None:
    def found(text: str) -> dict[str, int | str]:
        return dict(channel_arguments(ServerOptions(model_base_path="m", grpc_channel_arguments=text)))

    assert found("")["grpc.so_reuseport"] == 0
    given = found("grpc.so_reuseport=1,grpc.max_connection_age_ms=2000,grpc.x=-1,grpc.y=1.5,grpc.z=a=b")
    expected = {"grpc.so_reuseport": 1, "grpc.max_connection_age_ms": 2000}
    assert given.items() >= {**expected, "grpc.x": -1, "grpc.y": "1.5", "grpc.z": "a=b"}.items()
    for text in ("grpc.x", "=1", "grpc.x=1,y"):
        with pytest.raises(ConfigError, match=r"^grpc_channel_arguments must be KEY=VALUE\[,KEY=VALUE"):
            found(text)
    with pytest.raises(ConfigError, match="use --max-message-bytes$"):
        found("grpc.max_receive_message_length=-1")


@pytest.mark.parametrize("name", OTHER_FLAGS)
def test_flags_without_a_meaning_are_told_or_refused(name: str, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    from amfam_tf.cli import serve

    caplog.set_level(logging.INFO)
    taken = []
    monkeypatch.setattr(serve, "_serve_embedded", lambda options, others: taken.append((options, others)))
    flag = OTHER_FLAGS[name]
    value = "1" if flag.only is None else flag.only
    serve.serve.main(["--model_base_path=m", f"--{name}={value}"], standalone_mode=False)
    assert taken == [(ServerOptions(model_base_path="m"), {name: value})]
    tell(taken[0][1])
    assert caplog.messages == [f"--{name}={value} has no effect: {flag.sentence}"]
    if flag.only is not None:
        with pytest.raises(ConfigError, match=f"^{name} cannot be 'another' in the embedded server: .*; use --engine"):
            tell({name: "another"})


def test_the_version_is_upstreams_two_lines(capsys: pytest.CaptureFixture) -> None:
    from amfam_tf import __version__
    from amfam_tf.cli.main import main

    assert main(["serve", "--version"]) == 0
    assert capsys.readouterr().out == (
        f"TensorFlow ModelServer: amfam-tf {__version__}\nTensorFlow Library: {tf.__version__}\n"
    )
