"""Exporting a run: what lands where, what is refused, what a killed export leaves, what --verify finds."""

import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_runs import BORDER_CROP, CALIBRATED, FINGERPRINT, MAX_PIXELS, METRICS, encoded_pairs, write_run
from small import IMAGE_SIZE
from tensorflow_serving.apis import prediction_log_pb2

from amfam_tf.cli import main as command_line
from amfam_tf.errors import ExportError, RunError
from amfam_tf.export import export, samples, source
from amfam_tf.export import verify as verification
from amfam_tf.export.export import check_variables, export_run
from amfam_tf.export.signature_names import SIGNATURES
from amfam_tf.export.source import read_source
from amfam_tf.export.verify import verify
from amfam_tf.export.version_files import file_digests
from amfam_tf.files.digests import file_digest
from amfam_tf.files.publish import LOCK, publishing, versions
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import TASKS

DATA = "variables/variables.data-00000-of-00001"
FILES = {
    "assets.extra/metadata.json",
    "assets.extra/tf_serving_warmup_requests",
    "fingerprint.pb",
    "saved_model.pb",
    DATA,
    "variables/variables.index",
}


@pytest.fixture(scope="module")
def metadata(version) -> dict:
    return json.loads((version.path / "assets.extra" / "metadata.json").read_text())


@pytest.fixture
def copy(version, tmp_path) -> Path:
    """A copy of the exported version, to be damaged."""
    return shutil.copytree(version.path, tmp_path / "models" / "1")


def test_the_folder_is_complete_and_nothing_else_is_beside_it(version):
    found = {path.relative_to(version.path).as_posix() for path in version.path.rglob("*") if path.is_file()}
    assert found == FILES
    assert {item.name for item in version.path.parent.iterdir()} == {"1", LOCK}


def test_only_backbone_and_classifiers_are_inside(version):
    stored = dict(tf.train.list_variables(str(version.path / "variables" / "variables")))
    stored.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    names = " ".join(stored)
    assert all(word not in names for word in ("decoder", "discriminator", "attention", "_bn", "upsample", "to_rgb"))
    count = sum(int(np.prod(shape)) for shape in stored.values())
    inside = version.network.inference_model().variables
    full = sum(int(np.prod(variable.shape)) for variable in inside)
    # Of each batch norm's four vectors one is left, as the bias.
    norms = sum(int(np.prod(variable.shape)) for variable in inside if "_bn" in variable.path)
    assert count == full - norms * 3 // 4
    assert 0 < norms < full


def test_variables_of_other_parts_are_found_out(version, tmp_path):
    other = tf.Module()
    other.weights = {"discriminator/hidden/kernel": tf.Variable(1.0)}
    tf.saved_model.save(other, str(tmp_path / "1"))
    with pytest.raises(ExportError, match=r"see backbone, .*discriminator"):
        check_variables(tmp_path / "1", version.network)


def test_metadata_says_what_the_model_is(metadata, version):
    assert (metadata["name"], metadata["version"], metadata["precision"]) == ("lesions", 1, "float32")
    listed = [(task["name"], [one["name"] for one in task["classes"]]) for task in metadata["tasks"]]
    assert listed == [(task.name, list(task.classes)) for task in TASKS]
    points = [[one["points"] for one in task["classes"]] for task in metadata["tasks"]]
    assert points == [list(task.scores) for task in TASKS]
    assert metadata["thresholds"]["seven_point_score"] == {"original": 3, "revised": 1}
    assert metadata["preprocessing"]["image_size"] == IMAGE_SIZE
    assert metadata["preprocessing"]["border_crop"] == BORDER_CROP == metadata["configuration"]["data"]["border_crop"]
    assert metadata["preprocessing"]["max_pixels"] == MAX_PIXELS
    assert metadata["data"] == {"data_fingerprint": FINGERPRINT, "data_counts": {"train": 4}}
    assert metadata["metrics"] == {"test": METRICS}
    assert metadata["calibration"]["applied"] is True
    assert metadata["calibration"]["temperatures"] == CALIBRATED
    assert metadata["training"] == {
        "finished": True,
        "epochs": 1,
        "best_epoch": 0,
        "best_validation_accuracy": 0.5,
        "model_sha256": file_digest(version.run / "model.keras"),
        "notes": ["evaluation/test/metrics.json does not say which weights it was measured with: perhaps with others"],
    }
    assert "Not a medical device" in metadata["intended_use"]
    assert metadata["limits"]


