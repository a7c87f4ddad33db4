"""`amfam-tf config`."""

import sys

import pytest
import yaml

from amfam_tf import config
from amfam_tf.cli.main import main


def test_show_prints_a_configuration_that_can_be_read_back(capsys, tmp_path):
    assert main(["config", "show", "--preset", "tiny", "--set", "training.epochs=3"]) == 0
    file = tmp_path / "mine.yaml"
    file.write_text(capsys.readouterr().out)
    assert config.read(file) == config.load("tiny", ["training.epochs=3"])


def test_show_loads_no_network_for_values_that_every_method_reads(monkeypatch):
    monkeypatch.setitem(sys.modules, "amfam_tf.models", None)  # importing it fails
    assert main(["config", "show", "--set", "optimizer.epsilon=0.1", "--set", "training.epochs=3"]) == 0


def test_show_refuses_an_unknown_key_in_one_line(capsys):
    assert main(["config", "show", "--set", "training.epoch=3"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: unknown configuration key training.epoch; known here: batch_size, epochs,")
    assert error.count("\n") == 1


def test_validate_lists_what_differs(capsys, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"loss": {"adversarial": 0.5}}))
    assert main(["config", "validate", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{file}: valid, 1 value(s) differ from the defaults", "  loss.adversarial: 0.8 -> 0.5"]


def test_validate_refuses_a_file_that_is_not_there(capsys, tmp_path):
    assert main(["config", "validate", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err == f"error: cannot read {tmp_path / 'none.yaml'}: No such file or directory\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "amfan"}, "unknown method 'amfan'; known: clinical-only, "),
        (
            {"model": {"metadata_fusion": "film"}},
            "model.metadata_fusion would be of no use: method amfam as configured does not read it: leave it out",
        ),
    ],
)
def test_validate_names_a_method_that_there_is_not_and_what_it_cannot_take(content, message, capsys, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    assert main(["config", "validate", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {file}: {message}")
    assert captured.err.count("\n") == 1


UNREAD = "model.decoder_scales would be of no use: method hccnn as configured does not read it: leave it out"


def test_show_refuses_what_the_method_does_not_read(capsys):
    assert main(["config", "show", "--set", "method=hccnn", "--set", "model.decoder_scales=[4, 2, 2]"]) == 1
    assert capsys.readouterr() == ("", f"error: {UNREAD}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "hccnn", "model": {"decoder_scales": [4, 4, 2]}}, UNREAD),
        (
            {"method": "concat", "model": {"attention": "linear"}},
            "model.attention would be of no use: method concat sets it to none itself: leave it out",
        ),
        (
            {"model": {"attention": "linear", "reconstruction": False}},
            "model.attention weights the reconstruction: set model.reconstruction=true or model.attention=none",
        ),
    ],
)
def test_validate_refuses_what_the_file_s_own_method_does_not_read(content, message, capsys, tmp_path):
    file = tmp_path / "mine"
    file.write_text(yaml.safe_dump(content))
    assert main(["config", "validate", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.removeprefix("error: ").removeprefix(f"{file}: ") == f"{message}\n"


def test_fit_refuses_what_the_method_of_its_file_does_not_read_before_any_data_is_read(capsys, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("method: hccnn\nmodel: {decoder_scales: [4, 4, 2]}\n")
    words = ["fit", "--data", str(tmp_path), "--run", str(tmp_path / "run"), "--preset", str(file)]
    assert main(words) == 1
    assert capsys.readouterr().err == f"error: {UNREAD}\n"
    assert not (tmp_path / "run").exists()
    assert main([*words, "--method", "concat-recon"]) == 1  # the file serves that one too: its decoders read the value
    assert "decoder_scales" not in capsys.readouterr().err
