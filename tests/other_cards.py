"""Cards of data sets that are not Derm7pt, for tests that draw predictions instead of pictures."""

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import predictions

MILK10K = cards.packaged("milk10k")
"""One task of eleven classes; the headline is the challenge's score."""

WARD = cards.parse(
    """
name: ward
title: A ward's lesions
cases: {table: ward.csv, id: lesion, group: patient}
pictures: {clinical: {column: overview}, dermoscopic: {column: derm}}
split: {assign: {stratify: DX}}
tasks:
  - name: ULC
    title: ulceration
    column: ulcer
    classes: [{name: NO, title: absent}, {name: YES, title: present}]
    missing: [""]
  - name: NET
    title: network
    column: net
    classes: [{name: NON}, {name: TYP}, {name: ATP}]
  - name: DX
    title: finding
    column: dx
    classes: [{name: BCC}, {name: NEV}, {name: MEL}, {name: SCC}]
targets:
  malignant: {task: DX, classes: [BCC, MEL, SCC]}
  melanoma: {task: DX, classes: [MEL]}
scores:
  risk:
    points: {ULC: {YES: 1}, NET: {ATP: 2}}
    thresholds: {strict: 3, loose: 1}
    suggests: malignant
metadata:
  age: {range: [0, 110], missing: [""]}
  sex: {values: [female, male], missing: [""]}
  ward: {values: [a, b], subgroup: false}
headline: tasks.DX.balanced_accuracy
""",
    "ward",
)
"""Three tasks and patients, two targets, a score with a criterion that may be unknown, ages."""

PARTLY = cards.parse(
    """
name: partly
cases: {table: partly.csv, id: lesion}
pictures: {clinical: {column: overview}, dermoscopic: {column: derm}}
split: {assign: {}}
tasks:
  - {name: ONE, column: one, classes: [{name: A}, {name: B}, {name: C}], missing: ["?"]}
  - {name: TWO, column: two, classes: [{name: NO}, {name: YES}], missing: ["?"]}
""",
    "partly",
)
"""Labels of both tasks may be missing; no target, no score, no metadata."""

ALL = (MILK10K, WARD, PARTLY)


def cases_of(table: pd.DataFrame, card: DataCard, seed: int = 0) -> pd.DataFrame:
    """Returns rows of a data set that a predictions table is about: labels, groups of two cases, drawn metadata."""
    generator, count = np.random.default_rng(seed), len(table)
    columns = {"case_num": table["case_num"].to_numpy(), "split": "test", "shared_file": False}
    columns |= {"group": [f"P{number // 2}" for number in range(count)]}
    columns |= {task.name: predictions.true_labels(table, task) for task in card.tasks}
    for name, column in card.metadata.items():
        values = list(column.raw_values) or [f"{value:g}" for value in np.linspace(*column.range, 23).round(1)]
        columns[name] = generator.choice([*values, *([""] if column.missing else [])], count)
    return pd.DataFrame(columns)