def test_metadata_describes_the_signatures(metadata, loaded):
    assert set(metadata["signatures"]) == set(SIGNATURES) == set(loaded.signatures)
    for name, function in loaded.signatures.items():
        inputs = {
            key: (spec.dtype.name, spec.shape.as_list()) for key, spec in function.structured_input_signature[1].items()
        }
        stated = metadata["signatures"][name]
        assert {key: (value["type"], value["shape"]) for key, value in stated["inputs"].items()} == inputs
        assert stated["outputs"].keys() == function.structured_outputs.keys()
        assert all(value["content"] for value in (stated["inputs"] | stated["outputs"]).values())
    assert metadata["signatures"]["predict_images"]["inputs"]["clinical"]["content"] == "RGB in [0, 255]"


def test_warm_up_has_each_signature_and_stays_small(version):
    requests = [request for request, _ in samples.read_samples(version.path)]
    assert {request.model_spec.signature_name for request in requests} == set(SIGNATURES)
    assert {request.model_spec.name for request in requests} == {"lesions"}
    assert len(requests) <= 10


def test_versions_count_up_over_what_is_there(tmp_path):
    for number in (1, 2):
        with publishing(tmp_path / "models") as (folder, version):
            (folder / "content").write_text(str(number))
        assert version == number
    (tmp_path / "models" / "41").mkdir()
    (tmp_path / "models" / "note-99").touch()
    with publishing(tmp_path / "models") as (_, version):
        assert version == 42
    assert versions(tmp_path / "models") == [1, 2, 41, 42]
    assert (tmp_path / "models" / "1" / "content").read_text() == "1"


def test_a_version_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(ExportError, match="appeared in the meantime"), publishing(tmp_path) as (folder, version):
        (folder / "content").touch()
        (tmp_path / str(version)).mkdir()
    assert versions(tmp_path) == [1]
    assert not any((tmp_path / "1").iterdir())


def test_an_error_leaves_nothing_and_a_leftover_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), publishing(tmp_path) as (folder, _):
        (folder / "half").touch()
        raise ZeroDivisionError
    assert {item.name for item in tmp_path.iterdir()} == {LOCK}
    (tmp_path / ".partial-7").mkdir()
    with publishing(tmp_path) as (_, version):
        assert version == 1
    assert {item.name for item in tmp_path.iterdir()} == {LOCK, "1"}


def test_two_exports_to_one_folder_do_not_meet(tmp_path):
    with (tmp_path / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ExportError, match="another process exports to"), publishing(tmp_path):
            pass


def test_kill_9_leaves_no_version(version, tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from amfam_tf.export import export\n"
        "def stop(*_):\n"
        "    print('now', flush=True)\n"
        "    time.sleep(600)\n"
        "export.write_samples = lambda *_: None\n"  # takes seconds
        "export.verify = stop\n"  # the last thing before the rename
        "export.export_run(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
    )
    base = tmp_path / "models"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(version.run), str(base)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    left = {item.name for item in base.iterdir()}
    assert left == {LOCK, ".partial-1"}
    assert (base / ".partial-1" / "assets.extra" / "metadata.json").is_file()
    assert versions(base) == []
    with publishing(base) as (folder, number):
        assert number == 1
        assert not any(folder.iterdir())


def test_unfinished_run_needs_the_option_and_gives_its_best_weights(tmp_path, version):
    network = write_run(tmp_path / "run", finished=False)
    with pytest.raises(RunError, match=r"has not finished training: .* --allow-unfinished"):
        export_run(tmp_path / "run", tmp_path / "models")
    assert not (tmp_path / "models").exists()
    exported = export_run(tmp_path / "run", tmp_path / "models", allow_unfinished=True, precision="bfloat16")
    assert exported.metadata["training"]["finished"] is False
    assert exported.metadata["precision"] == "bfloat16"
    assert exported.metadata["calibration"]["applied"] is False
    model = tf.saved_model.load(str(exported.path))
    found = model.signatures["explain"](
        **{
            key: tf.constant(value)
            for key, value in (encoded_pairs(2) | {"task": ["", ""], "class_name": ["", ""]}).items()
        }
    )
    squares = {name: tf.cast(found[f"{name}_image"], tf.float32) / 255 for name in ("clinical", "dermoscopic")}
    logits = network.inference_model()(squares, training=False)
    for task in TASKS:
        expected = tf.nn.softmax(logits[task.name])
        np.testing.assert_allclose(found[task.name], expected, rtol=0, atol=0.1)
    sizes = [
        (path / "variables" / "variables.data-00000-of-00001").stat().st_size for path in (exported.path, version.path)
    ]
    assert sizes[0] < 0.55 * sizes[1]


def copy_run(version, run: Path) -> Path:
    """Copies the run of the exported version, without its temperatures."""
    return shutil.copytree(version.run, run, ignore=shutil.ignore_patterns("calibration.json"), dirs_exist_ok=True)


