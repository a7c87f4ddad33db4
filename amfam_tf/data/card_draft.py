"""Drafts a card from a table with a row for each case: columns guessed by their values and names, doubts marked.

A draft is valid and complete, so that `amfam-tf check` tries it at once; what was guessed ends in "unsure", with why.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amfam_tf.card import cards
from amfam_tf.card.consistency import TAKEN
from amfam_tf.card.metadata_values import number
from amfam_tf.data.csv_table import TableError
from amfam_tf.data.tables import read_rows
from amfam_tf.errors import DataError

MOST_VALUES = 60
"""A column of labels has no more different ones."""
FEWEST_EACH = 3.0
"""Cases per label, on average; a column with fewer is free text."""
SHARE_OF_PATHS = 0.8
MISSING_WORDS = frozenset(
    {"", "?", "-", "n/a", "na", "nan", "none", "unknown", "unclear", "unklar", "unbekannt", "k.a."}
)
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validate": ("validate", "validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_OTHER_TYPES = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that some reader of YAML takes for something else."""
_PATH = re.compile(r".+\.(jpe?g|png|bmp)", re.IGNORECASE)
_HINTS = {
    "id": r"lesion|case|(^|_)id$|fall|nummer|number",
    "group": r"patient|person|pat(_|$)|subject",
    "diagnosis": r"diagnos|(^|_)dx(_|$)|histo|patholog|label|class|target",
    "clinical": r"clinic|overview|macro|close|photo|ubersicht|uebersicht|übersicht|klinisch",
    "dermoscopic": r"derm|dscope|dsc|auflicht|micro",
    "leak": r"management|biops|treat|confirm|thickness|therap|excis",
}


@dataclass(frozen=True)
class Column:
    """A column of the table: its name and its raw values, one for each case."""

    name: str
    values: Sequence[str]

    def is_about(self, what: str) -> bool:
        """Returns whether the name is one that such columns have."""
        return re.search(_HINTS[what], self.name.lower()) is not None

    @property
    def known(self) -> list[str]:
        """Returns the values that are not words for missing ones."""
        return [value for value in self.values if value.strip().lower() not in MISSING_WORDS]

    @property
    def missing(self) -> list[str]:
        """Returns the words for missing values that occur."""
        return sorted({value for value in self.values if value.strip().lower() in MISSING_WORDS})

    @property
    def is_distinct(self) -> bool:
        """Returns whether no value is empty and none stands twice."""
        return "" not in self.values and len(set(self.values)) == len(self.values)

    @property
    def holds_paths(self) -> bool:
        """Returns whether nearly all values look like names of pictures."""
        return bool(self.known) and sum(map(bool, map(_PATH.fullmatch, self.known))) >= SHARE_OF_PATHS * len(self.known)

    @property
    def holds_labels(self) -> bool:
        """Returns whether the values are a few that come again and again."""
        different = len(set(self.known))
        return 2 <= different <= MOST_VALUES and len(self.known) >= FEWEST_EACH * different

    @property
    def holds_numbers(self) -> bool:
        """Returns whether all known values are numbers, and more than a few different ones."""
        return len(set(self.known)) > 10 and all(number(value) == number(value) for value in self.known)

    @property
    def splits(self) -> dict[str, list[str]]:
        """Returns the words for each split if all values are such, else nothing."""
        of = {word: split for split, words in SPLIT_WORDS.items() for word in words}
        found: dict[str, list[str]] = {}
        for value in sorted(set(self.values)):
            if value.lower() not in of:
                return {}
            found.setdefault(of[value.lower()], []).append(value)
        return found if len(found) == len(SPLIT_WORDS) else {}


