"""The eight tasks: classes in number order, raw Derm7pt strings of each class, 7-point scores.

Source: Kawahara et al. 2018 (7-point checklist labels and scores); Wang et al. 2022, Sec. 4.1 (grouping
into 24 classes). Pure Python: imports nothing of this package but its errors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from amfam_tf.errors import DataError


@dataclass(frozen=True)
class Task:
    """One of the questions that the model answers.

    Attributes:
        name: abbreviation, e.g. "PN"; the key of labels, logits and probabilities everywhere.
        title: the name to show to people, e.g. "pigment network".
        column: column of Derm7pt's meta.csv.
        classes: class abbreviations; the position is the class number.
        scores: points that each class adds to the 7-point score (all 0 for DIAG).
        raw_labels: for each class, the raw strings of `column` that belong to it.
        class_titles: for each class, the name to show to people.
    """

    name: str
    title: str
    column: str
    classes: tuple[str, ...]
    scores: tuple[int, ...]
    raw_labels: tuple[tuple[str, ...], ...]
    class_titles: tuple[str, ...]

    def encode(self, raw: str) -> int:
        """Returns the class number of a raw string.

        Raises:
            DataError: the string is in no group.
        """
        for number, group in enumerate(self.raw_labels):
            if raw in group:
                return number
        raise DataError(f"column {self.column!r}: value {raw!r} is in no class of task {self.name}")


TASKS: tuple[Task, ...] = (
    Task(
        name="DIAG",
        title="diagnosis",
        column="diagnosis",
        classes=("BCC", "NEV", "MEL", "MISC", "SK"),
        scores=(0, 0, 0, 0, 0),
        raw_labels=(
            ("basal cell carcinoma",),
            (
                "blue nevus",
                "clark nevus",
                "combined nevus",
                "congenital nevus",
                "dermal nevus",
                "recurrent nevus",
                "reed or spitz nevus",
            ),
            (
                "melanoma",
                "melanoma (in situ)",
                "melanoma (less than 0.76 mm)",
                "melanoma (0.76 to 1.5 mm)",
                "melanoma (more than 1.5 mm)",
                "melanoma metastasis",
            ),
            ("dermatofibroma", "lentigo", "melanosis", "miscellaneous", "vascular lesion"),
            ("seborrheic keratosis",),
        ),
        class_titles=(
            "basal cell carcinoma",
            "nevus",
            "melanoma",
            "miscellaneous",
            "seborrheic keratosis",
        ),
    ),
    Task(
        name="PN",
        title="pigment network",
        column="pigment_network",
        classes=("ABS", "TYP", "ATP"),
        scores=(0, 0, 2),
        raw_labels=(("absent",), ("typical",), ("atypical",)),
        class_titles=("absent", "typical", "atypical"),
    ),
    Task(
        name="BWV",
        title="blue-whitish veil",
        column="blue_whitish_veil",
        classes=("ABS", "PRS"),
        scores=(0, 2),
        raw_labels=(("absent",), ("present",)),
        class_titles=("absent", "present"),
    ),
    Task(
        name="VS",
        title="vascular structures",
        column="vascular_structures",
        classes=("ABS", "REG", "IR"),
        scores=(0, 0, 2),
        raw_labels=(
            ("absent",),
            ("arborizing", "comma", "hairpin", "within regression", "wreath"),
            ("dotted", "linear irregular"),
        ),
        class_titles=("absent", "regular", "irregular"),
    ),
    Task(
        name="PIG",
        title="pigmentation",
        column="pigmentation",
        classes=("ABS", "REG", "IR"),
        scores=(0, 0, 1),
        raw_labels=(
            ("absent",),
            ("diffuse regular", "localized regular"),
            ("diffuse irregular", "localized irregular"),
        ),
        class_titles=("absent", "regular", "irregular"),
    ),
    Task(
        name="STR",
        title="streaks",
        column="streaks",
        classes=("ABS", "REG", "IR"),
        scores=(0, 0, 1),
        raw_labels=(("absent",), ("regular",), ("irregular",)),
        class_titles=("absent", "regular", "irregular"),
    ),
    Task(
        name="DaG",
        title="dots and globules",
        column="dots_and_globules",
        classes=("ABS", "REG", "IR"),
        scores=(0, 0, 1),
        raw_labels=(("absent",), ("regular",), ("irregular",)),
        class_titles=("absent", "regular", "irregular"),
    ),
    Task(
        name="RS",
        title="regression structures",
        column="regression_structures",
        classes=("ABS", "PRS"),
        scores=(0, 1),
        raw_labels=(("absent",), ("blue areas", "white areas", "combinations")),
        class_titles=("absent", "present"),
    ),
)

TASK_BY_NAME: Mapping[str, Task] = MappingProxyType({task.name: task for task in TASKS})
DIAGNOSIS: Task = TASKS[0]
CRITERIA: tuple[Task, ...] = TASKS[1:]
MELANOMA: int = DIAGNOSIS.classes.index("MEL")
SEVEN_POINT_THRESHOLDS: Mapping[str, int] = MappingProxyType({"original": 3, "revised": 1})

METADATA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "level_of_diagnostic_difficulty": ("low", "medium", "high"),
        "elevation": ("flat", "palpable", "nodular"),
        "location": (
            "back",
            "lower limbs",
            "abdomen",
            "upper limbs",
            "chest",
            "head neck",
            "acral",
            "buttocks",
            "genital areas",
        ),
        "sex": ("female", "male"),
        "management": ("excision", "clinical follow up", "no further examination"),
    }
)
"""Values of the metadata columns in one-hot order; `management` follows the diagnosis, so it is no input by default."""

METADATA_FROM_DIAGNOSIS: tuple[str, ...] = ("management", "level_of_diagnostic_difficulty")
"""Columns that were decided from the diagnosis: with them a network can answer without looking at an image."""

MODALITIES: tuple[str, str] = ("clinical", "dermoscopic")
SPLITS: tuple[str, str, str] = ("train", "validate", "test")


def seven_point_score(labels: Mapping[str, int]) -> int:
    """Returns the 7-point checklist score, 0 to 10.

    Args:
        labels: class number for each of the seven criteria; other keys are ignored.
    """
    return sum(task.scores[labels[task.name]] for task in CRITERIA)


def task_names(tasks: Iterable[Task] = TASKS) -> tuple[str, ...]:
    """Returns the names of `tasks`, in order."""
    return tuple(task.name for task in tasks)


def metadata_size(columns: Iterable[str]) -> int:
    """Returns the length of the one-hots of these columns of `METADATA`, concatenated."""
    return sum(len(METADATA[column]) for column in columns)


def metadata_warning(columns: Iterable[str]) -> str | None:
    """Returns what to tell whoever gives these columns of `METADATA` to a network, one sentence; None for nothing."""
    leaking = [column for column in columns if column in METADATA_FROM_DIAGNOSIS]
    if not leaking:
        return None
    return (
        f"the network is given {' and '.join(leaking)}, decided from the diagnosis: it can answer without looking at a "
        "picture, and its results are not comparable with those of pictures alone (docs/data_card.md)"
    )
