"""The console: what is printed is text, whatever is in it."""

import io

from rich.table import Table
from rich.text import Text

from amfam_tf.terminal import Terminal

HOSTILE = "x\x1b[31m\x9b\u202e[bold]y[/] :smile:\r"
SHOWN = "x\\x1b[31m\\x9b\\u202e[bold]y[/] :smile:"


def printed(*objects, **options) -> str:
    file = io.StringIO()
    Terminal(file=file, width=100, color_system=None).print(*objects, **options)
    return file.getvalue()


def test_a_string_is_one_line_of_text():
    assert printed(f"{HOSTILE}\nproblem: forged", soft_wrap=True) == f"{SHOWN}\\r\\nproblem: forged\n"


def test_cells_titles_and_text_objects_are_text_too():
    table = Table(f"head {HOSTILE}", title=f"title {HOSTILE}", caption=f"caption {HOSTILE}")
    table.add_row(f"cell {HOSTILE}")
    table.add_row(Text(f"text {HOSTILE}"))
    out = printed(table)
    for place in ("head", "title", "caption", "cell", "text"):
        assert f"{place} {SHOWN}" in out
    assert all(character == "\n" or character.isprintable() for character in out)


def test_widths_are_those_of_what_is_shown():
    table = Table("a", "b")
    table.add_row("\x1b\u202e", "c")
    lines = printed(table).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_markup_counts_where_it_is_asked_for():
    assert printed("[bold]y[/bold]", markup=True) == "y\n"
    assert printed("[bold]y[/bold]") == "[bold]y[/bold]\n"


def test_a_terminal_without_our_lines_gets_ascii():
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="amfam-visible") as file:
        table = Table("criterion")
        table.add_row("1.0 \u00b1 0.1 \u2588\u2588 \u00e4")
        Terminal(file=file, width=60).print(table)
        file.flush()
        out = raw.getvalue().decode("ascii")
    assert "| 1.0 +/- 0.1 ## \\xe4" in out
