"""Batch prediction with versions of other cards: columns of the card, from a data set, a CSV of pairs and records."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tensorflow as tf
from small_pairs import HOSPITAL, hospital_rows, write_hospital, write_milk10k, write_rows
from written_records import write_records

from amfam_tf.batch_predict.model import describe_version, load_shared
from amfam_tf.batch_predict.pipeline import run
from amfam_tf.batch_predict.source import open_source
from amfam_tf.card import cards
from amfam_tf.card.cards import CardError
from amfam_tf.data import cases
from amfam_tf.data.shards import shard_names
from amfam_tf.errors import DataError
from amfam_tf.evaluation.predictions import probability_columns
from amfam_tf.evaluation.run import evaluate_run

CARD = cards.parse(HOSPITAL, "hospital")
HOSPITAL_COLUMNS = [
    *("case_num", "DX_pred", "DX_MEL", "DX_NEV", "ULC_pred", "ULC_no", "ULC_yes", "melanoma_probability", "risk"),
    *("model", "model_version", "error"),
]
ANSWERS = HOSPITAL_COLUMNS[1:9]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return write_hospital(tmp_path_factory.mktemp("hospital") / "data")


@pytest.fixture(scope="module")
def version(other_versions):
    """The hospital's version, in memory for all tests of this file."""
    path = other_versions["hospital"].path
    held = load_shared(str(path))
    yield path
    del held


@pytest.fixture(scope="module")
def of_data_set(hospital, version, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    return run(str(hospital), str(version), str(out), batch_size=5), pd.read_parquet(out), out


def test_columns_are_those_of_the_card_with_their_types(of_data_set):
    _, table, out = of_data_set
    assert list(table) == HOSPITAL_COLUMNS
    found = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(next(out.glob("*.parquet")))}
    wanted = {"case_num": "int64", "DX_pred": "string", "DX_MEL": "float", "melanoma_probability": "float"}
    assert {name: found[name] for name in (*wanted, "risk")} == wanted | {"risk": "int32"}


def test_a_case_without_a_picture_has_the_reason_and_all_others_their_answers(of_data_set):
    report, table, _ = of_data_set
    assert (report.pairs, report.errors) == (12, 1)
    assert table["case_num"].tolist() == list(range(1, 13))
    assert table["error"].notna().tolist() == [number == 1 for number in range(12)]
    assert table["error"][1] == report.first_error == "case L1 has no clinical picture"
    assert table[ANSWERS].isna().all(axis=1).tolist() == [number == 1 for number in range(12)]


def test_answers_are_means_over_the_pairs_of_a_case(of_data_set, hospital, version):
    _, table, _ = of_data_set
    model = tf.saved_model.load(str(version))
    row = hospital_rows()[0]
    files = [hospital / "pictures" / "L0" / f"derm{number}.png" for number in range(3)]
    inputs = {
        "clinical": tf.constant([(hospital / "pictures" / row[2]).read_bytes()] * 3),
        "dermoscopic": tf.constant([path.read_bytes() for path in files]),
    }
    direct = {name: value.numpy() for name, value in model.signatures["serving_default"](**inputs).items()}
    points = 0
    for task in CARD.tasks:
        found = table.loc[0, [f"{task.name}_{name}" for name in task.classes]].to_numpy(np.float64)
        assert np.ptp(direct[task.name], axis=0).min() > 1e-4
        np.testing.assert_allclose(found, direct[task.name].mean(axis=0), atol=1e-5)
        assert table[f"{task.name}_pred"][0] == task.classes[int(np.argmax(found))]
        points += CARD.scores["risk"].points_of(task)[int(np.argmax(found))]
    assert table["melanoma_probability"][0] == pytest.approx(direct["melanoma_probability"].mean(), abs=1e-5)
    assert table["risk"][0] == points


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("which", ["all", "first"])
def test_answers_are_those_of_evaluate_with_its_temperatures(which, other_versions, tmp_path):
    data = write_hospital(tmp_path / "data", [row for row in hospital_rows() if row[0] != "L1"])
    folder = shutil.copytree(other_versions["hospital"].run, tmp_path / "run")
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(text.replace("several_pictures: all", f"several_pictures: {which}"))
    exported = shutil.copytree(other_versions["hospital"].path, tmp_path / "1")
    metadata = exported / "assets.extra" / "metadata.json"
    content = json.loads(metadata.read_text(encoding="utf-8"))
    content["configuration"]["data"]["several_pictures"] = which
    metadata.write_text(json.dumps(content), encoding="utf-8")
    run(str(data), str(exported), str(tmp_path / "out"), batch_size=2)
    answers = pd.read_parquet(tmp_path / "out").set_index("case_num")
    evaluated = pd.concat([evaluate_run(folder, data, split).table for split in ("train", "validate", "test")])
    evaluated = evaluated.set_index("case_num").loc[answers.index]
    values = [name for task in CARD.tasks for name in probability_columns(task)]
    np.testing.assert_allclose(answers[values].to_numpy(), evaluated[values].to_numpy(np.float64), atol=1e-5)
    assert len(answers) == 11 and answers["error"].isna().all()


