"""A map from the questions of a run to those of other data: which classes mean the same, and what is left out."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import CardSection, DataCard, Name, Target, Text


class ClassPair(CardSection):
    """A class of the map, and the classes of the run and of the data that it is."""

    name: Name
    title: Text | None = None
    run: tuple[Name, ...] = Field(default=(), description="Of the run's task; by default the name.")
    data: tuple[Name, ...] = Field(default=(), description="Of the data's task; by default the name.")

    @property
    def of_run(self) -> tuple[str, ...]:
        """Returns the classes of the run."""
        return self.run or (self.name,)

    @property
    def of_data(self) -> tuple[str, ...]:
        """Returns the classes of the data."""
        return self.data or (self.name,)


class TaskPair(CardSection):
    """A question of the map, and the task of the run and of the data that it is asked of."""

    name: Name
    title: Text | None = None
    run: Name | None = None
    data: Name | None = None
    classes: tuple[ClassPair, ...] = Field(min_length=2)

    @property
    def of_run(self) -> str:
        """Returns the run's task, by default of the same name."""
        return self.run or self.name

    @property
    def of_data(self) -> str:
        """Returns the data's task, by default of the same name."""
        return self.data or self.name


class QuestionMap(CardSection):
    """A file for `evaluate --map`. What no class of it names is left out."""

    tasks: tuple[TaskPair, ...] = Field(min_length=1)
    targets: dict[Name, Target] = {}


def read(path: Path, run: DataCard, data: DataCard) -> QuestionMap:
    """Returns the map of a file.

    Args:
        path: of the file.
        run: card that the run is trained on.
        data: card of the data.

    Raises:
        CardError: what stands in it cannot be; has all problems.
        ConfigError: it cannot be read, or is no YAML.
    """
    found = cards.read_section(path, QuestionMap)
    problems = list(_problems(found, run, data))
    if problems:
        raise cards.CardError(str(path), problems)
    return found


def _problems(found: QuestionMap, run: DataCard, data: DataCard) -> Iterator[str]:
    for number, pair in enumerate(found.tasks):
        place = f"tasks[{number}]"
        for side, card, name in (("run", run, pair.of_run), ("data", data, pair.of_data)):
            known = {task.name: task for task in card.tasks}
            if name not in known:
                yield f"{place}.{side}: there is no task {name!r} in {card.name}; known here: {', '.join(known)}"
                continue
            named = [one for entry in pair.classes for one in (entry.of_run if side == "run" else entry.of_data)]
            for one, count in Counter(named).items():
                if one not in known[name].classes:
                    yield f"{place}: task {name} of {card.name} has no class {one!r} ({side})"
                elif count > 1:
                    yield f"{place}: class {one} of {card.name}'s {name} stands {count} times ({side})"


def mapped_card(questions: QuestionMap, data: DataCard, path: Path) -> DataCard:
    """Returns the card of the data with the questions of a map; a label that it leaves out is unknown.

    Raises:
        CardError: a target names what the map has not, or a name stands twice.
    """
    tree = cards.to_dict(data)
    tree["tasks"] = [
        {
            "name": pair.name,
            "title": pair.title or data.task(pair.of_data).title,
            "column": pair.name,
            "classes": [{"name": one.name, "title": one.title or one.name} for one in pair.classes],
            "missing": [""],
        }
        for pair in questions.tasks
    ]
    tree["targets"] = {name: target.model_dump(mode="json") for name, target in questions.targets.items()}
    for key in ("scores", "submission"):
        tree.pop(key, None)
    for column in tree.get("metadata", {}).values():
        column.pop("follows_from", None)
    # How they were split named tasks that are no longer there.
    tree["split"] = {"column": {"name": "split"}}
    tree["headline"] = f"tasks.{questions.tasks[0].name}.balanced_accuracy"
    return cards.from_dict(tree, str(path))


def classes_of(task: Task, names: tuple[str, ...]) -> list[int]:
    """Returns the class numbers of names."""
    return [task.classes.index(name) for name in names]
