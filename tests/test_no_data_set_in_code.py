"""Code knows no data set by name: what Derm7pt asks, counts and calls its columns stands in its card."""

import ast
import re
from pathlib import Path

import pytest

import amfam_tf
from amfam_tf.card import cards

PACKAGE = Path(amfam_tf.__file__).parent
EVERY_NAME = frozenset({"*"})
ALLOWED = {
    "tasks.py": (EVERY_NAME, "the stable module with the questions of Derm7pt, for code of others"),
    "card/cards.py": ({"derm7pt"}, "the one place that says whose card it is if there is none"),
    "data/derm7pt.py": (EVERY_NAME, "reads the layout of Derm7pt"),
    "data/synthetic/": (EVERY_NAME, "draws lesions and the layout of Derm7pt"),
    "evaluation/published.py": (EVERY_NAME, "the published tables"),
    "evaluation/paper.py": (EVERY_NAME, "corrects the published tables"),
    "report/results.py": ({"melanoma"}, "keys of metrics.json that are older than cards"),
    "data/card_draft.py": ({"DIAG"}, "what a drafted card calls the question that a table has no name for"),
    "data/cases.py": ({"derm7pt"}, "asks the reader of the layout"),
    "data/check.py": ({"derm7pt"}, "asks the reader of the layout"),
    "batch_predict/source.py": ({"derm7pt"}, "asks the reader of the layout"),
    "ingest/data_set.py": ({"derm7pt"}, "asks the reader of the layout"),
    "cli/demo.py": ({"derm7pt"}, "reads what it has drawn, in that layout"),
    "cli/synth.py": ({"derm7pt"}, "the layouts that it draws"),
    "cli/main.py": ({"derm7pt"}, "the layouts that it draws"),
    "cli/options.py": ({"derm7pt"}, "the layouts that are known without a card"),
}
"""Path within the package, a folder with its / -> the names that may stand there, and why."""
ORDINARY = frozenset(
    {
        # Words of any program: sizes, places, states.
        *("absent", "back", "flat", "high", "low", "medium", "original", "present", "regular", "revised", "typical"),
        # Words of any data set about skin, in hints and explanations.
        *("chest", "diagnosis", "elevation", "excision", "female", "location", "male", "management", "sex"),
    }
)
"""Names that say nothing of Derm7pt where they stand alone."""
WHOSE_CARD = "is_derm7pt"
"""The one question that all code may ask: whether a card is that of what has none."""


def names_of_derm7pt() -> set[str]:
    card = cards.packaged("derm7pt")
    found = {card.name, *card.targets, *card.scores, *card.metadata}
    for task in card.tasks:
        found |= {task.name, task.title, task.column, *task.classes, *task.class_titles}
        found |= {label for labels in task.raw_labels for label in labels}
    for score in card.scores.values():
        found |= {str(score.title), str(score.checklist), *score.thresholds}
    for column in card.metadata.values():
        found |= set(column.raw_values)
    return found - ORDINARY


def pattern_of(names: set[str]) -> re.Pattern[str]:
    """Matches whole tokens, which end where letters and digits do: "PN" in "accuracy_PN", and not in "PNG"."""
    longest_first = sorted(names - {"derm7pt"}, key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, longest_first))}|(?i:derm7pt))(?![A-Za-z0-9])")


def words_of(tree: ast.AST) -> list[tuple[int, str]]:
    """Returns the identifiers, imports and texts of a module with their lines; docstrings are for people."""
    explained = {
        id(statement.value)
        for node in ast.walk(tree)
        for statement in (node.body if isinstance(getattr(node, "body", None), list) else [])
        if isinstance(statement, ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            found.append((node.lineno, node.value))
        line = getattr(node, "lineno", 0)
        for key in ("id", "attr", "name", "arg", "asname", "module", "rest"):
            text = getattr(node, key, None)
            found += [(line, text)] if isinstance(text, str) else []
    return found


def hits(source: str, path: str) -> list[str]:
    """Returns file:line and name of each name of Derm7pt that may not stand in a module."""
    allowed = next((names for place, (names, _) in ALLOWED.items() if path == place or path.startswith(place)), set())
    if "*" in allowed:
        return []
    pattern = pattern_of(names_of_derm7pt())
    return [
        f"amfam_tf/{path}:{line}: {name}"
        for line, text in sorted(words_of(ast.parse(source)))
        for name in (pattern.findall(text) if text != WHOSE_CARD else [])
        if name.lower() not in allowed and name not in allowed
    ]


def test_no_module_names_what_stands_in_the_card_of_derm7pt():
    paths = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    assert [hit for path in paths for hit in hits((PACKAGE / path).read_text(encoding="utf-8"), path)] == []


def test_every_exception_is_a_place_that_there_is():
    assert [place for place in ALLOWED if not (PACKAGE / place).exists()] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('TASK = "DIAG"', ["1: DIAG"]),
        ('x = f"accuracy_PN of {y}"', ["1: PN"]),
        ("from amfam_tf.tasks import DERM7PT", ["1: DERM7PT"]),
        ("from amfam_tf.data.derm7pt import read_release", ["1: derm7pt"]),
        ("answer.seven_point_score", ["1: seven_point_score"]),
        ("def melanoma_probability(table): ...", ["1: melanoma"]),
        ("f(blue_whitish_veil=1)", ["1: blue_whitish_veil"]),
        ('\nCOLUMN = "level_of_diagnostic_difficulty"', ["2: level_of_diagnostic_difficulty"]),
        ('"""Tells DIAG from PN."""\ncards.is_derm7pt(card)\nPNG = "regular"', []),
    ],
)
def test_a_name_is_found_wherever_it_stands(source, found):
    assert hits(source, "models/new.py") == [f"amfam_tf/models/new.py:{one}" for one in found]
