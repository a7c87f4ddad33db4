"""One table, four writers: what a part of a table keeps, and where a terminal sets a rule."""

import csv
import io

import reading
from rich.console import Console

from amfam_tf.report.csv_text import to_csv
from amfam_tf.report.markdown import to_markdown
from amfam_tf.report.table import Table, TableRow, text_table
from amfam_tf.report.terminal import to_rich

TABLE = Table(
    "caption",
    ["name", "", "one", "two", "one"],
    [
        TableRow(["a", "first of all", "1", "2", "3"], "first"),
        TableRow(["b", "second", "4", "5", "6"], "quiet"),
        TableRow(["c", "third", "7", "8", "9"], "quiet first"),
        TableRow(["all", "", "12", "15", "18"], "total"),
    ],
    "note",
    headers=2,
    text=frozenset({1, 3}),
)


def printed(table: Table, framed: bool, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(to_rich(table, framed))
    return console.file.getvalue()


def test_a_part_of_a_table_keeps_cells_under_their_headings():
    part = TABLE.without("one")
    assert part.headings == ["name", "", "two"]
    assert [list(row.cells) for row in part.rows] == [
        ["a", "first of all", "2"],
        ["b", "second", "5"],
        ["c", "third", "8"],
        ["all", "", "15"],
    ]
    assert [row.kind for row in part.rows] == [row.kind for row in TABLE.rows]
    assert (part.caption, part.note, part.headers, part.text) == ("caption", "note", 2, {1, 2})
    assert TABLE.without("name").headers == 1
    assert TABLE.without("name").text == {0, 2}
    assert TABLE.without("three") == TABLE


def test_a_framed_table_has_a_rule_before_each_group_and_the_total():
    text = printed(TABLE, framed=True)
    (grid,) = reading.terminal_grids(text).values()
    assert (grid.caption, grid.headings) == ("caption", ["name", "", "one", "two", "one"])
    assert grid.rows == [list(row.cells) for row in TABLE.rows]
    lines = [line[:1] for line in text.splitlines() if line[:1] in "│├"]
    assert "".join(lines) == "││├│├│"


def test_without_a_frame_only_text_is_broken():
    wide = Table("", ["number", "text"], [TableRow(["12.3 ± 4.5", "some more words"])], headers=0, text=frozenset({1}))
    lines = printed(wide, framed=False, width=20).splitlines()
    assert any("12.3 ± 4.5" in line for line in lines)
    assert not any("some more words" in line for line in lines)
    assert "words" in " ".join(lines)


def test_markdown_aligns_text_to_the_left_and_has_no_empty_caption():
    assert to_markdown(TABLE).splitlines()[:4] == [
        "**caption**",
        "",
        "| name |  | one | two | one |",
        "| :-- | :-- | --: | :-- | --: |",
    ]
    assert to_markdown(text_table("", ["a", "b"], [["1", "2"]])).splitlines() == [
        "| a | b |",
        "| :-- | :-- |",
        "| 1 | 2 |",
    ]


def test_markdown_shows_its_own_marks_as_they_are():
    table = Table("a *b*", ["h_1", "x|y"], [TableRow(["<b>", "\\*"]), TableRow(["a_b_c", "*"])], note="<i>_")
    assert to_markdown(table).splitlines() == [
        r"**a \*b\***",
        "",
        r"| h\_1 | x\|y |",
        "| :-- | --: |",
        r"| \<b> | \\\* |",
        r"| a\_b\_c | \* |",
        "",
        r"\<i>\_",
    ]


def test_csv_has_nothing_where_a_value_is_undefined():
    text = to_csv([{"a": 1, "b": float("nan")}, {"a": 2, "c": "x,y"}])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b", "c"], ["1", "", ""], ["2", "", "x,y"]]
    assert text.count("\r") == 0
