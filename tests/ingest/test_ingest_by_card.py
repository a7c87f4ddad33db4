"""Records of data sets with a card: the same cases, pictures and fingerprint, and the card goes with them."""

import json

import pandas as pd
import pytest
import tensorflow as tf
from small_pairs import HOSPITAL, hospital_rows, write_hospital, write_milk10k

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.data import pipeline, records, several
from amfam_tf.data.cases import encoded_pair, read
from amfam_tf.data.shards import read_card
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.ingest.pipeline import run
from amfam_tf.ingest.schema import read_schema
from amfam_tf.tasks import MODALITIES


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The hospital's data and the folder of records made of them."""
    folder = tmp_path_factory.mktemp("hospital")
    write_hospital(folder / "data")
    report = run(str(folder / "data"), str(folder / "records"), shards=2)
    assert (report.cases, report.bad) == (12, 0)
    return folder / "data", folder / "records"


def test_both_have_the_same_cases_card_and_fingerprint(stored):
    first, second = map(read, stored)
    assert first.card == second.card == cards.parse(HOSPITAL, "card")
    columns = [name for name in first.cases if name not in (*MODALITIES, *(f"{one}_all" for one in MODALITIES))]
    pd.testing.assert_frame_equal(first.cases[columns], second.cases[columns], check_dtype=False)
    for name in MODALITIES:
        assert [*first.cases[f"{name}_all"].map(len)] == [*second.cases[f"{name}_all"].map(len)]
        assert [*(first.cases[name] == "")] == [*(second.cases[name] == "")]
    assert first.fingerprint == second.fingerprint


def test_both_give_the_same_batches_and_pairs(stored):
    config = several_config()
    sets = [read(data) for data in stored]
    frames = [one.cases[one.cases["clinical"] != ""].reset_index(drop=True) for one in sets]
    pairs = [several.rows_of_pairs(frame, config) for frame in frames]
    assert [len(rows) for rows in pairs] == [13, 13]
    for one in zip(pairs, frames, strict=True):
        assert one[0] is not one[1]
    for make in (
        lambda frame, card: pipeline.training_dataset(frame, config, card=card),
        lambda frame, card: pipeline.evaluation_dataset(several.rows_of_pairs(frame, config), config, card=card),
    ):
        batches = [list(make(frame, one.card).as_numpy_iterator()) for frame, one in zip(frames, sets, strict=True)]
        assert len(batches[0]) == len(batches[1]) > 1
        for first, second in zip(*batches, strict=True):
            assert first.keys() == second.keys()
            assert all((first[key] == second[key]).all() for key in first)
    first, second = (frame.to_dict("records") for frame in frames)
    assert encoded_pair(first[0]) == encoded_pair(second[0])


def several_config():
    changes = {"data": {"image_size": 32, "cache": "memory"}, "training": {"batch_size": 5, "epochs": 2}, "seed": 3}
    return configuration.from_dict(changes)


def test_what_is_unknown_or_absent_is_counted(stored):
    anomalies = json.loads((stored[1] / "anomalies.json").read_text())["anomalies"]
    told = {one["kind"]: one["message"] for one in anomalies}
    assert told["no_picture"] == "1 cases have no clinical picture, which the card allows"
    assert told["unknown_label"] == "3 cases have no known label of DX"
    counts = json.loads((stored[1] / "statistics.json").read_text())
    assert {row["class"]: row["total"] for row in counts["classes"] if row["task"] == "DX"} == {
        "MEL": 3,
        "NEV": 6,
        "": 3,
    }
    ages = counts["metadata"]["age"]
    assert set(ages) == {"", "numbers"}
    assert ages["numbers"]["train"]["min"] >= 40.5
    assert set(counts["metadata"]["sex"]) == {"female", "male", ""}
    assert sum(counts["sizes"]["clinical"].values()) == 11


