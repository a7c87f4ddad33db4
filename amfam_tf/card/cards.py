"""Cards from files: the ones that come with the package, the one beside a data set, the one that a user names."""

import importlib.resources
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from amfam_tf import strict_yaml
from amfam_tf.card.consistency import problems
from amfam_tf.card.schema import DataCard
from amfam_tf.errors import ConfigError, one_line
from amfam_tf.files import regular_files
from amfam_tf.strict_yaml import shown

Section = TypeVar("Section", bound=BaseModel)
DERM7PT = "derm7pt"
FILE = "dataset.yaml"
"""Name of a card that lies beside its data."""
INNER = "release_v0"
"""Folder that a data set may be in, as Derm7pt's archive has it."""


class CardError(ConfigError):
    """A card that cannot be used.

    Attributes:
        source: its file.
        problems: all that is wrong, a line each.
    """

    def __init__(self, source: str, problems: list[str]):
        more = f" (and {len(problems) - 1} more; `amfam-tf check` lists all)" if len(problems) > 1 else ""
        super().__init__(f"{source}: {problems[0]}{more}")
        self.source = source
        self.problems = problems


def packaged_names() -> tuple[str, ...]:
    """Returns the names of the cards that come with the package."""
    folder = importlib.resources.files("amfam_tf") / "card" / "packaged"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def legacy() -> DataCard:
    """Returns the card of what has none: all from before there were cards is about Derm7pt."""
    return packaged(DERM7PT)


def is_derm7pt(card: DataCard) -> bool:
    """Returns whether a card is the package's of Derm7pt: what says nothing of a card has this one."""
    return card == packaged(DERM7PT)


def same_questions(one: DataCard, other: DataCard) -> bool:
    """Returns whether two cards have the same tasks with the same classes, in the same order."""
    return [(task.name, task.classes) for task in one.tasks] == [(task.name, task.classes) for task in other.tasks]


@cache
def packaged(name: str) -> DataCard:
    """Returns a card that comes with the package; the same data in another layout say only what is different."""
    return from_dict(_packaged_tree(name), f"card {name}")


def _packaged_tree(name: str) -> dict[str, Any]:
    resource = importlib.resources.files("amfam_tf") / "card" / "packaged" / f"{name}.yaml"
    tree = strict_yaml.parse(resource.read_text(encoding="utf-8"), f"card {name}")
    return {**_packaged_tree(tree.pop("like")), **tree} if "like" in tree else tree


def read(path: Path) -> DataCard:
    """Returns the card of a file.

    Raises:
        CardError: what stands in it cannot be; has all problems.
        ConfigError: it cannot be read, or is no YAML.
    """
    return parse(_text(path), str(path))


def read_section(path: Path, model: type[Section]) -> Section:
    """Returns what a file of its own says in the way of cards, as a model of it.

    Raises:
        CardError: what stands in it cannot be; has all problems.
        ConfigError: it cannot be read, or is no YAML.
    """
    return _validated(strict_yaml.parse(_text(path), str(path)), str(path), model)


def _text(path: Path) -> str:
    try:
        return regular_files.read(path, regular_files.MAX_TABLE_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def find(data: Path, given: Path | None = None) -> tuple[DataCard, Path]:
    """Returns the card of a data set and the folder that its paths begin in.

    Args:
        data: folder of the data set, or the one around its release_v0/.
        given: the card, if somebody names one; otherwise dataset.yaml in the folder, or the first card of the package
            whose table of cases is there.

    Raises:
        CardError: what stands in the card cannot be; has all problems.
        ConfigError: there is no card, or it cannot be read.
    """
    if given is not None:
        card = read(given)
        return card, folder_of(data, card.cases.table)
    own = beside(data)
    if own is not None:
        return read(own), own.parent
    known = next(with_layout(data), None)
    if known is not None:
        return known
    tables = ", ".join(f"{packaged(name).cases.table} ({name})" for name in packaged_names())
    raise ConfigError(
        f"{data} has no card: there is no {FILE} in it, and none of the tables that are known without: {tables}; "
        "docs/cards.md says how to write one"
    )


def folder_of(data: Path, table: str) -> Path:
    """Returns the folder that a table is in, `data` or the release_v0/ in it; `data` if it is in neither."""
    return next((folder for folder in (data, data / INNER) if (folder / table).exists()), data)


def beside(data: Path) -> Path | None:
    """Returns the card that lies in the folder of a data set, None if there is none."""
    return next((folder / FILE for folder in (data, data / INNER) if (folder / FILE).exists()), None)


def with_layout(data: Path) -> Iterator[tuple[DataCard, Path]]:
    """Gives the cards of the package whose table of cases is in a folder, and the folder that their paths begin in."""
    for folder in (data, data / INNER):
        for name in packaged_names():
            if (folder / packaged(name).cases.table).exists():
                yield packaged(name), folder


def with_blind_part(data: Path) -> DataCard | None:
    """Returns the card of the package whose blind part, of a challenge, is in a folder; None if there is none."""
    known = (packaged(name) for name in packaged_names())
    blind = ((card, card.submission.table) for card in known if card.submission and card.submission.table)
    return next((card for card, table in blind if (folder_of(data, table) / table).exists()), None)


def parse(text: str, source: str) -> DataCard:
    """Returns the card of a YAML text.

    Args:
        text: of the file.
        source: what to call it in an error.

    Raises:
        CardError: what stands in it cannot be; has all problems.
        ConfigError: it is no YAML.
    """
    return from_dict(strict_yaml.parse(text, source), source)


def from_dict(tree: Any, source: str) -> DataCard:
    """Returns a card of what stands in it.

    Args:
        tree: as YAML has it.
        source: what to call it in an error.

    Raises:
        CardError: what stands in it cannot be; has all problems.
    """
    return _checked(_validated(tree, source, DataCard), source)


def _checked(card: DataCard, source: str) -> DataCard:
    found = problems(card)
    if found:
        raise CardError(source, found)
    return card


def _validated(tree: Any, source: str, model: type[Section]) -> Section:
    if not isinstance(tree, dict):
        raise CardError(source, [f"must be a mapping of sections. Received: {shown(tree)}"])
    try:
        # JSON's lists are tuples here; nothing else is converted.
        return model.model_validate_json(json.dumps(tree, ensure_ascii=False))
    except ValidationError as error:
        raise CardError(source, [_line(one, model) for one in error.errors(include_url=False)]) from error


def to_yaml(card: DataCard) -> str:
    """Returns a card as the text of a file, complete but for what is as by default."""
    return strict_yaml.dump(to_dict(card))


def to_dict(card: DataCard) -> dict[str, Any]:
    """Returns what stands in a card, complete but for what is as by default."""
    return card.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _line(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Returns one of pydantic's errors as a line: place, what is wrong, what stands there."""
    place = ""
    for part in error["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    place = place.removeprefix(".")
    if error["type"] == "missing":
        return f"{place}: is needed"
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key; known here: {', '.join(_known_keys(error['loc'][:-1], model))}"
    message = one_line(error["msg"].removeprefix("Value error, ").removeprefix("Input "))
    return f"{place}: {message}. Received: {shown(error['input'])}"


def _known_keys(path: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    """Returns the keys of the section at a path of a model."""
    for part in path:
        if isinstance(part, str):
            field = next((one for name, one in model.model_fields.items() if part in (name, one.alias)), None)
            # Within a mapping the part is a key of the user's.
            model = model if field is None else _section(field.annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _section(kind: Any) -> type[BaseModel] | None:
    """Returns the section that a type holds, somewhere in it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _section(part)) is not None), None)