def test_temperatures_of_other_weights_are_refused(version, tmp_path):
    shutil.copytree(version.run, tmp_path, dirs_exist_ok=True)
    assert read_source(tmp_path).temperatures == CALIBRATED
    content = json.loads((tmp_path / "calibration.json").read_text())
    (tmp_path / "calibration.json").write_text(json.dumps(content | {"model_sha256": "0" * 64}))
    with pytest.raises(RunError) as caught:
        read_source(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'calibration.json'} belongs to other weights than those in {tmp_path}: "
        f"amfam-tf evaluate {tmp_path} --data DATA fits it anew; or remove it, to go without temperatures"
    )
    (tmp_path / "calibration.json").unlink()
    assert set(read_source(tmp_path).temperatures.values()) == {1.0}


def write_metrics(run: Path, **content: str) -> Path:
    path = run / "evaluation" / "validate" / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(METRICS | {"split": "validate"} | content))
    return path


def test_metrics_of_other_weights_are_refused_even_if_the_file_of_the_weights_is_older(version, tmp_path):
    run = copy_run(version, tmp_path / "run")
    path = write_metrics(run, model_sha256=file_digest(run / "model.keras"))
    source = read_source(run)
    assert source.metrics["validate"] == json.loads(path.read_text())
    assert source.model_sha256 == file_digest(run / "model.keras")
    shutil.copy(run / "model.keras", tmp_path / "first.keras")
    network = keras.saving.load_model(run / "model.keras", compile=False)
    network.set_weights([weight + 0.5 for weight in network.get_weights()])
    network.save(run / "model.keras")
    os.utime(run / "model.keras", (0, 0))
    with pytest.raises(RunError) as caught:
        export_run(run, tmp_path / "models")
    assert str(caught.value) == (
        f"{path} was measured with other weights than those to export: run amfam-tf evaluate {run} --data DATA "
        f"--split validate again, or remove {path.parent}"
    )
    assert not (tmp_path / "models").exists()
    shutil.copy(tmp_path / "first.keras", run / "model.keras")
    assert set(read_source(run).metrics) >= {"validate"}


def test_metrics_that_do_not_say_their_weights_are_exported_with_a_note(version, tmp_path):
    copy_run(version, tmp_path)
    write_metrics(tmp_path)
    notes = read_source(tmp_path).notes
    place = "evaluation/validate/metrics.json"
    assert f"{place} does not say which weights it was measured with: perhaps with others" in notes


def test_weights_that_fit_has_not_written_are_said(version, tmp_path):
    copy_run(version, tmp_path)
    folder = RunFolder(tmp_path)
    folder.write_state(dataclasses.replace(folder.read_state(), model_sha256="0" * 64))
    said = "model.keras is not the file that this run's fit wrote: history and curves are of other weights"
    assert said in read_source(tmp_path).notes
    folder.write_state(dataclasses.replace(folder.read_state(), model_sha256=file_digest(folder.model_file)))
    assert said not in read_source(tmp_path).notes


def break_weight(run: Path, name: str, value: float) -> None:
    """Makes one number of the weights NaN or infinite."""
    network = keras.saving.load_model(run / "model.keras", compile=False)
    (variable,) = [weight for weight in network.weights if weight.path.endswith(name)]
    values = np.array(variable)
    values.flat[-1] = value
    variable.assign(values)
    network.save(run / "model.keras")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_by_task(version, tmp_path, value):
    copy_run(version, tmp_path / "run")
    break_weight(tmp_path / "run", "PN_logits/bias", value)
    with pytest.raises(RunError) as caught:
        export_run(tmp_path / "run", tmp_path / "models")
    assert str(caught.value) == (
        f"{tmp_path / 'run' / 'model.keras'} cannot be used: 1 of 3 values of classifier_PN_logits/bias are no finite "
        "numbers, on which the answers of PN depend; the training has diverged: fit again with a lower "
        "optimizer.learning_rate or with optimizer.clip_norm"
    )
    assert not (tmp_path / "models").exists()


def test_verify_finds_weights_and_answers_that_are_no_numbers(version, tmp_path, monkeypatch):
    """What an older version of this package, or another tool, has exported."""
    copy_run(version, tmp_path / "run")
    break_weight(tmp_path / "run", "PN_logits/bias", np.nan)
    monkeypatch.setattr(source, "check_weights", lambda *_: None)
    found = []

    def verify_twice(folder: Path) -> None:
        with pytest.raises(ExportError) as caught:
            verify(folder)
        found.append(str(caught.value))
        monkeypatch.setattr(verification, "check_weights", lambda _: None)
        verify(folder)

    monkeypatch.setattr(export, "verify", verify_twice)
    with pytest.raises(ExportError, match=r"the answers of \w+ are no finite numbers: PN for [12] cases; the training"):
        export_run(tmp_path / "run", tmp_path / "models")
    assert re.search(
        r"cannot be used: 1 of 3 values of \S*PN_logits\S* are no finite numbers, on which answers depend; "
        r"the training has diverged: fit again .*, and export again$",
        found[0],
    )
    assert versions(tmp_path / "models") == []


