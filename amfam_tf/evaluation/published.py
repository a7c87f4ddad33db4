"""The published tables (Wang et al. 2022, Tables 1 to 5 and 7) as printed, in percent; nothing is corrected here.

Table 6 is too damaged in the available copy to quote.
"""

import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import SPLITS
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, TASK_BY_NAME, TASKS

DATA_SET = "Derm7pt"
TEST_CASES = 395
AVERAGED: Mapping[str, tuple[Task, ...]] = MappingProxyType(
    {"paper_criteria": CRITERIA, "paper_diagnosis": (DIAGNOSIS,)}
)
"""Name of an average as the paper has them -> the tasks whose classes it is over, all together."""
AVERAGE_ROWS: Mapping[str, str] = MappingProxyType(
    {"paper_criteria": "19 classes of the criteria (Table 3)", "paper_diagnosis": "5 classes of DIAG (Tables 4, 7)"}
)
AVERAGES_OVER: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "mean over the 8 tasks, as the paper's Tables 2 and 5",
        "balanced_accuracy": "mean over the tasks where it is defined",
        "kappa": "mean over the tasks where it is defined",
        "paper_criteria": "unweighted mean over the 19 classes of the seven criteria, undefined counted as 0, "
        "as Table 3",
        "paper_diagnosis": "unweighted mean over the 5 classes of DIAG, undefined counted as 0, as Tables 4 and 7",
        "macro": "mean over the 8 tasks of the mean over the classes where the metric is defined",
    }
)
MAIN_AUC = "diagnosis_auc"
"""Name of the AUC of the diagnosis in files of comparisons."""
AMFAM = "AMFAM"
CLASS_TABLES: Mapping[int, tuple[str, int]] = MappingProxyType(
    {
        3: ("table3_ablation_criteria", 2),
        4: ("table4_ablation_diagnosis", 2),
        7: ("table7_sota_diagnosis", 5),
    }
)
"""Number of a table of classes -> (file, number of the table that has the accuracies)."""
ACCURACY_TABLES: Mapping[int, str] = MappingProxyType({2: "table2_ablation_accuracy", 5: "table5_sota_accuracy"})

METHOD_ROWS: Mapping[str, str] = MappingProxyType(
    {
        "clinical-only": "Clin. only",
        "dermoscopic-only": "Derm. only",
        "concat": "Concat.",
        "concat-recon": "Concat.+Recon.",
        "concat-recon-att-linear": "Concat.+Recon.+Att. (without E)",
        "concat-recon-att": "Concat.+Recon.+Att.",
        "concat-adv": "Concat.+AD.",
        "amfam": AMFAM,
        "inception-unbalanced": "Inception-unbalanced",
        "inception-balanced": "Inception-balanced",
        "inception-combined": "Inception-combined",
        "triplenet": "TripleNet",
        "embeddingnet": "EmbeddingNet",
        "hccnn": "HcCNN",
    }
)
"""Name of a method here -> its row in the paper."""


@dataclass(frozen=True)
class PublishedRow:
    """What a table of classes prints for one method and task, in percent.

    Attributes:
        table: number of the table.
        method: name of the row.
        task: the task.
        sen, spec, prec, auc: the columns "Sen.", "Spec.", "Prec." and "AUC" of each class, whatever they really are.
        accuracy: the task's accuracy in Table 2 or 5.
        support: test cases of each class (Table 1).
    """

    table: int
    method: str
    task: Task
    sen: tuple[float, ...]
    spec: tuple[float, ...]
    prec: tuple[float, ...]
    auc: tuple[float, ...]
    accuracy: float
    support: tuple[int, ...]


@functools.cache
def read(name: str) -> pd.DataFrame:
    """Returns a file of `published/` as printed; its name without the ending."""
    resource = importlib.resources.files("amfam_tf.evaluation") / "published" / f"{name}.csv"
    with resource.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def short_name(printed: str) -> str:
    """Returns the name of a method without citation and with one spelling in all tables."""
    name = printed.partition(" (Kawahara")[0].partition(" (Ge")[0].partition(" (Yap")[0].partition(" (Bi")[0]
    return name.replace("Att.(without", "Att. (without")


@functools.cache
def accuracies(table: int) -> pd.DataFrame:
    """Returns Table 2 or 5: one row per method (index), one column per task and `average`, in percent."""
    printed = read(ACCURACY_TABLES[table])
    return printed.assign(method=printed["method"].map(short_name)).set_index("method")


def support(task: Task) -> tuple[int, ...]:
    """Returns the test cases of each class (Table 1)."""
    counts = read("table1_class_counts").set_index(["task", "class"])["test"]
    return tuple(int(counts[task.name, name]) for name in task.classes)


def class_columns(table: int, task: Task) -> list[str]:
    """Returns the columns of a task in the file of a table of classes."""
    return [f"{task.name}_{name}" if table == 3 else name for name in task.classes]


def tasks_of(table: int) -> tuple[Task, ...]:
    """Returns the tasks that a table of classes is about."""
    return CRITERIA if table == 3 else (DIAGNOSIS,)


def methods_of(table: int) -> list[str]:
    """Returns the methods of a table of classes, in the printed order."""
    return list(dict.fromkeys(read(CLASS_TABLES[table][0])["method"]))


def printed_line(table: int, method: str, column: str) -> pd.Series:
    """Returns the line of a method and a column ("Sen.", "Spec.", "Prec." or "AUC") of a table of classes."""
    printed = read(CLASS_TABLES[table][0])
    return printed[(printed["method"] == method) & (printed["column_as_printed"] == column)].iloc[0]


def row(table: int, method: str, task_name: str) -> PublishedRow:
    """Returns what a table of classes prints for a method and a task."""
    task = TASK_BY_NAME[task_name]
    columns = class_columns(table, task)
    sen, spec, prec, auc = (
        tuple(float(value) for value in printed_line(table, method, name)[columns])
        for name in ("Sen.", "Spec.", "Prec.", "AUC")
    )
    accuracy = float(accuracies(CLASS_TABLES[table][1]).loc[method, task.name])
    return PublishedRow(table, method, task, sen, spec, prec, auc, accuracy, support(task))


def rows() -> list[PublishedRow]:
    """Returns all rows of all tables of classes, one per method and task."""
    return [
        row(table, method, task.name)
        for table in CLASS_TABLES
        for method in methods_of(table)
        for task in tasks_of(table)
    ]


def difference_from(cases: pd.DataFrame) -> str | None:
    """Returns what shows that a data set is not Derm7pt, the data of the published numbers; None if nothing does.

    Args:
        cases: all cases of `read_release`, those with a shared file included.
    """
    from amfam_tf.data.synthetic.data_set import DRAWN_PREFIX, SHARED_ROWS

    if cases["case_id"].str.startswith(DRAWN_PREFIX).any():
        return "its cases are drawn by a program"
    counts = read("table1_class_counts").set_index(["task", "class"])
    for task in TASKS:
        for split in SPLITS:
            found = np.bincount(cases.loc[cases["split"] == split, task.name], minlength=len(task.classes))
            if tuple(found) != tuple(counts.loc[task.name].loc[list(task.classes), split]):
                return f"its class counts are not those of Table 1 ({task.name}, {split})"
    if tuple(np.flatnonzero(cases["shared_file"]).tolist()) != SHARED_ROWS:
        return "its class counts are those of Table 1, but not its nine cases with one file for both pictures"
    return None
