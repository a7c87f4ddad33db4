"""Options that mean the same are spelled the same in every verb; former spellings still work and are not shown."""

import importlib
from pathlib import Path

import click
import pytest

from amfam_tf.cli.main import VERBS, main
from amfam_tf.errors import ConfigError


def command(verb: str) -> click.Command:
    module = importlib.import_module(VERBS[verb][0])
    return getattr(module, VERBS[verb][0].rpartition(".")[2])


def with_option(spelling: str) -> dict[str, click.Option]:
    """Returns the option of this spelling in each verb that shows it."""
    return {
        verb: one
        for verb in VERBS
        for one in command(verb).params
        if spelling in one.opts and not vars(one).get("hidden")
    }


def test_data_are_told_in_the_same_words_by_every_verb_that_takes_them():
    options = with_option("--data")
    assert set(options) == {"fit", "evaluate", "explain", "compare", "sweep", "ensemble"}
    told = {option.help for option in options.values()}
    assert told == {
        "Data set: with a card, or in the layout of Derm7pt (images/ and meta/) or MILK10k; or a folder of records."
    }


def test_the_number_of_workers_is_by_default_one_per_core_unless_each_holds_a_model():
    options = with_option("--workers")
    assert set(options) == {"synth", "ingest", "batch-predict"}
    assert options["synth"].help == options["ingest"].help == "Processes of this machine.  [default: one per core]"
    assert options["synth"].default == options["ingest"].default != options["batch-predict"].default == 1
    assert options["batch-predict"].help.startswith("Processes of this machine, each with the model")


def test_what_is_written_goes_to_out_in_every_verb():
    assert set(with_option("--out")) == {
        *("card", "synth", "ingest", "explain", "compare", "sweep", "export", "batch-predict", "demo")
    }
    assert set(with_option("--to")) == {"rollback"}  # the number of a version
    for verb in ("synth", "ingest", "export"):
        with click.Context(command(verb), info_name=verb) as context:
            shown = command(verb).get_help(context)
        assert "--out DIR" in shown and "OUT" not in shown and "--to" not in shown


@pytest.mark.parametrize("words", [["drawn"], ["--out", "drawn"]])
def test_synth_takes_the_folder_by_name_and_as_before(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["synth", *words, "--cases", "10", "--size", "32x32", "--workers", "1"]) == 0
    assert Path("drawn/meta/meta.csv").is_file()


def test_synth_without_a_folder_or_with_two_is_wrong_usage(capsys):
    assert main(["synth"]) == 2
    assert "Missing option '--out'." in capsys.readouterr().err
    assert main(["synth", "one", "--out", "two"]) == 2
    assert "--out is given: what is one?" in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["--to", "--out"])
def test_export_takes_the_folder_by_either_name(spelling, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr("amfam_tf.export.export.export_run", lambda run, out, *_: folders.append((run, out)))
    with pytest.raises(AttributeError):  # what is printed of the version, which is none here
        command("export").main([str(tmp_path), spelling, "models"], standalone_mode=False)
    assert folders == [(tmp_path, Path("models"))]


@pytest.mark.parametrize(
    "words", [["pairs.csv", "~/out"], ["pairs.csv", "--out", "~/out"], ["--out=~/out", "pairs.csv"]]
)
def test_ingest_takes_the_folder_by_name_and_as_before(words, monkeypatch):
    calls = []

    def run(source, out, **options):
        calls.append((source, out, options["beam_arguments"]))
        raise ConfigError("enough")

    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr("amfam_tf.ingest.pipeline.run", run)
    assert main(["ingest", *words, "--workers", "1", "--", "--temp_location=here"]) == 1
    assert calls == [("pairs.csv", "/home/somebody/out", ["--direct_num_workers=1", "--temp_location=here"])]


@pytest.mark.parametrize("words", [["pairs.csv"], ["pairs.csv", "--", "--runner=FlinkRunner"]])
def test_ingest_without_a_folder_is_wrong_usage(words, capsys):
    assert main(["ingest", *words]) == 2
    assert "Missing option '--out'." in capsys.readouterr().err
