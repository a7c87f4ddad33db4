"""`amfam-tf query`: cards, JSON, tables and pictures, lists of pairs, and errors in one line."""

import csv
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from amfam_tf.cli import main as command_line
from amfam_tf.client import client as client_module
from amfam_tf.client.card import overlay, panel, to_row, verdict
from amfam_tf.client.client import Answer, Explanation, Pair
from amfam_tf.client.pairs import find_pairs
from amfam_tf.errors import DataError, QueryError
from amfam_tf.tasks import CRITERIA, MODALITIES, TASKS

PROBABILITIES = {
    "DIAG": (0.05, 0.2, 0.6, 0.05, 0.1),
    "PN": (0.1, 0.2, 0.7),
    "BWV": (0.9, 0.1),
    "VS": (0.8, 0.1, 0.1),
    "PIG": (0.1, 0.1, 0.8),
    "STR": (0.6, 0.2, 0.2),
    "DaG": (0.6, 0.2, 0.2),
    "RS": (0.7, 0.3),
}
ANSWER = Answer(PROBABILITIES, {"melanoma": 0.6}, {"seven_point_score": 3}, "amfam", 4)
SIDE = 20


class FakeClient:
    """Answers without a server; `asked` has what was asked for, `fails` an error to raise."""

    asked: list = []
    fails: Exception | None = None
    proxy: str | None = None

    def __init__(self, connection, rest):
        self.connection, self.rest = connection, rest
        self.asked.append((connection, rest))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def predict(self, pair):
        return next(self.answer_many([pair], None))

    def answer_many(self, pairs, batch_size):
        for pair in pairs:
            if self.fails:
                raise self.fails
            if isinstance(pair, Pair):
                self.asked.append((pair, batch_size))
            yield ANSWER if isinstance(pair, Pair) else pair

    def card(self):
        return ANSWER.card

    def explain(self, pair, task, class_name):
        self.asked.append((pair, task, class_name))
        images = {name: np.full((SIDE, SIDE, 3), 100, np.uint8) for name in MODALITIES}
        maps = {name: np.zeros((SIDE, SIDE), np.float32) for name in MODALITIES}
        maps["dermoscopic"][:, 10:] = 1
        return Explanation(ANSWER, images, maps)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(client_module, "Client", FakeClient)
    monkeypatch.setattr(FakeClient, "asked", [])
    monkeypatch.setattr(FakeClient, "fails", None)
    return FakeClient


