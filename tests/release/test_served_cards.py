"""What a served version says of the cases of another card: its own tasks, means over all pairs of a case."""

import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from small_pairs import HOSPITAL, hospital_rows, write_hospital
from written_records import write_records

from amfam_tf.card import cards
from amfam_tf.data import cases as reading
from amfam_tf.data import records, several
from amfam_tf.errors import ExportError
from amfam_tf.evaluation import predictions
from amfam_tf.release import infra_validator
from amfam_tf.release.layout import RECORDS, RUN
from amfam_tf.release.served_predictions import predict_served
from amfam_tf.runs.folder import PREDICTIONS_FILE, RunFolder

CARD = cards.parse(HOSPITAL, "hospital")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder of records of the hospital's lesions that have both pictures."""
    root = tmp_path_factory.mktemp("stored")
    data = write_hospital(root / "data", [row for row in hospital_rows() if row[0] != "L1"])
    folder = root / RECORDS
    write_records(reading.read(data).cases, folder, 1, CARD)
    return folder


@pytest.fixture(scope="module")
def answered(other_versions, stored):
    return predict_served(other_versions["hospital"].path, records.read_records(stored), CARD)


def test_a_case_of_several_pictures_has_the_mean_over_its_pairs(answered, other_versions, stored):
    cases = records.read_records(stored)
    assert list(answered["case_num"]) == list(cases["case_num"])
    first = cases[cases["case_id"] == "L0"]
    pairs = several.all_pairs(first)
    assert len(pairs) == 3
    model = tf.saved_model.load(str(other_versions["hospital"].path))
    files = {name: [] for name in reading.MODALITIES}
    for pair in records.encoded_pairs(pairs).as_numpy_iterator():
        for name in files:
            files[name].append(pair[name])
    direct = model.signatures["serving_default"](**{name: tf.constant(value) for name, value in files.items()})
    for task in CARD.tasks:
        row = answered.loc[answered["case_num"] == first["case_num"].iloc[0], predictions.probability_columns(task)]
        np.testing.assert_allclose(row.to_numpy()[0], direct[task.name].numpy().mean(axis=0), atol=1e-5)
        assert (predictions.true_labels(answered, task) == cases[task.name].to_numpy()).all()


def test_a_version_of_a_run_that_takes_first_pictures_is_asked_about_these(other_versions, stored, tmp_path):
    exported = shutil.copytree(other_versions["hospital"].path, tmp_path / "1")
    metadata = exported / "assets.extra" / "metadata.json"
    text = metadata.read_text(encoding="utf-8")
    assert '"several_pictures": "all"' in text
    metadata.write_text(text.replace('"several_pictures": "all"', '"several_pictures": "first"'), encoding="utf-8")
    cases = records.read_records(stored)
    found = predict_served(exported, cases, CARD)
    one_each = predict_served(other_versions["hospital"].path, several.all_pairs(cases).query("pair == 0"), CARD)
    assert found.equals(one_each)


def test_a_version_of_other_questions_is_not_compared(other_versions, stored):
    folder = other_versions["milk10k"].path
    with pytest.raises(ExportError) as caught:
        predict_served(folder, records.read_records(stored), CARD)
    assert str(caught.value) == (
        f"{folder} is of milk10k, whose tasks or classes are not those of hospital: they cannot be compared; release "
        "under another model's name"
    )


class AnsweringClient:
    """Gives the measured probabilities in the order in which it is asked, and notes how often."""

    table, asked, told = None, 0, []

    def __init__(self, _):
        pass

    def card(self):
        return types.SimpleNamespace(metadata={"age": None})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def predict_many(self, pairs):
        for pair in pairs:
            type(self).told.append(pair.metadata)
            row = type(self).table.iloc[type(self).asked]
            type(self).asked += 1
            probabilities = {
                task.name: tuple(float(row[name]) for name in predictions.probability_columns(task))
                for task in CARD.tasks
            }
            yield types.SimpleNamespace(probabilities=probabilities)


def test_canaries_are_cases_of_one_pair_and_of_the_cards_tasks(answered, stored, tmp_path, monkeypatch):
    from amfam_tf.client import client

    cases = records.read_records(stored)
    split = cases.loc[cases["case_id"] == "L0", "split"].iloc[0]
    own = answered[answered["case_num"].isin(cases.loc[cases["split"] == split, "case_num"])]
    folder = RunFolder(tmp_path / RUN).evaluation(split)
    folder.mkdir(parents=True)
    predictions.write(own, folder / PREDICTIONS_FILE, CARD)
    parts = {"blessing": types.SimpleNamespace(split=split)}
    parts["infra"] = types.SimpleNamespace(canaries=100, precision="float32")
    inputs = {"ExampleGen": stored.parent, "Evaluator": tmp_path}
    work = types.SimpleNamespace(config=types.SimpleNamespace(**parts), inputs=inputs)
    asked = own[own["case_num"] != cases.loc[cases["case_id"] == "L0", "case_num"].iloc[0]]
    monkeypatch.setattr(AnsweringClient, "table", asked)
    monkeypatch.setattr(client, "Client", AnsweringClient)
    monkeypatch.setattr(AnsweringClient, "told", [])
    rows = infra_validator._ask_canaries(None, work)
    assert {row["of"] for row in rows} == {f"case {number}" for number in asked["case_num"]}
    assert {row["output"] for row in rows} == {"DX", "ULC"}
    assert max(row["largest"] for row in rows) < 1e-12
    ages = cases.set_index("case_num")["age"]
    assert [one["age"] for one in AnsweringClient.told] == [ages[number] for number in asked["case_num"]]
