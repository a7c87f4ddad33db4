"""`amfam-tf query` of a model that takes metadata: options, columns of a table, and what is told of them."""

import csv
import io
import json

import pytest
from asked_servers import embedded_server
from clinic import CARD, COLUMNS
from exported_runs import encoded_pairs
from rich.console import Console

from amfam_tf.card.served import ServedCard
from amfam_tf.cli import main as command_line
from amfam_tf.client import card as printing
from amfam_tf.client.client import Answer

SERVED = ServedCard.of(CARD, COLUMNS)
NAMES = ("left.jpg", "right.jpg")


def answer(**metadata: str) -> Answer:
    known = dict.fromkeys(COLUMNS, "") | {name.rstrip("_"): value for name, value in metadata.items()}
    rows = {"DX": (0.875, 0.125), "ULC": (0.3, 0.7)}
    return Answer(rows, {"melanoma": 0.875}, {"risk": 3}, "lesions", 3, SERVED, known)


def printed(found: Answer) -> list[str]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    printing.print_card(found, NAMES, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_card_says_what_was_told_what_was_not_and_what_gives_the_answer_away():
    assert printed(answer(age="54.3", class_="some"))[1] == (
        "told beside the pictures: age 54.3, class some; unknown: sex, dose"
    )
    assert printed(answer())[1] == "told beside the pictures: nothing; unknown: sex, age, class, dose"
    lines = printed(answer(sex="male", age="0", class_="none", dose="1"))
    assert lines[1:3] == [
        "told beside the pictures: sex male, age 0, class none, dose 1",
        "sex is decided from the diagnosis: the model can answer without looking at a picture",
    ]
    assert sum("is decided from" in line for line in printed(answer(age="1"))) == 0


def test_json_and_tables_have_what_was_told():
    content = printing.to_json(answer(sex="male", age="0"), NAMES)
    assert list(content)[:5] == ["clinical", "dermoscopic", "model", "version", "metadata"]
    assert content["metadata"] == {"sex": "male", "age": 0.0, "class": None, "dose": None}
    assert printing.columns(SERVED)[3:9] == ["version", "sex", "age", "class", "dose", "DX_pred"]
    row = printing.to_row(answer(sex="male", age="0"), NAMES)
    assert row.keys() == set(printing.columns(SERVED))
    assert [row[name] for name in COLUMNS] == ["male", "0", "", ""]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, pair in enumerate(zip(*encoded_pairs(3).values(), strict=True)):
        for name, content in zip(("clinical.png", "dermoscopic.jpg"), pair, strict=True):
            (folder / f"{number}_{name}").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def server(clinic):
    with embedded_server(clinic.path.parent, "lesions") as addresses:
        yield ["--server", addresses.grpc, "--model", "lesions"]


def query(*words: object) -> int:
    return command_line.main(["query", *map(str, words)])


def pair_of(files) -> list:
    return ["--clinical", files / "0_clinical.png", "--dermoscopic", files / "0_dermoscopic.jpg"]


def test_values_are_given_by_options(files, server, tmp_path, capsys):
    told = ["--metadata", "age=54,3", "--metadata", "sex=w", "--metadata", "class="]
    assert query(*pair_of(files), *server, *told, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["metadata"] == {"sex": "female", "age": 54.3, "class": None, "dose": None}
    assert query(*pair_of(files), *server, *told, "--json", "--explain", tmp_path / "out.png") == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["metadata"] == content["metadata"]
    assert explained["tasks"]["DX"]["probabilities"]["MEL"] == pytest.approx(
        content["tasks"]["DX"]["probabilities"]["MEL"], abs=1e-5
    )
    assert query(*pair_of(files), *server, "--json") == 0
    nothing = json.loads(capsys.readouterr().out)
    assert set(nothing["metadata"].values()) == {None}
    assert nothing["tasks"] != content["tasks"]
    assert query(*pair_of(files), *server, *told) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "told beside the pictures: sex female, age 54.3; unknown: class, dose" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weight=70"], "model lesions has no metadata 'weight': it takes sex, age, class, dose"),
        (["sex=f"], "sex: the value f is none of: female (w, W), male (m)"),
        (["age=200"], "age: the value 200 is no number from 0 to 110"),
    ],
)
def test_what_the_model_does_not_take_is_one_line(files, server, words, said, capsys):
    assert query(*pair_of(files), *server, *(one for word in words for one in ("--metadata", word))) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].endswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metadata", "age"], "--metadata takes COLUMN=VALUE, such as age=54. Received: 'age'"),
        (["--metadata", "=54"], "--metadata takes COLUMN=VALUE, such as age=54. Received: '=54'"),
        (["--metadata", "age=1", "--metadata", "age=2"], "--metadata names age twice"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_asked(files, words, said, capsys):
    assert query(*pair_of(files), *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_table_has_values_of_its_own(files, server, capsys):
    table = files / "pairs.csv"
    rows = ["clinical,dermoscopic,age,notes,class", "0_clinical.png,0_dermoscopic.jpg,54.3,first,some"]
    rows += ["1_clinical.png,1_dermoscopic.jpg,,second,", "2_clinical.png,2_dermoscopic.jpg,old,third,none"]
    table.write_text("\n".join(rows) + "\n")
    assert query(table, *server, "--csv") == 1
    captured = capsys.readouterr()
    first, second, third = csv.DictReader(io.StringIO(captured.out))
    assert [first[name] for name in COLUMNS] == ["", "54.3", "some", ""]
    assert [second[name] for name in COLUMNS] == ["", "", "", ""]
    assert third["error"].endswith(": age: the value old is no number from 0 to 110")
    assert captured.err.startswith("Error: 1 of 3 pairs could not be asked: ") or "1 of 3 pairs" in captured.err
    assert query(table, *server, "--metadata", "age=1") == 2
    said = "--metadata is for one pair: give the table of PAIRS a column for each"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_pairs_has_nothing_beside_them(files, server, capsys):
    assert query(files, *server, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["age"] for row in rows] == ["", "", ""]
