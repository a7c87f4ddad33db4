"""metrics.json is read in one place, which names the key that is missing or of another type."""

import json
import types
import typing

import pytest
from prediction_tables import random_table
from releases import TinyRelease

from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import RunError
from amfam_tf.evaluation import compare_runs, paper, report
from amfam_tf.files import json_file
from amfam_tf.report import results
from amfam_tf.tasks import DERM7PT


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Returns a metrics.json with every part, as a file has it."""
    release = read_release(TinyRelease(cases=12).write(tmp_path_factory.mktemp("data") / "release"))
    table = random_table(12, seed=3)
    temperatures = dict.fromkeys(("DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"), 1.5)
    built = report.build_report(
        table,
        "test",
        cases=release,
        training=release,
        uncalibrated=table,
        temperatures=temperatures,
        notes=["a note"],
        card=DERM7PT,
    )
    built["published"] = paper.published_part("amfam", release, "test")
    return json_file.plain(
        built | {"modalities": ["clinical"], "model_sha256": "a" * 64, "trained_on_these_data": True}
    )


def undeclared(value, kind, place=""):
    """Returns the places that the types do not have."""
    if kind is results.Report or typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        assert set(kind.__required_keys__) <= set(value), place
        found = [f"{place}.{key}" for key in value if key not in hints]
        return found + [one for key in value if key in hints for one in undeclared(value[key], hints[key], key)]
    parts = typing.get_args(kind)
    if isinstance(value, dict):
        kind = next(
            part for part in (parts if typing.get_origin(kind) is not dict else (kind,)) if part is not type(None)
        )
        if typing.is_typeddict(kind):
            return undeclared(value, kind, place)
        return [
            one for key, item in value.items() for one in undeclared(item, typing.get_args(kind)[1], f"{place}.{key}")
        ]
    if isinstance(value, list):
        return [one for item in value for one in undeclared(item, parts[0], place)]
    return []


def test_types_name_every_key_that_an_evaluation_writes(content):
    assert undeclared(content, results.Report) == []
    compared = compare_runs.compare(random_table(20, 1), random_table(20, 1, skill=0.1), 20, card=DERM7PT)
    assert undeclared(json_file.plain(compared | {"first": "a", "second": "b"}), results.RunComparison) == []


def test_a_file_is_read_as_it_is(content, tmp_path):
    path = tmp_path / "metrics.json"
    assert results.read(path) is None
    json_file.write(path, content)
    assert results.read(path) == content
    assert any(values["auc"] is None for values in content["tasks"]["DIAG"]["classes"].values())


def test_a_file_of_an_older_version_lacks_what_that_did_not_write(content, tmp_path):
    old = {key: content[key] for key in ("split", "cases", "average", "tasks")}
    json_file.write(tmp_path / "metrics.json", old)
    assert results.read(tmp_path / "metrics.json") == old


def optional(value, kind, place=()):
    """Gives (type, key, place) of each key that a file need not have."""
    if typing.is_typeddict(kind):
        for key, part in typing.get_type_hints(kind).items():
            if key in value:
                if key in kind.__optional_keys__:
                    yield kind.__name__, key, (*place, key)
                yield from optional(value[key], part, (*place, key))
    elif isinstance(value, dict | list):
        kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        wanted = next(one for one in kinds if one is not type(None))
        if typing.is_typeddict(wanted):
            yield from optional(value, wanted, place)
            return
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from optional(value[key], typing.get_args(wanted)[-1], (*place, key))


def test_each_key_that_not_all_versions_wrote_may_be_absent(content, tmp_path):
    path, tried = tmp_path / "metrics.json", set()
    for kind, key, place in optional(content, results.Report):
        if (kind, key) in tried:
            continue
        tried.add((kind, key))
        shorter = json.loads(json.dumps(content))
        part = shorter
        for step in place[:-1]:
            part = part[step]
        del part[place[-1]]
        json_file.write(path, shorter)
        assert results.read(path) == shorter, place
    # The types themselves say which these are: some that must be among them.
    known = {("Average", "macro"), ("OperatingPoint", "ci95"), ("TargetRule", "rule"), ("Subgroup", "too_small")}
    assert known <= tried
    assert len(tried) > 50


def test_of_several_keys_that_are_missing_the_first_by_name_is_told(content, tmp_path):
    path = tmp_path / "metrics.json"
    json_file.write(path, {key: value for key, value in content.items() if key not in ("split", "cases", "tasks")})
    with pytest.raises(RunError, match="it has no cases;"):
        results.read(path)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("average", ..., "it has no average"),
        ("tasks.PN.accuracy", ..., "it has no tasks.PN.accuracy"),
        ("cases", "12", "cases is not a whole number"),
        ("cases", True, "cases is not a whole number"),
        ("split", None, "split is not a text"),
        ("tasks.DIAG.classes.MEL.auc", "0.5", "tasks.DIAG.classes.MEL.auc is not a number"),
        ("tasks.DIAG.classes", [], "tasks.DIAG.classes is not an object"),
        ("average.accuracy_ci95", [0.1, {}], "average.accuracy_ci95.1 is not a number"),
        ("melanoma.rules", {}, "melanoma.rules is not a list"),
        ("calibration.temperatures", [1.0], "calibration.temperatures is not an object"),
        ("trained_on_these_data", "yes", "trained_on_these_data is not true or false"),
    ],
)
def test_what_is_missing_or_of_another_type_is_named_with_its_file(content, tmp_path, place, value, said):
    path, broken = tmp_path / "metrics.json", json.loads(json.dumps(content))
    *way, last = place.split(".")
    node = broken
    for key in way:
        node = node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    json_file.write(path, broken)
    with pytest.raises(RunError) as caught:
        results.read(path)
    assert str(caught.value) == f"{path} is damaged: {said}; run amfam-tf evaluate again"


@pytest.mark.parametrize("text", ["[1]", "7", "{", ""])
def test_what_is_no_object_is_damaged(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"metrics\.json is damaged: .*run amfam-tf evaluate again"):
        results.read(path)
