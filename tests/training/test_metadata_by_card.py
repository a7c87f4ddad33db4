"""Metadata of a card as inputs: one-hots, numbers standardised on the training cases, and what is not let in."""

import io

import numpy as np
import pytest
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import SMALL_FOR_ANY, small_config
from small_pairs import COMPLETE_HOSPITAL, HOSPITAL, hospital_rows, write_hospital

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.card import cards, inputs
from amfam_tf.card.inputs import MetadataInput, inputs_of
from amfam_tf.data import pipeline
from amfam_tf.data.cases import read
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.layers import Standardise
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.training.run import fit

CARD = cards.parse(HOSPITAL, "card")


def recorder():
    return Console(record=True, width=300, force_terminal=False, file=io.StringIO())


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Ages of 40.5 to 51.5 years, but for one that nobody knows."""
    rows = [row for row in hospital_rows() if row[0] not in ("L0", "L1")]
    rows[4] = (*rows[4][:5], "", rows[4][6])
    return write_hospital(tmp_path_factory.mktemp("data") / "hospital", rows, COMPLETE_HOSPITAL)


def test_columns_become_numbers_in_the_order_in_which_they_are_named():
    age, sex = inputs_of(CARD, ["age", "sex"])
    assert (age, sex) == (MetadataInput("age", (), (0, 110)), MetadataInput("sex", ("female", "male")))
    rows = [{"case_num": 7, "age": "40.5", "sex": "male"}, {"case_num": 8, "age": "", "sex": None}]
    np.testing.assert_array_equal(inputs.encode((sex, age), rows), [[0, 1, 40.5, 0], [0, 0, 0, 1]])
    assert inputs.width((sex, age)) == 4
    assert inputs.number_places((sex, age)) == (2,)
    for column, value, message in (
        ("age", "111", "case 7: age '111' is no number from 0 to 110"),
        ("age", "old", "case 7: age 'old' is no number"),
        ("sex", "w", r"case 7: sex 'w' is none of \['female', 'male'\]"),
    ):
        with pytest.raises(DataError, match=message):
            inputs.encode((sex, age), [{**rows[0], column: value}])


def test_a_column_that_is_no_input_is_refused():
    with pytest.raises(
        ConfigError, match=r"^model.metadata\[1\] must be one of age, sex \(card hospital\). Received: 'x'$"
    ):
        inputs_of(CARD, ["age", "x"])
    with pytest.raises(ConfigError, match="Received: 'skin_tone_class', which is no input$"):
        inputs_of(cards.packaged("milk10k"), ["skin_tone_class"])
    assert inputs.warning(CARD, ["age"]) is None


@pytest.mark.parametrize("word", ["*", "all", "s*"])
def test_what_follows_from_the_answer_is_an_input_only_if_it_is_named(word):
    """Its name is the insistence: no configuration has it by default, and no word stands for all columns."""
    assert configuration.load("tiny").model.metadata == configuration.load("paper").model.metadata == ()
    with pytest.raises(ConfigError, match=r"^model.metadata\[0\] must be one of age, sex"):
        inputs_of(CARD, [word])
    assert [one.name for one in inputs_of(CARD, ["sex"])] == ["sex"]
    assert inputs.warning(CARD, ["age", "sex"]).startswith("the network is given sex, decided from the diagnosis: ")
    assert inputs.warning(CARD, ["age", "sex"]).startswith("the network is given sex, decided from the diagnosis: ")


def test_numbers_are_standardised_and_unknown_ones_are_the_mean():
    vectors = np.array([[1, 40, 0], [0, 60, 0], [1, 0, 1], [0, 50, 0]], np.float32)
    layer = Standardise((1,))
    layer.build((None, 3))
    layer.adapt(vectors)
    deviation = np.std([40, 60, 50])
    expected = [[1, -10 / deviation, 0], [0, 10 / deviation, 0], [1, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(layer(vectors), expected, atol=1e-6)
    layer.adapt(np.array([[0, 5, 0], [0, 5, 0]], np.float32))
    np.testing.assert_allclose(layer(np.array([[0, 6, 0]], np.float32)), [[0, 1, 0]])


@pytest.mark.parametrize("method", ["embeddingnet", "inception-combined"])
def test_a_fit_with_numbers_keeps_their_mean_of_the_training_cases(hospital, tmp_path, tiny_backbone, method):  # noqa: ARG001
    names = ["training.epochs=2", "training.batch_size=4", "model.metadata=[age,sex]"]
    config, console = small_config(*names, method=method, sizes=SMALL_FOR_ANY), recorder()
    with recycled_trainers():
        fit(hospital, tmp_path / "run", config, console)
    assert "warning: the network is given sex, decided from the diagnosis" in console.export_text()
    network, found = FinishedRun.open(tmp_path / "run").network, read(hospital)
    assert network.metadata == inputs_of(found.card, ["age", "sex"])
    rows = found.cases[found.cases["split"] == "train"]
    ages = rows.loc[rows["age"] != "", "age"].astype(float)
    layer = network.get_layer("standardise_metadata")
    np.testing.assert_allclose(layer.mean, [ages.mean(), 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(layer.deviation, [ages.std(ddof=0), 1, 1, 1], rtol=1e-5)
    batch = next(iter(pipeline.evaluation_dataset(rows, config, card=found.card)))
    given = {name: batch[name] for name in network.input}
    older = {**given, "metadata": given["metadata"] + np.array([5, 0, 0, 0], np.float32)}
    assert np.abs(network(given)["DX"] - network(older)["DX"]).max() > 1e-6


def test_the_networks_of_derm7pt_are_as_they_were(tiny_backbone):  # noqa: ARG001
    """One-hots alone need no layer, and what a file says of them does not change."""
    config = small_config("model.metadata=[sex]", method="embeddingnet", sizes=SMALL_FOR_ANY)
    network = models.create("embeddingnet", config)
    assert not any(isinstance(layer, Standardise) for layer in network.layers)
    assert not {"tasks", "metadata"} & set(network.get_config())
    assert [column.name for column in network.metadata] == ["sex"]
    with pytest.raises(ConfigError, match=r"must be one of level_of_diagnostic_difficulty, .*Received: 'age'"):
        models.create("embeddingnet", small_config("model.metadata=[age]", method="embeddingnet", sizes=SMALL_FOR_ANY))