def draft(path: Path) -> str:
    """Returns the text of a card for the table at `path` and the folder that it is in.

    Raises:
        DataError: the table cannot be read, or none of its columns can be a question.
    """
    try:
        names, rows, _ = read_rows(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except TableError as error:
        raise DataError(f"{path}: {error}") from error
    if not rows:
        raise DataError(f"{path}: has no rows")
    columns = [Column(name, [row[name] for row in rows]) for name in names if name.strip()]
    text = "\n".join(_Draft(path, columns).lines()) + "\n"
    cards.parse(text, "the draft")
    return text


class _Draft:
    """One table's draft; a column that has been given a part is not free for another."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._path, self._free = path, list(columns)
        self._cases = len(columns[0].values)

    def lines(self) -> Iterator[str]:
        """Gives the lines of the card.

        Raises:
            DataError: a part that every card needs cannot be found.
        """
        name = re.sub(r"[^a-z0-9_-]+", "_", self._path.stem.lower()).strip("_-") or "pairs"
        table = json.dumps(self._path.name, ensure_ascii=False)
        yield f"# Drafted from {table}, {self._cases} cases. Settle what is unsure; docs/cards.md has every key."
        yield f"name: {_text(name)}"
        yield f"title: {_text(self._path.stem)}"
        yield "licence: not stated  # unsure: write who may use the pictures"
        yield from self._case_lines()
        yield from self._picture_lines()
        yield from self._split_lines()
        yield from self._task_lines()
        yield from self._metadata_lines()

    def _take(self, column: Column | None) -> Column | None:
        if column is not None:
            self._free.remove(column)
        return column

    def _first(self, what: str, fits: Sequence[Column]) -> tuple[Column | None, bool]:
        """Returns the column that is named so, else the first that fits; and whether the name says it."""
        named = next((column for column in fits if column.is_about(what)), None)
        return self._take(named or next(iter(fits), None)), named is not None

    def _case_lines(self) -> Iterator[str]:
        distinct = [column for column in self._free if column.is_distinct and not column.holds_paths]
        column, sure = self._first("id", [one for one in distinct if not one.is_about("group")] or distinct)
        if column is None:
            raise DataError(
                f"{self._path}: no column names each row by a value of its own: a card needs an id per case"
            )
        yield "cases:" if sure else "cases:  # unsure: the id is the first column whose values are all different"
        yield f"  table: {_text(self._path.name)}"
        yield f"  id: {_text(column.name)}"
        group = self._take(next((one for one in self._free if one.is_about("group") and one.known), None))
        if group is not None:
            shared = self._cases - len(set(group.values))
            yield f"  group: {_text(group.name)}  # cases that share one stay in one split; {shared} do"

    def _picture_lines(self) -> Iterator[str]:
        paths = [column for column in self._free if column.holds_paths]
        dermoscopic, sure = self._first(
            "dermoscopic", [one for one in paths if one.is_about("dermoscopic")] or paths[1:]
        )
        rest = [column for column in paths if column is not dermoscopic]
        clinical, told = self._first("clinical", rest)
        yield "pictures:"
        yield "  folder: ."
        for name, column, known in (("clinical", clinical, told), ("dermoscopic", dermoscopic, sure)):
            if column is None:
                raise DataError(
                    f"{self._path}: no column holds names of {name} pictures (.jpg, .png, .bmp): write the card by "
                    "hand; docs/cards.md has templates of paths and tables of pictures"
                )
            missing = ", missing: allowed" if "" in column.values else ""
            doubt = "" if known else "  # unsure: the name does not tell the view"
            yield f"  {name}: {{column: {_text(column.name)}{missing}}}{doubt}"

    def _split_lines(self) -> Iterator[str]:
        column = self._take(next((one for one in self._free if one.splits), None))
        yield "split:"
        if column is None:
            yield "  assign: {train: 0.7, validate: 0.15, test: 0.15, seed: 0}  # no column names a split"
            return
        words = ", ".join(f"{split}: {_list(labels)}" for split, labels in column.splits.items())
        yield f"  column: {{name: {_text(column.name)}, {words}}}"

    def _task_lines(self) -> Iterator[str]:
        one_hot = self._one_hot()
        labels = [column for column in self._free if column.holds_labels]
        questions = [column for column in labels if column.is_about("diagnosis")]
        sure = bool(questions)
        if not one_hot and not questions:
            questions = [max(labels, key=lambda column: len(set(column.known)))] if labels else []
        if not one_hot and not questions:
            raise DataError(f"{self._path}: no column holds labels that come again: a card needs a question")
        yield "tasks:"
        if one_hot:
            yield "  - name: DIAG  # unsure: columns of 0 and 1, with one 1 in each row"
            yield "    title: diagnosis"
            yield f"    one_hot: {_list([column.name for column in one_hot])}"
            names = _names([column.name for column in one_hot])
            yield f"    classes: [{', '.join(f'{{name: {_text(name)}}}' for name in names)}]"
        for column in questions:
            self._take(column)
            yield from _task(column, "" if sure else "  # unsure: the column with most labels; is it the question?")

    def _one_hot(self) -> list[Column]:
        """Returns the columns that hold 0 and 1, one 1 in each row; none unless there are three."""
        found = [column for column in self._free if {number(value) for value in column.values} <= {0.0, 1.0}]
        rows = zip(*(column.values for column in found), strict=True)
        if len(found) < 3 or any(sum(map(number, row)) != 1 for row in rows):
            return []
        for column in found:
            self._take(column)
        return found

    def _metadata_lines(self) -> Iterator[str]:
        lines, left = [], []
        taken = set(TAKEN)
        for column in self._free:
            name = _names([column.name])[0].lower()
            if name in taken or not (column.holds_numbers or column.holds_labels):
                left.append(column.name)
                continue
            taken.add(name)
            lines.append(f"  {_text(name)}: {{{', '.join(_metadata(column))}}}{_doubt(column)}")
        yield from (
            ["metadata:  # unsure: which of these may be inputs, and which are questions?", *lines] if lines else []
        )
        if left:
            yield f"# Columns left out: {json.dumps(left, ensure_ascii=False)}"


def _task(column: Column, doubt: str) -> Iterator[str]:
    counts = Counter(column.known).most_common()
    names = _names([label for label, _ in counts])
    yield f"  - name: {_text(_names([column.name])[0])}{doubt}"
    yield f"    title: {_text(column.name)}"
    yield f"    column: {_text(column.name)}"
    yield "    classes:"
    for name, (label, count) in zip(names, counts, strict=True):
        found = "1 case" if count == 1 else f"{count} cases"
        rare = "; unsure: few, join it with another class?" if count < 10 else ""
        yield f"      - {{name: {_text(name)}, title: {_text(label)}, labels: {_list([label])}}}  # {found}{rare}"
    if column.missing:
        count = len(column.values) - len(column.known)
        yield f"    missing: {_list(column.missing)}  # {count} cases; unsure: are they unknown, or a class?"


def _metadata(column: Column) -> Iterator[str]:
    yield f"column: {_text(column.name)}"
    if column.holds_numbers:
        values = [number(value) for value in column.known]
        yield f"range: [{min(values):g}, {max(values):g}]"
    else:
        yield f"values: {_list(sorted(set(column.known)))}"
    if column.missing:
        yield f"missing: {_list(column.missing)}"
    if column.is_about("leak"):
        yield "input: false"


def _doubt(column: Column) -> str:
    return "  # unsure: known only after the diagnosis? then say follows_from" if column.is_about("leak") else ""


def _names(texts: Sequence[str]) -> list[str]:
    """Returns a name for each text, of letters, digits and _, no two alike."""
    found: list[str] = []
    for text in texts:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", _ascii(text)).strip("_")[:36] or "X"
        name, number_of = plain, 2
        while name in found:
            name, number_of = f"{plain}_{number_of}", number_of + 1
        found.append(name)
    return found


def _ascii(text: str) -> str:
    umlauts: Mapping[str, str] = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
    return "".join(umlauts.get(letter, letter) for letter in text)


def _text(text: str) -> str:
    """Returns a text as YAML: as it is if that is no other type, else in quotes."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text) and text.lower() not in _OTHER_TYPES
    return text if plain else json.dumps(text, ensure_ascii=False)


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"
