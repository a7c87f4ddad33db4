"""A card that cannot be is refused with a line for each fault, by the place where it stands; how cards are found."""

import json
from pathlib import Path

import pytest
from small_pairs import HOSPITAL, write_hospital, write_milk10k

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


def problems_of(*changes: tuple[str, str]) -> list[str]:
    """Returns the faults of the hospital's card with some text in place of other."""
    text = HOSPITAL
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with pytest.raises(cards.CardError) as raised:
        cards.parse(text, "dataset.yaml")
    assert str(raised.value).startswith(f"dataset.yaml: {raised.value.problems[0]}")
    return raised.value.problems


FAULTS = [
    ("id: lesion,", "", "cases.id: is needed"),
    ("group: patient", "groups: patient", "cases.groups: unknown key; known here: table, id, group, join"),
    ("table: hospital.csv", "table: ../hospital.csv", "cases.table: must be a path within the folder of the data set"),
    ("table: hospital.csv", "table: [a]", "cases.table: should be a valid string. Received: ['a']"),
    ("name: hospital\n", 'name: "Our data"\n', "name: "),
    ("train: 0.6", "train: 0.7", "split.assign: the shares must add up to 1. Received: 1.1"),
    ("stratify: DX", "stratify: D", "split.assign.stratify: there is no task 'D'; known here: DX, ULC"),
    ("folds: 2", "folds: 1", "split.assign.folds: "),
    ("{column: overview, missing: allowed}", "{missing: allowed}", "pictures.clinical: exactly one of column, path"),
    ("{lesion}/derm*.png", "derm.png", "pictures.dermoscopic.path: names no {COLUMN}"),
    (
        "{lesion}/derm*.png",
        "{lesion}/de**rm.png",
        "pictures.dermoscopic.path: ** cannot be part of a name, * stands for any letters. Received: "
        "'{lesion}/de**rm.png'",
    ),
    ("{lesion}/derm*.png", "{lesion!r}.png", "pictures.dermoscopic.path: only {COLUMN} may stand in braces"),
    ("  folder: pictures\n", "  folder: pictures\n  kind: view\n", "pictures.kind: belongs to a table of pictures"),
    ("column: Diagnose", "one_hot: [MEL, NEV]", "tasks[0]: task DX has a column for each class, so that classes have"),
    ("labels: [Naevus, Nävus]", "labels: [Melanom]", "tasks[0]: label 'Melanom' of task DX stands 2 times"),
    ("missing: [unklar", "missing: [Melanom", "tasks[0]: label 'Melanom' of task DX stands 2 times"),
    ("{name: yes, labels: [ja]}", "{name: no, labels: [ja]}", "tasks[1]: class no of task ULC stands 2 times"),
    ("- {name: ULC", "- {name: DX", "tasks: DX stands 2 times"),
    ("- {name: ULC", "- {name: split", "'split' cannot be the name of a task, target, score or metadata column"),
    (
        "DX, classes: [MEL]}",
        "DX, classes: [SCC]}",
        "targets.melanoma.classes: task DX has no class 'SCC'; known here: MEL",
    ),
    ("suggests: melanoma", "suggests: scc", "scores.risk.suggests: there is no target 'scc'; known here: melanoma"),
    ("ULC: {yes: 1}", "ULC: {maybe: 1}", "scores.risk.points.ULC: task ULC has no class 'maybe'"),
    ("ULC: {yes: 1}", 'ULC: {yes: "1"}', "scores.risk.points.ULC.yes: should be a valid integer. Received: '1'"),
    ("ULC: {yes: 1}", "ULC: {yes: 99999999999}", "scores.risk.points.ULC.yes: should be less than or equal to 1000"),
    ("range: [0, 110]", "range: [0, .inf]", "metadata.age.range[1]: should be a"),
    ("range: [0, 110]", "range: [110, 0]", "metadata.age.range: the lower end must be below the upper"),
    ("range: [0, 110], ", "", "metadata.age: exactly one of values, range is needed; there is none"),
    ("female: [w]", "female: [m]", "metadata.sex: value 'm' stands 2 times"),
    ("follows_from: DX", "follows_from: DZ", "metadata.sex.follows_from: there is no task 'DZ'"),
]


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS)
def test_a_fault_is_told_at_its_place(old, new, expected):
    found = problems_of((old, new))
    assert any(problem.startswith(expected) for problem in found), found


def test_all_faults_are_told_at_once():
    found = problems_of(("id: lesion,", ""), ("folds: 2", "folds: 1"), ("- {name: ULC", "- {nome: ULC"))
    assert len(found) == 4  # the name is needed, too
    found = problems_of(("train: 0.6", "train: 0.7"), ("suggests: melanoma", "suggests: scc"))
    assert len(found) == 2


@pytest.mark.parametrize("text", ["", "- a", "x"])
def test_what_is_no_mapping_is_no_card(text):
    with pytest.raises(cards.CardError, match="must be a mapping of sections"):
        cards.parse(text, "dataset.yaml")


def test_a_card_is_found_beside_the_data_or_by_the_layout_or_where_it_is_named(tmp_path, drawn):
    hospital = write_hospital(tmp_path / "hospital")
    assert cards.find(hospital) == (cards.read(hospital / cards.FILE), hospital)
    milk = write_milk10k(tmp_path / "milk")
    assert cards.find(milk) == (cards.packaged("milk10k"), milk)
    assert cards.find(drawn) == (cards.packaged("derm7pt"), drawn)
    inner = tmp_path / "around"
    inner.mkdir()
    (inner / "release_v0").symlink_to(drawn)
    assert cards.find(inner) == (cards.packaged("derm7pt"), inner / "release_v0")
    own = tmp_path / "mine.yaml"
    own.write_text(HOSPITAL.replace("name: hospital", "name: mine"), encoding="utf-8")
    assert cards.find(hospital, own)[0].name == "mine"
    with pytest.raises(ConfigError, match=r"has no card: there is no dataset\.yaml in it"):
        cards.find(tmp_path)


def test_a_card_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "card.yaml"
    with pytest.raises(ConfigError, match=f"cannot read {path}: No such file"):
        cards.read(path)
    path.write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"it is not UTF-8 \(byte 6\)"):
        cards.read(path)
    path.write_text("name: a\nname: b\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="key 'name' stands twice"):
        cards.read(path)


def test_the_schema_for_editors_is_that_of_the_code():
    stored = json.loads((ROOT / "docs" / "dataset.schema.json").read_text(encoding="utf-8"))
    assert stored == DataCard.model_json_schema(by_alias=True)


def test_every_key_is_in_the_documents():
    text = (ROOT / "docs" / "cards.md").read_text(encoding="utf-8")
    schema = DataCard.model_json_schema(by_alias=True)
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part["properties"]}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []
