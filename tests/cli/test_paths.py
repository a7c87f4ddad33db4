"""~ in options, presets, configurations and releases is the home folder; where that is not known, it is said."""

import json
import os

import click
import pytest
from releases import TinyRelease

from amfam_tf import config as configuration
from amfam_tf.cli import main as command_line
from amfam_tf.cli.paths import Place, UserPath
from amfam_tf.errors import ConfigError
from amfam_tf.release import configuration as releases


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def parameters(command: click.Command):
    yield from command.params
    for inner in getattr(command, "commands", {}).values():
        yield from parameters(inner)


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_every_option_that_is_a_path_takes_a_home(verb):
    command = command_line.amfam_tf.get_command(click.Context(command_line.amfam_tf), verb)
    words = {"source", "out", "images", "model_base_path", "preset_file", "data", "run"}
    for parameter in parameters(command):
        if isinstance(parameter.type, click.Path) or parameter.name in words or parameter.name.endswith("_file"):
            assert isinstance(parameter.type, UserPath | Place), parameter.name


def test_an_option_in_the_home_folder(home, capsys):
    TinyRelease().write(home / "release")
    assert command_line.main(["check", "~/release", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["release"] == f"{home}/release"


def test_presets_and_paths_of_the_configuration(home):
    (home / "mine.yaml").write_text("seed: 7\n", encoding="utf-8")
    overrides = ("model.weights=~/w.h5", "data.cache=file", "data.cache_directory=~/cache")
    config = configuration.load("~/mine.yaml", overrides)
    assert (config.seed, config.model.weights, config.data.cache_directory) == (7, f"{home}/w.h5", f"{home}/cache")
    assert configuration.load("tiny").model.weights == "none"


def test_paths_of_a_release(home):
    text = """
model: ~/models/lesions
work: ~/work
data: {source: ~/pairs.csv, images: ~/pictures}
validation: {schema: ~/schema.pbtxt}
training: {preset: tiny}
blessing: {thresholds: [{metric: average.accuracy, at_least: 0.5}]}
"""
    found = releases.parse(text, "release.yaml")
    places = (found.model, found.work, found.data.source, found.data.images, found.validation.schema)
    assert places == tuple(
        f"{home}/{name}" for name in ("models/lesions", "work", "pairs.csv", "pictures", "schema.pbtxt")
    )


@pytest.mark.parametrize("path", ["~$list.csv", "a~", "gs://b/~/x", "", "no-such-user/~", "~no-such-user-here/x"])
def test_other_names_with_a_tilde_stay(home, path):
    assert configuration.without_home(path) == path
    assert home


def test_a_home_that_is_not_known_is_said(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="~/w.h5: the home folder is not known"):
        configuration.load("tiny", ("model.weights=~/w.h5",))
    assert command_line.main(["check", "~/release"]) == 2
