"""Batch prediction with a version that takes metadata: from a data set, a CSV of pairs and records."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clinic import CARD, COLUMNS, TEXT, write_clinic
from small_pairs import HOSPITAL, write_hospital, write_rows
from written_records import write_records

from amfam_tf.batch_predict.model import describe_version, load_shared
from amfam_tf.batch_predict.pipeline import run
from amfam_tf.batch_predict.source import open_source
from amfam_tf.data import cases
from amfam_tf.errors import DataError
from amfam_tf.release.served_predictions import predict_served

ANSWERS = ["DX_MEL", "DX_NEV", "ULC_no", "ULC_yes", "melanoma_probability"]


@pytest.fixture(scope="module")
def version(clinic):
    held = load_shared(str(clinic.path))
    yield clinic.path
    del held


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_clinic(tmp_path_factory.mktemp("clinic") / "data")


@pytest.fixture(scope="module")
def of_data_set(data, version, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    run(str(data), str(version), str(out), batch_size=5)
    return pd.read_parquet(out)


def same_answers(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found["error"].isna().all()
    np.testing.assert_allclose(found[ANSWERS], expected[ANSWERS], atol=1e-5)


def test_a_version_says_what_it_takes(version):
    found = describe_version(version)
    assert found.columns == COLUMNS
    assert found.metadata == {name: CARD.metadata[name] for name in COLUMNS}


def test_a_data_set_gives_each_case_its_own_metadata(of_data_set, version, data):
    frame = cases.read(data).cases
    shared, changes = load_shared(str(version)), []
    for row, case in enumerate(frame.to_dict("records")):
        pictures = {name: Path(case[name]).read_bytes() for name in ("clinical", "dermoscopic")}
        squares = {name: square[np.newaxis] for name, square in shared.prepare(pictures).items()}
        answer = shared.predict(squares, [{name: case[name] for name in COLUMNS}])
        np.testing.assert_allclose(of_data_set.loc[row, ["DX_MEL", "DX_NEV"]].to_list(), answer["DX"][0], atol=1e-5)
        changes.append(np.abs(shared.predict(squares)["DX"] - answer["DX"]).max())
    assert max(changes) > 1e-4  # otherwise nothing has been shown


def pairs_of(data, *, without: str = "") -> tuple[tuple[str, ...], list[tuple]]:
    """Returns header and rows of a CSV of pairs of the data."""
    names = [name for name in COLUMNS if name != without]
    frame = cases.read(data).cases
    rows = [tuple(row) for row in frame[["case_num", "clinical", "dermoscopic", *names]].to_numpy().tolist()]
    return ("case_num", "clinical", "dermoscopic", *names), rows


def test_a_list_of_pairs_has_a_column_for_each(of_data_set, version, data, tmp_path):
    header, rows = pairs_of(data)
    rows[0] = (*rows[0][:3], "w", *rows[0][4:])  # a raw value
    write_rows(tmp_path / "pairs.csv", header, rows)
    run(str(tmp_path / "pairs.csv"), str(version), str(tmp_path / "out"), batch_size=5)
    same_answers(pd.read_parquet(tmp_path / "out"), of_data_set)
    # The same values are the same input: nothing is done again. Another value is another input.
    assert run(str(tmp_path / "pairs.csv"), str(version), str(tmp_path / "out"), batch_size=5).pairs == 10
    rows[1] = (*rows[1][:4], "42", *rows[1][5:])
    write_rows(tmp_path / "pairs.csv", header, rows)
    with pytest.raises(DataError, match="what differs is the input"):
        run(str(tmp_path / "pairs.csv"), str(version), str(tmp_path / "out"), batch_size=5)


def test_a_value_that_cannot_be_is_an_error_of_its_row(of_data_set, version, data, tmp_path):
    header, rows = pairs_of(data)
    rows[2], rows[5] = (*rows[2][:4], "150", *rows[2][5:]), (*rows[5][:3], "x", *rows[5][4:])
    write_rows(tmp_path / "pairs.csv", header, rows)
    report = run(str(tmp_path / "pairs.csv"), str(version), str(tmp_path / "out"), batch_size=5)
    found = pd.read_parquet(tmp_path / "out")
    assert report.errors == 2
    assert found["error"].dropna().to_dict() == {
        2: "age: the value 150 is no number from 0 to 110",
        5: "sex: the value x is none of: female (w, W), male (m)",
    }
    kept = found["error"].isna()
    np.testing.assert_allclose(found.loc[kept, ANSWERS], of_data_set.loc[kept, ANSWERS], atol=1e-5)


def test_a_column_that_is_missing_is_one_line(version, data, tmp_path):
    header, rows = pairs_of(data, without="age")
    write_rows(tmp_path / "pairs.csv", header, rows)
    columns = describe_version(version).metadata
    with pytest.raises(DataError, match=r"pairs.csv: .*'?age'?.*a CSV of pairs for this version"):
        open_source(str(tmp_path / "pairs.csv"), columns=columns)
    other = write_hospital(tmp_path / "other", card=HOSPITAL)
    with pytest.raises(DataError) as caught:
        open_source(str(other), columns=columns)
    assert str(caught.value) == (
        f"{other}: card hospital has no metadata 'class', which the version takes; it has age, sex"
    )
    write_records(cases.read(data).cases, tmp_path / "records", 1, CARD)
    (tmp_path / "records" / "dataset.yaml").write_text(TEXT.replace("  dose:", "  dosis:"))
    with pytest.raises(DataError, match="has no metadata 'dose', which the version takes; it has age, sex, class, do"):
        open_source(str(tmp_path / "records"), columns=columns)


def test_records_give_the_same_answers_also_to_a_release(of_data_set, version, data, tmp_path):
    write_records(cases.read(data).cases, tmp_path / "records", 2, CARD)
    run(str(tmp_path / "records"), str(version), str(tmp_path / "out"), batch_size=5)
    found = pd.read_parquet(tmp_path / "out").sort_values("case_num", ignore_index=True)
    same_answers(found, of_data_set)
    stored = cases.read(tmp_path / "records").cases
    served = predict_served(version, stored, CARD).sort_values("case_num", ignore_index=True)
    np.testing.assert_allclose(served[ANSWERS[:4]], of_data_set[ANSWERS[:4]], atol=1e-5)


def test_a_value_of_the_data_set_that_its_card_does_not_know_is_an_error_of_its_case(version, tmp_path):
    root = write_clinic(tmp_path / "data")
    table = root / "hospital.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace(";110;", ";111;"))
    rows = list(open_source(str(root), columns=describe_version(version).metadata).rows())
    wrong = {row.case_num: row.error for row in rows if row.error}
    assert list(wrong) == [5]
    assert "column 'Alter': value '111' is none of: 0 to 110" in wrong[5]
    assert rows[0].metadata == {"sex": "female", "age": "44", "class": "none", "dose": "2024.12"}


def test_rows_of_a_version_without_metadata_are_written_as_before(other_versions, tmp_path):
    data = write_hospital(tmp_path / "data", card=HOSPITAL)
    run(str(data), str(other_versions["hospital"].path), str(tmp_path / "out"), shards=1, batch_size=20)
    (rows,) = (tmp_path / "out" / "_rows").iterdir()
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    known = {"case_num", "clinical", "dermoscopic", "error", "contents"}
    # The first case has three dermoscopic pictures.
    assert [set(line) - known for line in lines] == [{"more"}, *[set()] * 11]
    assert all(known <= set(line) for line in lines)
