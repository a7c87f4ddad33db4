"""The cases of each class in each split."""

from collections.abc import Iterable, Mapping
from typing import Any

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import SPLITS
from amfam_tf.report.table import Table, TableRow


def count_table(
    caption: str,
    cases: int,
    splits: Mapping[str, int],
    classes: Iterable[Mapping[str, Any]],
    tasks: Iterable[Task],
) -> Table:
    """Returns the table.

    Args:
        caption: what is counted.
        cases: of all splits.
        splits: cases of each.
        classes: what `amfam_tf.data.check.class_counts` returns, row by row: task, class, a number per split, total.
        tasks: of the data set.
    """
    by_name = {task.name: task for task in tasks}
    rows = [TableRow(["cases", *(str(splits[split]) for split in SPLITS), str(cases)], "total")]
    for row in classes:
        task = by_name[row["task"]]
        place = [*task.classes, ""].index(row["class"])
        numbers = [str(row[column]) for column in (*SPLITS, "total")]
        known = place < len(task.classes)
        name = f"{task.name} {row['class']}, {task.class_titles[place]}" if known else f"{task.name}, label unknown"
        rows.append(TableRow([name, *numbers], "" if place else "first"))
    return Table(caption, ["class", *SPLITS, "all"], rows)
