"""What stands in a dataset.yaml, section by section: types and defaults. What the sections say of each other is in
`consistency`, the meaning of each key in docs/cards.md.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from amfam_tf.card.questions import Task

MODALITIES: tuple[str, str] = ("clinical", "dermoscopic")
SPLITS: tuple[str, str, str] = ("train", "validate", "test")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _within(path: str) -> str:
    if path.startswith(("/", "\\", "~")) or ".." in path.replace("\\", "/").split("/"):
        raise ValueError("must be a path within the folder of the data set")
    return path


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=40)]
"""Of a task, class, target or score: also the name of tensors and of columns in files."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_printable)]
Label = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_printable)]
"""A raw value of a table; "" is an empty field."""
Within = Annotated[Text, AfterValidator(_within)]
"""A path below the folder of the data set."""


OVERALL_METRICS = ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_auc", "f1_at_half")
"""Of a task as a whole, and their means over the tasks: what a headline may be."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Points = Annotated[int, Field(ge=-1000, le=1000)]


class CardSection(BaseModel):
    """A mapping whose keys are all known; nothing is converted in silence, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Join(CardSection):
    """A further table of the cases: the columns of its row with the same value of `on` are added."""

    table: Within
    on: Text


class CaseRule(CardSection):
    """Where the cases are: one row each, or one for each picture if `pictures.table` is the same."""

    table: Within
    id: Text
    group: Text | None = Field(
        default=None, description="Column of what must not be in several splits, e.g. the patient."
    )
    join: tuple[Join, ...] = ()


class View(CardSection):
    """How one of the two pictures of a case is found, and whether it may be absent or one of several."""

    column: Text | None = Field(default=None, description="Of the table of cases, with the path of the picture.")
    path: Within | None = Field(
        default=None, description="With {COLUMN} of the table of cases; * stands for any letters."
    )
    values: tuple[Label, ...] = Field(
        default=(), description="Of the column `kind`, in a table with a row for each picture."
    )
    missing: Literal["refused", "allowed"] = "refused"
    several: Literal["refused", "allowed"] = "refused"


class PictureRule(CardSection):
    """Where the pictures are. With `table` they are rows of one of their own."""

    clinical: View
    dermoscopic: View
    folder: Within = "."
    table: Within | None = None
    kind: Text | None = Field(default=None, description="Column of `table` that tells the view.")
    column: Text | None = Field(default=None, description="Of `table`, with the path of the picture.")
    path: Within | None = Field(default=None, description="With {COLUMN} of `table`.")

    def view(self, modality: str) -> View:
        """Returns the section of a modality."""
        return self.clinical if modality == "clinical" else self.dermoscopic


class SplitColumn(CardSection):
    """A column of the table of cases that names the split."""

    name: Text
    train: tuple[Label, ...] = ("train",)
    validate_: tuple[Label, ...] = Field(default=("validate",), alias="validate")
    test: tuple[Label, ...] = ("test",)


class Shares(CardSection):
    """Cases are dealt out, groups as a whole."""

    train: float = Field(default=0.7, gt=0, lt=1)
    validate_: float = Field(default=0.15, gt=0, lt=1, alias="validate")
    test: float = Field(default=0.15, gt=0, lt=1)
    stratify: Name | None = Field(default=None, description="Task whose classes are dealt out evenly.")
    seed: int = Field(default=0, ge=0, lt=2**32)
    folds: int | None = Field(default=None, ge=2, le=100)


class IndexFiles(CardSection):
    """Files with a column `indexes`: rows of the table of cases, from 0."""

    train: Within
    validate_: Within = Field(alias="validate")
    test: Within

    @property
    def by_split(self) -> dict[str, str]:
        """Returns the file of each split."""
        return self.model_dump(by_alias=True)


class SplitRule(CardSection):
    """How the cases are split: exactly one of the three."""

    index_files: IndexFiles | None = None
    column: SplitColumn | None = None
    assign: Shares | None = None


class ClassEntry(CardSection):
    """A class of a task."""

    name: Name
    title: Text | None = None
    labels: tuple[Label, ...] = Field(default=(), description="Raw labels; by default the name.")


class TaskEntry(CardSection):
    """A question: one column with labels, or a column for each class."""

    name: Name
    title: Text | None = None
    column: Text | None = None
    one_hot: tuple[Text, ...] = ()
    classes: tuple[ClassEntry, ...] = ()
    missing: tuple[Label, ...] = Field(default=(), description="Raw values that mean that nobody knows.")


class Target(CardSection):
    """Classes that together are asked for, such as melanoma or malignant."""

    task: Name
    classes: tuple[Name, ...] = Field(min_length=1)
    title: Text | None = None