def test_the_schema_is_of_the_card(stored):
    features = {feature.name: feature for feature in read_schema(stored[1] / "schema.pbtxt").feature}
    assert (features["DX"].int_domain.min, features["DX"].int_domain.max) == (-1, 1)
    assert (features["ULC"].int_domain.min, features["ULC"].int_domain.max) == (0, 1)
    assert features["clinical"].presence.min_count == 0 and features["clinical"].HasField("shape")
    assert features["dermoscopic"].presence.min_count == 1 and not features["dermoscopic"].HasField("shape")
    assert {"age", "sex", "group", "fold"} <= set(features) and "PN" not in features
    spec = records.feature_spec(read_card(stored[1]))
    assert set(spec) == set(features)


def test_a_same_picture_is_found_wherever_it_stands(tmp_path):
    """Also where it is not the first one of its case."""
    data = write_hospital(tmp_path / "data")
    target = data / "pictures" / "L7" / "derm0.png"
    target.write_bytes((data / "pictures" / "L0" / "derm2.png").read_bytes())
    run(str(data), str(tmp_path / "records"), shards=1)
    found = json.loads((tmp_path / "records" / "anomalies.json").read_text())["duplicates"]
    assert [[(use["row"], use["modality"]) for use in group["pictures"]] for group in found] == [
        [(0, "dermoscopic"), (7, "dermoscopic")]
    ]


def test_a_row_with_a_problem_is_a_dead_letter_and_a_shared_group_ends_it(tmp_path):
    rows = hospital_rows()
    rows[3] = (*rows[3][:3], "Zyste", *rows[3][4:])
    write_hospital(tmp_path / "data", rows)
    report = run(str(tmp_path / "data"), str(tmp_path / "records"), shards=1, max_bad_share=0.1)
    letters = [json.loads(line) for line in (tmp_path / "records" / "dead_letter.jsonl").read_text().splitlines()]
    assert (report.cases, [(one["row"], one["kind"]) for one in letters]) == (11, [(3, "unknown_label")])
    card = HOSPITAL.replace(
        "split: {assign: {train: 0.6, validate: 0.2, test: 0.2, stratify: DX, seed: 3, folds: 2}}",
        "split: {column: {name: part}}",
    )
    write_hospital(tmp_path / "mixed", card=card)
    table = tmp_path / "mixed" / "hospital.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    parts = ["part", *["train", "validate", "test"] * 4]
    table.write_text("\n".join(f"{line};{part}" for line, part in zip(lines, parts, strict=True)), encoding="utf-8")
    with pytest.raises(DataError, match=r"mixed: hospital\.csv row \d+: patient 'P0' is in train"):
        run(str(tmp_path / "mixed"), str(tmp_path / "other"), max_bad_share=0.9)


def test_records_of_milk10k_by_the_verb(tmp_path, capsys):
    data = write_milk10k(tmp_path / "milk", 24)
    words = ["ingest", str(data), "--out", str(tmp_path / "records"), "--shards", "2", "--workers", "1"]
    assert main.main(words) == 0
    assert "DIAG MAL_OTH, other malignant proliferation" in capsys.readouterr().out
    assert read(tmp_path / "records").fingerprint == read(data).fingerprint
    examples = tf.data.TFRecordDataset(str(tmp_path / "records" / "cases-00000-of-00002.tfrecord.gz"), "GZIP")
    example = tf.train.Example.FromString(next(iter(examples)).numpy())
    assert example.features.feature["case_id"].bytes_list.value == [b"IL_0000000"]
    assert set(example.features.feature) == set(records.feature_spec(cards.packaged("milk10k")))


def test_what_does_not_go_with_a_card_is_refused(tmp_path):
    data = write_milk10k(tmp_path / "milk", 24)
    with pytest.raises(ConfigError, match="says where the pictures are: leave --images"):
        run(str(data), str(tmp_path / "records"), images=str(tmp_path))
    card = tmp_path / "card.yaml"
    card.write_text(cards.to_yaml(cards.packaged("milk10k")), encoding="utf-8")
    with pytest.raises(ConfigError, match="--card is for a folder of this machine"):
        run(str(tmp_path / "pairs.csv"), str(tmp_path / "records"), card=card)
    assert not (tmp_path / "records").exists()
