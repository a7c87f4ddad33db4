"""The cases of a drawn data set with any card: who belongs together, which split, and what each column holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amfam_tf.card.consistency import path_columns
from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard, Shares
from amfam_tf.data import pair_labels, pair_splits
from amfam_tf.data.synthetic.card_parts import Meaning, Part, parts, refuse_twice
from amfam_tf.data.synthetic.card_tables import layout
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.data.tables import RawTable
from amfam_tf.errors import UserError

PREFIX = "drawn-"
"""Of every name that is made up, so that no report mistakes drawn cases for patients."""
UNKNOWN_METADATA = 0.05
"""Share of the values that nobody knows, where the card allows it."""
GROUP_SIZES = (2, 1, 1)
"""In turns."""
TRIES = 20
"""Draws of the labels that the cases are dealt out by, until training has every class."""

Drawn = list[tuple[Meaning, tuple[str, ...]]]
"""What a part holds in each case, and the raw values of its columns."""


@dataclass(frozen=True)
class DrawnCases:
    """What is drawn of the cases before any picture.

    Attributes:
        fields: of each case, raw value by column.
        labels: class numbers by task, `UNKNOWN` where nobody knows; one for each case.
        splits: of each case.
    """

    fields: Sequence[dict[str, str]]
    labels: Mapping[str, Sequence[int]]
    splits: Sequence[str]


def draw_cases(card: DataCard, cases: int, seed: int, unknown: float) -> DrawnCases:
    """Returns cases that a card accepts; each class of each task occurs, in training if there are enough cases.

    Args:
        cases: how many.
        seed: of the data set.
        unknown: share of the labels that nobody knows, in tasks that allow it.

    Raises:
        ConfigError: parts of the card contradict each other in what a column holds.
        UserError: there are too few cases for the classes or splits.
    """
    dealt = parts(card)
    made = _names(card, dealt, cases, seed)
    single = [score.column for score in card.scores.values() if score.column]
    single += [card.split.column.name] if card.split.column else []
    drawn = [name for part in dealt for name in part.columns]
    refuse_twice(card, [*made, *single, *drawn])
    groups = made[card.cases.group or card.cases.id]
    splits, answers = _split(card, dealt, groups, seed, unknown)
    for split in SPLITS:
        if split not in splits:
            raise UserError(f"none of {cases} cases is in {split}: --cases has to be more")
    whole = groups if layout(card).metadata_by_group else None
    for part in dealt:
        if part not in answers:
            random = stream(seed, 0, f"card {' '.join(part.columns)}")
            answers[part] = _deal(part, splits, random, unknown, None if part.tasks else whole)
    fields = [{column: values[row] for column, values in made.items()} for row in range(cases)]
    for part, found in answers.items():
        for case, (_, raws) in zip(fields, found, strict=True):
            case |= zip(part.columns, raws, strict=True)
    labels = {
        task: [answer.classes[task] for answer, _ in found] for part, found in answers.items() for task in part.tasks
    }
    _add_splits(card, fields, splits, seed)
    _add_scores(card, fields, labels)
    return DrawnCases(fields, labels, splits)


def _names(card: DataCard, dealt: Sequence[Part], cases: int, seed: int) -> dict[str, list[str]]:
    """Returns the columns that name things: the id, the group, and what tables are joined by."""
    width = len(str(cases))
    read = {name for part in dealt for name in part.columns}
    views = [card.pictures.view(modality) for modality in MODALITIES]
    places = [path_columns(view.column, view.path) for view in views if card.pictures.table is None]
    ending = ".jpg" if card.cases.id in [view.column for view in views] else ""
    made = {card.cases.id: [f"{PREFIX}{row + 1:0{width}d}{ending}" for row in range(cases)]}
    if card.cases.group is not None and card.cases.group not in made:
        # Two cases of a group need pictures of their own.
        apart = all(set(columns) - {card.cases.group, *read} for columns in places)
        numbers = [number for number in range(cases) for _ in range(GROUP_SIZES[number % 3] if apart else 1)][:cases]
        order = stream(seed, 0, "card groups").permutation(numbers)
        made[card.cases.group] = [f"{PREFIX}group-{number + 1:0{width}d}" for number in order]
    for join in card.cases.join:
        if join.on not in made and join.on not in read:
            made[join.on] = [f"{PREFIX}key-{row + 1:0{width}d}" for row in range(cases)]
    return made


def _split(
    card: DataCard, dealt: Sequence[Part], groups: Sequence[str], seed: int, unknown: float
) -> tuple[list[str], dict[Part, Drawn]]:
    """Returns the splits, and the labels that they were dealt out by if the card asks for that.

    Of several draws of those the one counts that leaves the fewest classes out of training, or splits empty.
    """
    rule = card.split.assign or Shares(seed=seed % 2**32)
    if rule.stratify is None:
        return pair_splits.assigned(rule, groups, None), {}
    part = next(part for part in dealt if rule.stratify in part.tasks)
    tries = []
    for number in range(TRIES):
        found = _deal(part, ["train"] * len(groups), stream(seed, number, "card strata"), unknown)
        labels = [answer.classes[rule.stratify] for answer, _ in found]
        splits = pair_splits.assigned(rule, groups, labels)
        learned = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
        short = len(set(labels) - learned) + len(set(SPLITS) - set(splits))
        tries.append((short, number, splits, found))
        if not short:
            break
    _, _, splits, found = min(tries, key=lambda one: one[:2])
    return splits, {part: found}


def _deal(
    part: Part,
    splits: Sequence[str],
    random: np.random.Generator,
    unknown: float,
    groups: Sequence[str] | None = None,
) -> Drawn:
    """Returns what a part holds in each case: every answer in turn, in one split after the other, training first.

    Args:
        part: of the card.
        splits: of each case.
        random: the part's stream.
        unknown: share of the labels that nobody knows.
        groups: of each case, if all cases of one hold the same.

    Raises:
        UserError: there are fewer known labels than classes.
    """
    shuffled = sorted(random.permutation(len(splits)).tolist(), key=lambda row: SPLITS.index(splits[row]))
    units = list(dict.fromkeys(shuffled if groups is None else [groups[row] for row in shuffled]))
    share = 0.0 if part.unknown is None else unknown if part.tasks else UNKNOWN_METADATA
    blank = {units[place] for place in random.permutation(len(units))[: round(share * len(units))]}
    known = [unit for unit in units if unit not in blank]
    if part.tasks and len(known) < len(part.known):
        least = math.ceil(len(part.known) / (1 - share))
        raise UserError(
            f"{len(known)} cases with a label are too few for the {len(part.known)} classes of "
            f"{' and '.join(part.tasks)}: --cases has to be {least} or more"
        )
    turns = random.permutation(len(part.known)).tolist()
    found = {unit: part.known[turns[place % len(turns)]] for place, unit in enumerate(known)}
    found |= {unit: part.unknown for unit in blank if part.unknown is not None}
    drawn = {unit: (found[unit], found[unit].raws[random.integers(len(found[unit].raws))]) for unit in units}
    return [drawn[row if groups is None else groups[row]] for row in range(len(splits))]


def _add_splits(card: DataCard, fields: Sequence[dict[str, str]], splits: Sequence[str], seed: int) -> None:
    """Adds the column that names the split, if the card has one."""
    rule = card.split.column
    if rule is None:
        return
    words = {"train": rule.train, "validate": rule.validate_, "test": rule.test}
    random = stream(seed, 0, "card splits")
    for case, split in zip(fields, splits, strict=True):
        case[rule.name] = words[split][random.integers(len(words[split]))]


def _add_scores(card: DataCard, fields: Sequence[dict[str, str]], labels: Mapping[str, Sequence[int]]) -> None:
    """Adds the stored scores: what the labels give, nothing where one of them is unknown."""
    frame = pd.DataFrame(labels)
    for name, score in card.scores.items():
        if score.column is not None:
            bare = score.model_copy(update={"column": None})
            values = pair_labels.scores(name, bare, card, frame, RawTable(card.cases.table, frame), [])
            for case, value in zip(fields, values, strict=True):
                case[score.column] = "" if value == pair_labels.UNKNOWN else str(value)
