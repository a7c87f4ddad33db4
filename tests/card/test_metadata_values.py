"""What a raw value of a metadata column means, in a table and where somebody gives it, and names of inputs."""

import math

import pytest

from amfam_tf.card import metadata_values
from amfam_tf.card.schema import MetadataColumn
from amfam_tf.errors import DataError

SEX = MetadataColumn(values={"female": ("w", "W"), "male": ("m",)}, missing=("?",))
AGE = MetadataColumn(range=(0.7, 110.0), missing=("-1",))
COLUMNS = {"sex": SEX, "age": AGE, "class": MetadataColumn(values=("a", "b"))}


@pytest.mark.parametrize(
    ("column", "raw", "found"),
    [
        *((SEX, "w", "female"), (SEX, "W", "female"), (SEX, "m", "male"), (SEX, "?", ""), (SEX, None, "")),
        *((SEX, "female", None), (SEX, "M", None), (SEX, " w", None), (SEX, "", None)),
        *((AGE, "54", "54"), (AGE, " 54,30 ", "54.3"), (AGE, "0.7", "0.7"), (AGE, "110", "110"), (AGE, "-1", "")),
        *((AGE, "33.1234567", "33.1235"), (AGE, "0.69", None), (AGE, "110.1", None), (AGE, "old", None)),
        *((AGE, "", None), (AGE, "0" * 37 + "54", "54"), (AGE, "0" * 38 + "54", None)),
    ],
)
def test_a_field_of_a_table_is_as_the_card_spells_it(column, raw, found):
    assert metadata_values.in_table(column, raw) == found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        *(("sex", "female", "female"), ("sex", "w", "female"), ("sex", "?", ""), ("sex", "", ""), ("sex", None, "")),
        *(("age", 54, "54"), ("age", 54.3, "54.3"), ("age", "54,3", "54.3"), ("age", math.nan, ""), ("age", -1.0, "")),
        *(("age", "", ""), ("age", 0.7, "0.7"), ("class", "b", "b")),
    ],
)
def test_who_asks_may_give_names_raw_values_and_numbers(name, value, found):
    assert metadata_values.given(name, COLUMNS[name], value) == found


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sex", "f", "sex: the value f is none of: female (w, W), male (m)"),
        ("class", "c", "class: the value c is none of: a, b"),
        ("age", 0.6, "age: the value 0.6 is no number from 0.7 to 110"),
        ("age", "fifty", "age: the value fifty is no number from 0.7 to 110"),
        ("age", math.inf, "age: the value inf is no number from 0.7 to 110"),
    ],
)
def test_what_cannot_be_is_named_with_what_is_allowed(name, value, said):
    with pytest.raises(DataError) as caught:
        metadata_values.given(name, COLUMNS[name], value)
    assert str(caught.value) == said


def test_rows_become_inputs_with_what_is_left_out_unknown():
    found = metadata_values.as_inputs(COLUMNS, [{"sex": "w", "age": 54, "weight": 7}, {"class": "a"}])
    assert list(found) == ["sex", "age", "metadata_class"]
    assert (found["sex"], found["metadata_class"], found["age"][0]) == (["female", ""], ["", "a"], 54.0)
    assert math.isnan(found["age"][1])


def test_a_name_that_is_a_raw_value_of_something_else_is_told():
    assert list(metadata_values.ambiguous(COLUMNS)) == []
    twisted = MetadataColumn(values={"a": ("b",), "b": ("c",), "d": ("x", "d")}, missing=("a",))
    assert list(metadata_values.ambiguous({"kind": twisted})) == ["metadata.kind.values: a", "metadata.kind.values: b"]


def test_names_of_inputs_are_arguments_and_no_two_are_the_same():
    names = ["age", "class", "task", "examples", "self", "3d", "metadata_age", "metadata_class", "metadata", "Task"]
    found = [metadata_values.input_name(name) for name in names]
    assert found == [
        *("age", "metadata_class", "metadata_task", "metadata_examples", "metadata_self", "metadata_3d"),
        *("metadata_metadata_age", "metadata_metadata_class", "metadata", "Task"),
    ]
    assert len(set(found)) == len(names)
