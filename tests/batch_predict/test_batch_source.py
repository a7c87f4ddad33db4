"""What batch prediction can be given: a CSV of pairs, a data set, records; and what it refuses before it begins."""

import re
from pathlib import Path

import pytest
from releases import Fault, broken
from written_records import write_records

from amfam_tf.batch_predict.pair import PairRow
from amfam_tf.batch_predict.source import open_source
from amfam_tf.errors import DataError

GOOD = "case_num,clinical,dermoscopic\n7,a.jpg,b.jpg\n5,c.jpg,d.jpg\n"


def table(folder: Path, text: str) -> str:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_paths_start_from_the_folder_of_the_table_or_from_images(tmp_path, monkeypatch):
    text = 'notes,dermoscopic,case_num,clinical\n"two\nlines",b.jpg, 7 ,in/a.jpg\nx,gs://store/d.png,-5,/c.jpg\n'
    path = table(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    found = open_source(path)
    expected = [PairRow(7, f"{tmp_path}/in/a.jpg", f"{tmp_path}/b.jpg"), PairRow(-5, "/c.jpg", "gs://store/d.png")]
    assert (found.kind, found.pairs) == ("pairs", 2)
    assert list(found.rows()) == list(found.rows()) == expected
    monkeypatch.chdir(tmp_path)
    (first, _) = open_source("pairs.csv", "elsewhere").rows()
    assert first.clinical == f"{tmp_path}/elsewhere/in/a.jpg"


def test_a_row_without_a_path_is_an_error_of_that_row(tmp_path):
    path = table(tmp_path, "case_num,clinical,dermoscopic\n1,a.jpg,\n2,,\n")
    assert [row.error for row in open_source(path).rows()] == [
        "column 'dermoscopic' is empty",
        "column 'clinical' is empty",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV: it is empty"),
        (
            "case_num,derm\n1,a\n",
            "no column 'clinical'; a CSV of pairs needs case_num, clinical, dermoscopic; it has: ",
        ),
        (GOOD.splitlines()[0], "has no rows"),
        (GOOD + "x9,e.jpg,f.jpg\n", "row 2, column 'case_num': value 'x9' is not a whole number"),
        (GOOD + "6,e,f\n5,g,h\n", "row 3, column 'case_num': value 5 is that of row 1 already"),
        (GOOD + "6,e.jpg,f.jpg,more\n", "row 2 has more fields than the header has names"),
        (GOOD + "6,e.jpg\n", "row 2 has fewer fields than the header has names: 2 instead of 3 (line 4 of the file)"),
        (
            GOOD + '6,"e.jpg,f.jpg\n',
            "cannot be read as CSV: the quote that opens in row 2, column 'clinical' (line 4 of the file) is n",
        ),
    ],
)
def test_a_table_whose_cases_cannot_be_told_is_refused(text, message, tmp_path):
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        open_source(path)


def test_what_is_no_source_is_refused_in_one_line(tmp_path, drawn):
    with pytest.raises(
        DataError, match=f"{tmp_path} is none of these: a CSV of pairs, a data set .* or a folder of rec"
    ):
        open_source(str(tmp_path))
    with pytest.raises(DataError, match=f"{tmp_path}/absent does not exist: "):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(DataError, match="is no CSV of pairs: a folder of images goes with such a file only"):
        open_source(str(drawn), images=str(tmp_path))


def test_what_is_odd_about_a_table_is_told(tmp_path):
    (tmp_path / "latin.csv").write_bytes(GOOD.encode().replace(b",", b";") + b'6;\xe9.jpg;"f.jpg\n7;g.jpg;h.jpg"\n')
    found = open_source(str(tmp_path / "latin.csv"))
    assert [row.clinical for row in found.rows()][2] == f"{tmp_path}/\xe9.jpg"
    assert [note.removeprefix(f"{tmp_path}/latin.csv: ")[:12] for note in found.notes] == [
        "is not UTF-8",
        "read with se",
        "1 field hold",
    ]


def test_a_release_gives_its_cases_and_what_is_wrong_with_labels_does_not_matter(tmp_path):
    def change(release) -> None:
        release.meta.loc[1, "diagnosis"] = "unheard of"
        release.meta.loc[3, "clinic"] = "NEL/absent.jpg"

    root = broken(tmp_path, [Fault(change, ())])
    found = open_source(str(root))
    rows = list(found.rows())
    assert (found.kind, found.pairs, [row.case_num for row in rows]) == ("data_set", 12, list(range(1, 13)))
    assert [number for number, row in enumerate(rows) if row.error] == [3]
    assert rows[3].error.startswith("meta/meta.csv row 3: column 'clinic': value 'NEL/absent.jpg' names no file")
    assert all(Path(row.clinical).is_file() and Path(row.dermoscopic).is_file() for row in rows if not row.error)


@pytest.mark.parametrize(("value", "message"), [("1", "is that of row 0"), ("x", "is not a whole number")])
def test_a_release_whose_cases_cannot_be_told_is_refused(value, message, tmp_path):
    def change(release) -> None:
        release.meta.loc[2, "case_num"] = value

    root = broken(tmp_path, [Fault(change, ())])
    with pytest.raises(DataError, match=message):
        open_source(str(root))


def test_records_are_their_files_in_order(cases, tmp_path):
    paths = write_records(cases.head(5), tmp_path / "records", shards=3)
    found = open_source(str(tmp_path / "records"))
    assert (found.kind, found.pairs, found.records) == ("records", None, tuple(paths))
    paths[1].unlink()
    with pytest.raises(DataError, match="not one complete set of 3 shards: see cases-00001-of-00003"):
        open_source(str(tmp_path / "records"))
