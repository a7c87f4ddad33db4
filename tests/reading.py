"""Reads tables back as a person does, by caption, heading and name of the row: from HTML, terminal and Markdown."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

RULES = str.maketrans(dict.fromkeys("┃│|", "\0"))
BORDER = re.compile(r"[┏━┳┓┡╇┩├─┼┤└┴┘╷╵╶╴\s|:-]*")


@dataclass
class Grid:
    """A table: caption, headings, and rows of as many cells."""

    caption: str
    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def column(self, heading: str, occurrence: int = 0) -> int:
        """Returns the number of a column; of several with one heading the one at `occurrence`."""
        return [place for place, name in enumerate(self.headings) if name == heading][occurrence]

    def cell(self, row: str, heading: str, occurrence: int = 0) -> str:
        """Returns the cell under a heading in the one row that begins with `row`."""
        (found,) = [cells for cells in self.rows if cells[0] == row]
        return found[self.column(heading, occurrence)]

    def names(self) -> list[str]:
        """Returns the first cell of each row."""
        return [row[0] for row in self.rows]


class _Page(HTMLParser):
    """Collects the tables of a page, and words of the elements of a few kinds."""

    def __init__(self):
        super().__init__()
        self.grids: list[Grid] = []
        self.words: dict[str, list[str]] = {name: [] for name in ("h1", "h2", "p", "li", "dt", "dd", "title", "pre")}
        self._cells: list[str] | None = None
        self._open: list[list[str]] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        if tag == "table":
            self.grids.append(Grid(""))
        elif tag == "tr":
            self._cells = []
        elif tag == "br":
            self.handle_data("\n")
        if tag in ("th", "td", "caption", *self.words):
            self._open.append([])

    def handle_endtag(self, tag):
        if tag not in ("th", "td", "caption", *self.words, "tr"):
            return
        if tag == "tr":
            grid = self.grids[-1]
            if grid.headings:
                grid.rows.append(self._cells)
            else:
                grid.headings = self._cells
            return
        text = "".join(self._open.pop()).strip()
        if tag == "caption":
            self.grids[-1].caption = text
        elif tag in self.words:
            self.words[tag].append(text)
        else:
            self._cells.append(text)

    def handle_data(self, data):
        for one in self._open:
            one.append(data)


def html_page(text: str, unique: bool = True) -> tuple[dict[str, Grid], dict[str, list[str]]]:
    """Returns the tables of a page by caption, each of which may stand once, and the texts of its elements by tag."""
    page = _Page()
    page.feed(text)
    page.close()
    assert not unique or len({grid.caption for grid in page.grids}) == len(page.grids)
    return {grid.caption: grid for grid in page.grids}, page.words


def terminal_grids(text: str) -> dict[str, Grid]:
    """Returns the boxed tables that rich printed, by title, each line of a row as a row of its own.

    The title is the line above the box; it has to fit on one.
    """
    grids: dict[str, Grid] = {}
    above, grid = "", None
    for line in text.splitlines():
        if line.startswith("┏"):
            grid = grids.setdefault(above.strip(), Grid(above.strip()))
        elif grid is not None and line[:1] in "┃│" and line:
            cells = [cell.strip() for cell in line.translate(RULES).strip("\0").split("\0")]
            if line[0] == "┃":
                grid.headings = cells
            else:
                grid.rows.append(cells)
        elif line.startswith("└"):
            grid = None
        above = line
    return grids


def markdown_grids(text: str) -> dict[str, Grid]:
    """Returns the tables of a Markdown page by the last line of text above each, without its stars."""
    grids: dict[str, Grid] = {}
    above, grid = "", None
    for line in text.splitlines():
        if not line.startswith("|"):
            grid = None
            above = line.strip("*# ").replace("\\", "") if line.strip() else above
            continue
        cells = [cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if grid is None:
            grid = grids[above] = Grid(above, cells)
        elif not BORDER.fullmatch(line) or any(cells[0]) and not set("".join(cells)) <= set(":-"):
            grid.rows.append(cells)
    return grids
