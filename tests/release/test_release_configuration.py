"""release.yaml: the example is complete and documented; what cannot be is refused before any data are read."""

import re
from pathlib import Path

import pytest
import yaml
from prediction_tables import random_table

from amfam_tf import config as training_configuration
from amfam_tf.config import to_dict
from amfam_tf.errors import ConfigError
from amfam_tf.evaluation import subgroups
from amfam_tf.evaluation.report import build_report
from amfam_tf.release import configuration, dry_run, pipeline
from amfam_tf.release.configuration import BlessingPart, Threshold
from amfam_tf.release.metric_places import metric_places
from amfam_tf.tasks import DERM7PT

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "pipelines" / "release.yaml"
SMALLEST = {
    "model": "models/lesions",
    "work": "work",
    "data": {"source": "release_v0"},
    "blessing": {"thresholds": [{"metric": "average.accuracy", "at_least": 0.5}]},
}


def parse(**changes):
    return configuration.parse(yaml.safe_dump(SMALLEST | changes), "release.yaml")


def keys(tree: dict, prefix: str = "") -> set[str]:
    found = set()
    for key, value in tree.items():
        found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def test_the_example_has_every_key_and_the_document_explains_each():
    example = configuration.read(EXAMPLE)
    complete = keys(to_dict(example))
    assert keys(yaml.safe_load(EXAMPLE.read_text())) == complete
    document = (ROOT / "docs" / "release.md").read_text()
    assert set(re.findall(r"^\| `([a-z_.]+)` \| ", document, re.MULTILINE)) == complete


def test_what_is_written_is_what_is_read():
    example = configuration.read(EXAMPLE)
    assert configuration.parse(yaml.safe_dump(to_dict(example)), "again") == example


def test_the_shortest_configuration_takes_the_defaults_of_the_example_but_for_the_number_of_cases():
    example = to_dict(configuration.read(EXAMPLE))
    shortest = to_dict(parse())
    for section in ("training", "infra", "push"):
        assert shortest[section] == example[section]
    assert BlessingPart(thresholds=(Threshold("average.accuracy", 0),)).subgroups == subgroups.variables(DERM7PT)


def test_a_threshold_can_be_on_every_metric_of_a_report_that_has_an_interval_and_on_nothing_else():
    def places(node, prefix=""):
        for key, value in node.items():
            if f"{key}_ci95" in node:
                yield f"{prefix}{key}"
            elif isinstance(value, dict):
                yield from places(value, f"{prefix}{key}.")

    assert sorted(places(build_report(random_table(60, seed=1), "test", card=DERM7PT))) == sorted(
        metric_places(DERM7PT)
    )


def test_a_value_that_the_method_does_not_read_is_refused_before_any_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse(training={"method": "hccnn", "overrides": ["model.decoder_scales=[4, 2, 2]"]})
    for release in (pipeline.run, lambda config: list(dry_run.plan(pipeline.STEPS, config))):
        with pytest.raises(ConfigError) as caught:
            release(config)
        assert str(caught.value) == (
            "model.decoder_scales would be of no use: method hccnn as configured does not read it: leave it out"
        )
    with pytest.raises(ConfigError, match="^unknown method 'amfan'"):
        pipeline.run(parse(training={"method": "amfan"}))
    assert not any(tmp_path.iterdir())


def test_training_is_resolved_as_fit_does():
    part = parse(training={"preset": "tiny", "method": "concat", "overrides": ["training.epochs=3"]}).training
    assert part.resolve() == training_configuration.load("tiny", ["training.epochs=3"], {"method": "concat"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, "unknown configuration key modle"),
        ({"data": {"source": "r", "shard": 3}}, "unknown configuration key data.shard"),
        ({"model": ""}, "model is missing"),
        ({"work": ""}, "work is missing"),
        ({"data": {"source": ""}}, "data.source is missing"),
        ({"data": {"source": "r", "shards": 0}}, "data.shards must be from 1 to 10000. Received: 0"),
        ({"data": {"source": "r", "max_bad_share": 1.5}}, "data.max_bad_share must be from 0 to 1. Received: 1.5"),
        ({"validation": {"fewest_cases": 0}}, "validation.fewest_cases must be from 1 to 1000000000. Received: 0"),
        ({"blessing": {}}, "blessing.thresholds is missing: a release needs at least one"),
        ({"blessing": {"thresholds": [{"at_least": 0.5}]}}, "each needs a metric"),
        ({"blessing": {"thresholds": [{"metric": "a.b"}]}}, "a.b needs at_least, a number to reach"),
        (
            {"blessing": {"thresholds": [{"metric": "tasks.DIAG.classes.MEL.auk", "at_least": 0.5}]}},
            "metrics.json has no tasks.DIAG.classes.MEL.auk with a 95 % interval; for example average.accuracy",
        ),
        (
            {"blessing": SMALLEST["blessing"] | {"significance": 0.6}},
            "blessing.significance must be greater than 0, at most 0.5. Received: 0.6",
        ),
        ({"blessing": SMALLEST["blessing"] | {"subgroups": ["hair"]}}, "must be one of level_of_diagnostic_difficulty"),
        ({"blessing": SMALLEST["blessing"] | {"split": "train"}}, "must be one of validate, test"),
        ({"infra": {"canaries": 0}}, "infra.canaries must be from 1 to 10000. Received: 0"),
        (
            {"infra": {"patience_seconds": 0}},
            "infra.patience_seconds must be greater than 0, at most 86400. Received: 0",
        ),
        ({"training": {"preset": "papr"}}, "unknown preset 'papr'"),
        ({"training": {"overrides": ["training.epoch=3"]}}, "unknown configuration key training.epoch"),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_key(changes, message):
    with pytest.raises(ConfigError, match=f"^release.yaml: .*{message}"):
        parse(**changes)


@pytest.mark.parametrize(
    ("text", "message"), [("[1, 2]", "must be a mapping of sections"), ("a: [", "is not valid YAML")]
)
def test_what_is_no_configuration_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        configuration.parse(text, "release.yaml")
    with pytest.raises(ConfigError, match="cannot read none.yaml: No such file or directory"):
        configuration.read(Path("none.yaml"))
