"""The reader of tables: what it reads as what, what it refuses and where, and that no row is lost in silence."""

import csv
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amfam_tf.batch_predict.source import open_source
from amfam_tf.client.pairs import find_pairs
from amfam_tf.data.csv_table import LONGEST_LINE, CsvTable, TableError
from amfam_tf.errors import DataError
from amfam_tf.ingest.pair_table import read_pair_table

PAIRS = "clinical,dermoscopic,note\na.jpg,b.jpg,x\n\u00e4.jpg,d.jpg,\u201cy\u201d\n"
ROWS = [
    {"clinical": "a.jpg", "dermoscopic": "b.jpg", "note": "x"},
    {"clinical": "\u00e4.jpg", "dermoscopic": "d.jpg", "note": "\u201cy\u201d"},
]
REQUIRED = ("clinical", "dermoscopic")


def table(content: bytes | str, required=REQUIRED, **options) -> CsvTable:
    data = content.encode() if isinstance(content, str) else content
    return CsvTable(lambda: io.BytesIO(data), required, **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("told", [False, True])
def test_the_same_table_in_every_form_gives_the_same_rows(encoding, separator, line_end, told):
    text = PAIRS.replace(",", separator).replace("\n", line_end)
    text = f"sep={separator}{line_end}{text}" if told else text
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    found = table((mark + text).encode(encoding))
    assert (found.columns, found.separator) == (("clinical", "dermoscopic", "note"), separator)
    assert list(found.rows()) == list(found.rows()) == ROWS
    notes = " ".join(found.notes())
    assert ("read as cp1252 (Windows)" in notes) == (encoding == "cp1252")
    assert ("between the fields" in notes) == (separator != ",")
    assert ("read as UTF-" in notes) == encoding.startswith(("utf-16", "utf-32"))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(st.characters(blacklist_characters="\0", codec="utf-8"), max_size=12), min_size=2, max_size=2),
        max_size=6,
    ),
    separator=st.sampled_from(",;\t"),
)
def test_what_is_written_is_read_and_every_row_is_there(rows, separator):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([REQUIRED, *rows])
    found = table(text.getvalue())
    assert [list(row.values()) for row in found.rows()] == rows
    broken = sum("\n" in field or "\r" in field for row in rows for field in row)
    assert any(f"{broken} field" in note for note in found.notes()) == (broken > 0)


