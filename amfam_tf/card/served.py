"""What whoever reads answers has to know of a card, small enough to travel with each version, as JSON.

    {"format": 1, "name": "derm7pt", "title": "Derm7pt", "main_task": "DIAG",
     "tasks": [{"name": "DIAG", "title": "diagnosis", "classes": [{"name": "MEL", "title": "melanoma"}, ...]}, ...],
     "targets": {"melanoma": {"task": "DIAG", "classes": ["MEL"]}},
     "scores": {"seven_point_score": {"points": {"PN": {"ATP": 2}, ...}, "thresholds": {"original": 3, ...}, ...}},
     "metadata": {"age": {"input_name": "age", "range": [0, 110], "missing": [""]}, ...}}

`metadata` has the columns that the network takes beside the pictures, each with its input of the signatures, and is
left out if it takes none. `"one_picture": true` says that either picture of a pair may be left out.
Keys that a reader does not know are left out: later versions may say more.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError

from amfam_tf.card import cards
from amfam_tf.card.metadata_values import input_name
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import CardSection, DataCard, MetadataColumn, Score, Target
from amfam_tf.errors import DataError

FORMAT = 1
Section = TypeVar("Section", bound=CardSection)


@dataclass(frozen=True)
class ServedCard:
    """The questions of a model, and what follows from their answers.

    Attributes:
        name, title: of the data set that it is trained on.
        tasks: the questions, in order; without columns and raw labels.
        main_task: the name of the one that comes first to people.
        targets: classes that are asked for together, by name.
        scores: points of classes, by name.
        metadata: the columns that are given beside the pictures, by name, in order.
        one_picture: either picture of a pair may be left out.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    main_task: str
    targets: Mapping[str, Target]
    scores: Mapping[str, Score]
    metadata: Mapping[str, MetadataColumn] = field(default_factory=dict)
    one_picture: bool = False

    @classmethod
    def of(cls, card: DataCard, columns: Iterable[str] = (), one_picture: bool = False) -> "ServedCard":
        """Returns what `to_json` says."""
        return cls.from_json(to_json(card, columns, one_picture))

    @classmethod
    def from_json(cls, text: str | bytes) -> "ServedCard":
        """Returns what a text says.

        Raises:
            DataError: it is no served card, or of a later format.
        """
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise DataError(f"the served card is of format {content['format']}, this program reads {FORMAT}")
            tasks = tuple(_task(one) for one in content["tasks"])
            targets = {name: _only_known(Target, one) for name, one in content["targets"].items()}
            scores = {name: _only_known(Score, one) for name, one in content["scores"].items()}
            columns = {name: _only_known(MetadataColumn, one) for name, one in content.get("metadata", {}).items()}
            known = (content["name"], content["title"], tasks, content["main_task"], targets, scores, columns)
            found = cls(*known, one_picture=content.get("one_picture") is True)
            found._check_names()
        except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
            raise DataError(f"the served card cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
        return found

    @property
    def main(self) -> Task:
        """Returns the question that comes first to people."""
        return self.task(self.main_task)

    def task(self, name: str) -> Task:
        """Returns the question of a name, which there is."""
        return next(task for task in self.tasks if task.name == name)

    def _check_names(self) -> None:
        classes = {task.name: set(task.classes) for task in self.tasks}
        named: list[tuple[str, set[str]]] = [(self.main_task, set())]
        named += [(target.task, set(target.classes)) for target in self.targets.values()]
        named += [(task, set(points)) for score in self.scores.values() for task, points in score.points.items()]
        named += [(one.follows_from, set()) for one in self.metadata.values() if one.follows_from is not None]
        for task, wanted in named:
            if not wanted <= classes[task]:
                raise ValueError(f"task {task} has no class {min(wanted - classes[task])}")


@cache
def legacy() -> ServedCard:
    """Returns the card of what says nothing of a card."""
    return ServedCard.of(cards.legacy())


def output_of_target(name: str) -> str:
    """Returns the output, and the column of files, that has the probability of a target."""
    return f"{name}_probability"


def output_of_decision(task: str) -> str:
    """Returns the output that has the number of the class that thresholds decide for."""
    return f"{task}_decided"


def to_json(card: DataCard, columns: Iterable[str] = (), one_picture: bool = False) -> str:
    """Returns a card as the text that travels, in ASCII.

    Args:
        card: of the data.
        columns: the metadata that the network takes.
        one_picture: either picture may be left out.
    """
    metadata = {name: _described_column(card, name) for name in columns}
    content = {
        "format": FORMAT,
        "name": card.name,
        "title": card.title or card.name,
        "main_task": card.main_task.name,
        "tasks": [_described(task) for task in card.tasks],
        "targets": {name: one.model_dump(mode="json", exclude_none=True) for name, one in card.targets.items()},
        "scores": {
            name: one.model_dump(mode="json", exclude_none=True, exclude={"column"})
            for name, one in card.scores.items()
        },
        **({"metadata": metadata} if metadata else {}),
        **({"one_picture": True} if one_picture else {}),
    }
    return json.dumps(content, separators=(",", ":"))


def _described(task: Task) -> dict[str, Any]:
    classes = zip(task.classes, task.class_titles, strict=True)
    return {
        "name": task.name,
        "title": task.title,
        "classes": [{"name": name, "title": title} for name, title in classes],
    }


def _described_column(card: DataCard, name: str) -> dict[str, Any]:
    wanted = {"title", "values", "range", "missing", "follows_from"}
    column = card.metadata[name].model_dump(mode="json", exclude_none=True, include=wanted)
    return {"input_name": input_name(name), **column}


def _task(content: Mapping[str, Any]) -> Task:
    names = tuple(str(one["name"]) for one in content["classes"])
    titles = tuple(str(one["title"]) for one in content["classes"])
    nothing = (0,) * len(names), ((),) * len(names)
    return Task(content["name"], content["title"], "", names, nothing[0], nothing[1], titles)


def _only_known(section: type[Section], content: Mapping[str, Any]) -> Section:
    known = {key: value for key, value in content.items() if key in section.model_fields}
    return section.model_validate_json(json.dumps(known))
