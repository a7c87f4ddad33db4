"""One patient, lesion or case in several splits: found by check and by ingest, and told by how bad it is."""

import pandas as pd
import pytest
from releases import META, TinyRelease

from amfam_tf.data.check import check_data_set
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.identities import COLUMNS, in_several_splits
from amfam_tf.ingest.anomalies import find_anomalies
from amfam_tf.ingest.source import read_source
from amfam_tf.tasks import DERM7PT


def test_a_value_in_several_splits_is_found_with_its_rows():
    cases = [
        {"row": 0, "split": "train", "patient_id": "A", "case_id": "1"},
        {"row": 1, "split": "test", "patient_id": "B", "case_id": ""},
        {"row": 2, "split": "train", "patient_id": "B", "case_id": ""},
        {"row": 3, "split": "train", "patient_id": "A ", "case_id": "2"},
        {"row": 4, "split": "", "patient_id": "A", "case_id": "1"},
        {"row": 5, "split": "test", "patient_id": "B", "case_id": "1"},
    ]
    found = list(in_several_splits(cases))
    assert [(one.column, one.value, one.rows) for one in found] == [
        ("patient_id", "B", {"test": (1, 5), "train": (2,)}),
        ("case_id", "1", {"train": (0,), "test": (5,)}),
    ]
    assert str(found[0]) == "patient_id 'B' is in test (row 1), train (row 2)"


@pytest.mark.parametrize(("column", "severity"), COLUMNS.items())
def test_check_and_ingest_name_it(tmp_path, column, severity):
    release = TinyRelease()
    release.meta[column] = [f"id {row}" for row in range(12)]
    release.meta.loc[[0, 1, 7, 11], column] = "id X"  # test, test, train, train
    root = release.write(tmp_path / "release")
    report = check_data_set(root)
    (finding,) = [*report.problems, *report.notes]
    assert (finding.file, finding.row, finding.kind, finding.severity) == (META, 7, "leakage", severity)
    assert finding.message == f"{column} 'id X' is in test (row 0), train (row 7)"
    assert len(read_release(root)) == 12
    table = pd.DataFrame(read_source(str(root)).cases)
    assert list(table[column]) == list(release.meta[column])
    pictures = {
        f"{name}_{key}": 100 for name in ("clinical", "dermoscopic") for key in ("width", "height", "brightness")
    }
    contrast = {"clinical_contrast": 50.0, "dermoscopic_contrast": 50.0, "shared_file": False}
    plain = {"digest": "f" * 64, "mode": "RGB", "profile": "", "treatment": "none", "remark": ""}
    stored = {f"{name}_{key}": value for name in ("clinical", "dermoscopic") for key, value in plain.items()}
    anomalies = find_anomalies(table.assign(**pictures, **contrast, **stored), [], [], DERM7PT)
    (found,) = [one for one in anomalies if one.kind == "leakage"]
    assert (found.severity, found.count, found.rows) == (severity, 4, (0, 1, 7, 11))
    assert found.message.startswith(
        f"1 value of {column} in several splits, 4 cases; the first: {column} 'id X' is in "
    )


def test_a_csv_of_pairs_may_have_them_and_none_is_needed(tmp_path):
    meta = TinyRelease(3).meta
    meta["split"], meta["clinical"], meta["dermoscopic"] = "train", meta["clinic"], meta["derm"]
    meta["patient_id"] = "P1"
    meta.drop(columns=["clinic", "derm", "seven_point_score", "notes"]).to_csv(tmp_path / "pairs.csv", index=False)
    source = read_source(str(tmp_path / "pairs.csv"))
    assert [(case["patient_id"], case["lesion_id"]) for case in source.cases] == [("P1", "")] * 3
    assert source.notes == []