@pytest.fixture
def files(tmp_path):
    """The options for one pair of files."""
    for name in ("A.jpg", "B.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return ["--clinical", str(tmp_path / "A.jpg"), "--dermoscopic", str(tmp_path / "B.jpg")]


def query(*words) -> int:
    return command_line.main(["query", *map(str, words)])


def test_the_card(fake, files, capsys):
    assert query(*files) == 0
    assert fake.asked[1][0].clinical == b"A.jpg"
    assert fake.asked[1][0].dermoscopic == b"B.jpg"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{files[1]} + {files[3]}   (amfam, version 4)"
    bars = {line.split()[0]: line.count("█") for line in lines[1:6]}
    assert list(bars) == ["MEL", "NEV", "SK", "BCC", "MISC"]
    assert (bars["MEL"], bars["NEV"], bars["SK"]) == (18, 6, 3)
    assert "melanoma" in lines[1]
    assert "60.0 %" in lines[1]
    for task, line in zip(CRITERIA, lines[7:14], strict=True):
        assert line.startswith(task.title)
    assert lines[7].split()[2:] == ["atypical", "70.0", "%", "2"]
    assert lines[14] == (
        "7-point score 3 of 10: suspicious by the original rule (3 or more); suspicious by the revised rule (1 or more)"
    )
    assert lines[15].startswith("A research tool, not a medical device")


@pytest.mark.parametrize(("score", "original", "revised"), [(0, "not ", "not "), (2, "not ", ""), (3, "", "")])
def test_the_two_rules(score, original, revised):

    expected = (
        f"{original}suspicious by the original rule (3 or more); {revised}suspicious by the revised rule (1 or more)"
    )
    answer = Answer(PROBABILITIES, {"melanoma": 0.6}, {"seven_point_score": score}, "amfam", 4)
    assert verdict(answer, "seven_point_score") == expected


@pytest.mark.usefixtures("fake")
def test_json_of_one_pair_is_an_object(files, capsys):
    assert query(*files, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["clinical"], content["dermoscopic"]) == (files[1], files[3])
    assert (content["model"], content["version"]) == ("amfam", 4)
    assert content["tasks"]["DIAG"]["class"] == "MEL"
    assert content["tasks"]["PN"]["probabilities"] == {"ABS": 0.1, "TYP": 0.2, "ATP": 0.7}
    assert content["seven_point_score"] == 3
    assert content["suspicious"] == {"original": True, "revised": True}
    assert "not a medical device" in content["notice"]


@pytest.mark.usefixtures("files")
def test_a_table_of_pairs(fake, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    table = tmp_path / "sub" / "pairs.csv"
    table.write_text("note,dermoscopic,clinical\nfirst,../B.jpg,../A.jpg\nsecond,../A.jpg,../B.jpg\n")
    assert query(table, "--csv", "--batch-size", "3") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["clinical"] for row in rows] == [f"{tmp_path}/sub/../A.jpg", f"{tmp_path}/sub/../B.jpg"]
    assert [pair.clinical for pair, size in fake.asked[1:]] == [b"A.jpg", b"B.jpg"]
    assert {size for _, size in fake.asked[1:]} == {3}
    assert {row["DIAG_pred"] for row in rows} == {"MEL"}
    for task in TASKS:
        found = [float(rows[0][f"{task.name}_{name}"]) for name in task.classes]
        assert found == list(PROBABILITIES[task.name])
    assert query(table, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.fixture
def spoiled(tmp_path):
    """A table of five pairs of which the middle three cannot be read, each for another reason."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    rows = ("a.jpg,b.jpg", "a.jpg,absent.jpg", "folder.jpg,b.jpg", "pipe.jpg,b.jpg", "c.jpg,d.jpg")
    (tmp_path / "pairs.csv").write_text("\n".join(("clinical,dermoscopic", *rows)) + "\n")
    return tmp_path


REASONS = (
    "cannot read {}/absent.jpg: No such file or directory",
    "cannot read {}/folder.jpg: it is a folder, not a regular file",
    "cannot read {}/pipe.jpg: it is a named pipe, not a regular file",
)


def test_pairs_that_cannot_be_read_are_rows_with_the_reason(fake, spoiled, capsys):
    assert query(spoiled / "pairs.csv", "--csv") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    reasons = [reason.format(spoiled) for reason in REASONS]
    assert [row["error"] for row in rows] == ["", *reasons, ""]
    assert [row["DIAG_pred"] for row in rows] == ["MEL", "", "", "", "MEL"]
    assert [row["clinical"] for row in rows] == [str(spoiled / f"{n}.jpg") for n in ("a", "a", "folder", "pipe", "c")]
    assert [pair.clinical for pair, _ in fake.asked[1:]] == [b"a", b"c"]
    assert captured.err == f"error: 3 of 5 pairs could not be asked: {reasons[0]}\n"


@pytest.mark.usefixtures("fake")
def test_json_and_cards_have_the_reason_at_its_place(spoiled, capsys):
    assert query(spoiled / "pairs.csv", "--json") == 1
    content = json.loads(capsys.readouterr().out)
    reasons = [reason.format(spoiled) for reason in REASONS]
    assert [entry.get("error") for entry in content] == [None, *reasons, None]
    assert [entry.get("seven_point_score") for entry in content] == [3, None, None, None, 3]
    assert content[2]["clinical"] == str(spoiled / "folder.jpg")
    assert query(spoiled / "pairs.csv") == 1
    lines = capsys.readouterr().out.splitlines()
    titles = [place for place, line in enumerate(lines) if line.startswith(f"{spoiled}/")]
    assert len(titles) == 5
    assert [lines[place + 1] for place in titles[1:4]] == [f"error: {reason}" for reason in reasons]


@pytest.mark.usefixtures("fake")
def test_a_first_row_that_fails_does_not_change_the_columns(spoiled, capsys):
    table = spoiled / "other.csv"
    headers = []
    for rows in ("absent.jpg,b.jpg\na.jpg,b.jpg\n", "a.jpg,b.jpg\na.jpg,absent.jpg\n"):
        table.write_text("clinical,dermoscopic\n" + rows)
        assert query(table, "--csv") == 1
        headers.append(capsys.readouterr().out.splitlines()[0])
    assert headers[0] == headers[1]
    assert headers[0].split(",") == list(to_row(ANSWER, ("", "")))


def test_a_server_that_fails_in_the_middle_leaves_what_it_has_answered(fake, spoiled, monkeypatch, capsys):
    (spoiled / "pairs.csv").write_text("clinical,dermoscopic\na.jpg,b.jpg\nc.jpg,d.jpg\nb.jpg,a.jpg\n")

    def answer_one(*_):
        yield ANSWER
        raise QueryError("h:1 is unavailable after 5 attempts: no")

    monkeypatch.setattr(fake, "answer_many", answer_one)
    assert query(spoiled / "pairs.csv", "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert captured.err == ("error: h:1 is unavailable after 5 attempts: no; 2 of 3 pairs have not been asked\n")


def test_a_proxy_is_said_once(fake, files, monkeypatch, capsys):
    monkeypatch.setattr(fake, "proxy", "http_proxy=http://proxy:3128")
    assert query(*files, "--server", "models.example.org:8500", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == "models.example.org:8500 is asked through the proxy of http_proxy=http://proxy:3128\n"
    assert json.loads(captured.out)["version"] == 4


def test_a_folder_of_pairs(tmp_path):
    for name in ("z_clinical.png", "z_dermoscopic.JPG", "a_b_Clinical.jpg", "a_b_dermoscopic.bmp", "notes.txt"):
        (tmp_path / name).touch()
    names = [(first.name, second.name) for first, second in find_pairs(tmp_path)]
    assert names == [("a_b_Clinical.jpg", "a_b_dermoscopic.bmp"), ("z_clinical.png", "z_dermoscopic.JPG")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "has no pair of pictures"),
        (("a_clinical.jpg",), "has no dermoscopic picture of a: name it a_dermoscopic.jpg"),
        (("a_clinical.jpg", "a_clinical.png"), "has two clinical pictures of a: a_clinical.png is one"),
    ],
)
def test_folders_without_pairs(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        find_pairs(tmp_path)
    assert str(caught.value) == f"{tmp_path} {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV: it is empty"),
        ("clinical,dermoscopic\n", "pairs.csv: has no rows"),
        ("clinical,other\nA,B\n", "no column 'dermoscopic'; a list of pairs needs clinical, dermoscopic; it has: "),
        (
            "clinical,dermoscopic,age\nA,B,1\n,,5\n",
            "row 1, columns clinical and dermoscopic are empty: each row needs a picture",
        ),
    ],
)
def test_tables_without_pairs(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path / "pairs.csv")


def test_explain_writes_the_pictures_and_still_prints(fake, files, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert query(*files, "--explain", out, "--task", "PN", "--class", "ATP", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["version"] == 4
    assert captured.err == f"written: {out}\n"
    assert fake.asked[1][1:] == ("PN", "ATP")
    picture = np.asarray(Image.open(out))
    assert picture.shape == (2 * SIDE + 8, 2 * SIDE + 8, 3)
    # Left the picture, right the picture under its map: changed only where the map says so.
    assert (picture[-SIDE:, :SIDE] == 100).all()
    assert (picture[:SIDE, -SIDE:] == 100).all()
    assert (picture[-SIDE:, -SIDE : -SIDE + 10] == 100).all()
    assert not (picture[-SIDE:, -10:] == 100).any()


def test_overlay_is_stronger_where_the_map_is_larger():
    image = np.zeros((2, 2, 3), np.uint8)
    found = overlay(image, np.array([[0, 0.25], [0.5, 1]]))
    sums = found.sum(axis=-1).ravel()
    assert sums[0] == 0
    assert (np.diff(sums) > 0).all()


def test_panel_has_the_clinical_picture_above():
    images = {"clinical": np.full((4, 4, 3), 10, np.uint8), "dermoscopic": np.full((4, 4, 3), 20, np.uint8)}
    maps = dict.fromkeys(MODALITIES, np.zeros((4, 4), np.float32))
    found = panel(Explanation(ANSWER, images, maps))
    assert (found[:4, :4] == 10).all()
    assert (found[-4:, :4] == 20).all()


def test_options_become_the_connection(fake, files, tmp_path):
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).touch()
    query(*files)
    query(*files, "--rest")
    words = ["--server", "h:1", "--model", "m", "--model-version", "2", "--timeout", "3", "--attempts", "4"]
    tls = [item for name in ("ca", "certificate", "key") for item in (f"--tls-{name}", tmp_path / name)]
    query(*files, *words, *tls)
    connections = [item for item in fake.asked if isinstance(item[1], bool)]
    assert [(connection.server, rest) for connection, rest in connections] == [
        ("localhost:8500", False),
        ("localhost:8501", True),
        ("h:1", False),
    ]
    assert not connections[0][0].is_encrypted
    last = connections[2][0]
    assert (last.model, last.version, last.timeout, last.attempts) == ("m", 2, 3, 4)
    assert (last.ca, last.certificate, last.key) == tuple(tmp_path / name for name in ("ca", "certificate", "key"))
    assert last.is_encrypted


def test_an_error_is_one_line_and_status_1(fake, files, monkeypatch, capsys):
    monkeypatch.setattr(fake, "fails", QueryError("localhost:8500 is unavailable after 5 attempts: no"))
    assert query(*files) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: localhost:8500 is unavailable after 5 attempts: no\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--clinical", "absent.jpg"],
        ["--clinical", "A.jpg", "--dermoscopic", "absent.jpg"],
        ["pairs.csv", "--clinical", "A.jpg"],
        ["pairs.csv", "--explain", "out.png"],
        ["--clinical", "A.jpg", "--dermoscopic", "A.jpg", "--task", "PN"],
        ["--clinical", "A.jpg", "--dermoscopic", "A.jpg", "--tls-key", "A.jpg"],
        ["pairs.csv", "--timeout", "0"],
    ],
)
@pytest.mark.usefixtures("fake")
def test_wrong_usage_is_status_2(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A.jpg").touch()
    (tmp_path / "pairs.csv").write_text("clinical,dermoscopic\nA.jpg,A.jpg\n")
    assert query(*words) == 2
    assert "Usage: amfam-tf query" in capsys.readouterr().err


def test_scripts_find_the_list_of_pairs_under_its_former_name():
    from amfam_tf.serving import pairs

    assert pairs.find_pairs is find_pairs