def test_one_weight_of_the_backbone_decides_all_tasks_though_relu_may_drop_it(version, tmp_path):
    copy_run(version, tmp_path / "run")
    network = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    first = next(weight.path for weight in network.inference_model().weights)
    break_weight(tmp_path / "run", first, np.nan)
    with pytest.raises(
        RunError, match=rf"of {first} are no finite numbers, on which the answers of DIAG, PN, BWV, VS, "
    ):
        read_source(tmp_path / "run")


def test_verify_accepts_what_was_exported(version, capsys):
    assert command_line.main(["export", "--verify", str(version.path.parent)]) == 0
    assert capsys.readouterr().out == f"{version.path} is whole: lesions version 1, 5 files\n"


def change_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def change_metadata(path: Path, change) -> None:
    file = path / "assets.extra" / "metadata.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


DAMAGE = {
    "a changed weight": (lambda path: change_byte(path / DATA, 1000), f"damaged: the content of {DATA} is not what"),
    "a cut file": (lambda path: (path / "saved_model.pb").write_bytes(b"short"), "damaged: saved_model.pb has 5 bytes"),
    "a missing file": (lambda path: (path / DATA).unlink(), f"damaged: {DATA} is missing"),
    "an extra file": (lambda path: (path / "variables" / "more").touch(), "damaged: variables/more was not exported"),
    "no metadata": (
        lambda path: (path / "assets.extra" / "metadata.json").unlink(),
        "damaged or not from amfam-tf export: it has no metadata.json",
    ),
    "no JSON": (lambda path: (path / "assets.extra" / "metadata.json").write_text("{"), "metadata.json cannot be read"),
    "a list": (lambda path: (path / "assets.extra" / "metadata.json").write_text("[]"), "metadata.json has no format"),
    "no tasks": (
        lambda path: change_metadata(path, lambda content: content.pop("tasks")),
        "metadata.json has no tasks",
    ),
    "another format": (
        lambda path: change_metadata(path, lambda content: content.update(format=9)),
        "has format 9, this program reads 1",
    ),
    "another signature": (
        lambda path: change_metadata(path, lambda content: content["signatures"]["explain"]["inputs"].pop("task")),
        "metadata.json does not fit the signature explain",
    ),
    "another class": (
        lambda path: change_metadata(path, lambda content: content["tasks"][1]["classes"].pop()),
        "metadata.json does not fit the output PN",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_names_damage_in_one_line(copy, damage, capsys):
    harm, message = DAMAGE[damage]
    harm(copy)
    assert command_line.main(["export", "--verify", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert str(copy) in line


def test_verify_compares_answers_with_the_stored_ones(copy):
    file = copy / samples.SAMPLES_FILE
    logs = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    changed = prediction_log_pb2.PredictionLog.FromString(logs[0])
    output = changed.predict_log.response.outputs["VS"]
    output.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(output) + np.float32(2e-4)))
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in (changed.SerializeToString(), *logs[1:]):
            writer.write(log)
    change_metadata(copy, lambda content: content.update(files=file_digests(copy)))
    with pytest.raises(ExportError, match=r"serving_default .* stored answer: VS differs by up to 0\.0002"):
        verify(copy)


def test_verify_of_something_else(tmp_path, capsys):
    assert command_line.main(["export", "--verify", str(tmp_path)]) == 1
    message = f"error: {tmp_path} is no exported model: it has no saved_model.pb and no version below it\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("words", [[], ["RUN"], ["RUN", "--to", "models", "--verify", "RUN"], ["--to", "models"]])
def test_wrong_usage_is_status_2(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").mkdir()
    assert command_line.main(["export", *words]) == 2
    assert "Usage: amfam-tf export" in capsys.readouterr().err


def test_a_folder_without_a_run_is_one_line(tmp_path, capsys):
    assert command_line.main(["export", str(tmp_path), "--to", str(tmp_path / "models")]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path} is no run folder: it has no config.yaml; `amfam-tf fit --run {tmp_path}` makes one\n"
    )


def test_the_command_line_prints_sizes(version, capsys, monkeypatch):
    content = json.loads((version.path / "assets.extra" / "metadata.json").read_text())
    monkeypatch.setattr(export, "export_run", lambda *_: export.Exported(version.path, content))
    assert command_line.main(["export", str(version.run), "--to", str(version.path.parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    total = 0
    for name in FILES - {"assets.extra/metadata.json"}:
        size = (version.path / name).stat().st_size
        total += size
        assert any(re.fullmatch(rf" *{size:,}  {re.escape(name)}", line) for line in lines)
    assert any(line.split()[0] == f"{total:,}" for line in lines)
    assert lines[-1] == f"exported: {version.path}"