class Score(CardSection):
    """Points of classes, added: the 7-point checklist is one."""

    title: Text | None = None
    checklist: Text | None = Field(default=None, description="What the criteria are called; by default the title.")
    points: Mapping[Name, Mapping[Name, Points]] = Field(min_length=1)
    thresholds: Mapping[Name, Annotated[int, Field(ge=-1_000_000, le=1_000_000)]] = Field(min_length=1)
    suggests: Name | None = Field(default=None, description="Target that a case at the threshold is suspected of.")
    column: Text | None = Field(
        default=None, description="Of the table of cases, with the stored score; it has to be right."
    )

    def points_of(self, task: Task) -> tuple[int, ...]:
        """Returns the points of each class of a task; all 0 if the score has none for it."""
        points = self.points.get(task.name, {})
        return tuple(points.get(name, 0) for name in task.classes)

    def counted(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """Returns those of the tasks that the score has points for, in their order."""
        return tuple(task for task in tasks if task.name in self.points)

    def range_of(self, tasks: Iterable[Task]) -> tuple[int, int]:
        """Returns the lowest and the highest sum that there can be."""
        points = [self.points_of(task) for task in self.counted(tasks)]
        return sum(map(min, points)), sum(map(max, points))


class MetadataColumn(CardSection):
    """What is known of a case beside its pictures: one of some values, or a number."""

    title: Text | None = None
    column: Text | None = None
    values: tuple[Label, ...] | Mapping[Text, tuple[Label, ...]] | None = None
    range: tuple[Finite, Finite] | None = None
    missing: tuple[Label, ...] = Field(default=(), description="Raw values that mean that nobody knows.")
    input: bool = Field(True, description="Whether a network may be given it.")
    subgroup: bool = Field(True, description="Whether the report shows its values apart.")
    follows_from: Name | None = Field(default=None, description="Task whose answer it was decided from.")
    reason: Text | None = None

    @property
    def raw_values(self) -> Mapping[str, tuple[str, ...]]:
        """Returns the raw strings of each value; none for a number."""
        values = self.values or ()
        return values if isinstance(values, Mapping) else {value: (value,) for value in values}


class Submission(CardSection):
    """The file that a challenge asks for: a row for each blind case, its id and a number for each class of a task."""

    task: Name
    id: Text = Field(description="Name of the column with the ids.")
    table: Within | None = Field(
        default=None, description="The table of the blind part, that of pictures if there is one, else that of cases."
    )
    folder: Within | None = Field(default=None, description="Of its pictures; by default pictures.folder.")


class DataCard(CardSection):
    """A card, as a program needs it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
    title: Text | None = None
    licence: Text | None = None
    citation: Text | None = None
    cases: CaseRule
    pictures: PictureRule
    split: SplitRule
    questions: tuple[TaskEntry, ...] = Field(alias="tasks", min_length=1)
    targets: Mapping[Name, Target] = {}
    scores: Mapping[Name, Score] = {}
    metadata: Mapping[Name, MetadataColumn] = {}
    headline: Annotated[str, StringConstraints(pattern=r"^(average|tasks\.[A-Za-z0-9_]+)\.[a-z_0-9]+$")] = (
        "average.accuracy"
    )
    submission: Submission | None = None

    @property
    def one_row_per_picture(self) -> bool:
        """Returns whether the cases are told by a table with a row for each picture, and by no other."""
        return self.pictures.table == self.cases.table

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Returns the questions, in order."""
        return tuple(self._task(entry) for entry in self.questions)

    @cached_property
    def headline_task(self) -> Task | None:
        """Returns the question that the headline is of; None for a mean over all."""
        section, name, *_ = self.headline.split(".")
        return self.task(name) if section == "tasks" else None

    @property
    def main_task(self) -> Task:
        """Returns the question that strata and short answers are of: the headline's, or else the first."""
        return self.headline_task or self.tasks[0]

    @property
    def example_class(self) -> str:
        """Returns the class of the main task to ask about if nobody names one: the first of a target, or of all."""
        main = self.main_task
        return next((one.classes[0] for one in self.targets.values() if one.task == main.name), main.classes[0])

    def task(self, name: str) -> Task:
        """Returns the question of a name, which there is."""
        return next(task for task in self.tasks if task.name == name)

    def score_title(self, name: str) -> str:
        """Returns what to call a score."""
        return self.scores[name].title or name.replace("_", " ")

    def metadata_title(self, name: str) -> str:
        """Returns what to call a column of metadata."""
        return self.metadata[name].title or name.replace("_", " ")

    def checklist_title(self, name: str) -> str:
        """Returns what to call the criteria that a score is made of."""
        return self.scores[name].checklist or self.score_title(name)

    def _task(self, entry: TaskEntry) -> Task:
        classes = entry.classes or tuple(ClassEntry(name=name) for name in entry.one_hot)
        names = tuple(one.name for one in classes)
        points = next((score.points for score in self.scores.values()), {}).get(entry.name, {})
        return Task(
            name=entry.name,
            title=entry.title or entry.name,
            column=entry.column or "",
            classes=names,
            scores=tuple(points.get(name, 0) for name in names),
            raw_labels=tuple(one.labels or (one.name,) for one in classes),
            class_titles=tuple(one.title or one.name for one in classes),
            one_hot=entry.one_hot,
            missing=entry.missing,
        )