OPEN = "the quote that opens in {} is not closed"
REFUSED = {
    "quote not closed": (
        'clinical,dermoscopic,note\na,b,"5 mm\nc,d,x\ne,f,y\n',
        OPEN.format("row 0, column 'note' (line 2 of the file)"),
    ),
    "quote not closed, after a field of two lines": (
        'clinical,dermoscopic\na,b\n\n"c\n""c",",d\n',
        OPEN.format("row 1, column 'dermoscopic' (line 5 of the file)"),
    ),
    "quote not closed, after a comma within a field": (
        'clinical,dermoscopic,c\na,b,c\na,"x,\ny","open\n',
        OPEN.format("row 1, column 'c' (line 4 of the file)"),
    ),
    "quote not closed in the header": ('clinical,"dermoscopic\na,b\n', OPEN.format("the header (line 1 of the file)")),
    "quote not closed in a long table": (
        'clinical,dermoscopic\na,"b\n' + "c,d\n" * 100_000,
        OPEN.format("row 0, column 'dermoscopic' (line 2 of the file)"),
    ),
    "text after a closing quote": (
        'clinical,dermoscopic\na,b\nc,"d"e\n',
        "text follows the closing quote in row 1, column 'dermoscopic' (line 3 of the file)",
    ),
    "column twice": ("clinical,dermoscopic,clinical\na,b,c\n", "column 'clinical' stands 2 times in the header"),
    "other column twice": ("x,clinical,dermoscopic,x\n1,a,b,2\n", "column 'x' stands 2 times in the header"),
    "more fields": (
        "clinical,dermoscopic\n\na,b,c\n",
        "row 0 has more fields than the header has names: 3 instead of 2 (line 3",
    ),
    "fewer fields": (
        "clinical,dermoscopic\na,b\nc\n",
        "row 1 has fewer fields than the header has names: 1 instead of 2 (line 3",
    ),
    "NUL": ("clinical,dermoscopic\na,b\0\n", "line 2 holds a NUL byte"),
    "UTF-16 without a mark": ("clinical,dermoscopic\na,b\n".encode("utf-16-le"), "UTF-16 without a mark"),
    "two encodings": (
        "clinical,dermoscopic\n\u00e4,b\n\u00f6,b\n".encode() + b"\xe4,b\n\xf6,b\n",
        "line 2 is UTF-8 and line 4 is not: save it in one encoding",
    ),
    "neither": (b"clinical,dermoscopic\n\x81,b\n", "it is not cp1252 throughout"),
    "broken UTF-16": ("clinical,dermoscopic\na,b\n".encode("utf-16") + b"\x00\xd8", "it is not UTF-16 throughout"),
    "workbook": (b"PK\x03\x04rest", "is no CSV but an Excel workbook"),
    "old workbook": (b"\xd0\xcf\x11\xe0rest", "is no CSV but an old Excel workbook"),
    "gzip": (b"\x1f\x8brest", "is no CSV but compressed by gzip"),
    "empty": ("", "it is empty"),
    "nothing but empty lines": ("\n\r\n", "it is empty"),
    "endless line": ("clinical,dermoscopic\n" + "x" * (LONGEST_LINE + 1), "line 2 has over 1,048,576 letters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_place_by_every_verb(name, tmp_path):
    content, message = REFUSED[name]
    with pytest.raises(TableError) as caught:
        list(table(content).rows())
    assert message in str(caught.value)
    path = tmp_path / "pairs.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    for read in (
        lambda: find_pairs(path),
        lambda: open_source(str(path)),
        lambda: read_pair_table(str(path), str(tmp_path)),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        # Ingest and batch prediction need more columns, and say that first.
        assert message in str(caught.value) or "no column 'case_num'" in str(caught.value)


def test_rows_that_a_quote_has_swallowed_are_told():
    found = table('clinical,dermoscopic,note\na,b,"5 mm\nc,d,x\ne,f,"\ng,h,z\n')
    assert len(list(found.rows())) == 2
    (note,) = found.notes()
    assert note.startswith("1 field holds line breaks (row 0, column 'note', lines 2 to 4): if a quote is missing")


def test_a_release_may_mix_encodings_and_is_told_so():
    found = table("clinical,dermoscopic\n\u00e4,b\n".encode() + b"\xe4,b\n\x81,b\n", mixed=True)
    assert [row["clinical"] for row in found.rows()] == ["\u00e4", "\u00e4", "\ufffd"]
    assert found.notes()[0].startswith("is not UTF-8 (line 3, 4): read as cp1252")


def test_a_quote_within_a_field_is_a_letter_and_unnamed_columns_are_allowed():
    found = table('clinical,dermoscopic,,\na 5" b,c,,\n')
    assert [row["clinical"] for row in found.rows()] == ['a 5" b']


def test_a_separator_within_a_field_does_not_change_the_table():
    found = table("clinical;dermoscopic;age,site,x,y\na,1;b;7,5\n")
    assert [row["clinical"] for row in found.rows()] == ["a,1"]


class Endless(io.RawIOBase):
    """A table whose rows are made while they are read."""

    def __init__(self, rows: int):
        self._left, self._start = rows, b"clinical,dermoscopic\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = min(self._left, 25)
        content = self._start or b"a.jpg,b.jpg\n" * count
        self._left -= 0 if self._start else count
        self._start = b""
        buffer[: len(content)] = content
        return len(content)


def test_only_a_row_at_a_time_is_in_memory():
    tracemalloc.start()
    found = CsvTable(lambda: io.BufferedReader(Endless(20_000)), REQUIRED)
    count = sum(1 for _ in found.rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 1_000_000


def test_lines_are_counted_with_the_one_that_names_the_separator():
    found = table('sep=;\nclinical;dermoscopic\na;"b\nc"\n')
    assert list(found.rows()) == [{"clinical": "a", "dermoscopic": "b\nc"}]
    assert [note for note in found.notes() if "line breaks" in note] == [
        "1 field holds line breaks (row 0, column 'dermoscopic', lines 3 to 4): if a quote is missing or too many "
        "there, rows are missing"
    ]