def test_a_bad_picture_among_several_costs_the_case_its_answer_and_is_named(hospital, version, tmp_path):
    data = shutil.copytree(hospital, tmp_path / "data")
    bad = data / "pictures" / "L0" / "derm2.png"
    bad.write_bytes(b"no picture")
    report = run(str(data), str(version), str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out")
    assert (report.pairs, report.errors) == (12, 2)
    assert table["error"][0].startswith(f"dermoscopic picture {bad} cannot be used: ")


def same_answers(first: pd.DataFrame, second: pd.DataFrame) -> None:
    for name in ANSWERS:
        if name.endswith("_pred"):
            assert first[name].fillna("").tolist() == second[name].fillna("").tolist()
        else:
            np.testing.assert_allclose(first[name], second[name], atol=1e-5, err_msg=name)


def test_a_list_of_pairs_gives_the_same_answers(of_data_set, hospital, version, tmp_path):
    rows = [(n, f"pictures/{row[2]}", f"pictures/{row[0]}/derm0.png") for n, row in enumerate(hospital_rows())]
    del rows[1]
    write_rows(tmp_path / "pairs.csv", ("case_num", "clinical", "dermoscopic"), rows)
    run(str(tmp_path / "pairs.csv"), str(version), str(tmp_path / "out"), images=str(hospital), batch_size=5)
    found = pd.read_parquet(tmp_path / "out")
    assert found["case_num"].tolist() == [row[0] for row in rows]
    # Of L0 the list has the first of three pictures.
    same_answers(found[1:], of_data_set[1].drop(index=[0, 1]).reset_index(drop=True))


def test_records_with_a_card_give_the_same_answers(of_data_set, hospital, version, tmp_path):
    write_records(cases.read(hospital).cases, tmp_path / "records", 1, CARD)
    run(str(tmp_path / "records"), str(version), str(tmp_path / "out"), batch_size=5)
    found = pd.read_parquet(tmp_path / "out")
    assert found["case_num"].tolist() == of_data_set[1]["case_num"].tolist()
    assert found["error"][1] == f"{tmp_path / 'records' / shard_names(1)[0]}, record 1 has no clinical picture"
    same_answers(found, of_data_set[1])


def test_eleven_classes_and_two_targets_of_pictures_in_a_table(other_versions, tmp_path):
    data = write_milk10k(tmp_path / "data", lesions=20)
    run(str(data), str(other_versions["milk10k"].path), str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out")
    classes = cards.packaged("milk10k").tasks[0].classes
    derived = ["melanoma_probability", "malignant_probability"]
    told = ["model", "model_version", "error"]
    assert list(table) == ["case_num", "DIAG_pred", *(f"DIAG_{name}" for name in classes), *derived, *told]
    assert (len(table), table["error"].notna().sum()) == (20, 0)
    probabilities = table[[f"DIAG_{name}" for name in classes]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    malignant = [f"DIAG_{name}" for name in ("AKIEC", "BCC", "MAL_OTH", "MEL", "SCCKA")]
    np.testing.assert_allclose(table["malignant_probability"], table[malignant].sum(axis=1), atol=1e-5)
    assert table["melanoma_probability"].tolist() == table["DIAG_MEL"].tolist()


def test_a_version_has_its_card_and_one_of_derm7pt_none(other_versions):
    assert describe_version(other_versions["hospital"].path).card == CARD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "hospital.csv row 12: column 'lesion': value 'L0' is that of row 0 already"),
        (lambda rows: [("", *rows[0][1:]), *rows[1:]], "hospital.csv row 0: column 'lesion' is empty"),
    ],
)
def test_cases_that_cannot_be_told_apart_are_refused(tmp_path, change, message):
    data = write_hospital(tmp_path / "data", change(hospital_rows()))
    with pytest.raises(DataError) as caught:
        open_source(str(data))
    assert str(caught.value) == f"{data}: {message}"


def test_wrong_labels_do_not_matter_and_a_path_that_names_no_file_is_the_error_of_its_row(tmp_path):
    rows = hospital_rows()
    rows[2] = (*rows[2][:3], "unheard of", *rows[2][4:])
    data = write_hospital(tmp_path / "data", rows)
    (data / "pictures" / rows[4][2]).unlink()
    found = list(open_source(str(data)).rows())
    assert [number for number, row in enumerate(found) if row.error] == [1, 4]
    assert found[4].error == f"hospital.csv row 4: picture '{rows[4][2]}' names no file in pictures/"
    assert found[0].dermoscopic.endswith("derm0.png")


def test_a_card_that_cannot_be_is_said(tmp_path):
    data = write_hospital(tmp_path / "data", card=HOSPITAL.replace("id: lesion, ", ""))
    with pytest.raises(CardError, match=r"dataset.yaml: cases.id: is needed"):
        open_source(str(data))
